"""Which class is taken for which: the matrix, the worst pairs in words, and their photos."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.confusion import confusion_chart
from tl_core.evaluation.report import Evaluation
from ui.evaluate.photos import draw_photos
from ui.runs.evaluations import CELL, CELL_ROUND, EvaluationView
from ui.runs.retraining import draw_retraining
from ui.shared import words
from ui.shared.controls import as_kind
from ui.shared.page_layout import draw_chart, section

COUNTS, SHARES = "Photos", "Row percent"
MAX_PAIRS = 8
PAGE_SIZE = 24


@dataclass(frozen=True)
class _Cell:
    """What a click on the matrix tells."""

    true: str
    answer: str


def draw_confusion(view: EvaluationView) -> None:
    """Draw what was decided so far, the matrix beside the pairs, and the photos of one cell."""
    draw_retraining(view.curated, view.run)
    evaluation = view.evaluation
    matrix, pairs = st.columns([3, 2], gap="large")
    with matrix:
        shown = st.segmented_control(
            "Figures",
            [COUNTS, SHARES],
            default=COUNTS,
            key="confusion_figures",
            required=True,
            label_visibility="collapsed",
            persist_state="session",
        )
        key = f"confusion_{st.session_state.get(CELL_ROUND, 0)}"
        draw_chart(
            confusion_chart(
                confusion_cells(evaluation, st.session_state.get(CELL)),
                evaluation.class_names,
                by_share=shown == SHARES,
                theme=st.context.theme.type or "light",
            ),
            key=key,
            on_select=lambda: _pick_clicked(key),
            alt="True classes in rows, answers in columns",
        )
        st.caption("Rows are true classes, columns are answers. Click a cell to see its photos.")
    with pairs:
        _draw_pairs(evaluation)
    cell = st.session_state.get(CELL)
    if cell and set(cell) <= set(evaluation.class_names):
        _draw_cell(view, *cell)


def confusion_cells(evaluation: Evaluation, chosen: tuple[str, str] | None = None) -> pd.DataFrame:
    """Return one row a cell: ``true``, ``answer``, ``images``, ``share``, ``is_chosen``."""
    names = evaluation.class_names
    counts, shares = evaluation.confusion_matrix, evaluation.confusion_shares
    return pd.DataFrame(
        [
            {
                "true": true,
                "answer": answer,
                "images": int(counts[row, column]),
                "share": float(shares[row, column]),
                "is_chosen": (true, answer) == chosen,
            }
            for row, true in enumerate(names)
            for column, answer in enumerate(names)
        ]
    )


def pair_words(evaluation: Evaluation, true: str, answer: str, count: int) -> str:
    """Say how often a class is taken for another."""
    total = int(evaluation.confusion_matrix[evaluation.class_names.index(true)].sum())
    return f"**{words.plain(true)}** taken for **{words.plain(answer)}**: {count} of {total}"


def _draw_pairs(evaluation: Evaluation) -> None:
    confusions = evaluation.confusions()
    if not confusions:
        section("Most confused")
        st.markdown(":green[:material/check_circle:] All photos were classified correctly.")
        return
    section("Most confused")
    with st.container(gap="xxsmall"):
        for true, answer, count in confusions[:MAX_PAIRS]:
            st.button(
                pair_words(evaluation, true, answer, count),
                key=f"pair_{true}_{answer}",
                icon=":material/photo_library:",
                type="tertiary",
                on_click=_pick_pair,
                args=(true, answer),
                help="Show these photos",
            )
    if len(confusions) > MAX_PAIRS:
        rest = sum(count for *_, count in confusions[MAX_PAIRS:])
        st.caption(f"{words.number_of(rest, 'photo')} more in other pairs.")


def _draw_cell(view: EvaluationView, true: str, answer: str) -> None:
    evaluation = view.evaluation
    positions = view.still_open(evaluation.cell(true, answer))
    title = (
        f"{words.plain(true)}, answered correctly"
        if true == answer
        else f"{words.plain(true)} taken for {words.plain(answer)}"
    )
    section(title, f"{words.number_of(len(positions), 'photo')}, the most confident answer first.")
    notes = [f"{answer}, {percent(float(evaluation.confidence[place]))}" for place in positions]
    row, column = map(evaluation.class_names.index, (true, answer))
    draw_photos(view, positions, notes, prefix=f"cell_{row}_{column}", page_size=PAGE_SIZE)


def _pick_clicked(key: str) -> None:
    chosen = as_kind(list[_Cell], st.session_state[key].selection.get("cell"))
    if chosen:
        st.session_state[CELL] = (chosen[0].true, chosen[0].answer)
    else:
        st.session_state.pop(CELL, None)


def _pick_pair(true: str, answer: str) -> None:
    st.session_state[CELL] = (true, answer)
    st.session_state[CELL_ROUND] = st.session_state.get(CELL_ROUND, 0) + 1
