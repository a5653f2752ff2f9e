"""Progress and cancellation of long work, in one object that is passed down.

A long-running function takes a :class:`Monitor`, calls :meth:`Monitor.check` often, and counts in a
:class:`Stage`. Public functions take ``on_progress`` and ``should_stop`` and create a monitor from
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from tl_core.errors import Stopped

STAGE_WORDS = {
    "sample": "drawing the sample set",
    "scan": "reading the photos",
    "entries": "reading the archive",
    "unpack": "unpacking",
    "upload": "checking the photos",
    "encode": "storing the photos",
    "copy": "copying",
    "audit": "checking each photo",
    "copies": "looking for copies",
    "labels": "checking the labels",
    "neighbours": "comparing the photos",
    "map": "computing the map",
    "groups": "grouping the photos",
    "learning curve": "training on growing subsets",
    "download": "downloading the weights",
    "backbone": "preparing the backbone",
    "features": "running the backbone",
    "list": "listing the photos",
    "write": "writing the answers",
    "learning_rate": "raising the rate",
    "sweep": "training heads",
    "export": "writing the model",
    "parity": "comparing it with the app",
}
AFTER_WORDS = {
    "unpack": "storing the photos",
    "scan": "preparing the list of photos",
    "audit": "looking for copies",
    "copies": "collecting the findings",
    "features": "storing the results",
    "neighbours": "computing the map",
    "sweep": "ranking the heads",
}
FINISHING = "finishing"
_BYTE_STAGES = ("entries", "unpack", "download")
_REPORT_SECONDS = 0.1


@dataclass(frozen=True)
class Progress:
    """The progress of one stage of long work. A ``total`` of 0 means unknown."""

    stage: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Items per second so far; 0 before the first."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the rate so far; None while nothing is known."""
        if self.total <= 0 or self.rate <= 0:
            return None
        return (self.total - self.done) / self.rate

    @property
    def share(self) -> float:
        """The share that is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    @property
    def is_through(self) -> bool:
        """Whether all items are done."""
        return 0 < self.total <= self.done


def stage_words(stage: str) -> str:
    """Return the text for a stage, such as ``"reading the photos"``."""
    return STAGE_WORDS.get(stage, stage)


def after_words(stage: str) -> str:
    """Return the text for what follows the last item of a stage, such as ``"finishing"``."""
    return AFTER_WORDS.get(stage, FINISHING)


def counts_bytes(stage: str) -> bool:
    """Return whether ``done`` and ``total`` of a stage are bytes."""
    return stage in _BYTE_STAGES


def has_amount(done: int, total: int) -> bool:
    """Return whether to show an amount: not for a single step or an unknown total."""
    return total > 1 or (total == 0 and done > 0)


def amount(stage: str, done: int, total: int) -> str:
    """Return how much is done, such as ``"1,500 of 20,000"``, ``"34 of 98 MB"`` or ``"34 MB"``."""
    if counts_bytes(stage):
        of_all = f" of {total / 1e6:,.0f}" if total else ""
        return f"{done / 1e6:,.0f}{of_all} MB"
    return f"{done:,} of {total:,}" if total else f"{done:,}"


OnProgress = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


class Callbacks(TypedDict):
    """Keyword arguments of public functions."""

    on_progress: OnProgress
    should_stop: ShouldStop


class Monitor:
    """Passed down through long work to report progress and to check for cancellation.

    Args:
        on_progress: called with the progress of each stage, in the thread that does the work: at
            its start, at its end, and between them at most every ``report_seconds``.
        should_stop: returns whether to stop.
        report_seconds: minimum time between two calls of ``on_progress``; by default 0.1.
        poll_seconds: minimum time between two calls of ``should_stop``, if it is expensive.

    Example:
        >>> monitor = Monitor(lambda progress: print(progress.stage, progress.done))
        >>> stage = monitor.stage("copy", total=2)
        >>> for _ in range(2):
        ...     monitor.check()
        ...     stage.advance()
        copy 1
        copy 2
    """

    def __init__(
        self,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
        *,
        report_seconds: float | None = None,
        poll_seconds: float = 0.0,
    ) -> None:
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._report_seconds = _REPORT_SECONDS if report_seconds is None else report_seconds
        self._poll_seconds = poll_seconds
        self._reported: tuple[str, float] = ("", 0.0)
        self._next_poll = 0.0

    def is_stopped(self) -> bool:
        """Return whether the work should stop."""
        if self._should_stop is None:
            return False
        if self._poll_seconds > 0:
            if (now := time.monotonic()) < self._next_poll:
                return False
            self._next_poll = now + self._poll_seconds
        return self._should_stop()

    def check(self) -> None:
        """Raise :class:`~tl_core.errors.Stopped` if the work should stop."""
        if self.is_stopped():
            raise Stopped

    def stage(self, name: str, total: int = 0, done: int = 0) -> Stage:
        """Start a stage, of which ``done`` items were done before."""
        return Stage(self, name, total, done)

    def report(self, progress: Progress) -> None:
        """Report a progress unless it follows another of its stage too soon."""
        if self._on_progress is None:
            return
        now = time.monotonic()
        stage, reported = self._reported
        is_due = stage != progress.stage or now - reported >= self._report_seconds
        if is_due or progress.is_through:
            self._reported = (progress.stage, now)
            self._on_progress(progress)

    @property
    def callbacks(self) -> Callbacks:
        """This monitor as keyword arguments for a public function."""
        return {"on_progress": self.report, "should_stop": self.is_stopped}


SILENT = Monitor()
"""A monitor that reports nothing and never stops."""


class Stage:
    """Counts the items of one stage of long work and reports them to a monitor.

    Attributes:
        done: number of items done, including those of an earlier session.
        total: number of all items; 0 if unknown.
    """

    def __init__(self, monitor: Monitor, name: str, total: int = 0, done: int = 0) -> None:
        self._monitor = monitor
        self.name, self.total, self.done = name, total, done
        self._is_first_part = True
        self._last_rate = 0.0
        self._num_before, self._started = done, time.monotonic()

    @property
    def rate(self) -> float:
        """Items per second since the clock was started; before the first, the previous rate."""
        num, seconds = self.done - self._num_before, time.monotonic() - self._started
        return num / seconds if num > 0 and seconds > 0 else self._last_rate

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the rate so far; None while nothing is known."""
        return self.progress().seconds_left

    def progress(self) -> Progress:
        """Return the current progress of the stage, with the total time at this rate."""
        rate = self.rate
        elapsed = time.monotonic() - self._started if self.done == 0 else 0.0
        return Progress(self.name, self.done, self.total, self.done / rate if rate > 0 else elapsed)

    def report(self) -> None:
        """Report the progress without counting anything."""
        self._monitor.report(self.progress())

    def look(self) -> None:
        """Check for cancellation and report; call it while waiting for another process."""
        self._monitor.check()
        self.report()

    def advance(self, num: int = 1) -> None:
        """Count ``num`` more items as done, and report."""
        self.update(self.done + num)

    def update(self, done: int, total: int | None = None) -> None:
        """Set the number of items done, and optionally the total, and report."""
        self.done = done
        self.total = self.total if total is None else total
        self.report()

    def restart_clock(self) -> None:
        """Measure the rate from now on, ignoring earlier items and waiting time."""
        self._last_rate = self.rate
        self._num_before, self._started = self.done, time.monotonic()

    def part(self, num_later: int = 0) -> Monitor:
        """Return a monitor whose stage of the same name counts as the next part of this stage.

        The rate is measured since the first item of all parts. Other stages are passed on.

        Args:
            num_later: number of items after this part, if known.
        """
        before = self.done

        def add(progress: Progress) -> None:
            if progress.stage != self.name:
                self._monitor.report(progress)
                return
            done, total = before + progress.done, before + progress.total + num_later
            if self._is_first_part and progress.done > 0:
                self._is_first_part, self.done = False, done
                self._num_before, self._started = done, time.monotonic()
            self.update(done, total)

        return Monitor(add, self._monitor.is_stopped, report_seconds=0.0)
