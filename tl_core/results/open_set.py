"""None of these: photos that a run should not name, and what turning them away costs and brings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.errors import RunError
from tl_core.model.known import (
    DEFAULT_TARGET,
    KnownImages,
    Thresholds,
    load_known,
    save_known,
)

if TYPE_CHECKING:
    from tl_core.results.evaluation import Evaluation

__all__ = [
    "DEFAULT_TARGET",
    "Thresholds",
    "coverage_rows",
    "set_target",
    "threshold_rows",
    "why_none_of_these",
]

_MAX_ROWS = 200
_TARGETS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


def why_none_of_these(
    known: KnownImages | None,
    features: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> list[tuple[str, ...]]:
    """Return for each photo why it is none of the classes; nothing for one that is accepted.

    Args:
        known: what the run knows; None accepts everything.
        features: (n, dim) float32.
        probabilities: (n, num_classes) float32, calibrated.
        class_names: in class order.
    """
    if known is None or len(features) == 0:
        return [()] * len(features)
    limits, scores = known.thresholds, known.scores(features, probabilities)
    reasons = []
    for row in range(len(features)):
        why = []
        if scores.distance[row] > limits.max_distance:
            why.append(
                "It looks like none of the training images: the nearest are "
                f"{1 - scores.distance[row]:.2f} alike, "
                f"{1 - limits.max_distance:.2f} is needed."
            )
        if scores.probability[row] < limits.min_probability:
            name = class_names[int(np.argmax(probabilities[row]))]
            why.append(
                f"No class is probable enough: {name} has "
                f"{100 * scores.probability[row]:.1f} %, "
                f"{100 * limits.min_probability:.1f} % is needed."
            )
        reasons.append(tuple(why))
    return reasons


def set_target(run_dir: str | os.PathLike[str], target: float) -> Thresholds:
    """Choose and keep the thresholds that turn away this share of photos of the known classes.

    Raises:
        RunError: the run does not know its images yet; evaluate it first.
        ConfigError: the share is not in [0, 0.5].
    """
    path = Path(run_dir)
    known = load_known(path)
    if known is None:
        raise RunError(f"Run '{path.name}' has no thresholds yet. Evaluate it once, then set them.")
    chosen = known.with_target(target)
    save_known(path, chosen)
    return chosen.thresholds


def threshold_rows(run_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return what each of some targets would cost and bring, as rows ready for a DataFrame.

    Columns: ``target``, ``max_distance``, ``min_probability``, ``false_reject`` and
    ``false_accept`` on validation images; empty when the run does not know its images yet.
    """
    known = load_known(Path(run_dir))
    return [] if known is None else [vars(known.choose(target)) for target in _TARGETS]


def coverage_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the coverage/accuracy curve as rows ready for a DataFrame, from strict to lenient.

    Columns: ``coverage`` (share of images answered), ``accuracy`` among them, ``num_answered``,
    ``strictness`` (limits are divided by it; 1 is what the run obeys) and ``is_chosen`` for the
    row nearest to that. Without thresholds photos are turned away by probability alone, and
    ``strictness`` is then the least probability accepted.
    """
    score = evaluation.unfamiliarity
    key = 1 - evaluation.confidence if score is None else score
    order = np.argsort(key, kind="stable")
    num_right = np.cumsum(evaluation.is_right[order])
    last = np.flatnonzero(np.diff(key[order], append=np.inf))
    if len(last) > _MAX_ROWS:
        last = last[np.linspace(0, len(last) - 1, _MAX_ROWS).astype(np.int64)]
    inside = last[key[order[last]] <= 1]
    chosen = int(inside[-1]) if score is not None and len(inside) else -1
    return [
        {
            "coverage": float((at + 1) / len(order)),
            "accuracy": float(num_right[at] / (at + 1)),
            "num_answered": int(at + 1),
            "strictness": _strictness(float(key[order[at]]), score is None),
            "is_chosen": int(at) == chosen,
        }
        for at in last
    ]


def _strictness(key: float, is_probability: bool) -> float:
    return 1 - key if is_probability else 1 / max(key, 1e-6)
