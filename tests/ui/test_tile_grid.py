"""The grid of pictures: ticks reach Python, whatever other messages follow them."""

import json
from pathlib import Path

import pytest
from app_helpers import element_ids, grids, send
from playwright.sync_api import Browser
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.testing.v1 import AppTest

from ui.shared import tile_grid

SOURCE = Path(tile_grid.__file__).with_suffix(".js")
PATHS = ["cat/0.jpg", "cat/1.jpg", "cat/2.jpg"]

# Draws a grid, and returns what it tells until the server answers.
PLAY = """async ({ source, paths, canTick }) => {
  const blob = new Blob([source], { type: "text/javascript" });
  const { default: draw } = await import(URL.createObjectURL(blob));
  document.body.innerHTML = '<div id="parent"><div class="grid"></div></div>';
  const parentElement = document.getElementById("parent");
  const told = [];
  const tiles = paths.map((path) => ({ path, name: path, alt: "cat", note: "", source: null }));
  window.show = (answered, ticked) => draw({
    data: { key: "g", tile_width: 100, tiles, ticked: canTick ? ticked : null, answered },
    parentElement,
    setTriggerValue: (name, value) => told.push([name, structuredClone(value)]),
  });
  window.told = told;
  window.boxes = () => [...document.querySelectorAll(".tile input")].map((box) => box.checked);
  window.press = (key) => document.querySelector("dialog").dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true }));
  window.show(null, []);
}"""


@pytest.fixture
def page(browser: Browser):
    context = browser.new_context()
    page = context.new_page()
    page.set_content("<body></body>")
    yield page
    context.close()


def start(page, can_tick=True):
    source = SOURCE.read_text("utf-8")
    page.evaluate(PLAY, {"source": source, "paths": PATHS, "canTick": can_tick})


def test_each_message_says_all_that_was_not_answered_yet(page) -> None:
    start(page)
    page.locator(".tile").nth(0).click()  # shows it large
    page.locator("dialog input").check()
    page.evaluate("press('ArrowRight')")
    told = page.evaluate("told")
    assert [name for name, _ in told] == ["told"] * 3
    viewed, ticked, both = (value for _, value in told)
    assert (viewed["ticks"], viewed["viewed"]) == (None, "cat/0.jpg")
    assert ticked["ticks"]["ticked"] == ["cat/0.jpg"]
    assert ticked["ticks"]["shown"] == PATHS
    assert both == {**ticked, "viewed": "cat/1.jpg"}  # Streamlit may have kept this one alone
    page.evaluate("show(told[1][1].ticks.id, ['cat/0.jpg'])")
    page.evaluate("press('ArrowRight')")
    assert page.evaluate("told.at(-1)[1]") == {"ticks": None, "viewed": "cat/2.jpg", "opened": ""}


def test_what_python_says_holds_when_it_has_heard_of_the_ticks(page) -> None:
    start(page)
    page.locator(".tile input").nth(1).check()
    page.evaluate("show(null, [])")  # drawn before it heard of the tick
    assert page.evaluate("boxes()") == [False, True, False]
    page.evaluate("show(told.at(-1)[1].ticks.id, ['cat/2.jpg'])")
    assert page.evaluate("boxes()") == [False, False, True]


def test_details_are_told_with_what_is_viewed(page) -> None:
    start(page, can_tick=False)
    page.locator(".tile").nth(2).click()
    page.get_by_role("button", name="Details").click()
    last = {"ticks": None, "viewed": "cat/2.jpg", "opened": "cat/2.jpg"}
    assert page.evaluate("told.at(-1)[1]") == last


def grid():
    import streamlit as st

    from ui.shared.tile_grid import Tile, open_grid, tick_grid

    state = st.session_state
    for name in ("took", "opened", "larged"):
        state.setdefault(name, [])
    tiles = [Tile(f"cat/{n}.jpg", f"{n}.jpg", "cat", b"small") for n in range(3)]

    def take(shown, ticked):
        state["took"].append((sorted(shown), sorted(ticked)))

    def large(path):
        state["larged"].append(path)
        return b"large"

    if state.get("is_open"):
        open_grid(tiles, "grid", state["opened"].append, 100, "Details", large)
    else:
        tick_grid(tiles, ["cat/1.jpg"], "grid", take, 100, large)


def tell(at, ticks=None, viewed="", opened=""):
    value = {"ticks": ticks, "viewed": viewed, "opened": opened}
    told = json.dumps([{"event": "told", "value": value}])
    grid_id = _make_trigger_id(element_ids(at)["grid"], "events")
    return send(at, (grid_id, "json_trigger_value", told))


def test_ticks_and_the_picture_that_is_viewed_are_both_taken_and_ticks_once() -> None:
    at = AppTest.from_function(grid).run()
    ticks = {"id": "1", "shown": PATHS, "ticked": ["cat/2.jpg", "of/another.jpg"]}
    tell(at, ticks, viewed="cat/0.jpg")
    assert at.session_state["took"] == [(PATHS, ["cat/2.jpg"])]
    assert at.session_state["larged"] == ["cat/0.jpg"]
    assert json.loads(grids(at)[0].proto.json)["answered"] == "1"
    tell(at, ticks, viewed="cat/1.jpg")  # sent before it was answered
    assert len(at.session_state["took"]) == 1
    assert at.session_state["larged"][-1] == "cat/1.jpg"
    tell(at, {**ticks, "id": "2", "ticked": []})
    assert at.session_state["took"][-1] == (PATHS, [])


def test_a_picture_is_opened_by_its_details_alone() -> None:
    at = AppTest.from_function(grid)
    at.session_state["is_open"] = True
    at.run()
    tell(at, viewed="cat/0.jpg")
    assert at.session_state["opened"] == []
    tell(at, viewed="cat/0.jpg", opened="cat/0.jpg")
    assert at.session_state["opened"] == ["cat/0.jpg"]
