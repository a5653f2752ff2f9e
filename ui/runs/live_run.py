"""A run while it trains: how far it is, its curves, time left, and the button to stop it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from tl_core.charts.training import history_chart
from tl_core.config.training import TrainConfig
from tl_core.jobs.training import queue_position, stop_run, worker_state
from tl_core.progress import after_words, amount, counts_bytes, has_amount, stage_words
from tl_core.runs.store import Run, load_run
from tl_core.training.feature_stage import num_views
from tl_core.workspace import Workspace
from ui.runs.event_feed import FEATURES, Feed, follow
from ui.shared import words
from ui.shared.errors import guarded
from ui.shared.job_progress import keep_worker
from ui.shared.page_layout import draw_chart

POLL_SECONDS = 1.0
PHASE_TITLES = {"head": "Training the new layers", "fine_tune": "Fine-tuning"}
PHOTO_STAGES = ("scan", "features")  # stages that count photos
BEFORE_HEAD = "preparing the training"


@st.fragment(run_every=POLL_SECONDS)
@guarded
def draw_live(workspace: Workspace, run: Run) -> None:
    """Draw a waiting or running run and draw it again until it ends; then rerun the page once."""
    if not run.is_active:
        st.rerun()
    keep_worker(workspace)  # a run that waits stays so when the worker is killed before it
    feed = follow(run)
    _draw_progress(workspace, run, feed)
    epochs, batches = feed.epochs(), feed.batches()
    if epochs.empty and batches.empty:
        return
    planned, starts, best = planned_epochs(feed, run.config), feed.starts(), feed.best()
    for metric, column in zip(("accuracy", "loss"), st.columns(2), strict=True):
        draw_chart(
            history_chart(epochs, metric, batches, planned, starts=starts, best=best),
            column,
            key=f"live_{metric}",
            alt=f"{metric} so far, train and val",
        )


def _draw_progress(workspace: Workspace, run: Run, feed: Feed) -> None:
    if run.state == "queued":
        st.progress(0.0, text=_waiting_text(workspace, run))
    else:
        st.progress(feed.share_done, text=progress_text(feed, num_views(run.config)))
    if st.button(
        "Stop",
        key="stop_run",
        icon=":material/stop:",
        help="Keeps the best weights so far. The run can go on later.",
    ):
        with st.spinner("Stopping, and keeping the best weights so far"):
            stop_run(workspace, load_run(run.run_dir))
        st.rerun()


def planned_epochs(feed: Feed, config: TrainConfig) -> int:
    """Return the epochs of all phases, so that the axis holds still while a run trains."""
    starts = dict(feed.starts())
    if "fine_tune" in starts:
        return starts["fine_tune"] + config.fine_tune_epochs
    return config.epochs + (config.fine_tune_epochs if config.fine_tune_blocks else 0)


def progress_text(feed: Feed, views: int = 1) -> str:
    """Say what a run is doing: stage, how far, how fast, how long still.

    Args:
        feed: the run's events.
        views: of each training photo, each of which goes through the backbone.
    """
    latest = feed.latest
    counted = "photos"
    if feed.phase in ("", FEATURES):
        stage = feed.features.get("stage", feed.phase)
        parts = [stage_words(stage).capitalize() if stage else "Starting"]
        done, total = (feed.features.get(name, 0) for name in ("done", "total"))
        if not has_amount(done, total):
            return parts[0]
        counted = "views of photos" if stage == FEATURES and views > 1 else "photos"
        noun = f" {counted}" if stage in PHOTO_STAGES else ""
        parts.append(amount(stage, done, total) + noun)
        if 0 < total <= done:
            return " · ".join([*parts, BEFORE_HEAD if stage == FEATURES else after_words(stage)])
    else:
        parts = [PHASE_TITLES.get(feed.phase, feed.phase)]
        if "epoch" not in latest:
            return " · ".join([*parts, _between_epochs(latest)])
        parts.append(f"epoch {latest['epoch'] + 1} of {feed.num_epochs}")
    if latest.get("images_per_second") and not counts_bytes(latest.get("stage", "")):
        parts.append(f"{latest['images_per_second']:,.0f} {counted.partition(' ')[0]}/s")
    if latest.get("seconds_left") is not None:
        parts.append(f"{words.seconds(latest['seconds_left'])} left")
    return " · ".join(parts)


def _between_epochs(latest: dict[str, Any]) -> str:
    """Say what a phase does before its first epoch and after its last."""
    if not latest:
        return "loading the training engine"
    return "evaluating" if latest["event"] == "phase_ended" else "preparing"


def _waiting_text(workspace: Workspace, run: Run) -> str:
    position = queue_position(workspace, run)
    if position:
        return f"Waiting: {words.number_of(position, 'job')} before it"
    if not worker_state(workspace).warm:
        return "Starting: the training engine is starting"
    return "Starting"
