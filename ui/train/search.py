"""The search of the Train page: settings, heads as they finish, and training the best one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.jobs import search as search_jobs
from tl_core.jobs.search import job_of
from tl_core.projects.registry import searches_of
from tl_core.search.store import Sweep
from tl_core.workspace import Workspace
from ui.shared import session_keys
from ui.shared.controls import control
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar, stop_button
from ui.shared.words import distinct
from ui.shell.page import Studio
from ui.train.search_form import draw_search_form
from ui.train.search_result import (
    SWEEP,
    SWEEP_DRAWN,
    draw_heads,
    draw_result,
    forget_search,
)

POLL_SECONDS = 1.0


def draw_search(studio: Studio, config: TrainConfig | None) -> None:
    """Draw the searches on the chosen dataset, and the form of a new one."""
    index = studio.index()
    if index is None or studio.dataset is None:
        st.caption("A search needs photos.")
        return
    sweeps = searches_of(studio.workspace, studio.dataset)
    active = next((one for one in sweeps if _is_under_way(studio.workspace, one)), None)
    if active is not None:
        _draw_live(studio.workspace, active)
        return
    shown = _select(studio.dataset.id, sweeps)
    if shown is not None:
        draw_result(studio.workspace, shown, index)
    with st.expander("New search", icon=":material/search:", expanded=shown is None):
        _draw_new(studio, config, index)


def _draw_new(studio: Studio, config: TrainConfig | None, index: DatasetIndex) -> None:
    if config is None or studio.dataset is None:
        st.caption("Correct the settings in the form first.")
        return
    st.markdown(
        "Trains many heads on the features of the backbone and compares them by cross-validation. "
        "The test photos are not used."
    )
    sweep_config = draw_search_form(config, index, studio.workspace.cache_dir)
    if st.button(
        "Start search",
        key="start_search",
        type="primary",
        icon=":material/play_arrow:",
        disabled=sweep_config is None,
    ):
        if sweep_config is None:
            return
        sweep = search_jobs.start_sweep(studio.workspace, sweep_config, config, studio.dataset.path)
        st.session_state[SWEEP] = sweep.id
        st.rerun()


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _draw_live(workspace: Workspace, sweep: Sweep) -> None:
    if not _is_under_way(workspace, sweep):
        st.rerun()
    ranking = sweep.ranking()
    state = search_jobs.sweep_progress(workspace, sweep)
    draw_bar(workspace, state, "Search")
    tried = f"{len(ranking.trials)} of {sweep.num_trials} heads tried"
    with st.container(horizontal=True, vertical_alignment="center"):
        if stop_button(state, "stop_search", "Keeps the results so far."):
            search_jobs.stop_sweep(workspace, sweep)
            st.rerun()
        st.caption(tried)
    if ranking.best is not None:
        draw_heads(sweep, ranking, is_live=True)


def _select(dataset_id: str, sweeps: Sequence[Sweep]) -> Sweep | None:
    """Draw the select box of searches when there are several; return the one to show.

    When the one drawn last is gone, the page begins again and says so.
    """
    by_id = {sweep.id: sweep for sweep in sweeps}
    drawn_for, drawn = st.session_state.get(SWEEP_DRAWN, (dataset_id, None))
    wanted = st.session_state.get(SWEEP)
    if wanted is None and drawn_for == dataset_id:
        wanted = drawn  # not the newest: another window may have made one meanwhile
    if wanted is not None and wanted not in by_id:
        forget_search()
        if drawn_for == dataset_id:
            st.session_state[session_keys.GONE] = (
                "The search that was shown is gone: it was deleted in another window."
            )
            st.rerun()  # so that the click that found it gone does nothing to another search
        wanted = None
    if not by_id:
        return None
    st.session_state[SWEEP] = shown = wanted or sweeps[0].id
    if len(by_id) > 1:
        titles = distinct({sweep.id: title_of(sweep) for sweep in sweeps})
        shown = st.selectbox(
            "Search", list(titles), format_func=titles.__getitem__, **control(SWEEP)
        )
    st.session_state[SWEEP_DRAWN] = (dataset_id, shown)
    return by_id[shown]


def title_of(sweep: Sweep) -> str:
    """Return a search's name for lists: when it was begun."""
    return f"{sweep.created.astimezone():%d %b %H:%M:%S}"


def _is_under_way(workspace: Workspace, sweep: Sweep) -> bool:
    """Whether it goes on or its job waits; one whose job was lost does not wait any more."""
    state = sweep.state
    if state == "queued":
        return job_of(sweep) is not None
    return state == "running"
