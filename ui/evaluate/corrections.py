"""From a wrong image to a better run: move or leave it out, take that back, retrain, compare."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.data.curation.store import Decisions
from tl_core.runs.store import Run, list_runs
from ui.datasets.decisions import exclude, move, take_step
from ui.evaluate.before_after import draw_difference
from ui.runs.evaluations import ELSEWHERE, PHOTO, Looked
from ui.runs.live_run import draw_live
from ui.runs.start import retrain
from ui.shared import words

REASON = "mistake"
RETRAINED = "corrected"  # what the name of a run on corrected photos adds


def draw_mending(looked: Looked, position: int, prefix: str) -> None:
    """Draw what can be decided about a photo whose answer is not its class."""
    evaluation = looked.evaluation
    true = evaluation.class_names[evaluation.labels[position]]
    answer = evaluation.class_names[evaluation.predicted[position]]
    path = evaluation.paths[position]
    with st.container(horizontal=True, gap="small"):
        if true != answer and st.button(
            f"It is {words.plain(answer)}",
            key=f"{prefix}_move_{path}",
            icon=":material/drive_file_move:",
            help=f"Count it as {words.plain(answer)} from now on. Its file stays where it is.",
        ):
            _correct(looked, position, answer)
        if st.button(
            "Exclude",
            key=f"{prefix}_exclude_{path}",
            icon=":material/block:",
            help="Leave it out of training and evaluation from now on. Its file stays where it is.",
        ):
            _correct(looked, position, None)


def draw_aftermath(looked: Looked) -> None:
    """Draw what was decided since the run was trained, and the run that came of it."""
    since = steps_since(looked.run, looked.decided.decisions)
    retrained = None
    if looked.source.part != ELSEWHERE:
        retrained = retrained_from(looked.run, list_runs(looked.workspace.runs_dir))
    if not since and retrained is None:
        return
    with st.container(border=True):
        if since:
            _draw_steps(looked, since, retrained)
        if retrained is not None and retrained.is_active:
            st.markdown("**Retraining with the same settings**")
            draw_live(looked.workspace, retrained)
        elif retrained is not None:
            draw_difference(looked.workspace, looked.run, retrained)


def steps_since(run: Run, decisions: Decisions) -> list[str]:
    """Return the labels of what was decided after a run was asked for, the oldest first."""
    began = run.created.timestamp()
    return [step.label for step in decisions.steps if step.time > began]


def retrained_from(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the newest later run of the same settings and folder under other decisions."""
    origin = run.origin.get("decisions_fingerprint", "")
    for other in runs:
        if other.state == "damaged" or other.created <= run.created:
            continue
        if other.config != run.config or other.data_dir != run.data_dir:
            continue
        if other.is_active or other.origin.get("decisions_fingerprint", "") != origin:
            return other
    return None


def _draw_steps(looked: Looked, since: Sequence[str], retrained: Run | None) -> None:
    decisions = looked.decided.decisions
    st.markdown("**Corrections since this run was trained**")
    st.caption(" · ".join(words.plain(label) for label in since[-5:]))
    covered = (
        retrained is not None
        and retrained.origin.get("decisions_fingerprint") == decisions.fingerprint
    )
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Undo",
            key="correct_undo",
            icon=":material/undo:",
            help=f"Undo: {words.plain(since[-1])}",
        ):
            take_step(looked.decided, "undo")
        is_busy = retrained is not None and retrained.is_active
        may_retrain = looked.source.part != ELSEWHERE and not covered
        if may_retrain and st.button(
            "Retrain and compare",
            key="retrain",
            type="primary",
            icon=":material/model_training:",
            disabled=is_busy,
            help="Trains a run with the same settings on the corrected photos, then compares both.",
        ):
            retrain(looked.workspace, looked.run, RETRAINED)
            st.rerun()


def _correct(looked: Looked, position: int, class_name: str | None) -> None:
    """Move a photo to a class, or exclude it for None, and close its dialog."""
    record = looked.record(position)
    if record is None:
        return
    st.session_state.pop(PHOTO, None)
    if class_name is None:
        exclude(looked.decided, [record.path], REASON)
    else:
        move(looked.decided, [record.path], class_name, REASON)
