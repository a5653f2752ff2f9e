"""The sidebar, the same on every page: navigation, the project, and what training is at."""

from __future__ import annotations

import streamlit as st

from tl_core.jobs.training import worker_state
from tl_core.projects.registry import Project, project_of, runs_of
from tl_core.runs.store import Run, list_runs
from tl_core.training.feature_stage import num_views
from tl_core.workspace import Workspace
from ui.datasets.picker import draw_dataset_box, settle_dataset
from ui.datasets.sample import sample_dir
from ui.runs.event_feed import follow
from ui.runs.live_run import progress_text
from ui.runs.picker import ENDED_EARLY, draw_scope
from ui.shared import words
from ui.shared.address import page_link
from ui.shared.errors import guarded
from ui.shared.navigation import (
    CLASSIFY_PAGE,
    DATA_PAGE,
    EVALUATE_PAGE,
    HOME_PAGE,
    SHARE_PAGE,
    TRAIN_PAGE,
)
from ui.shell.project_menu import draw_project_menu

PAGES = (
    (HOME_PAGE, "Home", ":material/home:"),
    (DATA_PAGE, "Data", ":material/photo_library:"),
    (TRAIN_PAGE, "Train", ":material/model_training:"),
    (CLASSIFY_PAGE, "Classify", ":material/image_search:"),
    (EVALUATE_PAGE, "Evaluate", ":material/analytics:"),
    (SHARE_PAGE, "Share", ":material/ios_share:"),
)
POLL_SECONDS = 2.0
AFTER_SAMPLE = "starts when the sample set is drawn"


def draw_sidebar(workspace: Workspace, may_open_folders: bool) -> Project | None:
    """Draw the sidebar and return the project chosen in it."""
    dataset = settle_dataset(workspace)
    with st.sidebar:
        with st.container(gap="xxsmall"):
            for path, label, icon in PAGES:
                page_link(path, label, icon, is_wide=True)
        st.space("small")
        if dataset is not None:
            draw_dataset_box(workspace, dataset)
            draw_scope(workspace, dataset)
        draw_project_menu(workspace, dataset, may_open_folders)
        active = next((run for run in list_runs(workspace.runs_dir) if run.is_active), None)
        _training_state(active)(workspace, dataset, active)
    return dataset


def _training_state(active: Run | None):  # type: ignore[no-untyped-def]
    """Return the part that shows training; it polls only while a run is active."""
    return st.fragment(run_every=POLL_SECONDS if active else None)(_draw_training)


@guarded
def _draw_training(workspace: Workspace, project: Project | None, active: Run | None) -> None:
    if active is not None and active.is_active:
        feed = follow(active)
        owner = project_of(workspace, active)
        where = f" in {words.plain(owner.title)}" if owner is not None and owner != project else ""
        line = progress_text(feed, num_views(active.config))
        st.progress(feed.share_done, text=f"**Training{where}** · {line}")
        return
    newest = None if project is None else next(iter(runs_of(workspace, project)), None)
    worker = worker_state(workspace)
    engine = "ready" if worker.warm else "starting" if worker.alive else "not running"
    if not worker.alive and not sample_dir(workspace).is_dir():
        engine = AFTER_SAMPLE
    lines = [f"Training engine: {engine}"]
    if newest is not None:
        state = newest.state
        figure = words.figure(newest.metrics) if state != "damaged" else None
        said = state if figure is None else figure
        ending = f", {state}" if figure and state in ENDED_EARLY else ""
        lines.insert(0, f"Last run: {said}{ending}")
    st.caption("  \n".join(lines))
