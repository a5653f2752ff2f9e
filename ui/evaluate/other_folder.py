"""A run on photos from elsewhere, side by side with its own test photos."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.base import ACCENT, QUIET, percent
from tl_core.charts.evaluation import intervals_chart, recall_chart
from tl_core.errors import DatasetError
from tl_core.evaluation.report import Evaluation
from tl_core.tables import safe_table
from ui.runs.evaluations import TEST, EvaluationView, Source, evaluate
from ui.shared import words
from ui.shared.errors import error_words
from ui.shared.page_layout import draw_chart, section

OWN = "Own test photos"


def draw_other_folder(view: EvaluationView) -> None:
    """Draw the figures on another folder's photos beside those on the run's own."""
    there = view.evaluation
    name = view.folder_name
    _draw_left_out(there)
    try:
        own = evaluate(view.workspace, view.run, Source(TEST))
    except DatasetError as error:
        section(f"{words.plain(name)}: {view.headline}")
        st.caption(f"The own test photos are not available to compare with. {error_words(error)}")
        return
    if own is None:
        return
    section("Own test photos and this folder", shift_words(own, there))
    left, right = st.columns(2, gap="large")
    rows = [
        {"name": title, "accuracy": one.accuracy, "low": one.interval[0], "high": one.interval[1]}
        for title, one in ((OWN, own), (name, there))
    ]
    with left:
        draw_chart(
            intervals_chart(pd.DataFrame(rows), (QUIET, ACCENT)),
            key="shift_accuracy",
            alt=f"Accuracy: own {percent(own.accuracy)}, {name} {percent(there.accuracy)}",
        )
        st.dataframe(
            safe_table(shift_table(own, there, name)),
            key="shift_table",
            alt="Figures on the own test photos and on the other folder",
        )
    with right:
        draw_chart(
            recall_chart(recalls(own, there, name), own.class_names, (OWN, name)),
            key="shift_recall",
            alt="Recall of each class on the own test photos and on the folder",
        )


def _draw_left_out(there: Evaluation) -> None:
    """Say how many photos of the folder do not count because training used them."""
    if count := there.num_used_in_training:
        st.info(
            f"{count:,} of {words.number_of(count + there.num_images, 'photo')} left out: this run "
            f"was trained on {'it' if count == 1 else 'them'}, and would look better than it is.",
            icon=":material/info:",
        )


def shift_words(own: Evaluation, there: Evaluation) -> str:
    """Say how the accuracy elsewhere compares with that at home."""
    points = 100 * (there.accuracy - own.accuracy)
    overlap = own.interval[0] <= there.interval[1] and there.interval[0] <= own.interval[1]
    change = f"{abs(points):.1f} points {'better' if points > 0 else 'worse'} than"
    if round(abs(points), 1) == 0:
        change = "The same accuracy as"
    line = f"{change} on its own test photos"
    if overlap:
        return f"{line}; the intervals overlap, so that may be chance."
    return f"{line}, and the intervals lie apart: these photos are " + (
        "harder for it." if points < 0 else "easier for it."
    )


def shift_table(own: Evaluation, there: Evaluation, name: str) -> pd.DataFrame:
    """Return the figures of both as text, one column each."""
    columns = {}
    for title, one in ((OWN, own), (name, there)):
        figures = {
            "Photos": f"{one.num_images:,}",
            "Accuracy": percent(one.accuracy),
            "95 % interval": words.interval(one.interval),
            "Macro F1": percent(one.macro_f1),
            "Mean probability": percent(float(one.confidence.mean())),
            "Calibration error": f"{100 * one.ece:.1f} points",
        }
        if one.unfamiliarity is not None:
            figures["“None of these”"] = percent(float(one.is_none_of_these.mean()))
        columns[title] = figures
    return pd.DataFrame(columns)


def recalls(own: Evaluation, there: Evaluation, name: str) -> pd.DataFrame:
    """Return one row a class and place: ``class``, ``place``, ``recall``, ``images``."""
    return pd.DataFrame(
        [
            {
                "class": one.class_name,
                "place": place,
                "recall": one.recall,
                "images": one.support,
            }
            for place, evaluation in ((OWN, own), (name, there))
            for one in evaluation.per_class
        ]
    )
