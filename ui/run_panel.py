"""One run beside the settings: live while it trains, its figures and curves afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.training.jobs import worker_log_tail
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui.live import draw_live
from ui.next_step import CLASSIFY_PAGE
from ui.runs import draw_badge, draw_comparison, draw_curves, draw_manage, draw_result
from ui.train_form import take_over


def draw_run(workspace: Workspace, run: Run, runs: Sequence[Run]) -> None:
    """Draw a run in whatever state it is."""
    if run.is_active:
        draw_live(workspace, run)
        return
    state = run.state
    if run.metrics and state != "damaged":
        draw_result(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        draw_badge(run)
        if run.is_loadable and st.button(
            "Classify photos", key="go_classify", icon=":material/image_search:"
        ):
            st.switch_page(CLASSIFY_PAGE)
        if state != "damaged":
            st.button(
                "Reuse settings",
                key="take_over",
                icon=":material/settings_backup_restore:",
                on_click=take_over,
                args=(run.config,),
                help="Fills the form with this run's settings, to change one and start again.",
            )
        draw_manage(run)
    if state in ("failed", "interrupted", "damaged"):
        _draw_trouble(workspace, run)
    elif run.message:
        st.caption(run.message)
    if state != "damaged":
        draw_curves(run)
        draw_comparison(run, runs)


def _draw_trouble(workspace: Workspace, run: Run) -> None:
    """Say why a run did not end well, with what its process wrote last."""
    st.warning(run.message or "It did not end well.", icon=":material/report:")
    lines = run.log_tail(15) or worker_log_tail(workspace, 15)
    if lines:
        with st.expander("Last lines of the log", icon=":material/terminal:"):
            st.code("\n".join(lines), language=None, wrap_lines=True)
