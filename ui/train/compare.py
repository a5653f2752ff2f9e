"""Runs side by side: figures with intervals, curves, settings, and whether it is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from tl_core.charts.base import RUN_COLORS, percent
from tl_core.charts.evaluation import intervals_chart
from tl_core.charts.training import compare_chart
from tl_core.errors import TLError
from tl_core.evaluation.compare import metric_rows, setting_rows
from tl_core.runs.store import Run
from tl_core.tables import safe_table
from tl_core.workspace import Workspace
from ui.runs.paired_test import draw_verdict, paired_test
from ui.runs.picker import run_titles
from ui.shared import address, session_keys, words
from ui.shared.controls import control
from ui.shared.page_layout import draw_chart, section

MARK = "rgba(14, 143, 128, 0.2)"  # behind what differs, readable on both themes
LETTERS = "ABCD"  # stand for the runs, whose titles are too long for a column or a legend
NEEDS_TWO = "Comparing needs two finished runs. Train another with one setting changed."


def draw_comparison(workspace: Workspace, runs: Sequence[Run]) -> None:
    """Draw the choice of runs to compare, and all about them side by side."""
    comparable = {run.id: run for run in runs if run.state != "damaged" and run.metrics}
    if len(comparable) < 2:
        st.caption(NEEDS_TWO)
        return
    compared = _choose(comparable)
    if len(compared) < 2:
        st.caption("Choose at least two.")
        return
    names = run_titles(compared)
    titles = dict(zip((run.id for run in compared), LETTERS, strict=False))
    lines = [f"**{titles[run.id]}**  {words.plain(names[run.id])}" for run in compared]
    st.markdown("  \n".join(lines))
    _draw_figures(compared, titles)
    if len(compared) == 2:
        _draw_chance(workspace, compared, titles)
    else:
        st.caption("Choose exactly two to test whether their difference is more than chance.")
    _draw_curves(compared, titles)
    _draw_settings(compared, titles)


def _choose(comparable: Mapping[str, Run]) -> list[Run]:
    """Draw the choice, at first the run that was looked at and the newest other."""
    titles = run_titles(list(comparable.values()))
    key = session_keys.COMPARED
    kept = [run_id for run_id in st.session_state.get(key, ()) if run_id in comparable]
    if key not in st.session_state:
        looked_at = [address.chosen(session_keys.RUN) or st.session_state.get(session_keys.RUN)]
        order = [run_id for run_id in [*looked_at, *comparable] if run_id in comparable]
        kept = list(dict.fromkeys(order))[:2]
    st.session_state[key] = kept
    chosen = st.multiselect(
        "Runs",
        list(comparable),
        max_selections=len(RUN_COLORS),
        placeholder="Choose two to four runs",
        **control(key, format_func=titles.__getitem__),
    )
    return [comparable[run_id] for run_id in chosen]


def _draw_figures(runs: Sequence[Run], titles: Mapping[str, str]) -> None:
    rows = metric_rows(runs)
    part = _common_part(rows, len(runs))
    if part is not None:
        shown = pd.DataFrame([row for row in rows if row["part"] == part])
        shown = shown.assign(name=[titles[run_id] for run_id in shown["run"]])
        draw_chart(
            intervals_chart(shown, RUN_COLORS[: len(shown)]),
            key="compare_accuracy",
            alt=f"Accuracy on {words.PART_PHOTOS[part]} with 95 % intervals",
        )
        st.caption(f"Accuracy on each run's {words.PART_PHOTOS[part]}.")
    st.dataframe(
        safe_table(figures_table(runs, titles)), key="compare_figures", alt="Figures of the runs"
    )


def _common_part(rows: Sequence[Mapping[str, object]], num_runs: int) -> str | None:
    """Return the part that all runs have a figure on, test photos before validation photos."""
    counts = pd.Series([row["part"] for row in rows]).value_counts()
    return next((part for part in words.PART_PHOTOS if counts.get(part, 0) == num_runs), None)


def figures_table(runs: Sequence[Run], titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the figures as text, a column a run, without rows that none of them has."""
    line = {(row["run"], row["part"]): row for row in metric_rows(runs)}
    columns = {}
    for run in runs:
        column = {}
        for part, photos in words.PART_PHOTOS.items():
            row = line.get((run.id, part), {})
            low_to_high = words.interval((row["low"], row["high"])) if row else ""
            # Rows of their own: side by side, the interval is cut in a narrow window.
            column[f"Accuracy on {photos}"] = percent(row["accuracy"]) if row else ""
            column[f"Interval on {photos}"] = low_to_high
            count = row.get("num_images")
            column[f"Number of {photos}"] = "" if count is None else f"{count:,}"
            loss = row.get("loss")
            column[f"Loss on {photos}"] = "" if loss is None else f"{loss:.3f}"
        column["Weights of"] = words.best_epoch(run).removeprefix("best ").removeprefix("in ")
        total = (run.metrics.get("seconds") or {}).get("total")
        column["Took"] = "" if total is None else words.seconds(total)
        column["Notes"] = run.notes
        columns[titles[run.id]] = column
    table = pd.DataFrame(columns)
    return table[(table != "").any(axis=1)].rename_axis("Figure")


def _draw_chance(workspace: Workspace, runs: Sequence[Run], titles: Mapping[str, str]) -> None:
    section("Is the difference more than chance?")
    first, second = runs
    if not (first.is_loadable and second.is_loadable):
        st.caption("One of them has no weights.")
        return
    try:
        test = paired_test(workspace, first, second, (titles[first.id], titles[second.id]))
    except TLError as error:
        st.caption(words.plain(str(error)))
        return
    if test is not None:
        draw_verdict(test)


def _draw_curves(runs: Sequence[Run], titles: Mapping[str, str]) -> None:
    section("Curves", "Solid on validation photos, dashed on training photos.")
    histories = {titles[run.id]: run.history() for run in runs}
    for metric, column in zip(("accuracy", "loss"), st.columns(2), strict=True):
        draw_chart(
            compare_chart(histories, metric),
            column,
            key=f"compare_{metric}",
            alt=f"{metric} of {len(runs)} runs",
        )


def _draw_settings(runs: Sequence[Run], titles: Mapping[str, str]) -> None:
    title, switch = st.columns([3, 2], vertical_alignment="bottom")
    with title:
        section("Settings")
    only = switch.toggle(
        "Only what differs", value=True, key="compare_only", persist_state="session"
    )
    rows = setting_rows(runs, include_same=not only)
    if not rows:
        st.caption("Same settings, same images.")
        return
    table, differs = settings_table(rows, titles)
    styles = ["" if only or not marked else f"background-color: {MARK}" for marked in differs]
    styled = safe_table(table).style.apply(lambda column: styles, axis=0)
    st.dataframe(
        styled,
        key="compare_table",
        alt="Settings of the runs, those that differ marked",
    )


def settings_table(
    rows: Sequence[Mapping[str, object]], titles: Mapping[str, str]
) -> tuple[pd.DataFrame, list[bool]]:
    """Return settings as text, a column a run, and which of the rows differ."""
    names = [str(row["setting"]).replace("_", " ") for row in rows]
    columns = {title: [_shown(row[run_id]) for row in rows] for run_id, title in titles.items()}
    table = pd.DataFrame(columns, index=pd.Index(names, name="Setting"))
    return table, [bool(row["differs"]) for row in rows]


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "" if value is None else str(value)
