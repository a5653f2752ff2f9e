"""How far a job of the worker is, as a bar with words."""

from __future__ import annotations

import streamlit as st

from tl_core.training.job_queue import JobState
from tl_core.training.jobs import worker_state
from tl_core.workspace import Workspace
from ui.words import seconds

STAGES = {
    "scan": "reading the photos",
    "audit": "looking at each photo",
    "backbone": "preparing the backbone",
    "features": "running the backbone",
    "neighbours": "comparing the photos",
    "map": "laying out the map",
    "learning curve": "training on growing parts",
    "learning_rate": "raising the rate",
    "sweep": "training heads",
}


def draw_bar(workspace: Workspace, state: JobState | None, what: str) -> None:
    """Draw the bar of a job; None is one that is just being taken."""
    if state is None or not state.is_active:
        warm = worker_state(workspace).warm
        told = "other work comes first" if warm else "the training engine warms up"
        st.progress(0.0, text=f"{what}: {told}")
        return
    stage, done, total = (state.progress.get(name) for name in ("stage", "done", "total"))
    told = f"{what}: {STAGES.get(str(stage), 'starting')}"
    share = 0.0
    if done is not None and total and total > 1:
        share = min(1.0, done / total)
        told += f", {done:,} of {total:,}"
        if done and (spent := state.progress.get("seconds")):
            told += f" · {seconds(spent * (total - done) / done)} left"
    st.progress(share, text=told)
