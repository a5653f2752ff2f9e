"""What a search came to: its heads in a table and as lines, and what to do with one of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.search import parallel_chart
from tl_core.config.search import VARIED
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import TLError
from tl_core.jobs.search import delete_sweep, resume_sweep
from tl_core.search.ranking import Ranking, Trial, trials_table
from tl_core.search.store import Sweep
from tl_core.tables import safe_table
from tl_core.workspace import Workspace
from ui.runs.start import start_run
from ui.shared import session_keys, words
from ui.shared.controls import as_kind
from ui.shared.page_layout import draw_chart
from ui.train.form import take_over

SWEEP = "search_shown"  # id of the search that is shown
SWEEP_DRAWN = "search_drawn"  # (dataset id, search id) of the one drawn last
ALWAYS_DRAWN = ("fc_layers", "dropout", "learning_rate")


def draw_result(workspace: Workspace, sweep: Sweep, index: DatasetIndex) -> None:
    """Draw a search that is over."""
    ranking = sweep.ranking()
    if sweep.state != "finished":
        st.warning(words.plain(sweep.message or "This search ended early."), icon=":material/info:")
    if sweep.origin.get("fingerprint") not in (None, index.fingerprint):
        st.caption("The photos have changed since this search.")
    chosen = None
    if ranking.best is not None:
        _draw_headline(sweep, ranking)
        chosen = draw_heads(sweep, ranking)
    _draw_actions(workspace, sweep, chosen)


def draw_heads(sweep: Sweep, ranking: Ranking, *, is_live: bool = False) -> Trial | None:
    """Draw lines and table of all heads; return the one picked in the table, or the suggested."""
    table = trials_table(ranking)
    state = "live" if is_live else "done"
    key = f"search_table_{state}_{sweep.id}"
    sent = None if is_live else st.session_state.get(key, {}).get("selection", {}).get("rows")
    rows = as_kind(list[int], sent) or []
    is_picked = bool(rows) and 0 <= rows[0] < len(table)
    number = table["number"].iloc[rows[0]] if is_picked else ranking.suggested
    fields = list(dict.fromkeys([*sweep.config.varied, *ALWAYS_DRAWN]))
    fields = [name for name in fields if table[name].nunique() > 1] or list(ALWAYS_DRAWN)
    draw_chart(
        parallel_chart(table, fields, number, theme=st.context.theme.type or "light"),
        key=f"search_lines_{state}",
        alt="Each head as a line through its settings to its accuracy",
    )
    st.dataframe(
        safe_table(_shown(table, fields)),
        key=key,
        hide_index=True,
        height=min(38 + 35 * len(table), 360),
        on_select="ignore" if is_live else "rerun",
        selection_mode="single-row",
        column_config={
            "Accuracy": st.column_config.NumberColumn(format="%.1f %%"),
            "±": st.column_config.NumberColumn(
                format="%.1f", help="Standard deviation from fold to fold, in points."
            ),
            "Verdict": st.column_config.TextColumn(
                width=96, help="Ties are within one standard error of the best."
            ),
            "Loss": st.column_config.NumberColumn(format="%.3f"),
            "Loss ±": st.column_config.NumberColumn(
                format="%.3f", help="Standard deviation from fold to fold."
            ),
            "Learning rate": st.column_config.NumberColumn(format="%g"),
            "Dropout": st.column_config.NumberColumn(format="percent"),
            "Seconds": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="All heads with their settings and figures, the best first",
    )
    return next((trial for trial in ranking.trials if trial.number == number), None)


def forget_search() -> None:
    """Choose no search: the newest is shown, if there is one."""
    for key in (SWEEP, SWEEP_DRAWN):
        st.session_state.pop(key, None)


def _draw_headline(sweep: Sweep, ranking: Ranking) -> None:
    best = ranking.best
    suggested = next(one for one in ranking.trials if one.number == ranking.suggested)
    if best is None:
        return
    st.markdown(f"## {percent(suggested.val_accuracy)}")
    layers = ", ".join(map(str, suggested.settings["fc_layers"]))
    head = f"FC layers {layers}" if layers else "No FC layers"
    if layers:
        head += f", dropout {100 * suggested.settings['dropout']:.0f} %"
    text = f"**{head}, learning rate {suggested.settings['learning_rate']:g}**"
    others = len(ranking.tied) - 1
    if others:
        text += (
            f": the simplest of {len(ranking.tied)} heads whose accuracies do not differ "
            "clearly, within "
            f"{100 * ranking.standard_error:.1f} points of the best ({percent(best.val_accuracy)})."
        )
    else:
        text += (
            f": better than every other by more than {100 * ranking.standard_error:.1f} points, "
            "one standard error."
        )
    st.markdown(text)
    st.caption(
        f"Mean over {sweep.config.folds} folds of {words.number_of(sweep.num_images, 'photo')}. "
        "The same photos chose epoch and head, so this is slightly optimistic; the test accuracy "
        "of a "
        "run is the fair measure."
    )


def _draw_actions(workspace: Workspace, sweep: Sweep, chosen: Trial | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen is not None and chosen.accuracies:
            config = chosen.config(sweep.base)
            st.button(
                f"Train this head ({percent(chosen.val_accuracy)})",
                key="promote",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_promote,
                args=(workspace, config, sweep.data_dir),
                help="Starts a run with the settings of the selected row.",
            )
            st.button(
                "Use these settings",
                key="search_take_over",
                icon=":material/settings_backup_restore:",
                on_click=take_over,
                args=(config,),
                help="Copies the settings of the selected row to the form.",
            )
        if sweep.state not in ("finished", "damaged") and st.button(
            "Resume",
            key="resume_search",
            icon=":material/resume:",
            help="Trains the remaining heads.",
        ):
            resume_sweep(workspace, sweep)
            st.rerun()
        if st.button("Delete search", key="delete_search", icon=":material/delete:"):
            delete_sweep(sweep)
            forget_search()
            st.session_state[session_keys.NOTICE] = "Deleted the search."
            st.rerun()


def _promote(workspace: Workspace, config: TrainConfig, data_dir: Path) -> None:
    """Start a run and show it; a callback, as the choice of the view is drawn before the button."""
    try:
        start_run(workspace, config, data_dir)
    except TLError as error:
        st.session_state[session_keys.NOTICE] = str(error)


def _shown(table: pd.DataFrame, fields: list[str]) -> pd.DataFrame:
    """Return the table in words for people: the settings that differ, and the figures."""
    marks = [
        "suggested" if suggested else "tie" if tied else error or ""
        for suggested, tied, error in zip(
            table["suggested"], table["tied"], table["error"], strict=True
        )
    ]
    columns = {
        "Accuracy": 100 * table["val_accuracy"],
        "±": 100 * table["val_accuracy_spread"],
        "Verdict": marks,
    }
    columns |= {TrainConfig.title_of(name): table[name] for name in VARIED if name in fields}
    return pd.DataFrame(
        {
            **columns,
            "Loss": table["val_loss"],
            "Loss ±": table["val_loss_spread"],
            "Best epoch": table["best_epoch"] + 1,
            "Seconds": table["seconds"],
        }
    )
