"""Child processes forked from one that has loaded TensorFlow: loading it takes each one seconds."""

from __future__ import annotations

import functools
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_core.processes import Ended

# Nothing of this project, which each child imports for itself. TensorFlow starts no threads until
# it computes, so that a process that has only imported it can be forked.
PRELOADED = ("tensorflow", "keras", "pydantic", "PIL.Image", "safetensors.numpy", "filelock")
_POLL_SECONDS = 0.02


def can_fork() -> bool:
    """Whether this system can fork processes; Windows cannot."""
    return hasattr(os, "fork")


def run_warm(
    command: Sequence[str],
    look: Callable[[], None],
    *,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Do what :func:`tl_core.processes.run_watched` does for a ``module_command``.

    Args:
        command: Python, ``-m``, the module and its arguments.
        look: called several times a second; if it raises, the child is killed.
        environment: by default this process's own.
    """
    python, option, *words = command
    assert (python, option) == (sys.executable, "-m")
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "out"), Path(folder, "log")
        out.touch()
        log.touch()
        arguments = (words, dict(environment or os.environ), str(out), str(log))
        child = _server().Process(target=_run_module, args=arguments)
        child.start()
        try:
            while child.is_alive():
                look()
                child.join(_POLL_SECONDS)
        finally:
            child.kill()
            child.join()
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, log)]
        return Ended(child.exitcode, *texts)


@functools.cache
def _server() -> Any:
    """Return the context of the process that is forked; it ends with this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def _run_module(words: list[str], environment: dict[str, str], out: str, log: str) -> None:
    """Become ``python -m MODULE ARGUMENTS`` that writes to two files."""
    for descriptor, path in enumerate((os.devnull, out, log)):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
