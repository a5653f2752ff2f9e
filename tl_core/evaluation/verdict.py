"""What the curves of a finished training say, in plain words: overfitting, an early end, and so on.

Rules on the figures of each epoch alone, without looking at an image. They call a difference real
only when it exceeds what the number of validation images leaves to chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.metrics.classification import wilson_interval
from tl_core.runs.store import Run
from tl_core.training.checkpoints import EpochResult
from tl_core.training.feature_stage import num_views

Kind = Literal["good", "info", "hint"]

_RISE = 1.1  # validation loss at the end, as a multiple of the lowest, that is called a rise
_MIN_AFTER = 3  # epochs after the best one, so that a rise is no single bad epoch
_STILL_FALLING = 0.97  # last validation loss, as a share of that a fifth of the epochs before
_HARDLY_FELL = 0.85  # lowest training loss, as a share of the first
_MIN_EPOCHS = 3


@dataclass(frozen=True)
class Remark:
    """One sentence or two about a training.

    ``kind`` is ``"good"``, ``"info"`` for what happened, or ``"hint"`` for what to change.
    """

    kind: Kind
    text: str


def verdict_of(run: Run) -> tuple[Remark, ...]:
    """Return what the curves of a run say; nothing before its first epoch.

    Raises:
        RunError: the run's settings or history cannot be read.

    Examples:
        >>> from tl_core import load_run
        >>> from tl_core.evaluation.verdict import verdict_of
        >>> [remark.kind for remark in verdict_of(load_run("runs/first"))]
        ['hint']
    """
    columns = EpochResult.__dataclass_fields__
    rows = run.history().to_dict("records")
    history = [EpochResult(**{str(name): row[name] for name in columns}) for row in rows]
    return read_history(history, run.config, run.metrics)


def read_history(
    history: Sequence[EpochResult], config: TrainConfig, metrics: Mapping[str, Any]
) -> tuple[Remark, ...]:
    """Return what the epochs of a training say, the most telling first.

    Args:
        history: the epochs of all phases in order.
        config: the settings they were trained with.
        metrics: as in ``metrics.json``; ``num_images`` and ``best_phase`` are read, if there.
    """
    if not history:
        return ()
    phases = {
        name: rows
        for name in ("head", "fine_tune")
        if (rows := [row for row in history if row.phase == name])
    }
    num_val = int((metrics.get("num_images") or {}).get("val") or 0)
    remarks: list[Remark] = []
    if "fine_tune" in phases:
        remarks += _read_fine_tuning(phases, config, str(metrics.get("best_phase", "")), num_val)
    phase, rows = list(phases.items())[-1]
    planned = config.epochs if phase == "head" else config.fine_tune_epochs
    remarks += _read_early_end(phase, rows, planned, config)
    curve = _read_curve(phase, rows, planned, config, num_val)
    remarks += curve or ([] if remarks else [_read_calm(rows)])
    if config.cutmix and not config.fine_tune_blocks:
        remarks.append(Remark("info", CUTMIX_FROZEN))
    return tuple(remarks)


CUTMIX_FROZEN = (
    "CutMix has no effect while the backbone is frozen: it pastes patches into photos in "
    "fine-tuning only. Use Mixup, or fine-tune some blocks."
)


def _read_fine_tuning(
    phases: Mapping[str, Sequence[EpochResult]], config: TrainConfig, best_phase: str, num_val: int
) -> list[Remark]:
    """Say whether fine-tuning was worth it, compared with the head's best epoch."""
    if "head" not in phases:
        return []
    head, tuned = (_best(phases[name]) for name in ("head", "fine_tune"))
    on = f"on {num_val:,} validation photos" if num_val else "on the validation photos"
    gain = 100 * (tuned.val_accuracy - head.val_accuracy)
    if best_phase == "head" or (not best_phase and tuned.val_loss >= head.val_loss):
        why = (
            "the validation loss rose from its first epoch on: lower its learning rate or "
            "fine-tune fewer blocks"
            if tuned.epoch == 0
            else "the frozen backbone already describes these photos as well; more photos or "
            "stronger augmentation give it something to learn"
        )
        return [
            Remark(
                "hint",
                f"Fine-tuning did not help: no epoch of it has a lower validation loss than "
                f"{_loss(head.val_loss)} before, so those weights are kept. Probably {why}.",
            )
        ]
    if gain <= 0:
        text = (
            f"Fine-tuning lowered the validation loss from {_loss(head.val_loss)} to "
            f"{_loss(tuned.val_loss)} and got no more photos right: its answers are more confident."
        )
        return [Remark("info", text)]
    text = f"Fine-tuning raised the accuracy by {gain:.1f} points {on}"
    if _is_chance(head.val_accuracy, tuned.val_accuracy, num_val):
        return [Remark("info", f"{text}, which may be chance on so few.")]
    return [Remark("good", f"{text}.")]


