"""How far long work has come, in the one form and the one wording that all doors use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tl_core.errors import Stopped

STAGE_WORDS = {
    "sample": "drawing the sample set",
    "scan": "reading the photos",
    "unpack": "unpacking",
    "upload": "checking the photos",
    "copy": "copying",
    "audit": "looking at each photo",
    "labels": "checking the labels",
    "neighbours": "comparing the photos",
    "map": "laying out the map",
    "learning curve": "training on growing parts",
    "download": "downloading the weights",
    "backbone": "preparing the backbone",
    "features": "running the backbone",
    "learning_rate": "raising the rate",
    "sweep": "training heads",
    "export": "writing the model",
    "parity": "comparing it with the app",
}
_REPORT_SECONDS = 0.5
_BYTE_STAGES = ("unpack", "download")


@dataclass(frozen=True)
class Progress:
    """How far one stage of long work has come. A ``total`` of 0 means that it is not known."""

    stage: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Items a second so far; 0 before the first."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the rate so far; None while nothing is known."""
        if self.total <= 0 or self.rate <= 0:
            return None
        return (self.total - self.done) / self.rate

    @property
    def share(self) -> float:
        """How much is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    @property
    def is_through(self) -> bool:
        """Whether all is done, as far as the total tells."""
        return 0 < self.total <= self.done


def stage_words(stage: str) -> str:
    """Return what is being done, such as ``"reading the photos"``."""
    return STAGE_WORDS.get(stage, stage)


def counts_bytes(stage: str) -> bool:
    """Return whether ``done`` and ``total`` of a stage are bytes."""
    return stage in _BYTE_STAGES


def has_amount(done: int, total: int) -> bool:
    """Return whether a figure tells anything: not of a single step, nor before all is known."""
    return total > 1 or (total == 0 and done > 0)


def amount(stage: str, done: int, total: int) -> str:
    """Return how much is done, such as ``"1,500 of 20,000"``, ``"34 of 98 MB"`` or ``"34 MB"``."""
    if counts_bytes(stage):
        of_all = f" of {total / 1e6:,.0f}" if total else ""
        return f"{done / 1e6:,.0f}{of_all} MB"
    return f"{done:,} of {total:,}" if total else f"{done:,}"


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


class Watch:
    """Reports how far a stage of work in another process is, and asks whether to stop it."""

    def __init__(
        self,
        stage: str,
        on_progress: OnProgress | None,
        should_stop: ShouldStop | None,
        total: int = 1,
    ) -> None:
        self.done = 0
        self._stage = stage
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._total = total
        self._started = time.monotonic()
        self._reported = float("-inf")

    def look(self) -> None:
        """Report from time to time; raise :class:`~tl_core.errors.Stopped` when asked to stop."""
        if self._should_stop is not None and self._should_stop():
            raise Stopped
        if time.monotonic() - self._reported >= _REPORT_SECONDS:
            self._report()

    def end(self) -> None:
        """Report that the stage is done."""
        self.done = self._total
        self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        if self._on_progress is not None:
            seconds = self._reported - self._started
            self._on_progress(Progress(self._stage, self.done, self._total, seconds))
