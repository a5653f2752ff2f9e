"""What was corrected since a run was trained: undo it, retrain, and compare both runs.

One panel for all pages on which photos are corrected. When the new run ends, it is the one shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.data.curation.store import Decisions
from tl_core.projects.registry import runs_of
from tl_core.runs.store import Run, list_runs
from ui.datasets.decisions import take_step
from ui.datasets.picker import dataset_of
from ui.datasets.scans import CuratedDataset
from ui.runs.before_after import draw_difference
from ui.runs.live_run import draw_live
from ui.runs.picker import choose_run, default_run, run_title
from ui.runs.start import retrain
from ui.shared import address, session_keys, words

CORRECTED = "corrected"  # what the name of a run on corrected photos adds
NUM_STEPS_SHOWN = 5


def draw_retraining(curated: CuratedDataset, run: Run) -> None:
    """Draw what was decided about a dataset since a run was trained, and the run retrained on it.

    Args:
        curated: the dataset that is corrected.
        run: the run that is shown. One trained on another dataset cannot be retrained here.
    """
    workspace = curated.workspace
    is_own = dataset_of(workspace, run).id == curated.dataset.id
    runs = list_runs(workspace.runs_dir) if is_own else []
    since = steps_since(run, curated.decisions)
    retrained = retrained_from(run, runs)
    _show_when_done(retrained)
    pair = st.session_state.get(session_keys.RETRAINED)
    before = next((one for one in runs if [one.id, run.id] == pair), None)
    closed = st.session_state.setdefault(session_keys.RETRAINED_CLOSED, set())
    if before is not None and (before.id, run.id) in closed:
        before = None
    if retrained is not None and (run.id, retrained.id) in closed and not since:
        retrained = None
    if not since and retrained is None and before is None:
        return
    with st.container(border=True):
        if since:
            _draw_steps(curated, run, since, retrained, is_own=is_own)
        if retrained is not None and retrained.is_active:
            st.markdown("**Retraining with the same settings**")
            draw_live(workspace, retrained)
        elif retrained is not None and (run.id, retrained.id) not in closed:
            draw_difference(workspace, run, retrained)
            _draw_close(run, retrained)
        elif before is not None:
            draw_difference(workspace, before, run, shown=run)
            _draw_close(before, run)


def _draw_close(before: Run, after: Run) -> None:
    """Draw the button that shows a comparison no longer, on any page."""
    st.button(
        "Close",
        key="close_retrained",
        icon=":material/close:",
        type="tertiary",
        help="Compare runs at any time on the Train page.",
        on_click=lambda: st.session_state[session_keys.RETRAINED_CLOSED].add((before.id, after.id)),
    )


def draw_project_retraining(curated: CuratedDataset) -> None:
    """Draw :func:`draw_retraining` for the chosen run of the dataset, else its default one."""
    runs = [
        run
        for run in runs_of(curated.workspace, curated.dataset)
        if run.is_loadable and not run.is_active
    ]
    if runs:
        chosen = address.chosen(session_keys.RUN)
        run = next((run for run in runs if run.id == chosen), default_run(runs))
        draw_retraining(curated, run)


def steps_since(run: Run, decisions: Decisions) -> list[str]:
    """Return the labels of what was decided after a run was asked for, the oldest first."""
    began = run.created.timestamp()
    return [step.label for step in decisions.steps if step.time > began]


def retrained_from(run: Run, runs: Sequence[Run]) -> Run | None:
    """Return the newest later run of the same settings and folder on other photos or classes."""
    for other in runs:
        if other.state == "damaged" or other.created <= run.created:
            continue
        if other.data_dir != run.data_dir or not _has_settings_of(run, other):
            continue
        if other.is_active or _photos_of(other) != _photos_of(run):
            return other
    return None


def _has_settings_of(run: Run, other: Run) -> bool:
    """Whether two runs have the same settings, one layout being named by one of them alone.

    Adding a photo chooses the layout that was found before, so that its class stays.
    """
    if other.config == run.config:
        return True
    layouts = {one.config.layout or one.origin.get("layout", "") for one in (run, other)}
    return len(layouts) == 1 and other.config.updated(layout="") == run.config.updated(layout="")


def _photos_of(run: Run) -> tuple[str, str]:
    """Return what differs between runs on different files or different decisions about them."""
    origin = run.origin
    return origin.get("fingerprint", ""), origin.get("decisions_fingerprint", "")


def _show_when_done(retrained: Run | None) -> None:
    """Show the run that was asked for in this session, once it has ended with a model."""
    waited_for = st.session_state.get(session_keys.RETRAINING)
    if retrained is None or retrained.id != waited_for or retrained.is_active:
        return
    del st.session_state[session_keys.RETRAINING]  # once: the other run can be shown again
    if retrained.is_loadable:
        choose_run(retrained.id)
        st.session_state[session_keys.NOTICE] = f"Retrained. Shown now: {run_title(retrained)}"
        st.rerun()


def _draw_steps(
    curated: CuratedDataset,
    run: Run,
    since: Sequence[str],
    retrained: Run | None,
    *,
    is_own: bool,
) -> None:
    st.markdown("**Corrections since this run was trained**")
    st.caption(" · ".join(words.plain(label) for label in since[-NUM_STEPS_SHOWN:]))
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Undo",
            key="correct_undo",
            icon=":material/undo:",
            help=f"Undo: {words.plain(since[-1])}",
        ):
            take_step(curated, "undo")
        is_busy = retrained is not None and retrained.is_active
        is_covered = retrained is not None and _is_trained_on(retrained, curated)
        may_retrain = is_own and not is_covered
        if may_retrain and st.button(
            "Retrain and compare",
            key="retrain",
            type="primary",
            icon=":material/model_training:",
            disabled=is_busy,
            help="Trains a run with the same settings on the corrected photos, then shows it "
            "beside this one.",
        ):
            new = retrain(curated.workspace, run, CORRECTED)
            st.session_state[session_keys.RETRAINING] = new.id
            st.session_state[session_keys.RETRAINED] = [run.id, new.id]
            st.rerun()


def _is_trained_on(run: Run, curated: CuratedDataset) -> bool:
    """Whether a run was trained on the photos as they are now."""
    fingerprint = curated.index.fingerprint
    return (
        run.origin.get("decisions_fingerprint") == curated.decisions.fingerprint
        and run.origin.get("fingerprint", fingerprint) == fingerprint
    )
