"""What Streamlit's server keeps and tells beyond what the app needs.

Streamlit has no settings for either, so this uses its internals; where another version differs,
nothing is done.
"""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from typing import Any

from streamlit import runtime

from ui.shared.memory import give_back

_SWEEP_SECONDS = 15.0
_started: list[threading.Thread] = []


def tidy_server() -> None:
    """Publish no figures of the server, and drop sessions that nobody comes back to.

    The address ``/_stcore/metrics`` tells anyone who reaches the server its sessions and memory.
    """
    if not runtime.exists():
        return
    server: Any = runtime.get_instance()
    with suppress(AttributeError):
        server.stats_mgr._providers_by_family.clear()
    with suppress(AttributeError):
        storage = server._session_mgr._session_storage
        if not any(thread.is_alive() for thread in _started):
            _started.append(
                threading.Thread(target=_sweep, args=(storage,), name="sessions", daemon=True)
            )
            _started[-1].start()


def _sweep(storage: Any) -> None:
    wait = threading.Event()
    with suppress(AttributeError):
        while not wait.wait(_SWEEP_SECONDS):
            with suppress(RuntimeError):  # one came or went meanwhile: at the next turn
                drop_expired(storage)


def drop_expired(storage: Any) -> int:
    """Drop the disconnected sessions whose time is over, with their uploads; return how many.

    Streamlit keeps a session for two minutes after its browser has gone, but drops those that are
    over only when another one comes or goes.
    """
    removed = storage._cache.expire()
    number = len(removed)
    if removed:
        removed.clear()
        gc.collect()  # a session ends, and its uploads go, when nothing refers to it any more
        give_back()
    return number
