"""Back, Forward, reload, a second tab and a restart keep dataset and run, in a real browser."""

from __future__ import annotations

import shutil
from urllib.parse import parse_qs, urlsplit

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, click, go_to, open_page, run_app, settle
from made_run import make_run
from playwright.sync_api import Page, expect

from tl_core.files import write_json
from tl_core.runs.store import rename_run
from ui.datasets.picker import dataset_id
from ui.shared.page_layout import HOME_TITLE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

HOME = HOME_TITLE
TITLES: dict[str, str] = {}  # what stands in the select boxes, by id


def assert_shows(page: Page, title: str, dataset: str, run: str | None = None) -> None:
    """Assert page, dataset and run, in the address and in the boxes, and that nothing is wrong."""
    expect(page.locator("h1").first).to_have_text(title)
    settle(page)
    named = {"dataset": [dataset]} | ({"run": [run]} if run else {})
    assert parse_qs(urlsplit(page.url).query) == named
    assert page.evaluate("decodeURI(location.pathname)") == ("/" if title == HOME else f"/{title}")
    shown = page.get_by_test_id("stSidebar").locator("[class*=st-key-dataset-] input").input_value()
    assert shown == TITLES[dataset]
    if run and title in ("Train", "Classify", "Evaluate"):
        assert page.locator("[class*=st-key-run-] input").input_value() == TITLES[run]
    for trouble in ("stAlertContentError", "stException", "stToast"):
        assert page.get_by_test_id(trouble).all_inner_texts() == []


def pick(page: Page, key: str, title: str) -> None:
    page.locator(f"[class*=st-key-{key}-] input").click()
    page.get_by_role("option", name=title, exact=True).click()
    settle(page)


def test_dataset_and_run_stay_what_was_chosen(
    browser, workspace, make_dataset, tmp_path, cache_dir
):
    make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))
    folders = [tmp_path / parent / "photos" for parent in ("first", "second")]
    for number, folder in enumerate(folders):
        make_dataset({"cup": 8 + number, "jar": 8 + number}, folder)
    write_json(workspace.datasets_dir / "opened.json", [str(folder) for folder in folders])
    first, second = (dataset_id(workspace, folder) for folder in folders)
    for name, folder in zip((first, second), folders, strict=True):
        TITLES[name] = f"photos (in {folder.parent})"
    old, new = "20260102-030405_tiny", "20260103-030405_tiny"
    TITLES.update({old: "the older", new: "the newer"})
    for name in (old, new):
        rename_run(make_run(workspace.runs_dir / name, folders[1], cache_dir), TITLES[name])
    shutil.copytree(cache_dir, workspace.cache_dir, dirs_exist_ok=True)

    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, server.url)
        pick(page, "dataset", TITLES[first])
        assert_shows(page, HOME, first)
        pick(page, "dataset", TITLES[second])
        assert_shows(page, HOME, second)
        page.go_back()  # within one page
        assert_shows(page, HOME, first)
        page.go_forward()
        assert_shows(page, HOME, second)

        go_to(page, "Data")
        assert_shows(page, "Data", second)
        click(page, "go_train")
        assert_shows(page, "Train", second)
        pick(page, "run", TITLES[old])
        assert_shows(page, "Train", second, old)
        click(page, "go_classify")
        assert_shows(page, "Classify", second, old)
        page.go_back()
        assert_shows(page, "Train", second, old)
        page.go_back()  # to before the run was chosen
        assert_shows(page, "Train", second)
        page.go_back()
        assert_shows(page, "Data", second)
        for _ in range(3):
            page.go_forward()
            settle(page)
        assert_shows(page, "Classify", second, old)
        page.reload()
        assert_shows(page, "Classify", second, old)
        tab = page.context.new_page()
        tab.goto(page.url)
        assert_shows(tab, "Classify", second, old)
        go_to(tab, "Evaluate")
        assert_shows(tab, "Evaluate", second, old)
        go_to(tab, "Data")
        pick(tab, "dataset", TITLES[first])
        assert_shows(tab, "Data", first)  # the run is another project's
        go_to(page, "Data")  # the first tab does not follow the second
        assert_shows(page, "Data", second, old)
        pick(page, "dataset", TITLES[first])
        pick(page, "dataset", TITLES[second])
    with run_app(workspace, NO_WORKER) as server:
        assert_shows(open_page(browser, server.url), HOME, second)
