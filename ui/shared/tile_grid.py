"""A grid of pictures to tick, to view large or to open, as one element: a page of it turns at once.

Made of Streamlit's own elements a picture would cost four of them, each with a message of its own
to the browser and a request for the picture: 20 ms, a third of a second for a page.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from ui.shared.controls import as_kind

_HERE = Path(__file__).parent
_GRID = st.components.v2.component(
    "tile_grid",
    html='<div class="grid" role="group" aria-label="Photos"></div>',
    css=(_HERE / "tile_grid.css").read_text("utf-8"),
    js=(_HERE / "tile_grid.js").read_text("utf-8"),
)
# Brings the large picture to a grid in the browser, so that the small ones are not sent again.
_LARGE = st.components.v2.component(
    "tile_grid_large",
    html="<span hidden></span>",
    js="""export default ({ data }) =>
  window.dispatchEvent(new CustomEvent("tile-grid-large", { detail: data }));""",
)
LARGE_SIDE = 1600  # of the large picture, in pixels

LargeOf = Callable[[str], bytes | None]
"""Returns the large JPEG of a picture by its path; None when it cannot be read."""


@dataclass(frozen=True)
class Tile:
    """One picture of a grid."""

    path: str
    """Tells it from all others."""
    name: str
    """Stands under it."""
    alt: str
    """Says what it shows: its class."""
    jpeg: bytes | None
    """None for a file that cannot be read any more."""
    note: str = ""
    """A second line under it."""


@dataclass(frozen=True)
class _Ticks:
    """What the person has ticked, until it is answered."""

    id: str
    shown: list[str]
    ticked: list[str]


@dataclass(frozen=True)
class _Told:
    """What the browser tells; as paths, of which an empty one is none."""

    ticks: _Ticks | None
    viewed: str
    opened: str


def tick_grid(
    tiles: Sequence[Tile],
    ticked: Collection[str],
    key: str,
    on_tick: Callable[[set[str], set[str]], None],
    tile_width: int,
    large_of: LargeOf,
) -> None:
    """Draw pictures with boxes in as many columns as fit.

    The box or the space bar ticks a picture, Shift with a click all from the one before. A click
    on the picture or Enter shows it large. The arrow keys go from picture to picture.

    Args:
        tiles: the pictures, in order.
        ticked: paths of those that are ticked; others may be among them.
        key: of the element.
        on_tick: called when the person has ticked, with the paths that were shown then and those
            of them that are ticked now. They come from the browser and may be any text.
        tile_width: least width of a picture, in pixels.
        large_of: gives the picture that is shown large; it receives one of the paths.
    """
    answered_key = f"{key}_answered"

    def take() -> None:
        ticks = _take_told(key).ticks
        if ticks is not None and ticks.id != st.session_state.get(answered_key):
            st.session_state[answered_key] = ticks.id
            shown = set(ticks.shown)
            on_tick(shown, shown.intersection(ticks.ticked))

    data = {
        "ticked": [tile.path for tile in tiles if tile.path in ticked],
        "answered": st.session_state.get(answered_key),
    }
    _GRID(key=key, data=_data_of(tiles, tile_width, key) | data, on_told_change=take)
    _send_large(tiles, key, large_of)


def open_grid(
    tiles: Sequence[Tile],
    key: str,
    on_open: Callable[[str], None],
    tile_width: int,
    hint: str,
    large_of: LargeOf,
) -> None:
    """Draw pictures in as many columns as fit, each a button that shows it large.

    Args:
        tiles: the pictures, in order.
        key: of the element.
        on_open: called with the path of the one whose details were asked for in the large view.
            It comes from the browser and may be any text.
        tile_width: least width of a picture, in pixels.
        hint: what the details are.
        large_of: gives the picture that is shown large; it receives one of the paths.
    """

    def take() -> None:
        if opened := _take_told(key).opened:
            on_open(opened)

    data = {"ticked": None, "hint": hint}
    _GRID(key=key, data=_data_of(tiles, tile_width, key) | data, on_told_change=take)
    _send_large(tiles, key, large_of)


def _take_told(key: str) -> _Told:
    """Return what the browser told; which picture is viewed large is noted."""
    told = as_kind(_Told, st.session_state[key].told) or _Told(None, "", "")
    if told.viewed:
        st.session_state[f"{key}_viewed"] = told.viewed
    return told


def _send_large(tiles: Sequence[Tile], key: str, large_of: LargeOf) -> None:
    """Send the picture that is viewed, while it is on the page of the grid."""
    viewed = st.session_state.get(f"{key}_viewed")
    if viewed is None or all(tile.path != viewed for tile in tiles):
        return
    jpeg = large_of(viewed)
    source = None if jpeg is None else _source_of(jpeg)
    _LARGE(key=f"{key}_large", data={"grid": key, "path": viewed, "source": source})


def _data_of(tiles: Sequence[Tile], tile_width: int, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "tile_width": tile_width,
        "tiles": [
            {
                "path": tile.path,
                "name": tile.name,
                "alt": tile.alt,
                "note": tile.note,
                "source": None if tile.jpeg is None else _source_of(tile.jpeg),
            }
            for tile in tiles
        ],
    }


def _source_of(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
