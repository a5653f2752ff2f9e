"""Keeps the web process small, and the collection of garbage short and rare.

A full collection holds Python's lock. Walking the some hundred thousand objects that imports leave
behind takes 100 to 200 ms, in which no picture reaches the browser, and walking what ten visitors'
pages hold takes 25 ms. Streamlit would do that after every run of a script or fragment
(``runner.postScriptGC``, off in ``.streamlit/config.toml``), also after each poll.
"""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import time
from contextlib import suppress

_ARENA_MAX, _NUM_ARENAS = -8, 2  # glibc's mallopt: M_ARENA_MAX and its value
_MMAP_THRESHOLD, _LARGE_BYTES = -3, 256 * 1024  # M_MMAP_THRESHOLD and its value
PAUSE_SECONDS = 5.0


class _Collected:
    """When garbage was last collected, and how many modules' objects are spared from it."""

    at = -math.inf
    num_modules = 0


def collect_garbage() -> None:
    """Collect garbage, and spare what has been imported from all collections to come.

    Every page and fragment calls this at its end; where that was done less than
    ``PAUSE_SECONDS`` ago in this process, nothing happens.
    """
    if time.monotonic() - _Collected.at < PAUSE_SECONDS:
        return
    gc.collect()
    if len(sys.modules) != _Collected.num_modules:
        _Collected.num_modules = len(sys.modules)
        gc.freeze()
    _Collected.at = time.monotonic()


def collect_ended() -> None:
    """Collect what ended sessions held, and return it to the system; 100 to 200 ms.

    A session is a cycle, and one that was open while something was imported is among what is spared
    from collections: it would be kept for good.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _Collected.at = time.monotonic()
    give_back()


def keep_small() -> None:
    """Have threads share memory pools, and pictures lie outside of them, to go when dropped.

    By default each session's thread keeps a pool of its own. Does nothing on systems with
    another C library than glibc.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # another C library than glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_ARENA_MAX, _NUM_ARENAS)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return memory that pictures took for a moment to the system; a few milliseconds.

    Does nothing on systems with another C library.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
