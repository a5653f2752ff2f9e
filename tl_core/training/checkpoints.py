"""Which epoch is best, and saving best and last weights without slowing training down."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import RunError
from tl_core.files import write_json, write_text
from tl_core.metrics import wilson_interval
from tl_core.model.head import save_weights
from tl_core.training.run_files import (
    CHECKPOINT_FILE,
    HISTORY_COLUMNS,
    HISTORY_FILE,
    METRICS_FILE,
    RUN_SCHEMA,
    WEIGHTS_FILE,
    update_status,
)

Weights = Mapping[str, np.ndarray]

METADATA_KEY = "tl_core"

_MAX_SHARE_OF_TIME = 0.1


@dataclass(frozen=True)
class EpochResult:
    """One row of ``history.csv``. Losses are mean cross-entropies in nats."""

    phase: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float

    def is_better_than(self, other: EpochResult | None) -> bool:
        """Whether validation says so: more correct answers, or as many at less loss."""
        if other is None:
            return True
        return (self.val_accuracy, -self.val_loss) > (other.val_accuracy, -other.val_loss)


def has_stalled(history: Sequence[EpochResult], patience: int) -> bool:
    """Whether the last ``patience`` epochs brought no better val_loss; never for patience 0."""
    if patience == 0 or not history:
        return False
    losses = [result.val_loss for result in history]
    return len(losses) - 1 - int(np.argmin(losses)) >= patience


class Checkpoints:
    """Keeps the best weights, and writes what a kill must not lose.

    Files are written weights first, last the checkpoint that resuming starts from: whatever moment
    a kill comes at, going on from the checkpoint meets the same best epochs again.
    """

    def __init__(self, run_dir: Path, num_val: int) -> None:
        self.history: list[EpochResult] = []
        self.best: EpochResult | None = None
        self.best_weights: Weights = {}
        self._run_dir = run_dir
        self._num_val = num_val
        self._state: Callable[[], Weights] | None = None
        self._best_is_saved = True
        self._next_save = 0.0

    def add(self, result: EpochResult, weights: Weights, state: Callable[[], Weights]) -> bool:
        """Take an epoch's result and weights; ``state`` gives what resuming needs beside them.

        Returns:
            Whether it is the best epoch so far.
        """
        self.history.append(result)
        is_best = result.is_better_than(self.best)
        if is_best:
            self.best, self.best_weights, self._best_is_saved = result, weights, False
        self._state = state
        if time.monotonic() >= self._next_save:
            self.save()
        return is_best

    def save(self) -> None:
        """Write everything not written yet; nothing when there is nothing new.

        Raises:
            RunError: the run's folder is gone.
        """
        if self._state is None or self.best is None:
            return
        started = time.monotonic()
        if not self._run_dir.is_dir():
            raise RunError(f"The folder of run '{self._run_dir.name}' was deleted meanwhile.")
        if not self._best_is_saved:
            self._write(
                WEIGHTS_FILE, self.best_weights, phase=self.best.phase, epoch=self.best.epoch
            )
            write_json(self._run_dir / METRICS_FILE, self.metrics())
            self._best_is_saved = True
        write_text(self._run_dir / HISTORY_FILE, _to_csv(self.history))
        last = self.history[-1]
        self._write(
            CHECKPOINT_FILE,
            self._state(),
            phase=last.phase,
            num_epochs=last.epoch + 1,
            history=[asdict(result) for result in self.history],
        )
        update_status(self._run_dir, phase=last.phase, epoch=last.epoch)
        self._state = None
        ended = time.monotonic()
        self._next_save = ended + (ended - started) * (1 / _MAX_SHARE_OF_TIME - 1)

    def metrics(self) -> dict[str, Any]:
        """Return the figures known before the run is over: those of the best epoch."""
        if self.best is None:
            return {}
        num_correct = round(self.best.val_accuracy * self._num_val)
        return {
            "val_accuracy": self.best.val_accuracy,
            "val_interval": list(wilson_interval(num_correct, self._num_val)),
            "val_loss": self.best.val_loss,
            "test_accuracy": None,
            "test_interval": None,
            "test_loss": None,
            "best_phase": self.best.phase,
            "best_epoch": self.best.epoch,
            "num_epochs": len(self.history),
        }

    def _write(self, name: str, weights: Weights, **facts: Any) -> None:
        # One entry, for safetensors writes several in random order, and the weights of equal runs
        # shall be equal to the byte.
        text = json.dumps({"schema": RUN_SCHEMA, **facts})
        save_weights(self._run_dir / name, weights, {METADATA_KEY: text})


def _to_csv(history: Sequence[EpochResult]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    return text.getvalue()
