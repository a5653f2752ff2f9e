"""The gallery: a dataset's images by class, name and order, a page of thumbnails at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from tl_core.data.dataset import ImageRecord
from ui.data.filter import apply_filter, draw_filter
from ui.data.tiles import draw_actions, draw_tiles
from ui.datasets.dataset_view import DatasetView
from ui.shared import session_keys
from ui.shared.controls import control
from ui.shared.errors import guarded
from ui.shared.navigation import ADD_TAB
from ui.shared.page_layout import page_key
from ui.shared.thumbnails import PAGE_SIZE
from ui.shared.words import counted, distinct, plain

GALLERY = "gallery"
ALL = "All classes"
EXCLUDED = "\x00excluded"  # no class can have this name
MAX_PILLS = 12
BY_NAME = "By name"
NO_MATCH = "No photo matches."
SHOWN = "Photos {:,} to {:,} of {:,}."
# Words of the order: what it goes by, and whether the highest comes first.
ORDERS: dict[str, tuple[str, bool]] = {
    "Smallest first": ("pixels", False),
    "Largest first": ("pixels", True),
    "Darkest first": ("brightness", False),
    "Brightest first": ("brightness", True),
    "Blurriest first": ("sharpness", False),
    "Sharpest first": ("sharpness", True),
    "Most unusual of its class first": ("outlier", True),
    "Most likely mislabelled first": ("wrong_label", True),
}


@st.fragment(key=GALLERY)
@guarded
def draw_gallery(view: DatasetView) -> None:
    """Draw what narrows and orders the pictures, one page of them, and what to do with them."""
    chosen = _pick_class(view)
    search, order, pages = st.columns([3, 3, 5], vertical_alignment="center", gap="small")
    text = search.text_input(
        "Search",
        key="gallery_search",
        type="search",
        placeholder="Search by name",
        label_visibility="collapsed",
        icon=":material/search:",
        persist_state="session",
        live=True,
    )
    records = _of_class(view, chosen)
    if text:
        wanted = text.casefold().strip()
        records = [record for record in records if wanted in record.path.casefold()]
    with order:
        by = _pick_order(view)
    records = apply_filter(view, records)
    records = sort_records(view, records, by)
    draw_filter()
    page = 1
    num_pages = -(-len(records) // PAGE_SIZE)
    if num_pages > 1:
        with pages.container(horizontal=True, horizontal_alignment="right"):
            of = (view.dataset.id, chosen, text, by, st.session_state.get(session_keys.FILTER))
            page = st.pagination(num_pages, key=page_key("gallery", *of))
    start = (min(page, num_pages) - 1) * PAGE_SIZE if num_pages else 0
    shown = records[start : start + PAGE_SIZE]
    draw_actions(view, shown, "gallery", are_excluded=chosen == EXCLUDED)
    if not records:
        st.caption(
            NO_MATCH
            if text or st.session_state.get(session_keys.FILTER)
            else f"No photos here yet. Add some under *{ADD_TAB}*."
        )
        return
    draw_tiles(view, shown, "gallery", _notes(view, shown, by))
    st.caption(SHOWN.format(start + 1, start + len(shown), len(records)))


def sort_records(
    view: DatasetView, records: Sequence[ImageRecord], by: str
) -> Sequence[ImageRecord]:
    """Return images in the order asked for; unchanged when the values are not known."""
    if by not in ORDERS:
        return records
    name, is_descending = ORDERS[by]
    values: np.ndarray | None
    if name == "pixels":
        values = np.array([record.width * record.height for record in records], np.float64)
    else:
        values = view.column(name, records)
    if values is None:
        return records
    values = np.nan_to_num(values, nan=-np.inf if is_descending else np.inf)
    return [
        records[place] for place in np.argsort(-values if is_descending else values, kind="stable")
    ]


def _of_class(view: DatasetView, chosen: str) -> Sequence[ImageRecord]:
    if chosen == EXCLUDED:
        return view.excluded
    if chosen not in view.index.class_names:
        return view.index.records
    label = view.index.class_names.index(chosen)
    return [record for record in view.index.records if record.label == label]


def _pick_order(view: DatasetView) -> str:
    """Draw the choice of the order; only those that can be had."""
    known = () if view.measured is None else view.measured.columns
    options = [BY_NAME] + [
        words for words, (name, _) in ORDERS.items() if name == "pixels" or name in known
    ]
    if st.session_state.get("gallery_order") not in options:
        st.session_state["gallery_order"] = BY_NAME
    return st.selectbox(
        "Order",
        options,
        label_visibility="collapsed",
        icon=":material/sort:",
        **control("gallery_order"),
    )


def _pick_class(view: DatasetView) -> str:
    """Draw the class picker: all in sight while they are few, a list to search when many."""
    counts = view.index.class_counts()
    as_pills = 1 + len(counts) + bool(view.excluded) <= MAX_PILLS  # they read Markdown
    labels = {ALL: counted("All", view.index.num_images)} | {
        name: counted(plain(name) if as_pills else name, count) for name, count in counts.items()
    }
    if view.excluded:
        mark = ":material/block: " if as_pills else ""
        labels[EXCLUDED] = counted(f"{mark}Excluded", len(view.excluded))
    labels = distinct(labels)
    options = list(labels)
    if st.session_state.get("gallery_class") not in options:
        st.session_state["gallery_class"] = ALL
    shared: dict[str, Any] = {
        "label": "Class",
        "options": options,
        "format_func": labels.__getitem__,
        "label_visibility": "collapsed",
        **control("gallery_class"),
    }
    if as_pills:
        return st.pills(**shared, required=True) or ALL
    return st.selectbox(**shared, width=320) or ALL


def _notes(view: DatasetView, records: Sequence[ImageRecord], by: str) -> dict[str, str]:
    """Return what stands under pictures: that they were moved, and what the order goes by."""
    notes = {}
    suggested = (
        view.column("suggested", records) if ORDERS.get(by, ("",))[0] == "wrong_label" else None
    )
    for place, record in enumerate(records):
        held = view.held(record.path)
        if held is not None and held.action == "relabel":
            home = view.raw.class_names[view.raw.records[view.raw_place[record.path]].label]
            notes[record.path] = f"moved from {home}"
        elif suggested is not None:
            other = view.raw.class_names[int(suggested[place])]
            if other != view.class_of(record.path):
                notes[record.path] = f"looks like {other}"
        elif by == "Smallest first" or by == "Largest first":
            notes[record.path] = f"{record.width} × {record.height}"
    return notes
