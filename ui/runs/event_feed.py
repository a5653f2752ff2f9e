"""Follows a run's events as they are written, so that a page can draw the run while it trains.

A run may be trained in several sittings and phases: each epoch counts once, whatever was reported
of it before a stop or a kill.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_core.runs.files import HISTORY_COLUMNS
from tl_core.runs.store import Run
from tl_core.training.checkpoints import EpochResult
from ui.shared.caches import cache_resource

if TYPE_CHECKING:
    import pandas as pd

FEATURES = "features"  # the one phase without epochs
MAX_BATCH_ROWS = 4000  # kept in memory; a chart draws far fewer of them


@dataclass
class Feed:
    """What the events of one run say so far; reading on costs only what is new.

    Attributes:
        run_dir: the run's folder.
        phase: the one under way; empty before the first.
        features: the last progress of the scan, the backbone or the features.
        latest: the last event of the current phase.
    """

    run_dir: Path
    phase: str = ""
    features: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # epochs, steps; in order
    _batches: list[dict[str, Any]] = field(default_factory=list)
    _epochs: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    _resumed: tuple[str, int] = ("", 0)
    _offset: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self) -> None:
        """Read what was written since the last call."""
        with self._lock:
            events, offset = Run(self.run_dir).events(self._offset)
            if offset < self._offset:  # the run started again
                self._epochs.clear()
                self._batches.clear()
                self._sizes.clear()
            self._offset = offset
            for event in events:
                self._take(event)

    def epochs(self) -> pd.DataFrame:
        """Return one row per epoch in order, with the columns of a run's history."""
        import pandas as pd

        with self._lock:
            return pd.DataFrame(list(self._epochs.values()), columns=list(HISTORY_COLUMNS))

    def batches(self) -> pd.DataFrame:
        """Return rows of ``progress`` (in epochs of all phases), ``loss`` and ``accuracy``."""
        import pandas as pd

        starts = dict(self.starts())
        with self._lock:
            rows = [
                {**row, "progress": starts.get(row["phase"], 0) + self._progress(row)}
                for row in self._batches
            ]
        return pd.DataFrame(rows, columns=["progress", "loss", "accuracy"])

    def starts(self) -> list[tuple[str, int]]:
        """Return the phases begun so far, each with the number of epochs before it."""
        with self._lock:
            phases = [phase for phase, _ in self._epochs]
            names = list(dict.fromkeys([*phases, *self._sizes]))
            return [(name, sum(map(phases.count, names[:at]))) for at, name in enumerate(names)]

    def best(self) -> int | None:
        """Return the number of the best epoch's row, None before the first."""
        with self._lock:
            results = [
                EpochResult(**{name: row[name] for name in HISTORY_COLUMNS})
                for row in self._epochs.values()
            ]
        best = None
        for number, result in enumerate(results):
            if best is None or result.is_better_than(results[best]):
                best = number
        return best

    @property
    def num_epochs(self) -> int:
        """Epochs that the phase under way was given; 0 while there are none."""
        return self._sizes.get(self.phase, (0, 0))[0]

    @property
    def share_done(self) -> float:
        """How much of the current phase is done, in [0, 1]."""
        if self.phase in ("", FEATURES):
            return min(1.0, self.features.get("done", 0) / max(1, self.features.get("total", 0)))
        with self._lock:
            done = [self._progress(row) for row in self._batches if row["phase"] == self.phase][-1:]
            done += [epoch + 1 for phase, epoch in self._epochs if phase == self.phase]
        return float(min(1.0, max(done, default=0) / max(1, self.num_epochs)))

    def _progress(self, batch: dict[str, Any]) -> float:
        """Return how many epochs of its phase are done with a batch."""
        _, num_steps = self._sizes.get(batch["phase"], (0, 0))
        return float(batch["epoch"] + batch["step"] / max(1, num_steps))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "run_resumed":
            self._go_on(event)
        elif kind == "phase_started":
            self._begin(event)
        elif kind == "feature_progress":
            self.features = self.latest = event
        elif kind == "batch_end":
            self.latest = event
            self._batches.append(event)
            if len(self._batches) > MAX_BATCH_ROWS:
                del self._batches[::2]
        elif kind == "epoch_end":
            self.latest = {**self.latest, **event}
            self._epochs[event["phase"], event["epoch"]] = event
        elif kind == "phase_ended":
            self.latest = event

    def _go_on(self, event: dict[str, Any]) -> None:
        """Replace the events so far by the history that a resumed run continues."""
        self._epochs = {(row["phase"], row["epoch"]): row for row in event["history"]}
        self._batches = [
            row for row in self._batches if (row["phase"], row["epoch"]) in self._epochs
        ]
        self._resumed = event["phase"], event["num_epochs"]
        self.phase, self.features, self.latest = "", {}, {}

    def _begin(self, event: dict[str, Any]) -> None:
        """Begin a phase, and drop earlier events of its epochs and of later phases."""
        self.phase, self.latest = event["phase"], {}
        if self.phase == FEATURES:
            return
        names = list(dict.fromkeys([*(phase for phase, _ in self._epochs), *self._sizes]))
        earlier = names[: names.index(self.phase)] if self.phase in names else names
        done = self._resumed[1] if self._resumed[0] == self.phase else 0
        self._resumed = ("", 0)

        def stands(phase: str, epoch: int) -> bool:
            return phase in earlier or (phase == self.phase and epoch < done)

        self._epochs = {key: row for key, row in self._epochs.items() if stands(*key)}
        self._batches = [row for row in self._batches if stands(row["phase"], row["epoch"])]
        self._sizes = {name: size for name, size in self._sizes.items() if name in earlier}
        self._sizes[self.phase] = event["num_epochs"], event["num_steps"]


@cache_resource(max_entries=16)
def _open_feed(run_dir: str) -> Feed:
    return Feed(Path(run_dir))


def follow(run: Run) -> Feed:
    """Return the run's feed, read up to now; sessions that watch the same run share it."""
    feed = _open_feed(str(run.run_dir))
    feed.update()
    return feed
