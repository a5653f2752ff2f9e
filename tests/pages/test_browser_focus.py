"""Photos are corrected by keyboard, and its place stays, in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_helpers import sample_folder
from browser_helpers import NO_WORKER, ROOT, do_jobs, open_page, run_app, settle
from made_run import make_run
from playwright.sync_api import Page

from tl_core.data.curation.store import Decision, edit_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

# The nearest key or path of the element that has the focus; "" for the start of the page.
FOCUSED = """() => {
    let element = document.activeElement;
    while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    const tile = element.closest('.tile');
    const keyed = element.closest('[class*=st-key-]');
    return tile?.dataset.path ?? /st-key-(\\S+)/.exec(keyed?.className)?.[1] ?? '';
}"""

# True once an element has had the focus for half a second.
STAYS_FOCUSED = f"""key => {{
    const now = performance.now();
    window.thereSince = ({FOCUSED})() === key ? (window.thereSince ?? now) : null;
    return window.thereSince !== null && now - window.thereSince > 500;
}}"""

# A list of items below its tab, and the script under test, without the app.
ITEMS = """<body><main data-testid=stApp data-test-script-state=notRunning>
<div data-testid=stMain><div role=tab tabindex=0 aria-selected=true class=st-key-tab>Tab</div>
<div id=list></div></div></main></body>"""
KEEP_FOCUS = """async source => {
    (await import(`data:text/javascript,${encodeURIComponent(source)}`)).default();
    window.draw = names => document.querySelector('#list').innerHTML = names
        .map(name => `<div class=st-key-item_${name}><button>${name}</button></div>`).join('');
}"""


def wait_for_focus(page: Page, key: str) -> None:
    """Wait until the focus is where it should be, and stays there once all is drawn.

    While new figures take the place of earlier ones it may be away for an instant.
    """
    page.wait_for_function(f"key => ({FOCUSED})() === key", arg=key)
    settle(page)
    page.evaluate("window.thereSince = null")
    page.wait_for_function(STAYS_FOCUSED, arg=key, polling=50)


def keys_of(page: Page, start: str) -> list[str]:
    """Return the keys of containers by their beginning, in the order of the page."""
    return page.evaluate(
        "start => [...document.querySelectorAll(`[class*=st-key-${start}]`)]"
        ".map(one => /st-key-(\\S+)/.exec(one.className)[1])",
        start,
    )


def press(page: Page, key: str) -> None:
    """Press a button as the keyboard does."""
    page.locator(f".st-key-{key} button").first.focus()
    page.keyboard.press("Enter")


@pytest.fixture
def folder(workspace, make_dataset, cache_dir) -> Path:
    """A project with a run and four cats in its test photos that are said to be dogs."""
    folder = make_dataset({"cat": 24, "dog": 24}, sample_folder(workspace))
    run = make_run(workspace.runs_dir / "20260102-030405_tiny", folder, cache_dir)
    shutil.copytree(cache_dir, workspace.cache_dir, dirs_exist_ok=True)
    index = scan_dataset(folder)
    tested = [index.records[place] for place in split_dataset(index, run.config).test]
    cats = [record for record in tested if record.path.startswith("cat/")][:4]
    assert len(cats) == 4
    said = [Decision(record.path, record.sha256, "relabel", "dog") for record in cats]
    edit_decisions(workspace, folder, lambda before: before.decide("Cats are dogs", said))
    return folder


def test_the_card_after_one_that_was_corrected_has_the_focus(browser, workspace, folder):
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Evaluate?tab=Mistakes")
        do_jobs(workspace, "evaluate")
        page.locator("[class*=st-key-card_exclude]").first.wait_for()
        settle(page)
        cards = keys_of(page, "card_exclude")
        assert len(cards) == 4
        press(page, cards[1])
        page.wait_for_function("() => document.querySelector('[data-testid=stProgress]')")
        do_jobs(workspace, "evaluate")
        wait_for_focus(page, cards[2])
        assert keys_of(page, "card_exclude") == [cards[0], *cards[2:]]
        press(page, cards[3])  # the last one: the one before takes its place
        page.wait_for_function("() => document.querySelector('[data-testid=stProgress]')")
        do_jobs(workspace, "evaluate")
        wait_for_focus(page, cards[2])


def test_the_tile_after_one_that_was_corrected_has_the_focus(browser, workspace, folder):
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Evaluate?tab=Confusion")
        do_jobs(workspace, "evaluate")
        page.locator(".st-key-pair_dog_cat button").first.click()
        tiles = page.locator(".tile")
        tiles.first.wait_for()
        settle(page)
        paths = tiles.evaluate_all("tiles => tiles.map(tile => tile.dataset.path)")
        assert len(paths) == 4
        tiles.nth(1).focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Details").first.press("Enter")
        exclude = page.get_by_role("dialog").get_by_role("button", name="Exclude").first
        exclude.wait_for()
        settle(page)
        exclude.press("Enter")
        page.wait_for_function("() => document.querySelector('[data-testid=stProgress]')")
        do_jobs(workspace, "evaluate")
        wait_for_focus(page, paths[2])


def test_the_finding_after_one_that_was_decided_has_the_focus(browser, workspace, make_dataset):
    folder = make_dataset({"cat": 8, "dog": 8}, sample_folder(workspace))
    for number in range(3):
        shutil.copy(folder / "cat" / f"{number}.png", folder / "cat" / f"{number} again.png")
    with run_app(workspace, NO_WORKER) as server:
        page = open_page(browser, f"{server.url}/Data?tab=Findings")
        page.locator("[class*=st-key-ignore_duplicate]").first.wait_for()
        settle(page)
        groups = keys_of(page, "ignore_duplicate")
        assert len(groups) == 3
        press(page, groups[0])
        wait_for_focus(page, groups[1])
        press(page, groups[1])
        (finding,) = keys_of(page, "finding_duplicate")  # the last group has no buttons of its own
        wait_for_focus(page, finding)


@pytest.mark.parametrize("key", ["", "Shift"])
def test_items_that_are_drawn_late_get_the_focus_until_a_key_is_pressed(browser, key):
    page = browser.new_page()
    page.set_content(ITEMS)
    page.evaluate(KEEP_FOCUS, (ROOT / "ui/shell/keep_focus.js").read_text())
    page.evaluate("draw(['a', 'b', 'c'])")
    page.locator(".st-key-item_b button").press("Enter")
    page.evaluate("draw([])")
    page.wait_for_function(f"({FOCUSED})() === 'tab'")
    if key:
        page.keyboard.press(key)
    page.evaluate("draw(['a', 'c'])")
    if key:
        page.wait_for_timeout(1000)  # longer than the script waits for the page to be at rest
        assert page.evaluate(FOCUSED) == "tab"
    else:
        page.wait_for_function(f"({FOCUSED})() === 'item_c'")
    page.close()
