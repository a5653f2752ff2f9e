"""One photo from near: where the run looked, its probabilities, training photos most like it."""

from __future__ import annotations

import streamlit as st

from tl_core.charts.base import percent
from ui.evaluate.corrections import draw_correction
from ui.runs.evaluations import PHOTO, EvaluationView
from ui.runs.photo_details import (
    ClassifiedPhoto,
    draw_neighbours,
    draw_photo_heat,
    draw_probabilities,
)
from ui.shared.errors import guarded
from ui.shared.heat_map import WIDTH
from ui.shared.words import plain


def draw_photo_details(view: EvaluationView) -> None:
    """Open the drawer of the photo that was clicked, while it is one of these."""
    path = st.session_state.get(PHOTO)
    if path in view.evaluation.paths:
        _drawer(view, view.evaluation.paths.index(path))


def _close() -> None:
    st.session_state.pop(PHOTO, None)


@st.dialog("Photo details", width=WIDTH, position="right", on_dismiss=_close)
@guarded
def _drawer(view: EvaluationView, position: int) -> None:
    evaluation = view.evaluation
    record = view.record(position)
    if record is None:
        st.caption("The file of this photo is missing.")
        return
    names = evaluation.class_names
    true, answer = names[evaluation.labels[position]], names[evaluation.predicted[position]]
    sure = percent(float(evaluation.confidence[position]))
    with st.container(gap="xxsmall"):
        st.markdown(
            f"Predicted **{plain(answer)}**, {sure}. "
            + ("Correct." if true == answer else f"Its class is **{plain(true)}**.")
        )
        st.caption(plain(record.path))
        if bool(evaluation.is_none_of_these[position]):
            st.caption(":material/help: With the current threshold this photo is “none of these”.")
    draw_correction(view, position, prefix="closer")
    photo = ClassifiedPhoto(
        view.workspace, view.run, record.sha256, view.curated.raw.path_of(record)
    )
    draw_photo_heat(photo, [answer, true])
    draw_probabilities(names, evaluation.probabilities[position], names)
    draw_neighbours(photo)
