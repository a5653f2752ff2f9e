"""Choosing the best epoch, and saving best and last weights without slowing training down."""

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

from tl_core.backbones.finetuned_weights import remove_backbone_files, split_weights
from tl_core.errors import RunError
from tl_core.files import write_json, write_text
from tl_core.head.model import METADATA_KEY, load_weights, load_weights_metadata, save_weights
from tl_core.metrics.classification import wilson_interval
from tl_core.runs.files import (
    CHECKPOINT_FILE,
    HISTORY_COLUMNS,
    HISTORY_FILE,
    METRICS_FILE,
    RUN_SCHEMA,
    WEIGHTS_FILE,
    update_status,
)

Weights = Mapping[str, np.ndarray]

_BEST = "best/"
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
        """Whether the validation loss is lower.

        On a few dozen images one more correct answer is often chance, while the loss depends on all
        of them: epochs chosen by loss did better on test images than those chosen by accuracy.
        """
        return other is None or self.val_loss < other.val_loss


def has_stalled(history: Sequence[EpochResult], patience: int) -> bool:
    """Whether the last ``patience`` epochs brought no better val_loss; never for patience 0."""
    if patience == 0 or not history:
        return False
    losses = [result.val_loss for result in history]
    return len(losses) - 1 - int(np.argmin(losses)) >= patience


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to resume training after ``num_epochs`` complete epochs of ``phase``.

    It includes the best weights, so that it needs no other file. A phase that starts from the
    beginning has no ``state``.
    """

    phase: str
    num_epochs: int
    history: tuple[EpochResult, ...]
    best: EpochResult
    best_weights: Weights
    state: Weights
    seconds: Mapping[str, float]

    def seconds_spent(self) -> dict[str, float]:
        """Return how long each part took up to this checkpoint."""
        seconds = {name: self.seconds.get(name, 0.0) for name in ("features",)}
        for result in self.history:
            seconds[result.phase] = seconds.get(result.phase, 0.0) + result.seconds
        return seconds

    def save(self, run_dir: Path) -> None:
        """Write the checkpoint into a run's folder atomically."""
        facts = {
            "phase": self.phase,
            "num_epochs": self.num_epochs,
            "history": [asdict(result) for result in self.history],
            "best": asdict(self.best),
            "seconds": dict(self.seconds),
        }
        best = {f"{_BEST}{name}": array for name, array in self.best_weights.items()}
        _write(run_dir / CHECKPOINT_FILE, {**self.state, **best}, **facts)


