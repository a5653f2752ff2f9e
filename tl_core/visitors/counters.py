"""What whoever looks after a hosted demo may know: numbers by day, nothing about a visitor."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from filelock import FileLock, Timeout

from tl_core.files import read_json, write_json
from tl_core.workspace import Workspace

COUNTERS_FILE = "counters.json"
_NUM_DAYS = 90
_PATIENCE_SECONDS = 1.0


def count(host: Workspace, name: str, number: int = 1) -> None:
    """Add to the counter of today; nothing is raised when it cannot be written."""
    path = host.root / COUNTERS_FILE
    with suppress(OSError, Timeout):
        host.root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_PATIENCE_SECONDS):
            counters = read_counters(host)
            day = counters.setdefault(time.strftime("%Y-%m-%d", time.gmtime()), {})
            day[name] = day.get(name, 0) + number
            kept = sorted(counters)[-_NUM_DAYS:]
            write_json(path, {one: counters[one] for one in kept})


def read_counters(host: Workspace) -> dict[str, dict[str, int]]:
    """Return the counters by day (UTC), such as ``{"2026-08-01": {"visitors": 12}}``."""
    try:
        stored: Any = read_json(host.root / COUNTERS_FILE)
        return {
            str(day): {str(name): int(number) for name, number in counters.items()}
            for day, counters in stored.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
