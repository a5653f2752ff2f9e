"""How far long work has come, in the one form that the pages and the command line draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far one stage of long work has come."""

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
        return (self.total - self.done) / self.rate if self.rate > 0 else None


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]
