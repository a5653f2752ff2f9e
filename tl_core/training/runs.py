"""The run directory: everything there is to know about one training run, in plain files.

    config.json classes.json split.csv      what was asked for, and on which images
    origin.json                             data folder, its fingerprint, package versions
    weights.safetensors                     the head of the best epoch
    checkpoint.safetensors                  the last epoch: head, optimizer state, history
    history.csv metrics.json events.jsonl   what came out
    status.json log.txt                     how it went; written by whoever trains
    meta.json                               name and notes; written by whoever renames

A folder appears whole, and each file in it is written whole or not at all. Nothing about a run
is kept anywhere else, so that any process can show it.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_core.config import TrainConfig
from tl_core.errors import RunError, TLError
from tl_core.files import write_json, write_text
from tl_core.training.events import read_events
from tl_core.training.run_files import (
    CLASSES_FILE,
    CONFIG_FILE,
    EVENTS_FILE,
    HISTORY_COLUMNS,
    HISTORY_FILE,
    LOG_FILE,
    META_FILE,
    METRICS_FILE,
    ORIGIN_FILE,
    RUN_SCHEMA,
    SPLIT_FILE,
    STATUS_FILE,
    WEIGHTS_FILE,
    RunState,
    now,
    read_file,
    read_status,
    state_of,
    tail,
)
from tl_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from tl_core.data.split import SplitRow

_INTERRUPTED_MESSAGE = "The process that trained it ended unexpectedly."


@dataclass(frozen=True)
class Run:
    """One run directory, read anew at each question, so that it is never out of date."""

    run_dir: Path

    @property
    def id(self) -> str:
        """The folder's name, unique among the runs beside it."""
        return self.run_dir.name

    @property
    def status(self) -> dict[str, Any]:
        """The content of ``status.json``.

        Raises:
            RunError: it is missing, unreadable or of a newer schema.
        """
        return read_status(self.run_dir)

    @property
    def state(self) -> RunState:
        """What the run is at: never raises, a run that :func:`load_run` refuses is ``damaged``."""
        try:
            _ = self.config
            return state_of(self.status)
        except RunError:
            return "damaged"

    @property
    def is_active(self) -> bool:
        """Whether the run waits or is being trained, so that its files may still change."""
        return self.state in ("queued", "running")

    @property
    def message(self) -> str:
        """Why the run is in its state, in words for the user; often empty."""
        try:
            _ = self.config
            message = str(self.status.get("message") or "")
        except RunError as error:
            return str(error)
        return message or (_INTERRUPTED_MESSAGE if self.state == "interrupted" else "")

    @property
    def created(self) -> datetime:
        """When the run was asked for; for a damaged run the folder's time."""
        with suppress(TLError, KeyError, TypeError, ValueError):
            return datetime.fromisoformat(self.status["created"])
        with suppress(OSError):
            return datetime.fromtimestamp(self.run_dir.stat().st_mtime, UTC)
        return datetime.fromtimestamp(0, UTC)

    @functools.cached_property
    def config(self) -> TrainConfig:
        """The settings of the run.

        Raises:
            RunError: ``config.json`` is missing or wrong.
        """
        try:
            return TrainConfig.from_json((self.run_dir / CONFIG_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"Run '{self.id}' has no readable {CONFIG_FILE}: {error}") from error

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the labels; empty until the data was read."""
        if not (self.run_dir / CLASSES_FILE).exists():
            return ()
        return tuple(str(name) for name in read_file(self.run_dir, CLASSES_FILE, list))

    @property
    def origin(self) -> dict[str, Any]:
        """Data folder, its fingerprint, package versions: what the settings do not say.

        Raises:
            RunError: ``origin.json`` is missing or unreadable.
        """
        return read_file(self.run_dir, ORIGIN_FILE, dict)

    @property
    def data_dir(self) -> Path:
        """The folder the run was trained on."""
        return _workspace_of(self.run_dir).resolve(str(self.origin.get("data_dir", "")))

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that repeats the run, as a list of arguments."""
        config = str(self.run_dir / CONFIG_FILE)
        return "python", "-m", "tl_core", "train", str(self.data_dir), "--config", config

    @property
    def name(self) -> str:
        """The name given by the user, or the folder's."""
        return str(self._meta.get("name") or self.id)

    @property
    def notes(self) -> str:
        """What the user wrote about the run."""
        return str(self._meta.get("notes") or "")

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures of the best epoch; empty until there is one.

        Raises:
            RunError: ``metrics.json`` is unreadable.
        """
        if not (self.run_dir / METRICS_FILE).exists():
            return {}
        return read_file(self.run_dir, METRICS_FILE, dict)

    @property
    def is_loadable(self) -> bool:
        """Whether the run can classify: it is readable and has weights, finished or not."""
        needed = (CONFIG_FILE, CLASSES_FILE, WEIGHTS_FILE)
        return self.state != "damaged" and all((self.run_dir / name).exists() for name in needed)

    def history(self) -> pd.DataFrame:
        """Return the table of epochs, with the columns of ``HISTORY_COLUMNS``.

        Raises:
            RunError: ``history.csv`` is unreadable.
        """
        import pandas as pd

        path = self.run_dir / HISTORY_FILE
        if not path.exists():
            return pd.DataFrame(columns=list(HISTORY_COLUMNS))
        try:
            return pd.read_csv(path, float_precision="round_trip")
        except (OSError, ValueError) as error:
            raise RunError(f"Run '{self.id}' has no readable {HISTORY_FILE}: {error}") from error

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the events from ``offset`` on, and the offset for the next call."""
        return read_events(self.run_dir / EVENTS_FILE, offset)

    def split(self) -> list[SplitRow]:
        """Return which image was in which part; empty until the data was split."""
        from tl_core.data.split import read_split

        path = self.run_dir / SPLIT_FILE
        return read_split(path) if path.exists() else []

    def log_tail(self, num_lines: int = 20) -> list[str]:
        """Return the last lines of the run's log."""
        return tail(self.run_dir / LOG_FILE, num_lines)

    @property
    def _meta(self) -> dict[str, Any]:
        with suppress(RunError):
            return read_file(self.run_dir, META_FILE, dict)
        return {}


def create_run(
    runs_dir: Path | str, config: TrainConfig, data_dir: Path | str, *, name: str | None = None
) -> Run:
    """Create a queued run in a new folder below ``runs_dir``, named after time and backbone."""
    runs_dir = Path(runs_dir)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}_{config.backbone}"
    number = 1
    while True:
        run_dir = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            return create_run_at(run_dir, config, data_dir, name=name)
        except FileExistsError:
            number += 1