def _read_early_end(
    phase: str, rows: Sequence[EpochResult], planned: int, config: TrainConfig
) -> list[Remark]:
    """Say why early stopping ended a phase."""
    done, best = len(rows), _best(rows)
    if (
        not config.early_stopping
        or done >= planned
        or done - 1 - best.epoch < config.early_stopping
    ):
        return []
    what = "Fine-tuning stopped" if phase == "fine_tune" else "Stopped"
    return [
        Remark(
            "info",
            f"{what} early at epoch {done} of {planned}, because the validation loss had not "
            f"fallen for {config.early_stopping} "
            f"{'epoch' if config.early_stopping == 1 else 'epochs'} (the setting Early stopping). "
            f"The weights of epoch {best.epoch + 1} are kept.",
        )
    ]


def _read_curve(
    phase: str, rows: Sequence[EpochResult], planned: int, config: TrainConfig, num_val: int
) -> list[Remark]:
    """Say whether a phase overfits, was still learning, or hardly learned."""
    best, last = _best(rows), rows[-1]
    of = " of fine-tuning" if phase == "fine_tune" else ""
    if len(rows) < _MIN_EPOCHS:
        few = f"Only {len(rows)} {'epoch' if len(rows) == 1 else 'epochs'}: too few to judge by."
        return [Remark("info", few)]
    if min(row.loss for row in rows) > _HARDLY_FELL * rows[0].loss and last.accuracy < 0.8:
        rate = config.learning_rate if phase == "head" else config.fine_tune_learning_rate
        return [
            Remark(
                "hint",
                f"It hardly learned: the training loss went from {_loss(rows[0].loss)} to "
                f"{_loss(last.loss)}. Try another learning rate than {rate:g} (Learning rate "
                "suggests one), and see whether the classes differ visibly.",
            )
        ]
    end = float(np.mean([row.val_loss for row in rows[-2:]]))
    num_after = len(rows) - 1 - best.epoch
    if num_after >= _MIN_AFTER and end > _RISE * best.val_loss and last.loss < best.loss:
        return [
            Remark(
                "hint",
                f"It overfits from epoch {best.epoch + 2}{of}: the validation loss rises from "
                f"{_loss(best.val_loss)} to {_loss(last.val_loss)}, while the training loss "
                f"goes on falling. {_remedies(config)} can help; the weights of epoch "
                f"{best.epoch + 1} are kept.",
            )
        ]
    if _gap_is_real(best, num_val):
        return [
            Remark(
                "hint",
                f"It knows its training photos better than others: {_percent(best.accuracy)} of "
                f"them are right, {_percent(best.val_accuracy)} of the validation photos. "
                f"{_remedies(config)} can help.",
            )
        ]
    before = rows[-1 - max(1, len(rows) // 5)]
    if len(rows) == planned and best is last and last.val_loss < _STILL_FALLING * before.val_loss:
        return [
            Remark(
                "hint",
                f"It was still improving in its last epoch: the validation loss fell to "
                f"{_loss(last.val_loss)}. More epochs than {planned} can help.",
            )
        ]
    return []


def _read_calm(rows: Sequence[EpochResult]) -> Remark:
    best = _best(rows)
    text = (
        f"Trained without overfitting: the validation loss is lowest in epoch {best.epoch + 1} and "
        "hardly rises after it."
    )
    if best.val_accuracy == 1:
        text += " All validation photos are right, so only harder photos can show a difference."
    return Remark("good", text)


def _remedies(config: TrainConfig) -> str:
    """Return what is not used yet against overfitting."""
    found = ["more photos"]
    if num_views(config) == 1:
        found.append("augmentation")
    if config.fc_layers and config.dropout < 0.5:
        found.append(f"more dropout than {config.dropout:g}")
    if config.weight_decay == 0:
        found.append("weight decay")
    words = f"{', '.join(found[:-1])} or {found[-1]}" if len(found) > 1 else found[0]
    return words[:1].upper() + words[1:]


def _gap_is_real(best: EpochResult, num_val: int) -> bool:
    """Whether training images are right more often than chance explains, by ten points at least."""
    if best.accuracy - best.val_accuracy < 0.1 or not num_val:
        return False
    return best.accuracy > wilson_interval(round(best.val_accuracy * num_val), num_val)[1]


def _is_chance(before: float, after: float, num_val: int) -> bool:
    """Whether the later accuracy lies within the interval of the earlier one."""
    return not num_val or after <= wilson_interval(round(before * num_val), num_val)[1]


def _best(rows: Sequence[EpochResult]) -> EpochResult:
    return min(rows, key=lambda row: row.val_loss)


def _loss(value: float) -> str:
    return f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
