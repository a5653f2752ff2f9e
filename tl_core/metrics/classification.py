"""Metrics of a classifier from its probabilities, in NumPy only.

Shared by training and evaluation, so that both report the same numbers.
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

    Examples:
        >>> import numpy as np
        >>> accuracy(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
        0.5
    """
    if len(labels) == 0:
        return math.nan
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Return the mean negative log-likelihood in nats; NaN for no rows.

    Args:
        labels: ``(n,)`` integer class indices.
        probabilities: ``(n, num_classes)`` in [0, 1].

    Examples:
        >>> import numpy as np
        >>> round(log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 4)
        0.6931
    """
    if len(labels) == 0:
        return math.nan
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.clip(chosen, _LEAST_PROBABILITY, 1.0))))


def confusion_matrix(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Return counts ``(num_classes, num_classes)`` int64: row the true class, column the answer.

    Examples:
        >>> import numpy as np
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def top_k_accuracy(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], k: int
) -> float:
    """Return the share of rows whose label is among the ``k`` most probable; NaN for no rows.

    For equal probabilities the class with the lower index counts as more probable, as in
    :func:`accuracy`.

    Examples:
        >>> import numpy as np
        >>> top_k_accuracy(np.array([1, 2]), np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]]), k=2)
        0.5
    """
    if len(labels) == 0:
        return math.nan
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(order == np.asarray(labels)[:, None], axis=1)))


def macro_f1(matrix: NDArray[np.integer]) -> float:
    """Return the mean F1 of the classes that have images or predictions; NaN if none has.

    Args:
        matrix: counts as :func:`confusion_matrix` returns them.

    Examples:
        >>> import numpy as np
        >>> macro_f1(np.array([[2, 0], [0, 3]]))
        1.0
    """
    weights = matrix.sum(axis=0) + matrix.sum(axis=1)
    known = weights > 0
    if not known.any():
        return math.nan
    return float(np.mean(2 * matrix.diagonal()[known] / weights[known]))


def exact_mcnemar(num_only_first: int, num_only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        num_only_first: images that only the first classifier got right.
        num_only_second: images that only the second got right.

    Returns:
        The probability of a split at least as uneven if both are equally good; 1 if they
        never differ.

    References:
        Q. McNemar (1947), "Note on the sampling error of the difference between correlated
        proportions or percentages", Psychometrika 12.

    Examples:
        >>> exact_mcnemar(0, 5)
        0.0625
    """
    num_different = num_only_first + num_only_second
    fewer = min(num_only_first, num_only_second)
    ways = sum(math.comb(num_different, k) for k in range(fewer + 1))
    return min(1.0, 2 * ways / 2**num_different)  # integers: exact at any size


def wilson_interval(num_correct: int, num_total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, 95 % unless ``z`` says otherwise.

    Unlike the normal approximation it stays inside [0, 1] and is accurate for few images.
    Without images it is (0, 1).

    References:
        E. B. Wilson (1927), "Probable inference, the law of succession, and statistical
        inference", Journal of the American Statistical Association 22.

    Examples:
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    if num_total == 0:
        return 0.0, 1.0
    share = num_correct / num_total
    spread = z * z / num_total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / num_total + spread / (4 * num_total))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference_interval(
    num_only_first: int, num_only_second: int, num_total: int, z: float = 1.959964
) -> tuple[float, float]:
    """Return a confidence interval of the difference of two models' accuracies, in [-1, 1].

    Args:
        num_only_first: images that only the first model got right.
        num_only_second: images that only the second got right.
        num_total: number of images, each classified by both.
        z: 95 % by default.

    References:
        A. Agresti, Y. Min (2005), "Simple improved confidence intervals for comparing matched
        proportions", Statistics in Medicine 24.
    """
    if num_total == 0:
        return -1.0, 1.0
    first, second, total = num_only_first + 0.5, num_only_second + 0.5, num_total + 2
    difference = (first - second) / total
    half = z * math.sqrt(first + second - (first - second) ** 2 / total) / total
    return max(-1.0, difference - half), min(1.0, difference + half)
