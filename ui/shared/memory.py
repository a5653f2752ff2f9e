"""Keeps the web process small, and Streamlit's garbage collection after every script run short.

The collection is a full one and holds Python's lock. Walking the some hundred thousand objects
that imports leave behind takes 100 to 200 ms, in which no picture reaches the browser.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

_ARENA_MAX, _NUM_ARENAS = -8, 2  # glibc's mallopt: M_ARENA_MAX and its value
_MMAP_THRESHOLD, _LARGE_BYTES = -3, 256 * 1024  # M_MMAP_THRESHOLD and its value


class _Frozen:
    """How many modules there were when their objects were last set aside."""

    num_modules = 0


def set_imports_aside() -> None:
    """Spare what was imported since the last call from all garbage collections to come."""
    if len(sys.modules) != _Frozen.num_modules:
        _Frozen.num_modules = len(sys.modules)
        gc.collect()
        gc.freeze()


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
