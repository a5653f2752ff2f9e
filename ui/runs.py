"""Choosing, naming, deleting and comparing runs; the result of one in a sentence."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from tl_core.charts.base import RUN_COLORS, percent
from tl_core.charts.training import compare_chart, history_chart
from tl_core.errors import TLError
from tl_core.training.runs import Run, compare_runs, delete_run, list_runs, rename_run
from tl_core.workspace import Workspace
from ui import keys, words


def choose_run(run_id: str) -> None:
    """Make a run the one looked at from the next run of the page on."""
    st.session_state[keys.RUN_NEXT] = run_id


def select_run(runs: Sequence[Run], label: str) -> Run | None:
    """Draw the select box of runs and return the one chosen; newest first."""
    by_id = {run.id: run for run in runs}
    if not by_id:
        return None
    wanted = st.session_state.pop(keys.RUN_NEXT, None)
    if wanted in by_id:
        st.session_state[keys.RUN] = wanted
    elif st.session_state.get(keys.RUN) not in by_id:
        st.session_state.pop(keys.RUN, None)
    titles = _titles(list(by_id.values()))
    chosen = st.selectbox(
        label,
        list(by_id),
        format_func=titles.__getitem__,  # no figures: a label that changes loses the choice
        key=keys.RUN,
        bind="query-params",
    )
    return by_id[chosen or next(iter(by_id))]


def draw_badge(run: Run) -> None:
    """Draw the state of a run as a badge."""
    icon, color, title = words.STATE_BADGES[run.state]
    st.badge(title, icon=icon, color=color)  # type: ignore[arg-type]


def draw_result(run: Run) -> None:
    """Draw the figure of a run with its interval and what it was measured on."""
    told = words.headline(run.metrics)
    if told is None:
        return
    figure, measured_on = told
    with st.container(gap="xxsmall"):
        st.markdown(f"## {figure}")
        st.markdown(f"{measured_on}.")
    metrics = run.metrics
    times = metrics.get("seconds") or {}
    facts = [
        f"best epoch {metrics['best_epoch'] + 1}" if "best_epoch" in metrics else "",
        f"validation {percent(metrics['val_accuracy'])}"
        if metrics.get("test_accuracy") is not None and "val_accuracy" in metrics
        else "",
        f"took {words.seconds(times['total'])}" if "total" in times else "",
        f"95 % interval, {words.ago(run.created)}",
    ]
    st.caption(" · ".join(fact for fact in facts if fact))


def draw_curves(run: Run) -> None:
    """Draw accuracy and loss of a run side by side."""
    history = run.history()
    if history.empty:
        return
    for metric, column in zip(("accuracy", "loss"), st.columns(2), strict=True):
        chart = history_chart(history, metric, num_epochs=len(history))
        column.altair_chart(chart, key=f"curve_{metric}", alt=f"{metric} by epoch, train and val")


def draw_manage(run: Run) -> None:
    """Draw the menu to rename or delete a run."""
    with st.popover("Manage", icon=":material/more_horiz:", key="manage_run"):
        name = st.text_input("Name", value=run.name, key=f"run_name_{run.id}", max_chars=80)
        if st.button("Rename", key="rename_run", icon=":material/edit:", width="stretch"):
            rename_run(run, name)
            choose_run(run.id)
            st.rerun()
        if st.button(
            "Delete run",
            key="delete_run",
            icon=":material/delete:",
            width="stretch",
            disabled=run.is_active,
            help="Removes its settings, figures and weights from this machine.",
        ):
            delete_run(run)
            st.session_state[keys.NOTICE] = f"Deleted {words.run_title(run)}."
            st.rerun()


def draw_comparison(run: Run, runs: Sequence[Run]) -> None:
    """Draw the curves of other runs over this one's, and the settings in which they differ."""
    others = {other.id: other for other in runs if other.id != run.id and other.metrics}
    if not others or not run.metrics:
        return
    titles = _titles([run, *others.values()])
    chosen = st.multiselect(
        "Compare with",
        list(others),
        format_func=titles.__getitem__,
        key="compare_with",
        max_selections=len(RUN_COLORS) - 1,
        placeholder="Choose runs to lay over this one",
    )
    if not chosen:
        return
    compared = [run, *(others[run_id] for run_id in chosen)]
    histories = {titles[one.id]: one.history() for one in compared}
    for metric, column in zip(("accuracy", "loss"), st.columns(2), strict=True):
        chart = compare_chart(histories, metric)
        column.altair_chart(chart, key=f"compare_{metric}", alt=f"{metric} of {len(compared)} runs")
    differing = compare_runs(compared)
    if differing:
        rows = [[_shown(value) for value in row] for row in differing.values()]
        table = pd.DataFrame(
            dict(zip(histories, zip(*rows, strict=True), strict=True)),
            index=pd.Index([name.replace("_", " ") for name in differing], name="Differs in"),
        )
        st.dataframe(table, key="compare_table", alt="Settings in which the runs differ")
    else:
        st.caption("Same settings, same images.")


def draw_runs_table(runs: Sequence[Run]) -> None:
    """Draw all runs as a table; a click on a row opens that run."""
    if not runs:
        return
    st.subheader("All runs", anchor=False)
    share = st.column_config.NumberColumn(format="%.1f %%")
    st.dataframe(
        runs_table(runs),
        key=f"runs_table_{len(runs)}",
        hide_index=True,
        on_select=functools.partial(_open_row, [run.id for run in runs]),
        selection_mode="single-row",
        column_config={
            "Run": st.column_config.TextColumn(pinned=True),
            "Test accuracy": share,
            "Val accuracy": share,
            "Learning rate": st.column_config.NumberColumn(format="%g"),
            "Seconds": st.column_config.NumberColumn(format="%.1f"),
            "Started": st.column_config.DatetimeColumn(format="distance"),
        },
        alt="All runs with their settings and figures",
    )


def runs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row a run: what it was and what came out."""
    return pd.DataFrame([_table_row(run) for run in runs])


def _open_row(run_ids: Sequence[str]) -> None:
    rows = st.session_state[f"runs_table_{len(run_ids)}"].selection.rows
    if rows:
        choose_run(run_ids[rows[0]])


def loadable_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that can classify, newest first."""
    return [run for run in list_runs(workspace.runs_dir) if run.is_loadable]


def _table_row(run: Run) -> dict[str, object]:
    row: dict[str, object] = {
        "Run": words.run_title(run),
        "State": words.STATE_BADGES[run.state][2],
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
        "FC layers": ", ".join(map(str, config.fc_layers)) or "none",
        "Dropout": config.dropout,
        "Learning rate": config.learning_rate,
        "Views": config.views,
        "Seconds": (metrics.get("seconds") or {}).get("total"),
        "Started": run.created.astimezone(),
    }


def _titles(runs: Sequence[Run]) -> dict[str, str]:
    """Return a title for each run by id, no two alike."""
    titles = {run.id: words.run_title(run) for run in runs}
    taken = list(titles.values())
    return {
        run_id: title if taken.count(title) == 1 else f"{title} ({run_id})"
        for run_id, title in titles.items()
    }


def _in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "" if value is None else str(value)
