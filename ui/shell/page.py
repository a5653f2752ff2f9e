"""What every page begins with: page set-up, workspace, sidebar, worker, one error banner.

with bootstrap("Train") as studio:
    ...
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from tl_core.config.mode import current_mode
from tl_core.data.dataset import DatasetIndex
from tl_core.installation import check_encoding
from tl_core.jobs import training as training_jobs
from tl_core.jobs.doctor import insecure_packages
from tl_core.jobs.handlers import num_unattended
from tl_core.jobs.housekeeping import sweep_workspace
from tl_core.projects.registry import Project
from tl_core.projects.trash import sweep_trash
from tl_core.workspace import Workspace, default_workspace
from ui.datasets.sample import ensure_sample
from ui.datasets.scans import load_index
from ui.hosted.panel import draw_demo_panel
from ui.hosted.visitor import session_workspace
from ui.shared import address, session_keys
from ui.shared.controls import have_reached_browser
from ui.shared.errors import error_banner, log_to, logger
from ui.shared.memory import collect_garbage, keep_small
from ui.shared.page_layout import ICON, LOGO, TITLE
from ui.shared.words import plain
from ui.shell.asker import note_askers
from ui.shell.keep_place import keep_place
from ui.shell.server import tidy_server
from ui.shell.sidebar import draw_sidebar
from ui.shell.widget_values import check_widget_values
from ui.viewer.page import draw_viewer

STYLE = f"<style>{Path(__file__).with_name('style.css').read_text('utf-8')}</style>"
STUDIO, VIEWER = "studio", "viewer"


@dataclass(frozen=True)
class Studio:
    """What a page works on: the workspace and the dataset chosen in the sidebar."""

    workspace: Workspace
    mode: str
    dataset: Project | None

    @property
    def may_open_folders(self) -> bool:
        """Whether folders of this machine may be opened by path; not when strangers use it."""
        return self.mode == STUDIO

    def index(self) -> DatasetIndex | None:
        """Return the scan of the chosen dataset, with progress shown; None when none is chosen.

        Raises:
            DatasetError: its folder is gone or has no images in class folders.
        """
        return None if self.dataset is None else load_index(self.workspace, self.dataset)


@contextmanager
def bootstrap(title: str) -> Iterator[Studio]:
    """Set a page up, yield what it works on, and show what goes wrong as a banner.

    When setting it up fails already, the page ends with that banner. In the mode ``viewer`` the
    viewer is drawn in place of every page.
    """
    check_widget_values()
    mode = ""
    with error_banner():
        mode = current_mode()
    if mode == VIEWER:
        draw_viewer()
    if mode in (VIEWER, ""):
        st.stop()
    st.set_page_config(
        page_title=TITLE if title == TITLE else f"{title} · {TITLE}",
        page_icon=ICON,
        layout="wide",
    )
    st.html(STYLE)
    st.logo(LOGO, size="large")
    is_set_up = False
    with error_banner():
        check_encoding()
        log_to(default_workspace())
        keep_small()
        workspace = session_workspace()
        drawing = ensure_sample(workspace)
        # The worker loads TensorFlow first, for as long as half of the drawing takes: not at once.
        # Whoever asks for work meanwhile starts it.
        if drawing is None or drawing.error:
            with error_banner():  # on a full or read-only disk the page still shows what there is
                training_jobs.ensure_worker(workspace)
        if address.read():
            st.session_state.pop(session_keys.INTAKE_REPORT, None)
        _begin(default_workspace().root)
        studio = Studio(workspace, mode, draw_sidebar(workspace, mode == STUDIO))
        with st.sidebar:
            draw_demo_panel(workspace)
            keep_place()
        if gone := st.session_state.pop(session_keys.GONE, None):
            st.toast(gone, icon=":material/warning:", duration="long")
        if notice := st.session_state.pop(session_keys.NOTICE, None):
            st.toast(plain(notice), icon=":material/check:")
        if name := st.session_state.pop(session_keys.INTAKE_NOW, None):
            text = f"Adding '{plain(name)}' was cancelled; nothing was added."
            st.toast(text, icon=":material/cancel:", duration="long")
        is_set_up = True
        yield studio
    if not is_set_up:
        st.stop()
    have_reached_browser()
    collect_garbage()


@st.cache_resource(show_spinner=False)
def _begin(root: Path) -> None:
    """Once per server: remove what is left over, and report at its end what goes on without it."""
    sweep_trash(Workspace(root))
    sweep_workspace(Workspace(root))
    tidy_server()
    note_askers()
    for check in insecure_packages():
        logger.warning("%s %s", check.message, check.advice)
    atexit.register(report_unattended, Workspace(root))


def report_unattended(workspace: Workspace) -> None:
    """Print how many trainings and searches the worker does while the app is closed, if any."""
    number = num_unattended(workspace)
    if number and training_jobs.worker_state(workspace).alive:
        what = "1 training or search goes" if number == 1 else f"{number} trainings or searches go"
        print(f"{what} on in the background. Open the studio to follow or stop.", flush=True)
