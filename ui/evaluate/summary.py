"""The figures of a run: accuracy in a sentence, each class in a row, curves on request."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.evaluation import curves_chart
from tl_core.evaluation.report import Evaluation
from tl_core.tables import safe_table
from ui.runs.evaluations import EvaluationView
from ui.shared import words
from ui.shared.page_layout import draw_chart, section

MAX_REASONS = 30


def draw_summary(view: EvaluationView) -> None:
    """Draw all figures of the evaluation."""
    evaluation = view.evaluation
    _draw_headline(view)
    section(
        "Each class",
        "Precision: of its answers, how many were right. Recall: of its photos, "
        "how many were found.",
    )
    share = st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
    st.dataframe(
        safe_table(class_table(evaluation)),
        hide_index=True,
        key="class_table",
        column_config={
            "Class": st.column_config.TextColumn(pinned=True),
            **dict.fromkeys(("Precision", "Recall", "F1"), share),
            "Photos": st.column_config.NumberColumn(format="localized"),
            "ROC area": st.column_config.NumberColumn(format="%.3f"),
            "Average precision": st.column_config.NumberColumn(format="%.3f"),
        },
        alt="Precision, recall and F1 of each class",
    )
    _draw_curves(evaluation)
    if evaluation.skipped:
        title = f"{words.number_of(len(evaluation.skipped), 'photo')} left out"
        with st.expander(title, icon=":material/visibility_off:"):
            for path, reason in list(evaluation.skipped.items())[:MAX_REASONS]:
                st.caption(f"{words.plain(path)}: {words.plain(reason)}")
            if len(evaluation.skipped) > MAX_REASONS:
                st.caption(f"and {len(evaluation.skipped) - MAX_REASONS:,} more")


def class_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return one row a class, shares in percent."""
    return pd.DataFrame(
        [
            {
                "Class": one.class_name,
                "Photos": one.support,
                "Precision": _in_percent(one.precision),
                "Recall": _in_percent(one.recall),
                "F1": _in_percent(one.f1),
                "ROC area": one.auc,
                "Average precision": one.average_precision,
            }
            for one in evaluation.per_class
        ]
    )


def curve_points(evaluation: Evaluation, kind: str) -> pd.DataFrame:
    """Return the points of all classes' curves, ``"roc"`` or ``"precision_recall"``."""
    parts = [pd.DataFrame({"class": [], "x": [], "y": [], "area": []})]
    if kind == "roc":
        parts += [
            pd.DataFrame(
                {
                    "class": name,
                    "x": curve.false_positive_rate,
                    "y": curve.true_positive_rate,
                    "area": curve.auc,
                }
            )
            for name, curve in evaluation.roc_curves.items()
        ]
    else:
        parts += [
            pd.DataFrame(
                {
                    "class": name,
                    "x": curve.recall,
                    "y": curve.precision,
                    "area": curve.average_precision,
                }
            )
            .query("x > 0")
            .drop_duplicates("x")  # the best precision at each recall; the rest would be spikes
            .pipe(_from_no_recall)
            for name, curve in evaluation.precision_recall_curves.items()
        ]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled) if filled else parts[0]


def _from_no_recall(points: pd.DataFrame) -> pd.DataFrame:
    """Return a precision-recall curve that begins at a recall of 0, as its first step does."""
    return pd.concat([points.head(1).assign(x=0.0), points])


def _draw_headline(view: EvaluationView) -> None:
    evaluation = view.evaluation
    with st.container(gap="xxsmall"):
        st.markdown(f"## {view.headline}")
        st.markdown(
            f"{int(evaluation.is_right.sum()):,} of "
            f"{words.number_of(evaluation.num_images, 'photo')} {words.plain(view.photos)} "
            "got the right answer. In brackets: the 95 % confidence interval."
        )
        if view.changed_since:
            st.caption(f":material/edit: {words.plain(view.changed_since)}")
    tiles = [
        (
            f"Top-{k} accuracy",
            percent(share),
            f"How often the true class is among the {k} most probable.",
        )
        for k, share in evaluation.top_k.items()
    ]
    tiles += [
        (
            "Macro F1",
            percent(evaluation.macro_f1),
            "Mean of the classes' F1: a small class counts as much as a large one.",
        ),
        (
            "Log loss",
            f"{evaluation.scaled_log_loss:.3f}",
            "High when the model is confident and wrong; 0 is best. After temperature scaling.",
        ),
    ]
    with st.grid("auto", min_column_width=150, gap="small"):
        for label, value, text in tiles:
            st.metric(label, value, border=True, help=text)


def _draw_curves(evaluation: Evaluation) -> None:
    section("Curves", "Each class against all others, over all thresholds.")
    roc, precision_recall = st.columns(2, gap="large")
    for column, kind, title in (
        (roc, "roc", "ROC"),
        (precision_recall, "precision_recall", "Precision and recall"),
    ):
        points = curve_points(evaluation, kind)
        with column:
            st.markdown(f"**{title}**")
            if points.empty:
                st.caption("Needs photos of at least two classes.")
                continue
            draw_chart(
                curves_chart(points, evaluation.class_names, kind),
                key=f"curve_{kind}",
                alt=f"{title} of each class against all others",
            )


def _in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
