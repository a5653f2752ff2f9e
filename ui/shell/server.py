"""What Streamlit's server keeps, tells and mixes up beyond what the app needs.

Streamlit has no settings for it, so this uses its internals; where another version differs,
nothing is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from streamlit import runtime
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests, ScriptRequestType

from ui.hosted.internals import ask_for_no_address
from ui.shared.memory import collect_ended

_SWEEP_SECONDS = 15.0
_started: list[threading.Thread] = []
_mended: dict[tuple[type, str], Any] = {}  # Streamlit's own methods, by class and name


def tidy_server() -> None:
    """Publish no figures, drop sessions that nobody comes back to, and polls that come too late.

    The address ``/_stcore/metrics`` tells anyone who reaches the server its sessions and memory.
    """
    if not runtime.exists():
        return
    drop_late_polls()
    ask_for_no_address()
    server: Any = runtime.get_instance()
    with suppress(AttributeError):
        server.stats_mgr._providers_by_family.clear()
    with suppress(AttributeError):
        manager = server._session_mgr
        if not any(thread.is_alive() for thread in _started):
            _started.append(
                threading.Thread(target=_sweep, args=(manager,), name="sessions", daemon=True)
            )
            _started[-1].start()


def drop_late_polls() -> None:
    """Have no part of a page that polls undo the way to another page.

    Its timer in the browser asks with the page that it is of. Streamlit merges a request that comes
    between a click to another page and the start of that page with the click, and draws the page
    that was left again; one that comes later is drawn into the wrong page.
    """
    if _mended:
        return
    with suppress(AttributeError):
        take, ask = ScriptRequests._request_rerun_locked, AppSession.request_rerun

        def take_unless_late(self: Any, new: Any) -> bool:
            if not (new.is_auto_rerun and new.fragment_id):
                self._studio_page = new.page_script_hash or getattr(self, "_studio_page", "")
                return take(self, new)
            pending = self._rerun_data if self._state is ScriptRequestType.RERUN else None
            if pending is not None and not pending.fragment_id_queue:
                return True  # all is drawn again anyway
            return is_late(new, getattr(self, "_studio_page", "")) or take(self, new)

        def ask_unless_late(self: Any, state: Any) -> None:
            if state is None or not is_late(state, self._client_state.page_script_hash):
                ask(self, state)

        mend(ScriptRequests, "_request_rerun_locked", take_unless_late)
        mend(AppSession, "request_rerun", ask_unless_late)


def mend(owner: type, name: str, function: Callable[..., Any]) -> None:
    """Put a function of ours in the place of a method, once for each process."""
    _mended[owner, name] = getattr(owner, name)
    setattr(owner, name, function)


def is_late(request: Any, page: str) -> bool:
    """Return whether a timer asks for a page that is not the one in view any more."""
    asked: str = request.page_script_hash
    return bool(request.is_auto_rerun and asked and page and asked != page)


def _sweep(manager: Any) -> None:
    wait, known = threading.Event(), frozenset[str]()
    with suppress(AttributeError):
        while not wait.wait(_SWEEP_SECONDS):
            with suppress(RuntimeError):  # one came or went meanwhile: at the next turn
                known = drop_ended(manager, known)


def drop_ended(manager: Any, known: frozenset[str]) -> frozenset[str]:
    """Drop the sessions whose time is over, and free what all that ended since have held.

    Streamlit keeps a session for two minutes after its browser has gone, but drops those that are
    over only when another one comes or goes; and it ends, and its uploads go, when nothing refers
    to it any more.

    Args:
        manager: Streamlit's of sessions.
        known: the ids of the sessions that there were the last time.

    Returns:
        Those that there are now.
    """
    kept = manager._session_storage._cache
    kept.expire()
    now = frozenset((*manager._active_session_info_by_id, *kept))
    if known - now:
        collect_ended()
    return now
