"""All runs in a table: what each was and what came out; a click opens one."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from tl_core.errors import TLError
from tl_core.projects.registry import Project
from tl_core.runs.store import Run
from tl_core.tables import safe_table
from tl_core.workspace import Workspace
from ui.runs.picker import num_archived_runs, run_titles
from ui.runs.start import show_run
from ui.shared import session_keys, words
from ui.shared.controls import as_kind


def draw_runs_table(workspace: Workspace, project: Project | None, runs: Sequence[Run]) -> None:
    """Draw the listed runs as a table, and the switch that lists archived ones as well."""
    num_archived = num_archived_runs(workspace, project)
    if not runs and not num_archived:
        return
    title, switch = st.columns([3, 1], vertical_alignment="bottom")
    is_all = project is None or st.session_state.get(session_keys.ALL_PROJECTS)
    title.subheader("Runs of all projects" if is_all else "Runs of this project", anchor=False)
    if num_archived:
        switch.toggle(
            f"Show archived ({num_archived})",
            key=session_keys.SHOW_ARCHIVED,
            persist_state="session",
            help="Archived runs are kept, but left out of this table and of every choice of runs.",
        )
    if not runs:
        st.caption("All runs are archived.")
        return
    share = st.column_config.NumberColumn(format="%.1f %%")
    st.dataframe(
        safe_table(runs_table(runs)),
        key=f"runs_table_{len(runs)}",
        hide_index=True,
        on_select=functools.partial(_open_row, [run.id for run in runs]),
        selection_mode="single-row",
        placeholder="",  # a run that waits has no figures yet
        column_config={
            "Run": st.column_config.TextColumn(pinned=True),
            "Test accuracy": share,
            "Val accuracy": share,
            "Learning rate": st.column_config.NumberColumn(format="%g"),
            "Seconds": st.column_config.NumberColumn(format="%.1f"),
            "Started": st.column_config.DatetimeColumn(format="distance"),
        },
        alt="Runs with their settings and figures",
    )


def runs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row a run: what it was and what came out."""
    titles = run_titles(runs)
    return pd.DataFrame([_table_row(run, titles[run.id]) for run in runs])


def _open_row(run_ids: Sequence[str]) -> None:
    rows = as_kind(list[int], st.session_state[f"runs_table_{len(run_ids)}"].selection.rows)
    if rows and 0 <= rows[0] < len(run_ids):
        show_run(run_ids[rows[0]])


def _table_row(run: Run, title: str) -> dict[str, object]:
    row: dict[str, object] = {
        "Run": title,
        "State": words.STATE_BADGES[run.state][2] + (", archived" if run.is_archived else ""),
    }
    try:
        config, metrics = run.config, run.metrics
    except TLError:
        return row
    interval = metrics.get("test_interval") or metrics.get("val_interval")
    return row | {
        "Test accuracy": _in_percent(metrics.get("test_accuracy")),
        "Val accuracy": _in_percent(metrics.get("val_accuracy")),
        "95 % interval": words.interval(interval) if interval else None,
        "Backbone": config.backbone,
        "Fine-tuned blocks": config.fine_tune_blocks,
        "FC layers": ", ".join(map(str, config.fc_layers)) or "none",
        "Dropout": config.dropout,
        "Learning rate": config.learning_rate,
        "Views": config.views,
        "Seconds": (metrics.get("seconds") or {}).get("total"),
        "Started": run.created.astimezone(),
        "Notes": run.notes,
    }


def _in_percent(share: float | None) -> float | None:
    # Rounded here, as the browser rounds 81.25 to another figure than the other pages show.
    return None if share is None else round(100 * share, 1)
