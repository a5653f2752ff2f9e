"""What pages share: the studio's name and mark, the heading with the main action beside it, charts,
empty states, page pickers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui.shared.address import go_to

if TYPE_CHECKING:
    import altair as alt

TITLE = "Transfer learning studio"
HOME_TITLE = "Train a classifier on your own photos"
# Four tiles: three classes and the accent.
_TILES = """
<rect x="1" y="3" width="12" height="12" rx="3.5" fill="#DD5A34"/>
<rect x="15" y="3" width="12" height="12" rx="3.5" fill="#BD8100"/>
<rect x="1" y="17" width="12" height="12" rx="3.5" fill="#4A7BD8"/>
<rect x="15" y="17" width="12" height="12" rx="6" fill="#0E8F80"/>
"""

# Drawn here, because browsers fetch Streamlit's named icons from a font server.
ICON = f"""
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 2 28 28" width="64" height="64">{_TILES}</svg>
"""

# The grey of the words is readable on both themes.
LOGO = f"""
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 232 32" width="232" height="32">{_TILES}
<text x="38" y="21.5" font-family="'Source Sans', 'Source Sans 3', 'Liberation Sans', sans-serif"
 font-size="15" font-weight="600" fill="#808A84">Transfer learning studio</text>
</svg>
"""

_WIDE_TABLES = """<style>
[data-testid="stMarkdownContainer"] table {
  display: block;
  width: fit-content;
  max-width: 100%;
  overflow-x: auto;
}
</style>"""


def page_header(title: str, caption: str) -> DeltaGenerator:
    """Draw a page's title and one line about it; return the place for its main action.

    The action stands right of the title, below it in a narrow window. It can be filled after
    the rest of the page was drawn.
    """
    words, action = st.columns([3, 1], vertical_alignment="bottom", gap="medium")
    with words:
        st.title(title, anchor=False)
        st.markdown(f":gray[{caption}]")
    return action.container()


def section(title: str, caption: str = "") -> None:
    """Draw the heading of a part of a page."""
    st.subheader(title, anchor=False)
    if caption:
        st.caption(caption)


def draw_chart(chart: alt.TopLevelMixin, place: Any = st, **options: Any) -> Any:
    """Draw a chart as ``st.altair_chart`` does, in less than half the time.

    Altair checks each part of a chart when it is made, and all of it when it is drawn. Those of
    this project are valid whatever the data; the tests check each that a page draws.

    Args:
        chart: what a function of ``tl_core.charts`` returns.
        place: container or column to draw in.
        options: those of ``st.altair_chart``.
    """
    from altair.utils import schemapi

    schemapi.DEBUG_MODE = False  # for the parts of charts that are made from now on
    return place.altair_chart(_UncheckedChart(chart), **options)


class _UncheckedChart:
    """A chart as far as Streamlit asks for it."""

    def __init__(self, chart: alt.TopLevelMixin) -> None:
        self._chart = chart

    def to_dict(self) -> dict[str, Any]:
        return chart_specification(self._chart)


def chart_specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Return a chart in the words of Vega-Lite, without a check of its schema."""
    return chart.to_dict(validate=False)


def draw_document(text: str) -> None:
    """Draw a text of Markdown, such as a model card; wide tables scroll in place."""
    st.html(_WIDE_TABLES)
    st.markdown(text)


def empty_state(icon: str, message: str, page: str, label: str) -> None:
    """Draw what is missing and the one step that brings it."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.markdown(f"## {icon}", text_alignment="center")
        st.markdown(message, text_alignment="center")
        if st.button(label, key="empty_state_next", type="primary"):
            go_to(page)
        st.space("small")


def page_key(prefix: str, *of: object) -> str:
    """Return the key of a page picker: for other things, or in another order, it begins again.

    Args:
        prefix: of the key.
        of: what the pages are of, each with a ``repr`` that tells it from others.
    """
    return f"{prefix}_page_{crc32(repr(of).encode()):08x}"
