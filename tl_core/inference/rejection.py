"""Reject photos that belong to none of a run's classes, and choose the thresholds for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tl_core.errors import RunError
from tl_core.head.out_of_distribution import (
    DEFAULT_TARGET,
    OODDetector,
    Thresholds,
    load_detector,
    save_detector,
)

__all__ = ["DEFAULT_TARGET", "Thresholds", "set_target", "why_none_of_these"]


def why_none_of_these(
    detector: OODDetector | None,
    features: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> list[tuple[str, ...]]:
    """Return for each photo why it is rejected; empty for an accepted photo.

    Args:
        detector: the run's detector; None accepts everything.
        features: (n, dim) float32.
        probabilities: (n, num_classes) float32, calibrated.
        class_names: in class order.
    """
    if detector is None or len(features) == 0:
        return [()] * len(features)
    limits, scores = detector.thresholds, detector.scores(features, probabilities)
    reasons = []
    for row in range(len(features)):
        why = []
        if scores.distance[row] > limits.max_distance:
            why.append(
                "Too different from the training photos (similarity "
                f"{1 - scores.distance[row]:.2f}, needs {1 - limits.max_distance:.2f})."
            )
        if scores.probability[row] < limits.min_probability:
            name = class_names[int(np.argmax(probabilities[row]))]
            why.append(
                f"No class is probable enough ({name} has {100 * scores.probability[row]:.1f} %, "
                f"needs {100 * limits.min_probability:.1f} %)."
            )
        reasons.append(tuple(why))
    return reasons


def set_target(run_dir: str | os.PathLike[str], target: float) -> Thresholds:
    """Choose and save the thresholds that reject this share of photos of the known classes.

    Raises:
        RunError: the run has no detector yet; evaluate it first.
        ConfigError: the share is not in [0, 0.5].
    """
    path = Path(run_dir)
    detector = load_detector(path)
    if detector is None:
        raise RunError(f"Run '{path.name}' has no thresholds yet. Evaluate it once, then set them.")
    chosen = detector.with_target(target)
    save_detector(path, chosen)
    return chosen.thresholds
