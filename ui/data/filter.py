"""Pictures narrowed down by a click in a chart of the overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from tl_core.data.dataset import ImageRecord
from ui.datasets.dataset_view import DatasetView
from ui.shared import session_keys

Bounds = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Filter:
    """What a click asked for: numbers within bounds, or one of some values.

    ``field`` is ``"width"``, ``"height"``, ``"brightness"`` or ``"format"``; several bounds must
    all hold.
    """

    words: str
    bounds: Bounds = ()
    formats: tuple[str, ...] = ()


def apply_filter(view: DatasetView, records: Sequence[ImageRecord]) -> Sequence[ImageRecord]:
    """Return the images that the filter of the session lets through."""
    chosen: Filter | None = st.session_state.get(session_keys.FILTER)
    if chosen is None or not records:
        return records
    keep = np.ones(len(records), bool)
    for name, low, high in chosen.bounds:
        values = _values(view, records, name)
        if values is not None:
            keep &= (values >= low) & (values <= high)
    if chosen.formats:
        keep &= np.array([record.format in chosen.formats for record in records])
    return [records[place] for place in np.flatnonzero(keep).tolist()]


def forget_other_filter(view: DatasetView) -> None:
    """Let all pictures through when the filter was asked for on another dataset."""
    if st.session_state.get(session_keys.FILTER_DATASET) == view.dataset.id:
        return
    st.session_state[session_keys.FILTER_DATASET] = view.dataset.id
    if session_keys.FILTER in st.session_state:
        clear_filter()


def draw_filter() -> None:
    """Draw the filter that is set, with a button to take it away."""
    chosen: Filter | None = st.session_state.get(session_keys.FILTER)
    if chosen is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(chosen.words, icon=":material/filter_alt:", color="primary")
        if st.button(
            "Show all", key="gallery_filter_off", type="tertiary", icon=":material/close:"
        ):
            clear_filter()
            st.rerun()


def clear_filter() -> None:
    """Let all pictures through; the charts forget their selection with it."""
    st.session_state.pop(session_keys.FILTER, None)
    st.session_state[session_keys.FILTER_ROUND] = (
        st.session_state.get(session_keys.FILTER_ROUND, 0) + 1
    )


def _values(view: DatasetView, records: Sequence[ImageRecord], name: str) -> np.ndarray | None:
    if name in ("width", "height"):
        return np.array([getattr(record, name) for record in records], np.float64)
    return view.column(name, records)
