"""One run directory as an object whose properties are read from its files.

:mod:`tl_core.runs.store` creates, lists and deletes runs, and documents the files.
"""

from __future__ import annotations

import csv
import functools
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_core.config.training import TrainConfig
from tl_core.errors import RunError
from tl_core.files import read_json_lines
from tl_core.runs.files import (
    CLASSES_FILE,
    CONFIG_FILE,
    EVENTS_FILE,
    HISTORY_COLUMNS,
    HISTORY_FILE,
    LEFT_OUT_FILE,
    LOG_FILE,
    META_FILE,
    METRICS_FILE,
    WEIGHTS_FILE,
    check_metrics,
    read_file,
    tail,
)
from tl_core.runs.state_dir import WorkFolder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run(WorkFolder):
    """One run directory, read from disk on each access, so that it is never out of date.

    Examples:
        >>> from tl_core import load_run
        >>> run = load_run("runs/first")
        >>> run.state, run.class_names, run.config.backbone
        ('finished', ('cat', 'dog'), 'tiny')
    """

    run_dir: Path

    interrupted_message = "The process that trained it ended unexpectedly."

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.run_dir

    def check(self) -> None:
        """Read the settings, the classes and the figures.

        Raises:
            RunError: something of it is there but cannot be read.
        """
        _ = self.config, self.class_names, self.metrics

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
    def command(self) -> tuple[str, ...]:
        """The command line that repeats the run, as a list of arguments."""
        config = str(self.run_dir / CONFIG_FILE)
        return "python", "-m", "tl_core", "train", str(self.data_dir), "--config", config

    @property
    def name(self) -> str:
        """The name given by the user, else the folder's name."""
        return str(self.meta.get("name") or self.id)

    @property
    def notes(self) -> str:
        """The user's notes about the run."""
        return str(self.meta.get("notes") or "")

    @property
    def is_archived(self) -> bool:
        """Whether the user archived the run, so that lists leave it out."""
        return bool(self.meta.get("archived"))

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures of the best epoch; empty until there is one.

        Raises:
            RunError: ``metrics.json`` is unreadable.
        """
        if not (self.run_dir / METRICS_FILE).exists():
            return {}
        metrics: dict[str, Any] = read_file(self.run_dir, METRICS_FILE, dict)
        check_metrics(self.run_dir, metrics)
        return metrics

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
            history = pd.read_csv(path, float_precision="round_trip")
        except (OSError, ValueError) as error:
            raise RunError(f"Run '{self.id}' has no readable {HISTORY_FILE}: {error}") from error
        for name in HISTORY_COLUMNS[1:] if len(history) else ():
            if name not in history or not pd.api.types.is_numeric_dtype(history[name]):
                raise RunError(f"Expected numbers as {name} in {HISTORY_FILE} of run '{self.id}'.")
        return history

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the events from byte ``offset`` on, and the offset for the next call."""
        found, offset = read_json_lines(self.run_dir / EVENTS_FILE, offset)
        return [event for event in found if "event" in event], offset

    def num_images_of(self, part: str) -> int | None:
        """Return how many images a part has; None when neither the figures nor the split say.

        The figures of a run that was killed do not say it yet: they are those of its best epoch.

        Args:
            part: ``train``, ``val`` or ``test``.

        Raises:
            RunError: ``metrics.json`` or ``split.csv`` is unreadable.
        """
        count = (self.metrics.get("num_images") or {}).get(part)
        if count is not None:
            return int(count)
        split = self.split()
        return sum(row.part == part for row in split) if split else None

    def left_out(self) -> list[tuple[str, str]]:
        """Return path and reason of each file of the data folder that could not be read."""
        try:
            text = (self.run_dir / LEFT_OUT_FILE).read_text(encoding="utf-8", errors="replace")
            rows = list(csv.reader(io.StringIO(text)))
        except (OSError, csv.Error):
            return []
        return [(row[0], row[1]) for row in rows[1:] if len(row) == 2]

    def log_tail(self, num_lines: int = 20) -> list[str]:
        """Return the last lines of the run's log."""
        return tail(self.run_dir / LOG_FILE, num_lines)

    @property
    def meta(self) -> dict[str, Any]:
        """The content of ``meta.json``; empty when it cannot be read."""
        with suppress(RunError):
            return read_file(self.run_dir, META_FILE, dict)
        return {}