def epochs_done(run_dir: Path) -> tuple[str, int] | None:
    """Return the phase in which a run would resume and its completed epochs, without weights.

    None if no epoch was saved, so that the run would start from the beginning.

    Raises:
        RunError: the checkpoint is damaged, or of an earlier version.
    """
    path = run_dir / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        facts = json.loads(load_weights_metadata(path)[METADATA_KEY])
        return str(facts["phase"]), int(facts["num_epochs"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(run_dir, error) from error


def load_checkpoint(run_dir: Path) -> Checkpoint | None:
    """Return the checkpoint of a run; None if no epoch of it was saved.

    Raises:
        RunError: the file is damaged, or of an earlier version that did not store everything.
    """
    path = run_dir / CHECKPOINT_FILE
    if not path.exists():
        return None
    arrays = load_weights(path)
    try:
        facts = json.loads(load_weights_metadata(path)[METADATA_KEY])
        return Checkpoint(
            phase=str(facts["phase"]),
            num_epochs=int(facts["num_epochs"]),
            history=tuple(EpochResult(**row) for row in facts["history"]),
            best=EpochResult(**facts["best"]),
            best_weights={
                name.removeprefix(_BEST): array
                for name, array in arrays.items()
                if name.startswith(_BEST)
            },
            state={name: array for name, array in arrays.items() if not name.startswith(_BEST)},
            seconds=dict(facts["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(run_dir, error) from error


def _incomplete(run_dir: Path, error: Exception) -> RunError:
    return RunError(
        f"Run '{run_dir.name}' cannot be resumed: its {CHECKPOINT_FILE} does not hold what an "
        f"exact continuation needs ({error!r}). Start a new run with its settings."
    )


class Checkpoints:
    """Keeps the best weights, and writes the files that must survive a kill.

    The weights are written first and the checkpoint last. The checkpoint is self-contained, so
    resuming gives the same epochs whenever the process was killed.

    Args:
        run_dir: the run's folder.
        num_val: number of validation images.
        resumed: the checkpoint to resume from.
        write_backbone: converts a fine-tuned backbone and returns its file name.
        seconds: how long each part took so far, updated by the trainer.
    """

    def __init__(
        self,
        run_dir: Path,
        num_val: int,
        resumed: Checkpoint | None = None,
        write_backbone: Callable[[Weights], str] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.history: list[EpochResult] = list(resumed.history) if resumed else []
        self.best: EpochResult | None = resumed.best if resumed else None
        self.best_weights: Weights = resumed.best_weights if resumed else {}
        self._run_dir = run_dir
        self._num_val = num_val
        self._write_backbone = write_backbone
        self._seconds = seconds or {}
        self._state: Weights | None = None
        self._best_is_saved = resumed is None
        self._next_save = 0.0

    def history_of(self, phase: str) -> list[EpochResult]:
        """Return the epochs of one phase so far."""
        return [result for result in self.history if result.phase == phase]

    def add(self, result: EpochResult, weights: Weights, state: Callable[[], Weights]) -> bool:
        """Add an epoch's result and weights; ``state`` returns the other state to resume from.

        Returns:
            Whether it is the best epoch so far.
        """
        self.history.append(result)
        is_best = result.is_better_than(self.best)
        if is_best:
            self.best, self.best_weights, self._best_is_saved = result, weights, False
        self._state = state()  # called now, since a stop may come during the next epoch
        if time.monotonic() >= self._next_save:
            self.save()
        return is_best

    def save(self) -> None:
        """Write everything that is not written yet.

        Raises:
            RunError: the run's folder was deleted.
        """
        if self.best is None or (self._state is None and self._best_is_saved):
            return
        started = time.monotonic()
        if not self._run_dir.is_dir():
            raise RunError(f"The folder of run '{self._run_dir.name}' was deleted during training.")
        if not self._best_is_saved:
            self._save_best(self.best)
        write_text(self._run_dir / HISTORY_FILE, _to_csv(self.history))
        if self._state is not None:
            last = self.history[-1]
            Checkpoint(
                phase=last.phase,
                num_epochs=last.epoch + 1,
                history=tuple(self.history),
                best=self.best,
                best_weights=self.best_weights,
                state=self._state,
                seconds=self._seconds,
            ).save(self._run_dir)
            update_status(self._run_dir, phase=last.phase, epoch=last.epoch)
            self._state = None
        ended = time.monotonic()
        self._next_save = ended + (ended - started) * (1 / _MAX_SHARE_OF_TIME - 1)

    def _save_best(self, best: EpochResult) -> None:
        facts: dict[str, Any] = {"phase": best.phase, "epoch": best.epoch}
        _, backbone = split_weights(self.best_weights)
        if backbone and self._write_backbone is not None:
            facts["backbone"] = self._write_backbone(backbone)
        _write(self._run_dir / WEIGHTS_FILE, self.best_weights, **facts)
        remove_backbone_files(self._run_dir, keep=facts.get("backbone"))
        write_json(self._run_dir / METRICS_FILE, self.metrics())
        self._best_is_saved = True

    def metrics(self) -> dict[str, Any]:
        """Return the figures of the best epoch so far."""
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


def _write(path: Path, weights: Weights, **facts: Any) -> None:
    # A single entry, since safetensors writes several in random order and the weights of equal
    # runs should be identical byte for byte.
    save_weights(path, weights, {METADATA_KEY: json.dumps({"schema": RUN_SCHEMA, **facts})})


def _to_csv(history: Sequence[EpochResult]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    return text.getvalue()
