"""Two runs on the photos that both kept for testing, and whether their difference is chance."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.base import RUN_COLORS, percent
from tl_core.charts.evaluation import intervals_chart
from tl_core.errors import TLError
from tl_core.metrics import wilson_interval
from tl_core.results.compare import PairedTest, compare_on_test_images
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui import words
from ui.evaluate_compute import run_stamp
from ui.runs import choose_run

BEFORE, AFTER = "Before", "After"


def draw_difference(workspace: Workspace, before: Run, after: Run) -> None:
    """Draw both accuracies with their intervals, and the paired test in a sentence."""
    st.markdown(f"**Retrained: {words.plain(words.run_title(after))}**")
    if not after.is_loadable:
        st.caption(after.message or f"It is {after.state}.")
        return
    try:
        test = _test(
            str(before.run_dir),
            str(after.run_dir),
            (run_stamp(workspace, before), run_stamp(workspace, after)),
            before,
            after,
            workspace,
        )
    except TLError as error:
        st.caption(words.plain(str(error)))
        return
    figures, told = st.columns([3, 2], gap="large", vertical_alignment="center")
    figures.altair_chart(
        intervals_chart(interval_rows(test), RUN_COLORS[:2]),
        key="difference",
        alt=f"Accuracy before {percent(test.first_accuracy)}, after "
        f"{percent(test.second_accuracy)}",
    )
    with told:
        st.markdown(difference_words(test))
        st.caption(words.plain(test.note))
        if st.button("Look at the new run", key="open_retrained", icon=":material/arrow_forward:"):
            choose_run(after.id)
            st.rerun()


def difference_words(test: PairedTest) -> str:
    """Say what changed between the two runs, and whether it is more than chance."""
    points = 100 * (test.second_accuracy - test.first_accuracy)
    told = (
        f"on {words.number_of(test.num_images, 'photo')} that both kept for testing: "
        f"{test.num_only_second} newly right, {test.num_only_first} newly wrong."
    )
    if points == 0:
        return f"**As good as before** {told}"
    p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.2g}"
    verdict = "more than chance" if test.is_more_than_chance else "no more than chance would bring"
    change = f"{abs(points):.1f} points {'better' if points > 0 else 'worse'}"
    return f"**{change}** {told} That is {verdict} ({p})."


def interval_rows(test: PairedTest) -> pd.DataFrame:
    """Return both accuracies with 95 % intervals: ``name``, ``accuracy``, ``low``, ``high``."""
    rows = []
    for name, share in ((BEFORE, test.first_accuracy), (AFTER, test.second_accuracy)):
        low, high = wilson_interval(round(share * test.num_images), test.num_images)
        rows.append({"name": name, "accuracy": share, "low": low, "high": high})
    return pd.DataFrame(rows)


@st.cache_data(max_entries=8, show_spinner="Comparing the two runs on the same photos")
def _test(
    before_dir: str,
    after_dir: str,
    stamps: tuple[tuple[int, ...], ...],
    _before: Run,
    _after: Run,
    _workspace: Workspace,
) -> PairedTest:
    """Test the two runs; ``stamps`` change when weights, photos or decisions do."""
    return compare_on_test_images(_before, _after, cache_dir=_workspace.cache_dir)
