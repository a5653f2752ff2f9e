"""From a wrong image to a better run: move or leave it out, take that back, retrain, compare."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.data.curation.store import Decisions
from tl_core.runs.store import Run, list_runs
from ui.datasets.decisions import exclude, move, take_step
from ui.evaluate.before_after import draw_difference
from ui.runs.evaluations import ELSEWHERE, PHOTO, EvaluationView
from ui.runs.live_run import draw_live
from ui.runs.start import retrain
from ui.shared import words

REASON = "mistake"
RETRAINED = "corrected"  # what the name of a run on corrected photos adds


def draw_correction(view: EvaluationView, position: int, prefix: str) -> None:
    """Draw what can be decided about a photo whose answer is not its class."""
    evaluation = view.evaluation
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
            _correct(view, position, answer)
        if st.button(
            "Exclude",
            key=f"{prefix}_exclude_{path}",
            icon=":material/block:",
            help="Leave it out of training and evaluation from now on. Its file stays where it is.",
        ):
            _correct(view, position, None)


def draw_retraining(view: EvaluationView) -> None:
    """Draw what was decided since the run was trained, and the run that came of it."""
    since = steps_since(view.run, view.curated.decisions)
    retrained = None
    if view.source.part != ELSEWHERE:
        retrained = retrained_from(view.run, list_runs(view.workspace.runs_dir))
    if not since and retrained is None:
        return
    with st.container(border=True):
        if since:
            _draw_steps(view, since, retrained)
        if retrained is not None and retrained.is_active:
            st.markdown("**Retraining with the same settings**")
            draw_live(view.workspace, retrained)
        elif retrained is not None:
            draw_difference(view.workspace, view.run, retrained)


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


def _draw_steps(view: EvaluationView, since: Sequence[str], retrained: Run | None) -> None:
    decisions = view.curated.decisions
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
            take_step(view.curated, "undo")
        is_busy = retrained is not None and retrained.is_active
        may_retrain = view.source.part != ELSEWHERE and not covered
        if may_retrain and st.button(
            "Retrain and compare",
            key="retrain",
            type="primary",
            icon=":material/model_training:",
            disabled=is_busy,
            help="Trains a run with the same settings on the corrected photos, then compares both.",
        ):
            retrain(view.workspace, view.run, RETRAINED)
            st.rerun()


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
