"""Select boxes of things that come and go: what is shown when the one chosen is wanted or gone."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st


def settle_choice(key: str, next_key: str, known: Collection[str]) -> str | None:
    """Make the state of a select box hold what is to be shown, before the box is drawn.

    Args:
        key: of the select box, which holds the id chosen in it; in place of one that is gone the
            first is chosen.
        next_key: of the id that the box shall show from this run of the page on, if any.
        known: the ids there are, at least one.

    Returns:
        The id that was chosen and is gone, if another was not wanted anyway.
    """
    wanted = st.session_state.pop(next_key, None)
    if wanted in known:
        st.session_state[key] = wanted
        return None
    chosen: str | None = st.session_state.get(key)
    if chosen is None or chosen in known:
        return None
    # Said and not left to the default, for the browser goes on showing what it was not told of.
    st.session_state[key] = next(iter(known))
    return chosen
