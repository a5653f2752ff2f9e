"""How far long work has come, in the one form and the one wording that all doors use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
}
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
