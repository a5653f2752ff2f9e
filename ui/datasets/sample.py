"""The sample set, drawn on first start in the background while the person looks around."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st
from filelock import FileLock, Timeout
from streamlit.runtime import RuntimeState

from tl_core.data.sample.dataset import SAMPLE_NAME, draw_sample_dataset
from tl_core.errors import Stopped
from tl_core.progress import Progress
from tl_core.projects.shared_sample import share_sample
from tl_core.workspace import Workspace
from ui.shared.errors import guarded, logger, own_bug_message
from ui.shared.memory import give_back
from ui.shared.progress import progress_text
from ui.shared.words import plain

POLL_SECONDS = 0.7
DRAWING = "Drawing the sample set (only on the first start)"


@dataclass
class Drawing:
    """The one attempt of this process to draw the sample set."""

    out_dir: Path
    progress: Progress | None = None
    error: str = ""
    thread: threading.Thread | None = field(default=None, repr=False)


def sample_dir(workspace: Workspace) -> Path:
    """Return where the sample set lies or will lie."""
    return workspace.datasets_dir / SAMPLE_NAME


def ensure_sample(workspace: Workspace) -> Drawing | None:
    """Start drawing the sample set unless it is there; return the drawing while it is not.

    That of a hosted demo is drawn once and shared by its visitors.
    """
    if sample_dir(workspace).is_dir():
        return None
    owner = workspace.host or workspace
    if owner != workspace and sample_dir(owner).is_dir():
        share_sample(owner, workspace)
        return None
    drawing = _drawing(str(sample_dir(owner)))
    if drawing.thread is None:
        drawing.thread = threading.Thread(target=_draw, args=(drawing,))
        drawing.thread.start()
    return drawing


@st.fragment(run_every=POLL_SECONDS)
@guarded
def draw_progress(workspace: Workspace) -> None:
    """Draw how far the sample set is, and rerun the page once when it is there."""
    drawing = ensure_sample(workspace)
    if drawing is None:
        st.rerun()
    if drawing.error:
        st.error(plain(drawing.error), icon=":material/error:")
        if st.button("Draw it again", key="redraw_sample", icon=":material/refresh:"):
            _drawing.clear()
        return
    progress = drawing.progress or Progress("sample", 0, 0, 0.0)
    st.progress(progress.share, text=progress_text(progress, DRAWING))


@st.cache_resource(max_entries=4, show_spinner=False)
def _drawing(out_dir: str) -> Drawing:
    return Drawing(Path(out_dir))


def _draw(drawing: Drawing) -> None:
    """Draw in a thread. Another server process on the same workspace is waited for."""

    def note(progress: Progress) -> None:
        drawing.progress = progress

    try:
        drawing.out_dir.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(drawing.out_dir.with_name(f".{SAMPLE_NAME}.lock"), timeout=120):
            if not drawing.out_dir.is_dir():
                draw_sample_dataset(
                    drawing.out_dir, on_progress=note, should_stop=_server_is_stopping
                )
    except Timeout:
        drawing.error = "Another process has been drawing the sample set for two minutes."
    except Stopped:  # the next server draws it
        return
    except Exception:
        logger.exception("The sample set could not be drawn")
        drawing.error = own_bug_message()
    give_back()


def _server_is_stopping() -> bool:
    """Whether Ctrl-C was pressed: the process would wait for the threads that draw."""
    stopping = (RuntimeState.STOPPING, RuntimeState.STOPPED)
    return st.runtime.exists() and st.runtime.get_instance().state in stopping
