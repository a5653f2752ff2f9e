"""The way from the Data page to training, on each of its tabs."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tl_core.errors import DatasetError
from ui.shared.address import go_to
from ui.shared.navigation import TRAIN_PAGE
from ui.shell.page import Studio


def draw_train(action: DeltaGenerator) -> None:
    """Draw the button that leads to training, at the place of the page's main action."""
    with action:
        if st.button(
            "Train on this",
            key="go_train",
            type="primary",
            icon=":material/model_training:",
            width="stretch",
        ):
            go_to(TRAIN_PAGE)


def draw_train_if_possible(studio: Studio, action: DeltaGenerator) -> None:
    """Do as :func:`draw_train`, but not for a project that cannot be trained on yet.

    For tabs that such projects use too. They are drawn first, as a changed folder is read here.
    """
    try:
        with action:
            index = studio.index()
    except DatasetError:  # the other tabs say why
        return
    if index is not None:
        draw_train(action)
