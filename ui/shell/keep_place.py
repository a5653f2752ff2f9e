"""Scripts that keep a place in the browser: of the keyboard, and in the browser's history."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_KEEPERS = {
    name: st.components.v2.component(
        name,
        html="<span hidden></span>",
        js=Path(__file__).with_name(f"{name}.js").read_text("utf-8"),
    )
    for name in ("keep_focus", "keep_history")
}


def keep_place() -> None:
    """Have the next item get the focus when the one with it goes, and Forward stay after Back.

    To be called once on each page. Items are containers whose keys begin with ``item_``,
    ``finding_`` or ``answer_``, and the tiles of :mod:`ui.shared.tile_grid`.
    """
    with st.container(key="keep_place"):  # takes no room
        for name, keeper in _KEEPERS.items():
            keeper(key=f"{name}_script")
