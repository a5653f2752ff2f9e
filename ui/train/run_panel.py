"""One run beside the settings: live while it trains, its figures and curves afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from tl_core.errors import RunError
from tl_core.evaluation.verdict import verdict_of
from tl_core.jobs.training import worker_log_tail
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.downloads import draw_files_download
from ui.evaluate.source import evaluate_own_photos
from ui.runs.live_run import draw_live
from ui.runs.picker import choose_run, draw_badge, draw_curves, draw_result
from ui.shared import words
from ui.shared.address import go_to
from ui.shared.navigation import CLASSIFY_PAGE, EVALUATE_PAGE
from ui.train.continue_run import can_improve, draw_improve, draw_resume
from ui.train.form import take_over
from ui.train.run_manage import draw_manage

MARKS = {
    "good": ":green[:material/check_circle:]",
    "info": ":blue[:material/info:]",
    "hint": ":orange[:material/lightbulb:]",
}


def draw_run(workspace: Workspace, run: Run) -> None:
    """Draw a run in whatever state it is."""
    if run.is_active:
        draw_live(workspace, run)
        return
    state = run.state
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        draw_badge(run)
        draw_manage(run)
    if state != "damaged" and run.metrics:
        draw_result(run)
        _draw_verdict(run)
    if state in ("failed", "interrupted", "damaged"):
        _draw_trouble(workspace, run)
    elif run.message:
        st.caption(words.plain(run.message))
    _draw_left_out(run)
    if run.notes:
        st.markdown(f":material/notes: {words.plain(run.notes)}")
    if state != "damaged":
        draw_resume(workspace, run)
        _draw_actions(workspace, run)
        draw_curves(run)


def _draw_verdict(run: Run) -> None:
    """Draw what the curves say: whether it overfits, why it ended early, what can help."""
    with suppress(RunError), st.container(gap="xxsmall"):
        for remark in verdict_of(run):
            st.markdown(f"{MARKS[remark.kind]} {words.plain(remark.text)}")


def _draw_left_out(run: Run) -> None:
    """Draw how many files could not be read when the run was trained, and their list."""
    if not (files := run.left_out()):
        return
    line, download = st.columns([3, 2], vertical_alignment="center")
    verb = "was" if len(files) == 1 else "were"
    line.caption(f"{words.number_of(len(files), 'file')} could not be read and {verb} left out.")
    draw_files_download(download, files, f"{run.id}_left_out.csv", f"left_out_{run.id}")


def _draw_actions(workspace: Workspace, run: Run) -> None:
    """Draw what can be done with a run, in rows without a gap."""
    improvable = can_improve(run)
    with st.grid(2 if run.is_loadable else 1, gap="small") as grid:
        if improvable:
            draw_improve(workspace, run)
        if run.is_loadable:
            _draw_page_button(
                "Classify", "go_classify", ":material/image_search:", CLASSIFY_PAGE, run
            )
            _draw_page_button(
                "Evaluate",
                "go_evaluate",
                ":material/analytics:",
                EVALUATE_PAGE,
                run,
                evaluate_own_photos,
            )
        (grid if improvable else grid.cell(column_span="all")).button(
            "Reuse settings",
            key="take_over",
            icon=":material/settings_backup_restore:",
            on_click=take_over,
            args=(run.config,),
            width="stretch",
            help="Copies this run's settings to the form, to change one and train again.",
        )


def _draw_page_button(
    title: str,
    key: str,
    icon: str,
    page: str,
    run: Run,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Draw the button that leads to a page with this run chosen there."""
    if st.button(title, key=key, icon=icon, width="stretch", on_click=prepare):
        choose_run(run.id)
        go_to(page)


def _draw_trouble(workspace: Workspace, run: Run) -> None:
    """Say why a run did not end well, with what its process wrote last."""
    st.warning(words.plain(run.message or "It failed."), icon=":material/report:")
    lines = run.log_tail(15) or worker_log_tail(workspace, 15)
    if lines and workspace.host is None:  # it names folders of the machine
        with st.expander("Last lines of the log", icon=":material/terminal:"):
            st.code("\n".join(lines), language=None, wrap_lines=True)
