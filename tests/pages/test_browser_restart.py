"""Tabs that are open while the server is started again, and in the history, in a real browser."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, do_jobs, go_to, open_page, run_app, settle
from made_run import make_run
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    settle(page)


def assert_open(page: Page, name: str) -> None:
    tab = page.get_by_role("tab", name=name, exact=True)
    expect(tab).to_have_attribute("aria-selected", "true")


def test_back_and_forward_lead_from_tab_to_tab_and_then_to_the_page_before(
    browser, workspace, make_dataset
):
    make_dataset({"cat": 8, "dog": 8}, sample_folder(workspace))
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, server.url)
        go_to(page, "Data")
        open_tab(page, "Split")
        open_tab(page, "Label")
        page.go_back()
        assert_open(page, "Split")
        page.go_back()
        assert_open(page, "Photos")
        page.go_forward()
        assert_open(page, "Split")
        go_to(page, "Train")
        page.go_back()
        assert_open(page, "Split")
        go_to(page, "Train")
        go_to(page, "Data")  # as it was left; the address says nothing more, so one step leads back
        assert_open(page, "Split")
        page.go_back()
        expect(page.locator("h1").first).to_have_text("Train")


def test_the_open_tab_stays_open_when_the_server_is_started_again(
    browser, workspace, make_dataset, cache_dir
):
    folder = make_dataset({"cat": 8, "dog": 8}, sample_folder(workspace))
    make_run(workspace.runs_dir / "20260102-030405_tiny", folder, cache_dir)
    shutil.copytree(cache_dir, workspace.cache_dir, dirs_exist_ok=True)
    with run_app(workspace, NO_WORKER) as server:
        port = urlsplit(server.url).port
        evaluate = open_page(browser, f"{server.url}/Evaluate")
        do_jobs(workspace, "evaluate")
        evaluate.get_by_role("tab", name="Confusion").wait_for()
        open_tab(evaluate, "Confusion")
        data = open_page(evaluate.context, f"{server.url}/Data")
        open_tab(data, "Label")
    with run_app(workspace, NO_WORKER, port):
        for page, name in ((evaluate, "Confusion"), (data, "Label")):
            page.reload()
            settle(page)
            assert_open(page, name)
