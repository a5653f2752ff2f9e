"""How far long work is, as a bar with words: what is done, how much of it, and the time left."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tl_core.jobs.queue import JobState
from tl_core.jobs.training import worker_state
from tl_core.progress import OnProgress, Progress, amount, has_amount, stage_words
from tl_core.workspace import Workspace
from ui.shared.words import seconds


def draw_bar(workspace: Workspace, state: JobState | None, what: str) -> None:
    """Draw the bar of a job; None is one that is just being taken."""
    if state is None or not state.is_active:
        warm = worker_state(workspace).warm
        why = "waiting for other work" if warm else "the training engine warms up"
        st.progress(0.0, text=f"{what}: {why}")
        return
    if not state.progress:
        st.progress(0.0, text=f"{what}: starting")
        return
    progress = Progress(**state.progress)
    st.progress(progress.share, text=told(progress, f"{what}: {stage_words(progress.stage)}"))


def told(progress: Progress, what: str = "") -> str:
    """Return words such as ``"Reading the photos: 1,500 of 20,000 · 24 s left"``.

    Args:
        progress: how far it is.
        what: said in place of the stage.
    """
    words = what or stage_words(progress.stage)
    text = words[:1].upper() + words[1:]
    if not has_amount(progress.done, progress.total):
        return text
    text += f": {amount(progress.stage, progress.done, progress.total)}"
    if progress.seconds_left is not None and not progress.is_through:
        text += f" · {seconds(progress.seconds_left)} left"
    return text


def shower(bar: DeltaGenerator, what: str = "") -> OnProgress:
    """Return what draws progress in a bar.

    Args:
        bar: made by ``st.progress``.
        what: said in place of the stage.
    """

    def show(progress: Progress) -> None:
        bar.progress(progress.share, text=told(progress, what))

    return show
