"""How far a job of the worker is, as a bar with words."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from tl_core.errors import StorageError
from tl_core.jobs import worker_client
from tl_core.jobs.queue import JobState
from tl_core.jobs.training import worker_state
from tl_core.progress import Progress, stage_words
from tl_core.workspace import Workspace
from ui.shared.progress import progress_text

STOPPING = "stopping"
STARTING = "the training engine is starting"
WAITING = "waiting for other work"


def keep_worker(workspace: Workspace) -> None:
    """Start a worker again that was killed while a page waits for it."""
    with suppress(StorageError):  # the page itself says so
        worker_client.ensure_worker(workspace)


def stop_button(state: JobState | None, key: str, help: str | None = None) -> bool:
    """Draw the button that stops a job and return whether it was clicked; once is enough."""
    is_stopping = state is not None and state.is_stopping
    return st.button("Stop", key=key, icon=":material/stop:", help=help, disabled=is_stopping)


def draw_bar(workspace: Workspace, state: JobState | None, what: str) -> None:
    """Draw the bar of a job; None is one that is just being taken.

    A worker that was killed is started again, which a page that only polls would not do.
    """
    keep_worker(workspace)
    if state is None or not state.is_active:
        why = WAITING if worker_state(workspace).warm else STARTING
        st.progress(0.0, text=f"{what}: {why}")
        return
    if state.is_stopping:
        st.progress(0.0, text=f"{what}: {STOPPING}")
        return
    if not state.progress:
        st.progress(0.0, text=f"{what}: starting")
        return
    progress = Progress(**state.progress)
    st.progress(
        progress.share, text=progress_text(progress, f"{what}: {stage_words(progress.stage)}")
    )
