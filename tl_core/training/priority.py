"""Work that nobody waits for, done so that whoever is waited for gets the cores first."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

_NICENESS = 10  # a page among busy lanes then answers about as fast as on an idle machine


def run_in_background(work: Callable[[], None]) -> None:
    """Do ``work`` at low priority and return when it is done.

    On Linux each thread has a priority of its own, which it may lower but not raise, and hands on
    to the threads it starts. So a thread is started for the work alone. Elsewhere the work is done
    as any other.

    Raises:
        Exception: whatever ``work`` raised.
    """
    if sys.platform != "linux":
        work()
        return
    with ThreadPoolExecutor(1, "background", initializer=_lower_own_priority) as thread:
        thread.submit(work).result()


def _lower_own_priority() -> None:
    with suppress(OSError):  # a system may refuse; then the work is done as any other
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(own, _NICENESS))
