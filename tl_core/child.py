"""Starting a Python process of this package, wherever it is started from.

Child processes keep what is large or cannot be stopped out of the caller. They are started by
module name and never through ``multiprocessing``, whose children run the main module again:
Streamlit makes the page that one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tl_core import errors

_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package in this Python."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment, changed, in which this package is found."""
    known = os.environ.get("PYTHONPATH")
    path = _PACKAGE_PARENT + (os.pathsep + known if known else "")
    return {**os.environ, "PYTHONPATH": path, **changes}


def say_error(error: errors.TLError) -> None:
    """Tell the caller of this process, in one line on stdout, what :func:`said_error` reads."""
    print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)


def said_error(line: str) -> errors.TLError | None:
    """Return the error that a child process told of, None for any other line.

    A child that fails without such a line has met a bug or was ended; what it wrote is for a log.
    """
    try:
        answer = json.loads(line)
        error = getattr(errors, answer["error"])(answer["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return error if isinstance(error, errors.TLError) else None


def ended_by(returncode: int) -> str:
    """Return in words how a process was ended from outside; empty when it ended by itself."""
    if returncode >= 0:
        return ""
    return f"its process was ended by signal {-returncode}, most likely for lack of memory"
