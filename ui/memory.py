"""Keeps Streamlit's garbage collection after every run of a script short.

It collects in full each time and holds Python's lock meanwhile. Walking the some hundred thousand
objects that imports leave behind takes 100 to 200 ms, in which no picture reaches the browser.
"""

from __future__ import annotations

import gc
import sys


class _Frozen:
    """How many modules there were when their objects were last set aside."""

    num_modules = 0


def set_imports_aside() -> None:
    """Spare what was imported since the last call from all garbage collections to come."""
    if len(sys.modules) != _Frozen.num_modules:
        _Frozen.num_modules = len(sys.modules)
        gc.collect()
        gc.freeze()
