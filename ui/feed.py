"""Follows a run's events as they are written, so that a page can draw the run while it trains."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from tl_core.training.runs import Run

if TYPE_CHECKING:
    import pandas as pd

MAX_BATCH_ROWS = 4000  # kept in memory; a chart draws at most charts.MAX_POINTS of them


@dataclass
class Feed:
    """What the events of one run say so far; reading on costs only what is new."""

    run_dir: Path
    phase: str = ""
    num_epochs: int = 0
    num_steps: int = 0
    features: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    _batches: list[dict[str, Any]] = field(default_factory=list)
    _epochs: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self) -> None:
        """Read what was written since the last call."""
        with self._lock:
            events, offset = Run(self.run_dir).events(self._offset)
            if offset < self._offset:  # begun anew
                self._batches.clear()
                self._epochs.clear()
            self._offset = offset
            for event in events:
                self._take(event)

    def epochs(self) -> pd.DataFrame:
        """Return one row per epoch: ``epoch``, ``loss``, ``accuracy`` and their val values."""
        import pandas as pd

        columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
        with self._lock:
            return pd.DataFrame(self._epochs, columns=columns)

    def batches(self) -> pd.DataFrame:
        """Return rows of ``progress`` (in epochs), ``loss`` and ``accuracy``."""
        import pandas as pd

        with self._lock:
            return pd.DataFrame(self._batches, columns=["progress", "loss", "accuracy"])

    @property
    def share_done(self) -> float:
        """How much of the current phase is done, in [0, 1]."""
        if self.phase == "features" or (not self._epochs and not self._batches):
            return min(1.0, self.features.get("done", 0) / max(1, self.features.get("total", 0)))
        done = max(
            [row["progress"] for row in self._batches[-1:]]
            + [row["epoch"] + 1 for row in self._epochs[-1:]]
        )
        return float(min(1.0, done / max(1, self.num_epochs)))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "phase_started":
            self.phase = event["phase"]
            if self.phase != "features":
                self.num_epochs, self.num_steps = event["num_epochs"], event["num_steps"]
            self.latest = {}
        elif kind == "feature_progress":
            self.features = event
            self.latest = event
        elif kind == "batch_end":
            self.latest = event
            progress = event["epoch"] + event["step"] / max(1, self.num_steps)
            self._batches.append({**event, "progress": progress})
            if len(self._batches) > MAX_BATCH_ROWS:
                del self._batches[::2]
        elif kind == "epoch_end":
            self.latest = {**self.latest, **event}
            self._epochs.append(event)


@st.cache_resource(max_entries=16, show_spinner=False)
def _open_feed(run_dir: str) -> Feed:
    return Feed(Path(run_dir))


def follow(run: Run) -> Feed:
    """Return the run's feed, read up to now; sessions that watch the same run share it."""
    feed = _open_feed(str(run.run_dir))
    feed.update()
    return feed
