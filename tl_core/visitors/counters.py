"""What whoever looks after a hosted demo may know: numbers by day, nothing about a visitor.

They are added up in memory and written a little later, in a thread: strangers can cause many, some
within the loop that serves everyone.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tl_core.files import read_json, write_json
from tl_core.workspace import Workspace

COUNTERS_FILE = "counters.json"
WRITE_SECONDS = 5.0
"""After how long at most a number is written to the disk."""

_NUM_DAYS = 90
_PATIENCE_SECONDS = 1.0

_unwritten: defaultdict[Path, Counter[tuple[str, str]]] = defaultdict(Counter)  # by day and name
_lock = threading.Lock()
_writing = threading.Lock()


def count(host: Workspace, name: str, number: int = 1) -> None:
    """Add to the counter of today, without waiting for the disk."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    with _lock:
        is_first = not _unwritten
        _unwritten[host.root][day, name] += number
    if is_first:
        timer = threading.Timer(WRITE_SECONDS, write_counters)
        timer.daemon = True
        timer.start()


@atexit.register
def write_counters() -> None:
    """Write what was counted; it is tried once, and what cannot be written is lost."""
    with _writing:
        with _lock:
            unwritten = dict(_unwritten)
            _unwritten.clear()
        for root, added in unwritten.items():
            with suppress(OSError, Timeout):
                _write(root, added)


def _write(root: Path, added: Counter[tuple[str, str]]) -> None:
    path = root / COUNTERS_FILE
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=_PATIENCE_SECONDS):
        counters = _read(path)
        for (day, name), number in added.items():
            of_day = counters.setdefault(day, {})
            of_day[name] = of_day.get(name, 0) + number
        write_json(path, {day: counters[day] for day in sorted(counters)[-_NUM_DAYS:]})


def read_counters(host: Workspace) -> dict[str, dict[str, int]]:
    """Return the counters by day (UTC), such as ``{"2026-08-01": {"visitors": 12}}``."""
    write_counters()
    return _read(host.root / COUNTERS_FILE)


def _read(path: Path) -> dict[str, dict[str, int]]:
    try:
        stored: Any = read_json(path)
        return {
            str(day): {str(name): int(number) for name, number in counters.items()}
            for day, counters in stored.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
