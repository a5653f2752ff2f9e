"""Photos of an evaluation as tiles; a click shows one large, and its details from there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from ui.runs.evaluations import PHOTO, EvaluationView
from ui.shared.page_layout import page_key
from ui.shared.thumbnails import large_picture, thumbnails
from ui.shared.tile_grid import LARGE_SIDE, Tile, open_grid
from ui.shared.words import number_of, plain

TILE_WIDTH = 132
HINT = "Details: where the model looked, and the most similar training photos"


def page_of(
    view: EvaluationView, positions: Sequence[int], prefix: str, page_size: int
) -> Sequence[int]:
    """Draw the page picker when there are several pages, and return those of the chosen one.

    Each run, each set of photos and each ``prefix`` has a page of its own.
    """
    num_pages = -(-len(positions) // page_size)
    if num_pages <= 1:
        return positions
    with st.container(horizontal_alignment="center"):
        key = page_key(prefix, view.run.id, view.source)
        page = min(num_pages, st.pagination(num_pages, key=key))
    return positions[(page - 1) * page_size : page * page_size]


def tiles_of(view: EvaluationView, positions: Sequence[int]) -> dict[int, bytes | None]:
    """Return the thumbnails of images by position; None for one that cannot be read."""
    records = {place: view.record(place) for place in positions}
    there = {place: record for place, record in records.items() if record is not None}
    made = thumbnails(view.workspace, view.curated.raw, list(there.values()))
    return {**dict.fromkeys(positions), **dict(zip(there, made, strict=True))}


def draw_tile(view: EvaluationView, position: int, data: bytes | None) -> None:
    """Draw one thumbnail, or what is in its place."""
    path = view.evaluation.paths[position]
    if data is None:
        st.caption(f":material/broken_image: {plain(path)} cannot be read any more")
    else:
        st.image(data, width="stretch", alt=f"{_true_class(view, position)}: {path}")


def draw_photos(
    view: EvaluationView,
    positions: Sequence[int],
    notes: Sequence[str],
    *,
    prefix: str,
    page_size: int,
) -> None:
    """Draw tiles that show the photo large, and its details from there."""
    if not positions:
        st.caption("No photos here.")
        return
    note_of = dict(zip(positions, notes, strict=True))
    shown = page_of(view, positions, prefix, page_size)
    pictures = tiles_of(view, shown)
    paths = view.evaluation.paths
    tiles = [
        Tile(paths[place], note_of[place], _true_class(view, place), pictures[place])
        for place in shown
    ]
    opened = partial(open_photo, view)
    open_grid(tiles, f"{prefix}_photos", opened, TILE_WIDTH, HINT, partial(_large, view))
    if len(shown) < len(positions):
        st.caption(f"{number_of(len(positions), 'photo')} in all.")


def draw_opener(view: EvaluationView, position: int, label: str, prefix: str) -> None:
    """Draw the button that opens a photo from near."""
    path = view.evaluation.paths[position]
    st.button(
        label,
        key=f"{prefix}_open_{path}",
        icon=":material/zoom_in:",
        type="tertiary",
        on_click=open_photo,
        args=(view, path),
        help=HINT,
    )


def _true_class(view: EvaluationView, position: int) -> str:
    return view.evaluation.class_names[view.evaluation.labels[position]]


def _large(view: EvaluationView, path: str) -> bytes | None:
    record = view.record(view.evaluation.paths.index(path))
    return None if record is None else large_picture(view.curated.raw, record, LARGE_SIDE)


def open_photo(view: EvaluationView, path: str) -> None:
    """Open a photo from near; a path that the evaluation does not have is passed over."""
    if path in view.evaluation.paths:
        st.session_state[PHOTO] = path
