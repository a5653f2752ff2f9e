"""The paired test of two runs on the photos that both kept for testing."""

from __future__ import annotations

import streamlit as st

from tl_core.evaluation.compare import PairedTest, compare_evaluations
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.runs.evaluations import TEST, Source, evaluate
from ui.shared import words


def paired_test(
    workspace: Workspace, first: Run, second: Run, names: tuple[str, str]
) -> PairedTest | None:
    """Return whether two runs differ; None while the worker evaluates them, which is shown.

    Raises:
        DatasetError: the photos are gone.
        RunError: a run cannot be read, or they have no test photo in common.
    """
    ours, theirs = (evaluate(workspace, run, Source(TEST)) for run in (first, second))
    if ours is None or theirs is None:
        return None
    return compare_evaluations(ours, theirs, *names)


def draw_verdict(test: PairedTest) -> None:
    """Draw the result of the test in its one wording."""
    st.markdown(words.plain(test.sentence))
    if test.note:
        st.caption(words.plain(test.note))
