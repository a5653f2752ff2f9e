"""The choice of how much of a backbone is fine-tuned: blocks from the top, with their weights."""

from __future__ import annotations

import streamlit as st

from tl_core.backbones.blocks import block_table, num_trainable, recommended_blocks
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError
from ui.shared.controls import control
from ui.shared.words import plain

NAME = "fine_tune_blocks"


def draw_block_picker(backbone: str, key: str, initial: int, *, may_freeze: bool) -> int:
    """Draw the select box of blocks, the topmost first, and return how many were chosen.

    Args:
        backbone: whose blocks.
        key: the session key of the choice; what another backbone had is cut to this one's.
        initial: what to begin with.
        may_freeze: whether none may be chosen. Where it may not and the backbone's blocks are not
            known, 0 is returned all the same.
    """
    try:
        options = range(0 if may_freeze else 1, len(block_table(backbone)) + 1)
    except ConfigError as error:
        st.caption(plain(str(error)))
        return 0
    wanted = st.session_state.get(key, initial)
    st.session_state[key] = min(max(wanted, options[0]), options[-1])
    return st.selectbox(
        TrainConfig.title_of(NAME),
        options,
        format_func=lambda count: block_words(backbone, count),
        **control(key),
        help=TrainConfig.help_of(NAME),
    )


def block_words(backbone: str, count: int) -> str:
    """Return how much of a backbone its top blocks are."""
    if count == 0:
        return "None, the backbone stays frozen"
    num_blocks = len(block_table(backbone))
    part, whole = (num_trainable(backbone, number) for number in (count, num_blocks))
    unit, divisor = ("million", 1e6) if whole >= 1e5 else ("thousand", 1e3)
    share = f"{part / divisor:.1f} of {whole / divisor:.1f} {unit} weights"
    advice = ", recommended" if count == recommended_blocks(backbone) else ""
    return f"{count} of {num_blocks}: {share}{advice}"
