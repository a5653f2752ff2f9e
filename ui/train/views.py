"""What can stand beside the settings of the Train page: one function a view."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import streamlit as st

from tl_core.config.training import TrainConfig
from tl_core.runs.store import Run
from ui.runs.picker import select_run
from ui.shared import session_keys
from ui.shared.address import name_tab, take_tab
from ui.shared.controls import control
from ui.shell.page import Studio
from ui.train.backbones import draw_backbone_chart
from ui.train.compare import draw_comparison
from ui.train.form import stored_config
from ui.train.run_panel import draw_run


@dataclass(frozen=True)
class TrainPage:
    """What every view is drawn from.

    Attributes:
        studio: workspace and dataset.
        config: the settings as they stand in the form; None while they do not fit.
        runs: all that are listed, newest first.
    """

    studio: Studio
    config: TrainConfig | None
    runs: Sequence[Run]


def choose_view(views: Collection[str], default: str) -> str:
    """Draw the control of the views and return the one chosen: one asked for, else as it was."""
    st.session_state.setdefault(session_keys.TRAIN_VIEW, default)
    take_tab(session_keys.TRAIN_VIEW, views)
    st.segmented_control(
        "Show",
        list(views),
        required=True,
        label_visibility="collapsed",
        **control(session_keys.TRAIN_VIEW),
    )
    name_tab(session_keys.TRAIN_VIEW)
    view: str = st.session_state[session_keys.TRAIN_VIEW]
    return view


def draw_run_view(page: TrainPage) -> None:
    """Draw the chosen run."""
    run = select_run(page.runs, "Run")
    if run is None:
        st.caption("No run yet. Start one; the first takes under a minute.")
    else:
        draw_run(page.studio.workspace, run)


def draw_compare_view(page: TrainPage) -> None:
    """Draw runs side by side."""
    draw_comparison(page.studio.workspace, page.runs)


def draw_backbones_view(page: TrainPage) -> None:
    """Draw all backbones to choose from."""
    draw_backbone_chart(
        page.studio.workspace,
        (page.config or stored_config()).backbone,
        may_measure=not any(run.is_active for run in page.runs),
    )
