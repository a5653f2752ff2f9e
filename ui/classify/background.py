"""Work of more than a second in a thread of the web process: it survives clicks, not a reload.

For what only this session sees, such as uploads, which are not stored. Other work is a job. It ends
a while after the browser has gone, and begins again if that comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from tl_core.errors import Stopped
from tl_core.progress import Monitor, Progress
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.progress import progress_text
from ui.shared.words import plain

T = TypeVar("T")

AT_ONCE_SECONDS = 0.8  # what is done by then is drawn without a bar
POLL_SECONDS = 0.4
LEFT_SECONDS = 20.0
"""How long work goes on without its browser, which may only have lost its connection."""

_ASK_SECONDS = 1.0


class _Browser:
    """Whether the browser of a session has gone."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._seen_at = self._asked_at = time.monotonic()

    def has_left(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at >= _ASK_SECONDS:
            self._asked_at = now
            if not runtime.exists() or runtime.get_instance().is_active_session(self._session_id):
                self._seen_at = now
        return now - self._seen_at >= LEFT_SECONDS


class Task:
    """One piece of work in its thread."""

    def __init__(self, of: Hashable, work: Callable[[Monitor], Any]) -> None:
        self.of = of
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_stopped = threading.Event()
        # The thread alone holds the work, and with it photos, until it ends.
        self.thread = threading.Thread(
            target=self._run, args=(work,), name="background", daemon=True
        )
        self._browser: _Browser | None = None
        if (context := get_script_run_ctx(suppress_warning=True)) is not None:
            add_script_run_ctx(self.thread, context)  # whose visitor's caches it fills
            self._browser = _Browser(context.session_id)
        self.thread.start()

    def _run(self, work: Callable[[Monitor], Any]) -> None:
        monitor = Monitor(self._take, self._must_stop)
        try:
            self.result = work(monitor)
        except BaseException as error:
            self.error = error

    def _must_stop(self) -> bool:
        return self.is_stopped.is_set() or (self._browser is not None and self._browser.has_left())

    @property
    def was_left(self) -> bool:
        """Whether it ended because its browser had gone."""
        return isinstance(self.error, Stopped) and not self.is_stopped.is_set()

    def _take(self, progress: Progress) -> None:
        self.progress = progress


def run_in_background(name: str, of: Hashable, what: str, work: Callable[[Monitor], T]) -> T | None:
    """Return the result of work, or draw how far it is and return None.

    The page is drawn again when it ends. A caller keeps the result: it is handed out once.

    Args:
        name: of the place; work of another ``of`` ends what runs there.
        of: what the work is about.
        what: said beside the progress.
        work: done in a thread that uses no element of Streamlit.

    Raises:
        Exception: what ``work`` raised, once.
    """
    tasks: dict[str, Task] = st.session_state.setdefault(session_keys.TASKS, {})
    task = tasks.get(name)
    if task is None or task.of != of:
        if task is not None:
            task.is_stopped.set()
        task = tasks[name] = Task(of, work)
    task.thread.join(AT_ONCE_SECONDS)
    if task.was_left:
        task = tasks[name] = Task(of, work)
        task.thread.join(AT_ONCE_SECONDS)
    if task.thread.is_alive():
        _draw(name, task, what)
        return None
    if isinstance(task.error, Stopped) or (task.is_stopped.is_set() and task.error):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{plain(what)}: stopped.")
            if st.button("Continue", key=f"{name}_again", icon=":material/play_arrow:"):
                del tasks[name]
                st.rerun()
        return None
    del tasks[name]
    if task.error is not None:
        raise task.error
    result: T = task.result
    return result


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _draw(name: str, task: Task, what: str) -> None:
    if not task.thread.is_alive():
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        progress = task.progress
        share = 0.0 if progress is None else progress.share
        text = f"{what}: starting" if progress is None else progress_text(progress, what)
        st.progress(share, text=plain(text))
        if st.button("Stop", key=f"{name}_stop", icon=":material/stop:"):
            task.is_stopped.set()
