"""The live camera: the run's exported web page in a frame, so that its bars follow a webcam."""

from __future__ import annotations

import streamlit as st

from tl_core.export import run_exports
from tl_core.jobs import export as export_jobs
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.share.formats import draw_export_progress
from ui.share.web_page import page_address
from ui.shared.words import plain

FORMAT = "web"
PREPARING = "Preparing the live view"
OFFER = (
    "Point the camera at something and the answer follows. The model has to be prepared for "
    "the browser once, which can take some minutes."
)
_FRAME_HEIGHT = 640


def draw_live(workspace: Workspace, run: Run) -> None:
    """Draw the player, or what it takes to have one."""
    export = run_exports.find_export(run, FORMAT)
    if export is not None and not run_exports.is_outdated(export, run_exports.describe_now(run)):
        theme = st.context.theme.type or "light"
        address = page_address(export, embed="live", theme=theme)
        st.iframe(address, height=_FRAME_HEIGHT, alt="Live camera and its answers")
        st.caption(
            "The model runs in this browser: camera images stay on this device. The same "
            "page can be published; see Share."
        )
        return
    if export_jobs.export_state(workspace, run, FORMAT) is not None:
        draw_export_progress(workspace, run.id, FORMAT, PREPARING)
        return
    if reason := run_exports.export_failure(run, FORMAT):
        st.warning(plain(reason), icon=":material/warning:")
    st.markdown(OFFER)
    if st.button("Prepare the live view", key="prepare_live", type="primary"):
        export_jobs.request_export(workspace, run, FORMAT)
        st.rerun()
