"""A grid of pictures to tick or to open, drawn as one element: a page of it turns at once.

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

_HERE = Path(__file__).parent
_GRID = st.components.v2.component(
    "tile_grid",
    html='<div class="grid" role="group" aria-label="Pictures"></div>',
    css=(_HERE / "tile_grid.css").read_text("utf-8"),
    js=(_HERE / "tile_grid.js").read_text("utf-8"),
)


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


def tick_grid(
    tiles: Sequence[Tile],
    ticked: Collection[str],
    key: str,
    on_tick: Callable[[set[str], set[str]], None],
    tile_width: int,
) -> None:
    """Draw pictures with boxes in as many columns as fit.

    A click or the space bar ticks a picture, Shift with a click all from the one before; the arrow
    keys go from picture to picture.

    Args:
        tiles: the pictures, in order.
        ticked: paths of those that are ticked; others may be among them.
        key: of the element.
        on_tick: called when the person has ticked, with the paths that were shown then and those
            of them that are ticked now. They come from the browser and may be any text.
        tile_width: least width of a picture, in pixels.
    """
    answered_key = f"{key}_answered"

    def take() -> None:
        told = st.session_state[key].ticked
        st.session_state[answered_key] = told["id"]
        shown = set(told["shown"])
        on_tick(shown, shown.intersection(told["ticked"]))

    data = {
        "ticked": [tile.path for tile in tiles if tile.path in ticked],
        "answered": st.session_state.get(answered_key),
    }
    _GRID(key=key, data=_data_of(tiles, tile_width) | data, on_ticked_change=take)


def open_grid(
    tiles: Sequence[Tile], key: str, on_open: Callable[[str], None], tile_width: int, hint: str
) -> None:
    """Draw pictures in as many columns as fit, each a button.

    Args:
        tiles: the pictures, in order.
        key: of the element.
        on_open: called with the path of the one that was clicked. It comes from the browser and may
            be any text.
        tile_width: least width of a picture, in pixels.
        hint: what a click does.
    """

    def take() -> None:
        on_open(str(st.session_state[key].opened))

    data = {"ticked": None, "hint": hint}
    _GRID(key=key, data=_data_of(tiles, tile_width) | data, on_opened_change=take)


def _data_of(tiles: Sequence[Tile], tile_width: int) -> dict[str, Any]:
    return {
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
