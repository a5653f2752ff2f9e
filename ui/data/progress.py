"""How far looking at a dataset is: shown in place of what is not there yet, and polled."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tl_core.analysis.cache import ExploreFiles
from tl_core.features.spec import FeatureSpec
from tl_core.jobs import client as jobs
from tl_core.progress import Progress
from ui.datasets.dataset_view import (
    DatasetView,
    ensure_audit,
    forget_failed_audit,
    request_features,
)
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar
from ui.shared.progress import progress_text
from ui.shared.words import plain

POLL_SECONDS = 1.0


def draw_audit_progress(view: DatasetView) -> None:
    """Draw the progress of the audit without features; the page is drawn again when it ends."""
    looking = ensure_audit(view.workspace, view.raw)
    if looking is not None and looking.error:
        st.warning(plain(looking.error), icon=":material/warning:")
        if st.button("Try again", key="retry_look", icon=":material/refresh:"):
            forget_failed_audit(view.workspace, view.raw)
            st.rerun()
    elif looking is not None:
        _poll_audit(view)


def draw_job(
    view: DatasetView,
    kind: str,
    what: str,
    files: ExploreFiles | None = None,
    is_there: Callable[[ExploreFiles], bool] | None = None,
) -> None:
    """Draw the worker's progress; the page is drawn again when it ends.

    Args:
        view: the dataset.
        kind: of the job.
        what: the text of the bar.
        files: where the job will leave its result; by default those of the scan.
        is_there: whether the result that is waited for is among them, though the job goes on.
    """
    files = files or view.features
    if files is None:
        reason = plain(view.fallback_reason or "The backbone's weights are missing.")
        st.warning(f"{what} could not be computed. {reason}", icon=":material/warning:")
        return
    failure = files.read_failure(kind)
    if failure is not None:
        st.warning(f"{what} could not be computed. {plain(failure)}", icon=":material/warning:")
        if st.button("Try again", key=f"retry_{kind}", icon=":material/refresh:"):
            files.forget_failure(kind)
            request_features(view, files, kind)
            st.rerun()
        return
    _poll_job(view, kind, what, files, is_there)


def draw_fallback(view: DatasetView) -> None:
    """Draw that another backbone than the chosen one is used, and why."""
    if not view.fallback_reason or view.features is None:
        return
    st.caption(
        f":material/info: Computed with {view.features_config.backbone}, as "
        f"{view.config.backbone} could not be used. {plain(view.fallback_reason)}"
    )
    if st.button("Try again", key="retry_backbone", type="tertiary", icon=":material/refresh:"):
        spec = FeatureSpec.from_config(view.config)
        ExploreFiles(view.workspace.cache_dir, view.raw, spec).forget_failure("explore")
        st.rerun()


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _poll_audit(view: DatasetView) -> None:
    looking = ensure_audit(view.workspace, view.raw)
    if looking is None or looking.error:
        st.rerun()
    progress = looking.progress if looking is not None else None
    progress = progress or Progress("audit", 0, 0, 0.0)
    st.progress(progress.share, text=progress_text(progress))


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _poll_job(
    view: DatasetView,
    kind: str,
    what: str,
    files: ExploreFiles,
    is_there: Callable[[ExploreFiles], bool] | None,
) -> None:
    if is_there is not None and is_there(files):
        st.rerun()
    state = jobs.state_of(view.workspace, kind, view.features_config, view.dataset.path)
    if state is None:
        if st.session_state.pop(_waiting_key(kind), False):
            st.rerun()
        st.progress(0.0, text=f"{what}: waiting for the training engine")
        return
    st.session_state[_waiting_key(kind)] = True
    draw_bar(view.workspace, state, what)


def _waiting_key(kind: str) -> str:
    return f"waiting_for_{kind}"
