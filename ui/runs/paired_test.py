"""The paired test of two runs on the photos that both kept for testing."""

from __future__ import annotations

import streamlit as st

from tl_core.evaluation.compare import PairedTest, compare_evaluations
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.runs.evaluations import TEST, Source, look
from ui.shared import words


def paired_test(
    workspace: Workspace, first: Run, second: Run, names: tuple[str, str]
) -> PairedTest:
    """Return whether two runs differ; progress is shown, and what is known is not asked again.

    Raises:
        DatasetError: the photos are gone.
        RunError: a run cannot be read, or they have no test photo in common.
    """
    ours, theirs = (look(workspace, run, Source(TEST)).evaluation for run in (first, second))
    return compare_evaluations(ours, theirs, *names)


def draw_verdict(test: PairedTest) -> None:
    """Draw the result of the test in its one wording."""
    st.markdown(words.plain(test.sentence))
    if test.note:
        st.caption(words.plain(test.note))
