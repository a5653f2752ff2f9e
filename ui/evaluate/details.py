"""One photo from near: where the run looked, its probabilities, training photos most like it."""

from __future__ import annotations

import streamlit as st

from tl_core.charts.base import percent
from ui.evaluate.corrections import draw_mending
from ui.runs.evaluations import PHOTO, Looked
from ui.runs.photo_details import WIDTH, Seen, draw_heat, draw_neighbours, draw_probabilities
from ui.shared.errors import guarded
from ui.shared.words import plain


def draw_closer(looked: Looked) -> None:
    """Open the drawer of the photo that was clicked, while it is one of these."""
    path = st.session_state.get(PHOTO)
    if path in looked.evaluation.paths:
        _drawer(looked, looked.evaluation.paths.index(path))


def _close() -> None:
    st.session_state.pop(PHOTO, None)


@st.dialog("Photo details", width=WIDTH, position="right", on_dismiss=_close)
@guarded
def _drawer(looked: Looked, position: int) -> None:
    evaluation = looked.evaluation
    record = looked.record(position)
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
    draw_mending(looked, position, prefix="closer")
    seen = Seen(looked.workspace, looked.run, record.sha256, looked.decided.raw.path_of(record))
    draw_heat(seen, [answer, true])
    draw_probabilities(names, evaluation.probabilities[position], names)
    draw_neighbours(seen)
