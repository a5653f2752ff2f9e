"""Back, Forward, reload, a second tab and a restart keep dataset and run, in a real browser."""

from __future__ import annotations

import shutil
from urllib.parse import parse_qs, urlsplit

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, click, go_to, new_context, open_page, run_app, settle
from made_run import make_run
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

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


class LateRun:
    """Sends the browser, when it asks for another page, that a run of the one in view began.

    As the server does when a part that polls had the whole page drawn again just before.
    """

    def __init__(self, page: Page) -> None:
        self.begun: dict[str, bytes] = {}  # what the server sent last as a run began, by kind
        self.num_sent = 0
        page.route_web_socket("**/_stcore/stream", self.watch)

    def watch(self, browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()

        def to_server(message: str | bytes) -> None:
            asked = BackMsg.FromString(message).rerun_script if isinstance(message, bytes) else None
            if asked and asked.is_history_navigation:
                shown = ForwardMsg.FromString(self.begun["navigation"]).navigation.page_script_hash
                assert asked.page_script_hash != shown
                for kind in ("new_session", "navigation"):
                    browser.send(self.begun[kind])
                self.num_sent += 1
            server.send(message)

        def to_browser(message: str | bytes) -> None:
            sent = ForwardMsg.FromString(message) if isinstance(message, bytes) else ForwardMsg()
            if sent.HasField("new_session") or sent.HasField("navigation"):
                self.begun[sent.WhichOneof("type")] = message
            browser.send(message)

        browser.on_message(to_server)
        server.on_message(to_browser)


def test_forward_stays_though_the_page_before_began_to_run_as_it_was_left(browser, workspace):
    with run_app(workspace, NO_WORKER) as server:
        page = new_context(browser).new_page()
        late = LateRun(page)
        page.goto(f"{server.url}/Data")
        settle(page)
        go_to(page, "Train")
        go_to(page, "Classify")
        for title in ("Train", "Data"):
            page.go_back()
            expect(page.locator("h1").first).to_have_text(title)
            settle(page)
        assert late.num_sent == 2
        for title in ("Train", "Classify"):
            page.go_forward()
            expect(page.locator("h1").first).to_have_text(title)
            settle(page)
        assert late.num_sent == 4
        go_to(page, "Data")  # a click still is a step of its own
        page.go_back()
        expect(page.locator("h1").first).to_have_text("Classify")
        assert page.evaluate("location.pathname") == "/Classify"
