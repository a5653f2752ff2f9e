"""An evaluation to take away: each photo's answer as CSV, all figures as JSON."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from tl_core.evaluation.report import Evaluation
from tl_core.runs.store import Run
from tl_core.tables import csv_text
from ui.runs.evaluations import EvaluationView


def draw_downloads(view: EvaluationView) -> None:
    """Draw the menu of downloads; a file is made when it is asked for."""
    stem = f"{view.run.id}_{view.evaluation.part}"
    with st.popover(
        "Download", icon=":material/download:", key="evaluate_downloads", width="stretch"
    ):
        st.download_button(
            "Predictions (CSV)",
            lambda: predictions_csv(view.evaluation).encode("utf-8"),
            file_name=f"{stem}_predictions.csv",
            mime="text/csv",
            key="download_predictions",
            icon=":material/table:",
            on_click="ignore",
            width="stretch",
            help="One row a photo: class, answer, all probabilities.",
        )
        st.download_button(
            "Report (JSON)",
            lambda: report_json(view.run, view.evaluation).encode("utf-8"),
            file_name=f"{stem}_report.json",
            mime="application/json",
            key="download_report",
            icon=":material/data_object:",
            on_click="ignore",
            width="stretch",
            help="All figures, and the settings of the run.",
        )


def predictions_csv(evaluation: Evaluation) -> str:
    """Return one row a photo with its class, the answer and all probabilities."""
    table = pd.DataFrame(evaluation.table())
    for label, name in enumerate(evaluation.class_names):
        table[f"p({name})"] = evaluation.probabilities[:, label]
    return csv_text(table)


def report_json(run: Run, evaluation: Evaluation) -> str:
    """Return all figures and the run's settings."""
    report = {
        "run": run.id,
        "config": run.config.model_dump(mode="json"),
        **evaluation.to_dict(),
    }
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
