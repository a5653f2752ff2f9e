"""Select boxes of things that come and go: what is shown when the one chosen is wanted or gone."""

from __future__ import annotations

from collections.abc import Container

import streamlit as st


def settle_choice(key: str, next_key: str, known: Container[str]) -> None:
    """Make the state of a select box hold what is to be shown, before the box is drawn.

    Args:
        key: of the select box, which holds the id chosen in it; one that is gone is forgotten.
        next_key: of the id that the box shall show from this run of the page on, if any.
        known: the ids there are.
    """
    wanted = st.session_state.pop(next_key, None)
    if wanted in known:
        st.session_state[key] = wanted
    elif st.session_state.get(key) not in known:
        st.session_state.pop(key, None)
