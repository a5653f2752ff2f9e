"""Two runs on the photos that both kept for testing, and whether their difference is chance."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.base import RUN_COLORS, percent
from tl_core.charts.evaluation import intervals_chart
from tl_core.errors import TLError
from tl_core.evaluation.compare import PairedTest
from tl_core.metrics.classification import wilson_interval
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.runs.paired_test import draw_verdict, paired_test
from ui.runs.picker import choose_run, run_title
from ui.shared import words
from ui.shared.page_layout import draw_chart

BEFORE, AFTER = "Before", "After"


def draw_difference(
    workspace: Workspace, before: Run, after: Run, shown: Run | None = None
) -> None:
    """Draw both accuracies with their intervals, and the paired test in a sentence.

    Args:
        workspace: where the evaluations are kept.
        before: the run on the photos as they were.
        after: the run on the corrected photos.
        shown: the run that the page shows; ``before`` by default, with a button to show ``after``.
    """
    st.markdown(f"**Retrained: {words.plain(run_title(after))}**")
    if not after.is_loadable:
        st.caption(words.plain(after.message or f"It is {after.state}."))
        return
    try:
        test = paired_test(workspace, before, after, (BEFORE, AFTER))
    except TLError as error:
        st.caption(words.plain(str(error)))
        return
    if test is None:
        return
    figures, text = st.columns([3, 2], gap="large", vertical_alignment="center")
    draw_chart(
        intervals_chart(interval_rows(test), RUN_COLORS[:2]),
        figures,
        key="difference",
        alt=f"Accuracy before {percent(test.first_accuracy)}, after "
        f"{percent(test.second_accuracy)}",
    )
    with text:
        draw_verdict(test)
        if shown != after and st.button(
            "Show the new run", key="open_retrained", icon=":material/arrow_forward:"
        ):
            choose_run(after.id)
            st.rerun()


def interval_rows(test: PairedTest) -> pd.DataFrame:
    """Return both accuracies with 95 % intervals: ``name``, ``accuracy``, ``low``, ``high``."""
    rows = []
    sides = (test.first_name, test.first_accuracy), (test.second_name, test.second_accuracy)
    for name, share in sides:
        low, high = wilson_interval(round(share * test.num_images), test.num_images)
        rows.append({"name": name, "accuracy": share, "low": low, "high": high})
    return pd.DataFrame(rows)
