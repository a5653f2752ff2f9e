"""The focus of the keyboard stays where it was when what had it goes, see ``keep_focus.js``."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_KEEPER = st.components.v2.component(
    "keep_focus",
    html="<span hidden></span>",
    js=Path(__file__).with_suffix(".js").read_text("utf-8"),
)


def keep_focus() -> None:
    """Have the next item get the focus when the one with the focus goes; once on each page.

    Items are containers whose keys begin with ``item_``, ``finding_`` or ``answer_``, and the tiles
    of :mod:`ui.shared.tile_grid`.
    """
    with st.container(key="keep_focus"):  # takes no room
        _KEEPER(key="focus_keeper")
