"""Figures of a classifier from its probabilities, in NumPy alone.

They sit below training and evaluation so that both report the same number for the same thing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_LEAST_PROBABILITY = 1e-7  # Keras clips at the same value before it takes the logarithm


def accuracy(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Return the share of rows whose most probable class is the label; NaN for no rows.

    Args:
        labels: ``(n,)`` integer class indices.
        probabilities: ``(n, num_classes)`` in [0, 1].
    """
    if len(labels) == 0:
        return math.nan
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Return the mean negative log-likelihood in nats; NaN for no rows.

    Args:
        labels: ``(n,)`` integer class indices.
        probabilities: ``(n, num_classes)`` in [0, 1].
    """
    if len(labels) == 0:
        return math.nan
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.clip(chosen, _LEAST_PROBABILITY, 1.0))))


def confusion_matrix(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Return counts ``(num_classes, num_classes)`` int64: row the true class, column the answer."""
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def wilson_interval(num_correct: int, num_total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, 95 % unless ``z`` says otherwise.

    Unlike the normal approximation it stays inside [0, 1] and is honest for few images.
    With no images nothing is known: (0, 1).

    References:
        E. B. Wilson (1927), "Probable inference, the law of succession, and statistical
        inference", Journal of the American Statistical Association 22.
    """
    if num_total == 0:
        return 0.0, 1.0
    share = num_correct / num_total
    spread = z * z / num_total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / num_total + spread / (4 * num_total))
    return max(0.0, centre - half), min(1.0, centre + half)