def create_run_at(
    run_dir: Path, config: TrainConfig, data_dir: Path | str, *, name: str | None = None
) -> Run:
    """Create a queued run in exactly this folder, which may exist only if it is empty.

    Raises:
        FileExistsError: something is there already.
    """
    run_dir = Path(run_dir).absolute()
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = run_dir.with_name(f".{run_dir.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        write_text(temporary / CONFIG_FILE, config.to_json())
        write_json(temporary / META_FILE, {"name": name, "notes": ""})
        write_json(
            temporary / ORIGIN_FILE,
            {"schema": RUN_SCHEMA, "data_dir": _workspace_of(run_dir).relative(Path(data_dir))},
        )
        status = dict.fromkeys(("started", "ended", "pid", "pid_create_time", "phase", "epoch"))
        write_json(
            temporary / STATUS_FILE,
            {"schema": RUN_SCHEMA, "state": "queued", "created": now(), **status, "message": ""},
        )
        if run_dir.is_dir() and not any(run_dir.iterdir()):
            run_dir.rmdir()
        if run_dir.exists():
            raise FileExistsError(run_dir)
        try:
            temporary.rename(run_dir)
        except OSError as error:  # another process was faster
            raise (FileExistsError(run_dir) if run_dir.exists() else error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Run(run_dir)


def load_run(run_dir: Path | str) -> Run:
    """Return the run in that folder.

    Raises:
        RunError: there is none, it is damaged, or it is of a newer schema.
    """
    run = Run(Path(run_dir).absolute())
    _ = run.status, run.config
    return run


def list_runs(runs_dir: Path | str) -> list[Run]:
    """Return all runs below ``runs_dir``, newest first; unreadable ones have state ``damaged``."""
    try:
        with os.scandir(runs_dir) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except FileNotFoundError:
        return []
    root = Path(runs_dir).absolute()
    runs = [Run(root / name) for name in names]
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def rename_run(run: Run, name: str) -> None:
    """Give the run another name; an empty one goes back to the folder's."""
    _update_meta(run, name=name.strip() or None)


def annotate_run(run: Run, notes: str) -> None:
    """Replace the notes kept with the run."""
    _update_meta(run, notes=notes)


def delete_run(run: Run) -> None:
    """Delete the run's folder; from the first moment on it is no longer listed.

    Raises:
        RunError: it is being trained, or there is no such folder.
    """
    if run.state == "running":
        raise RunError(f"Run '{run.name}' is being trained. Stop it, then delete it.")
    doomed = run.run_dir.with_name(f".{run.id}.{uuid.uuid4().hex}.deleted")
    try:
        run.run_dir.rename(doomed)
    except OSError as error:
        raise RunError(f"Cannot delete run '{run.id}': {error}") from error
    shutil.rmtree(doomed, ignore_errors=True)


def compare_runs(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """Return the settings in which the runs differ, each with one value a run, in their order.

    Settings within a group are named with a dot, as in ``augment.rotation``. ``data_dir`` and
    ``data_fingerprint`` (the images themselves) are compared as well.
    """
    tables = [_settings_of(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = {name: tuple(table.get(name) for table in tables) for name in names}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def _update_meta(run: Run, **changes: Any) -> None:
    if not run.run_dir.is_dir():  # writing would bring back a folder just deleted
        raise RunError(f"Run '{run.id}' does not exist.")
    write_json(run.run_dir / META_FILE, {**run._meta, **changes})


def _settings_of(run: Run) -> dict[str, Any]:
    settings = dict(_flatten(run.config.model_dump()))
    return {
        **settings,
        "data_dir": str(run.data_dir),
        "data_fingerprint": run.origin.get("fingerprint"),
    }


def _flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        nested = isinstance(value, dict)
        rows += _flatten(value, f"{prefix}{name}.") if nested else [(prefix + name, value)]
    return rows


def _workspace_of(run_dir: Path) -> Workspace:
    """The workspace a run lies in, by the layout ``workspace/runs/run``."""
    return Workspace(run_dir.absolute().parent.parent)
