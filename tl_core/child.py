"""Starting a Python process of this package, wherever it is started from.

Child processes keep what is large or cannot be stopped out of the caller. They are started by
module name and never through ``multiprocessing``, whose children run the main module again:
Streamlit makes the page that one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in this Python."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment, changed, in which this package is found."""
    known = os.environ.get("PYTHONPATH")
    path = _PACKAGE_PARENT + (os.pathsep + known if known else "")
    return {**os.environ, "PYTHONPATH": path, **changes}
