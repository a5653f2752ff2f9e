"""What can be decided about a photo of an evaluation: move it to any class, or exclude it."""

from __future__ import annotations

import streamlit as st

from ui.datasets.decisions import exclude, move
from ui.runs.evaluations import PHOTO, EvaluationView
from ui.shared import words

REASON = "mistake"
ANOTHER = "Another class"


def draw_correction(view: EvaluationView, position: int, prefix: str) -> None:
    """Draw what can be decided about a photo: that the answer is right, another class, no class."""
    evaluation = view.evaluation
    true = evaluation.class_names[evaluation.labels[position]]
    answer = evaluation.class_names[evaluation.predicted[position]]
    path = evaluation.paths[position]
    target = view.name_now(answer)  # what it is called in the folder, or None
    with st.container(horizontal=True, gap="small"):
        if (
            target is not None
            and true != answer
            and st.button(
                f"It is {words.plain(target)}",
                key=f"{prefix}_move_{path}",
                icon=":material/drive_file_move:",
                help=f"Count it as {words.plain(target)} from now on. Its file stays where it is.",
            )
        ):
            _correct(view, position, target)
        if st.button(
            "Exclude",
            key=f"{prefix}_exclude_{path}",
            icon=":material/block:",
            help="Leave it out of training and evaluation from now on. Its file stays where it is.",
        ):
            _correct(view, position, None)
    _draw_others(view, position, prefix, target)


def _draw_others(view: EvaluationView, position: int, prefix: str, target: str | None) -> None:
    """Draw the choice of every class that a photo is not of already and has no button."""
    record = view.record(position)
    if record is None:
        return
    known = (target, view.curated.class_of(record.path))
    others = [name for name in view.curated.classes if name not in known]
    if not others:
        return
    chosen = st.selectbox(
        ANOTHER,
        others,
        index=None,
        placeholder=ANOTHER,
        key=f"{prefix}_other_{record.path}",
        label_visibility="collapsed",
        help="Count it as this class from now on. Its file stays where it is.",
    )
    if chosen is not None:
        _correct(view, position, chosen)


def _correct(view: EvaluationView, position: int, class_name: str | None) -> None:
    """Move a photo to a class, or exclude it for None, and close its dialog."""
    record = view.record(position)
    if record is None:
        return
    st.session_state.pop(PHOTO, None)
    if class_name is None:
        exclude(view.curated, [record.path], REASON)
    else:
        move(view.curated, [record.path], class_name, REASON)
