"""What can be decided about a photo whose answer is wrong: move it, or exclude it."""

from __future__ import annotations

import streamlit as st

from ui.datasets.decisions import exclude, move
from ui.runs.evaluations import PHOTO, EvaluationView
from ui.shared import words

REASON = "mistake"


def draw_correction(view: EvaluationView, position: int, prefix: str) -> None:
    """Draw what can be decided about a photo whose answer is not its class."""
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
