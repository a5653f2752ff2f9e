"""Run modules of this package in child processes, and work at low priority.

Child processes isolate work that needs much memory or cannot be interrupted. They are started by
module name and never through ``multiprocessing``, whose children import the main module, which in
Streamlit is the page.
"""

from __future__ import annotations

import contextvars
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tl_core import errors
from tl_core.progress import SILENT, Monitor

_POLL_SECONDS = 0.05
_NICENESS = 10  # pages then respond about as fast as on an idle machine


class BackgroundImport:
    """An import of TensorFlow and Keras in a background thread, started on creation."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._load, name="import-tensorflow", daemon=True)
        self._thread.start()
        while "tensorflow" not in sys.modules and self._thread.is_alive():
            time.sleep(0.001)  # from now on other threads see that it is loading and wait

    def wait(self, monitor: Monitor = SILENT) -> None:
        """Wait until TensorFlow can be used.

        Raises:
            Stopped: ``monitor`` was asked to stop before that; the import continues.
        """
        while self._thread.is_alive():
            monitor.check()
            self._thread.join(_POLL_SECONDS)
        if self._error is not None:
            raise self._error

    def _load(self) -> None:
        try:
            if "tensorflow" not in sys.modules:
                os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # suppress its log messages
            import tensorflow  # noqa: F401, I001  first: Keras importing it halfway is slower
            import keras  # noqa: F401
        except BaseException as error:
            self._error = error


def run_at_low_priority(work: Callable[[], None]) -> None:
    """Run ``work`` at low priority and return when it is done.

    On Linux each thread has its own priority, which can be lowered but not raised and is inherited
    by the threads it starts, so ``work`` runs in a separate thread. On other systems it runs at
    normal priority.

    Raises:
        Exception: an error of ``work``.
    """
    if sys.platform != "linux":
        work()
        return
    with ThreadPoolExecutor(1, "background", initializer=lower_own_priority) as thread:
        thread.submit(contextvars.copy_context().run, work).result()


def lower_own_priority() -> None:
    """Lower the priority of this thread, and of the threads and processes that it starts.

    A process that calls this first has a low priority as a whole. Of processes that were replaced
    by :func:`os.execv` nothing is lowered twice. On Windows nothing is done.
    """
    if sys.platform == "win32":
        return
    with suppress(OSError):  # if not permitted, the work runs at normal priority
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(own, _NICENESS))


_CLOCK_SLACK_SECONDS = 2.0  # the system clock may be changed while a process runs


def own_identity() -> dict[str, float]:
    """Return ``pid`` and ``pid_create_time`` of this process, as stored in files.

    The system reuses pids; together with the start time it identifies a process.
    """
    return dict(_identity_of(os.getpid()))


def family_memory() -> int:
    """Return the bytes of memory that this process and its children hold.

    Pages that a program shares with others, which are nearly all those of its libraries, are
    counted once for all its processes, at the most that one of them has: in each of a browser's
    processes they are the same.
    """
    import psutil

    own, shared = 0, dict[str, int]()
    process = psutil.Process()
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended
            held = one.memory_info()
            num_shared = getattr(held, "shared", 0)  # known on Linux alone
            name = one.name() if num_shared else ""
            own += held.rss - num_shared
            shared[name] = max(shared.get(name, 0), num_shared)
    return own + sum(shared.values())


def end_children() -> None:
    """Kill the children of this process, and theirs."""
    import psutil

    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            one.kill()


_PARENT_SECONDS = 1.0


def end_with_parent() -> None:
    """End this process soon after the one that started it, however that ends.

    For a child that computes and reads no pipe: nobody would take its result, and it would hold its
    memory until it is done. On Windows it is not ended.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@functools.lru_cache(maxsize=1)
def _identity_of(pid: int) -> dict[str, float]:
    import psutil

    return {"pid": pid, "pid_create_time": psutil.Process(pid).create_time()}


def is_alive(pid: object, create_time: object) -> bool:
    """Whether the process with this pid and start time is running; zombies are not."""
    if not isinstance(pid, int) or not isinstance(create_time, int | float):
        return False
    import psutil

    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - create_time) > _CLOCK_SLACK_SECONDS:
            return False
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):  # the last two for a number that is no pid
        return False


_POLL_SECONDS = 0.1
_PACKAGE_PARENT = str(Path(__file__).resolve().parent.parent)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package with this Python."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(**changes: str) -> dict[str, str]:
    """Return a copy of this environment, with changes, in which this package can be imported."""
    known = os.environ.get("PYTHONPATH")
    path = _PACKAGE_PARENT + (os.pathsep + known if known else "")
    return {**os.environ, "PYTHONPATH": path, **changes}


@dataclass(frozen=True)
class Ended:
    """How a child process ended: exit code, and what it wrote to stdout and stderr."""

    returncode: int
    out: str
    log: str

    @property
    def reason(self) -> str:
        """Why it failed, if known: the signal that ended it, or the last line it wrote."""
        lines = self.log.strip().splitlines() or ["no reason was given"]
        return exit_reason(self.returncode) or lines[-1]


def run_watched(
    command: Sequence[str],
    look: Callable[[], None],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run a command to completion, and kill it and its children if ``look`` raises.

    Args:
        command: program and arguments.
        look: called several times a second.
        environment: by default this process's own.
        cwd: the working directory.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment, cwd=cwd
        )
        try:
            while child.poll() is None:
                look()
                time.sleep(_POLL_SECONDS)
        finally:
            if child.poll() is None:
                _kill_with_children(child)
        texts = []
        for stream in (out, log):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", errors="replace"))
        return Ended(child.returncode, *texts)


def _kill_with_children(child: subprocess.Popen[bytes]) -> None:
    import psutil

    try:
        family = psutil.Process(child.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    child.kill()
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    child.wait()


def print_error(error: errors.TLError) -> None:
    """Print an error as one line on stdout, which the parent reads with :func:`parse_error`."""
    print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)


def parse_error(line: str) -> errors.TLError | None:
    """Return the error that a child process printed, None for any other line.

    A child that fails without such a line has a bug or was killed; its output goes to a log.
    """
    try:
        answer = json.loads(line)
        error = getattr(errors, answer["error"])(answer["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return error if isinstance(error, errors.TLError) else None


def exit_reason(returncode: int) -> str:
    """Return how a process was killed, for a message; empty if it was not killed."""
    if returncode >= 0:
        return ""
    name = _signal_name(-returncode)
    why = ", most likely for lack of memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{why}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
