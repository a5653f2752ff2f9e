"""Start, observe and end the worker process.

Its state is in ``worker.json`` in the queue folder; ``python -m tl_core.jobs`` is the process.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tl_core.files import plain_storage_errors, read_json, write_json
from tl_core.logs import readable
from tl_core.processes import child_environment, is_alive, module_command, own_identity
from tl_core.runs.files import tail
from tl_core.workspace import Workspace

PROCESS_MODULE = "tl_core.jobs"
WORKER_FILE = "worker.json"
USERS_FILE = "worker_users.json"
LOG_NAME = "worker.log"
OUTPUT_NAME = "worker_output.log"  # what libraries print, and why it ended
IDLE_ENVIRONMENT_NAME = "TL_WORKER_IDLE_SECONDS"
DEFAULT_IDLE_SECONDS = 1800.0

_log = logging.getLogger(__name__)

_MAX_LOG_BYTES = 4 * 2**20
_LONGEST_PAUSE_SECONDS = 60.0
_SOON_SECONDS = 90.0  # longer than the longest pause: what dies sooner may never get to work


@dataclass(frozen=True)
class WorkerState:
    """The state of the worker.

    ``state`` is ``none``, ``starting``, ``idle``, ``busy`` or ``exiting``; ``warm`` is whether
    preloading is complete.
    """

    alive: bool
    state: str
    pid: int | None = None
    warm: bool = False
    job_id: str | None = None
    message: str = ""


def worker_state(workspace: Workspace) -> WorkerState:
    """Return the state of the workspace's worker, from disk and the process table."""
    workspace = workspace.host or workspace
    try:
        record: dict[str, Any] = read_json(workspace.queue_dir / WORKER_FILE)
        alive = is_alive(record["pid"], record["pid_create_time"])
        if not alive:
            return WorkerState(alive=False, state="none")
        return WorkerState(
            alive=True,
            state=str(record["state"]),
            pid=record["pid"],
            warm=bool(record.get("warm")),
            job_id=record.get("job_id"),
            message=str(record.get("message") or ""),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return WorkerState(alive=False, state="none")


def ensure_worker(workspace: Workspace, *, warm: bool = True) -> None:
    """Start the worker unless one is running; returns at once.

    Cheap enough to call whenever the queue is read, which also restarts a worker that died.
    With ``warm`` it preloads slow imports. The calling process is recorded as a user of the worker,
    which exits when the last of them has ended and nothing is left to train.

    Workers that die repeatedly soon after their start are restarted after 2 s, 4 s, ... 60 s.

    Raises:
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    workspace = workspace.host or workspace  # visitors of a demo share its worker
    with plain_storage_errors(workspace.root):
        workspace.queue_dir.mkdir(parents=True, exist_ok=True)
        with spawn_lock(workspace):
            _record_user(workspace)
            current = worker_state(workspace)
            if (current.alive and current.state != "exiting") or _must_wait(workspace, current):
                return
            _start(workspace, warm)


@dataclass(frozen=True)
class _Start:
    """The last start of a workspace's worker by this process, in seconds of the clock.

    ``num_deaths`` counts the workers before it that died, each soon after its start.
    """

    process: subprocess.Popen[bytes]
    time: float
    num_deaths: int


_starts: dict[Path, _Start] = {}


def _must_wait(workspace: Workspace, current: WorkerState) -> bool:
    """Whether another worker would come too soon, or beside one that could not write its state."""
    last = _starts.get(workspace.root)
    if last is None or current.state == "exiting":
        return False
    code = last.process.poll()
    if code is None:
        return True
    pause = min(2.0**last.num_deaths, _LONGEST_PAUSE_SECONDS) if last.num_deaths else 0.0
    return code != 0 and time.monotonic() - last.time < pause


def _start(workspace: Workspace, warm: bool) -> None:
    num_deaths, now = 0, time.monotonic()
    last = _starts.get(workspace.root)
    if last is not None and last.process.poll() and now - last.time < _SOON_SECONDS:
        num_deaths = last.num_deaths + 1
    process = _spawn(workspace, warm)
    _starts[workspace.root] = _Start(process, now, num_deaths)
    record = {"state": "starting", "warm": False, "job_id": None, "message": ""}
    with suppress(OSError):  # the process may have ended already
        record.update(_identity_of(process.pid))
        write_json(workspace.queue_dir / WORKER_FILE, record)


def chosen_idle_seconds() -> float:
    """Return ``TL_WORKER_IDLE_SECONDS`` if it is valid, else the default."""
    text = os.environ.get(IDLE_ENVIRONMENT_NAME, "").strip()
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    if text:
        _log.warning(
            "%s: expected seconds such as 600, received '%s'; using %g instead",
            IDLE_ENVIRONMENT_NAME,
            text,
            DEFAULT_IDLE_SECONDS,
        )
    return DEFAULT_IDLE_SECONDS


def has_users(workspace: Workspace) -> bool:
    """Whether a recorded user process is still running; True if none was recorded."""
    users = _users(workspace)
    return not users or any(is_alive(pid, create_time) for pid, create_time in users)


def end_worker(workspace: Workspace, wait_seconds: float = 5.0) -> None:
    """Kill the worker and its children; its run becomes ``interrupted``, the queue remains."""
    import psutil

    current = worker_state(workspace)
    if not current.alive or current.pid is None:
        return
    with suppress(psutil.NoSuchProcess):
        worker = psutil.Process(current.pid)
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=wait_seconds)


def worker_log_tail(workspace: Workspace, num_lines: int = 20) -> list[str]:
    """Return the last lines of the worker's log, to diagnose a worker that died early.

    A visitor of a demo sees none: they are of all visitors.
    """
    if workspace.host is not None:
        return []
    records = [readable(line) for line in tail(workspace.logs_dir / LOG_NAME, num_lines)]
    output = tail(workspace.logs_dir / OUTPUT_NAME, num_lines)
    return "\n".join([*records, *output]).splitlines()[-2 * num_lines :]


def spawn_lock(workspace: Workspace) -> FileLock:
    """Return the lock held while a worker is started, or decides to exit."""
    return FileLock(workspace.queue_dir / "spawn.lock")


def _users(workspace: Workspace) -> list[list[float]]:
    """Return pid and start time of every process recorded as a user of the worker."""
    try:
        return [[pid, start] for pid, start in read_json(workspace.queue_dir / USERS_FILE)]
    except (OSError, ValueError, TypeError):
        return []


def _record_user(workspace: Workspace) -> None:
    """Add this process to the users of the worker, and drop those that have ended."""
    this = list(own_identity().values())
    users = _users(workspace)
    if this not in users:
        living = [user for user in users if is_alive(*user)]
        with suppress(OSError):
            write_json(workspace.queue_dir / USERS_FILE, [*living, this])


def _spawn(workspace: Workspace, warm: bool) -> subprocess.Popen[bytes]:
    command = module_command(PROCESS_MODULE, str(workspace.root.absolute()))
    environment = child_environment(
        PYTHONUNBUFFERED="1",
        TF_CPP_MIN_LOG_LEVEL=os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    )
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        detached = {"creationflags": flags}
    with _open_log(workspace) as log:
        return subprocess.Popen(
            [*command, *([] if warm else ["--cold"])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            close_fds=True,
            **detached,
        )


def _open_log(workspace: Workspace) -> Any:
    """Open the file of what the worker prints; a large one is rotated, keeping one old file.

    Nothing is logged when it cannot be opened.
    """
    path = workspace.logs_dir / OUTPUT_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


def _identity_of(pid: int) -> dict[str, float]:
    import psutil

    try:
        return {"pid": pid, "pid_create_time": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess as error:
        raise OSError(f"process {pid} has ended") from error
