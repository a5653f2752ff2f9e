"""The gallery: a dataset's images by class, a page of thumbnails at a time."""

from __future__ import annotations

from typing import Any

import streamlit as st

from tl_core.data.dataset import DatasetIndex
from tl_core.workspace import Workspace
from ui.errors import guarded
from ui.thumbnails import PAGE_SIZE, draw_grid

ALL = "All classes"
MAX_PILLS = 12


@st.fragment
@guarded
def draw_gallery(workspace: Workspace, index: DatasetIndex) -> None:
    """Draw the class picker, one page of thumbnails and the page picker."""
    counts = index.class_counts()
    options = [ALL, *index.class_names]
    labels = {ALL: f"All {index.num_images:,}"} | {
        name: f"{name} {counts.get(name, 0):,}" for name in index.class_names
    }
    bar = st.container(horizontal=True, horizontal_alignment="distribute")
    with bar:
        chosen = _pick_class(options, labels)
    records = index.records
    if chosen in index.class_names:
        label = index.class_names.index(chosen)
        records = tuple(record for record in records if record.label == label)
    if not records:
        st.caption("No pictures here yet. Add some under *Add pictures*.")
        return
    num_pages = -(-len(records) // PAGE_SIZE)
    page = 1
    if num_pages > 1:
        with bar:
            page = min(num_pages, st.pagination(num_pages, key=f"gallery_page_{chosen}"))
    start = (page - 1) * PAGE_SIZE
    shown = records[start : start + PAGE_SIZE]
    draw_grid(workspace, index, shown)
    st.caption(f"Pictures {start + 1:,} to {start + len(shown):,} of {len(records):,}.")


def _pick_class(options: list[str], labels: dict[str, str]) -> str:
    """Draw the class picker: all in sight while they are few, a list to search when many."""
    shared: dict[str, Any] = {
        "label": "Class",
        "options": options,
        "format_func": labels.__getitem__,
        "key": "gallery_class",
        "label_visibility": "collapsed",
        "persist_state": "session",
    }
    if st.session_state.get("gallery_class") not in options:
        st.session_state["gallery_class"] = ALL
    if len(options) <= MAX_PILLS:
        return st.pills(**shared, required=True) or ALL
    return st.selectbox(**shared, width=320) or ALL
