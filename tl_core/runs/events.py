"""Training events, as small immutable records and as lines of ``events.jsonl``.

A listener (a page, a terminal, a test) receives the records while training runs in its process, or
reads them from the file, where incomplete lines are skipped.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base of all events; ``time`` is in seconds since 1970."""

    time: float = field(default_factory=time.time, kw_only=True)

    @property
    def kind(self) -> str:
        """The event's name in the file, such as ``batch_end``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain values; non-finite numbers become None, as in JSON."""
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {"event": self.kind, **values}

    def to_json(self) -> str:
        """Return the event as one line of JSON, without a newline."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class PhaseStarted(Event):
    """A phase starts: ``features``, ``head`` or ``fine_tune``.

    ``num_steps`` counts batches of one epoch, or images in the features phase, where there are
    no epochs.
    """

    phase: str
    num_epochs: int
    num_steps: int


@dataclass(frozen=True)
class RunResumed(Event):
    """A run was resumed after ``num_epochs`` complete epochs of ``phase``.

    ``history`` is the table of epochs so far; epochs reported before but not in it are repeated.
    """

    phase: str
    num_epochs: int
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class FeatureProgress(Event):
    """Progress of counted work.

    ``stage`` is ``scan``, ``backbone`` (prepared once), ``features``, or that of a download.
    """

    stage: str
    done: int
    total: int
    images_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class BatchEnd(Event):
    """A group of batches was trained on.

    ``step`` is the number of batches done in the epoch; loss and accuracy are means over the
    images since the previous event, with dropout on. ``seconds_left`` is for the whole phase.
    """

    phase: str
    epoch: int
    step: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class EpochEnd(Event):
    """An epoch ended. ``is_best`` says its weights are the best so far."""

    phase: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    is_best: bool
    images_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class PhaseEnded(Event):
    """A phase is over; ``reason`` is ``done``, ``early_stopping`` or ``stopped``."""

    phase: str
    seconds: float
    reason: str = "done"


@dataclass(frozen=True)
class RunEnded(Event):
    """The run is over; ``metrics`` is what ``metrics.json`` holds."""

    state: str
    metrics: dict[str, Any]
    message: str = ""


OnEvent = Callable[[Event], None]


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON types; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
