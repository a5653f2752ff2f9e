"""The files of a run directory: their names, how they are read, and who writes the status.

Used by :mod:`tl_core.runs.store`, which interprets them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from tl_core.errors import RunError
from tl_core.features.hardware import num_memory_kills
from tl_core.files import read_json, write_json
from tl_core.processes import is_alive, own_identity

RUN_SCHEMA = 1

RunState = Literal["queued", "running", "finished", "stopped", "failed", "interrupted", "damaged"]

HISTORY_COLUMNS = (
    "phase",
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "seconds",
)

CONFIG_FILE = "config.json"
CLASSES_FILE = "classes.json"
SPLIT_FILE = "split.csv"
ORIGIN_FILE = "origin.json"
WEIGHTS_FILE = "weights.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
HISTORY_FILE = "history.csv"
METRICS_FILE = "metrics.json"
EVENTS_FILE = "events.jsonl"
STATUS_FILE = "status.json"
LOG_FILE = "log.txt"
META_FILE = "meta.json"
LEFT_OUT_FILE = "left_out.csv"

_LOG_TAIL_BYTES = 64 * 1024


def read_status(run_dir: Path) -> dict[str, Any]:
    """Return the content of ``status.json``.

    Raises:
        RunError: it is missing, unreadable or of a newer schema.
    """
    status: dict[str, Any] = read_file(run_dir, STATUS_FILE, dict)
    schema = status.get("schema")
    if not isinstance(schema, int) or schema > RUN_SCHEMA:
        raise RunError(
            f"Run '{run_dir.name}' has schema {schema}, this version reads up to {RUN_SCHEMA}. "
            "Open it with the version that wrote it, or update."
        )
    return status


def create_status(folder: Path) -> None:
    """Write the first ``status.json``, in state ``queued``."""
    unknown = dict.fromkeys(("started", "ended", "pid", "pid_create_time", "phase", "epoch"))
    write_json(
        folder / STATUS_FILE,
        {"schema": RUN_SCHEMA, "state": "queued", "created": now(), **unknown, "message": ""},
    )


def state_of(status: dict[str, Any]) -> RunState:
    """Return the state of a status; a run whose process has ended is ``interrupted``.

    One that is stopped so that others have a turn is ``queued``, before its job is.
    """
    state = status.get("state")
    if state == "stopped" and status.get("is_paused") is True:
        return "queued"
    if state == "running" and not is_alive(status.get("pid"), status.get("pid_create_time")):
        return "interrupted"
    return next((known for known in get_args(RunState) if known == state), "damaged")


def update_status(run_dir: Path, **changes: Any) -> None:
    """Change fields of ``status.json``; only for the process that trains or has ended the run.

    Raises:
        RunError: the run is missing or unreadable.
    """
    write_json(run_dir / STATUS_FILE, {**read_status(run_dir), **changes})


def end_run(run_dir: Path, state: RunState, message: str = "") -> None:
    """Mark the run as over."""
    update_status(run_dir, state=state, ended=now(), message=message)


def put_back_run(run_dir: Path, *, is_continued: bool) -> None:
    """Mark a run or search as queued again.

    Args:
        run_dir: its folder.
        is_continued: whether it had to make place for others, and nobody asked for it again.
    """
    changes = {"state": "queued", "ended": None, "message": "", "is_paused": False}
    update_status(run_dir, **changes, is_continued=is_continued)


def is_continued(run_dir: Path) -> bool:
    """Whether a run had to make place for others when it was trained last."""
    return read_status(run_dir).get("is_continued") is True


def start_run(run_dir: Path, phase: str) -> None:
    """Mark the run as being trained by this process."""
    update_status(
        run_dir,
        state="running",
        started=now(),
        phase=phase,
        message="",
        is_paused=False,
        memory_kills=num_memory_kills(),
        **own_identity(),
    )


def was_killed_for_memory(status: dict[str, Any]) -> bool:
    """Whether the system has ended a process for lack of memory since the work was started."""
    before = status.get("memory_kills")
    return isinstance(before, int) and 0 <= before < num_memory_kills()


def tail(path: Path, num_lines: int) -> list[str]:
    """Return the last lines of a text file without reading all of it; empty if it is missing."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-num_lines:]


def read_file(run_dir: Path, name: str, kind: type) -> Any:
    """Read one of the run's JSON files and check that it holds a ``kind``.

    Raises:
        RunError: the run or the file is missing or unreadable, or has another content.
    """
    try:
        value = read_json(run_dir / name)
    except FileNotFoundError as error:
        what = f"has no {name}" if run_dir.is_dir() else "does not exist"
        raise RunError(f"Run '{run_dir.name}' {what} in '{run_dir.parent}'.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"Run '{run_dir.name}' has an unreadable {name}: {error}.") from error
    if not isinstance(value, kind):
        raise RunError(f"Run '{run_dir.name}' has an unexpected {name}.")
    return value


def check_metrics(run_dir: Path, metrics: dict[str, Any]) -> None:
    """See that the figures of a run are of the kinds that tables and charts take.

    Raises:
        RunError: one is of another kind.
    """
    for name, value in metrics.items():
        if name.endswith("_interval"):
            is_sound = value is None or (_are_numbers(value, list) and len(value) == 2)
        elif name in ("num_images", "seconds"):
            is_sound = _are_numbers(value, dict)
        elif name == "best_epoch":
            is_sound = isinstance(value, int)
        elif name == "best_phase":
            is_sound = isinstance(value, str)
        elif name.endswith(("_accuracy", "_loss")):
            is_sound = value is None or isinstance(value, int | float)
        else:
            is_sound = True
        if not is_sound:
            raise RunError(
                f"Run '{run_dir.name}' has an unexpected {name} in {METRICS_FILE}: {value!r}."
            )


def _are_numbers(value: Any, kind: type[list[Any] | dict[str, Any]]) -> bool:
    if not isinstance(value, kind):
        return False
    found = value.values() if isinstance(value, dict) else value
    return all(isinstance(one, int | float) for one in found)


def now() -> str:
    """Return the current time as stored: ISO 8601 with time zone."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
