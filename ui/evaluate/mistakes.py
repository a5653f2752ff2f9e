"""The photos that went wrong, or nearly: each with its answer, and what can be done about it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.classes import probability_chart
from ui.evaluate.corrections import draw_correction
from ui.evaluate.photos import draw_opener, draw_tile, page_of, tiles_of
from ui.runs.evaluations import EvaluationView
from ui.runs.retraining import draw_retraining
from ui.shared import words
from ui.shared.page_layout import draw_chart

WORST, UNSURE = "Worst mistakes", "Least sure"
PAGE_SIZE = 12
CARD_WIDTH = 250
NUM_CLASSES_SHOWN = 3


def draw_mistakes(view: EvaluationView) -> None:
    """Draw what was decided so far, then the cards."""
    draw_retraining(view.curated, view.run)
    evaluation = view.evaluation
    bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        order = st.segmented_control(
            "Order",
            [WORST, UNSURE],
            default=WORST,
            key="mistakes_order",
            required=True,
            label_visibility="collapsed",
            persist_state="session",
            help="Worst: wrong answers, the most confident first. Least sure: all photos, "
            "those first whose two most probable classes were nearly equal.",
        )
    positions = view.still_open(
        evaluation.least_sure() if order == UNSURE else evaluation.worst_mistakes()
    )
    if not positions and view.is_outdated:
        return
    if not positions:
        st.markdown(":green[:material/check_circle:] All photos were classified correctly.")
        st.caption("Show the least sure answers instead, or evaluate on another folder.")
        return
    with bar:
        st.caption(
            f"{words.number_of(len(positions), 'photo')}, "
            + (
                "the least sure first"
                if order == UNSURE
                else "the most confident wrong answer first"
            )
        )
    shown = page_of(view, positions, f"mistakes_{order}", PAGE_SIZE)
    tiles = tiles_of(view, shown)
    with st.grid("auto", min_column_width=CARD_WIDTH, gap="medium"):
        for position in shown:
            key = f"item_mistake_{view.evaluation.paths[position]}"
            with st.container(border=True, height="stretch", gap="xsmall", key=key):
                _draw_card(view, position, tiles[position])


def _draw_card(view: EvaluationView, position: int, tile: bytes | None) -> None:
    evaluation = view.evaluation
    names = evaluation.class_names
    true, answer = names[evaluation.labels[position]], names[evaluation.predicted[position]]
    draw_tile(view, position, tile)
    sure = percent(float(evaluation.confidence[position]))
    with st.container(gap="xxsmall"):
        if true == answer:
            st.markdown(f":green[:material/check:] **{words.plain(answer)}**, {sure}")
        else:
            st.markdown(f":red[:material/close:] **{words.plain(answer)}**, {sure}")
        st.caption(
            f"Class **{words.plain(true)}** · "
            f"{words.plain(view.evaluation.paths[position].rpartition('/')[2])}"
        )
    order = evaluation.probabilities[position].argsort(kind="stable")[::-1][:NUM_CLASSES_SHOWN]
    top = pd.DataFrame(
        {
            "class": [names[label] for label in order],
            "probability": [float(evaluation.probabilities[position, label]) for label in order],
        }
    )
    with st.container(key=f"bars_{position}"):
        draw_chart(probability_chart(top, names), alt=f"{answer} {sure}, is {true}")
    with st.container(gap="xxsmall"):
        draw_opener(view, position, "Details", "mistakes")
        draw_correction(view, position, prefix="card")
