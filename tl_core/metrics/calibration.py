"""Calibration error of a classifier's probabilities, and temperature scaling.

Temperature scaling divides the logarithms of the probabilities by one number: the order of the
classes is the same, only the confidence changes.

References:
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger (2017), "On calibration of modern neural networks",
    ICML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15  # of equal width, as in the paper

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 10.0

_LEAST_PROBABILITY = 1e-7  # as for the log loss
_NUM_SEARCH_STEPS = 60


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose best class has a probability in (low, high]; None if there are none."""

    low: float
    high: float
    num_images: int
    confidence: float | None
    accuracy: float | None


def apply_temperature(
    probabilities: NDArray[np.floating], temperature: float
) -> NDArray[np.float32]:
    """Return the probabilities (n, num_classes) float32 scaled by the temperature.

    The most probable class of each row stays the same, even if rounding makes others equal.
    """
    raw = np.asarray(probabilities, np.float32)
    if temperature == 1.0 or raw.size == 0:
        return raw
    logits = np.log(np.maximum(raw.astype(np.float64), np.finfo(np.float32).tiny)) / temperature
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    best = np.argmax(raw, axis=1)
    tied = np.flatnonzero(np.argmax(scaled, axis=1) != best)
    scaled[tied, best[tied]] = np.nextafter(scaled[tied].max(axis=1), np.float32(2))
    return scaled


def fit_temperature(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], num_prior: float = 0.0
) -> float:
    """Return the temperature that minimises the log loss of these images.

    The loss is convex in the inverse temperature, so its derivative has one zero, which is found by
    bisection.

    Args:
        labels: (n,) integer class indices of images that were not trained on.
        probabilities: (n, num_classes) of a softmax.
        num_prior: weight of the prior, a temperature of 1, in images: the fewer the images, the
            closer the result is to 1. With 0 there is no prior, with infinity the result is 1.

    Returns:
        A number in [``MIN_TEMPERATURE``, ``MAX_TEMPERATURE``]; 1 for no images.

    Examples:
        >>> import numpy as np
        >>> overconfident = np.array([[0.99, 0.01]] * 4)
        >>> temperature = fit_temperature(np.array([0, 0, 0, 1]), overconfident)
        >>> apply_temperature(overconfident, temperature)[0].round(2).tolist()
        [0.75, 0.25]
    """
    if len(labels) == 0 or math.isinf(num_prior):
        return 1.0
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))
    chosen = logits[np.arange(len(labels)), labels]

    def slope(inverse: float) -> float:
        """Return the derivative of the summed log loss and the prior."""
        scaled = inverse * logits
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        expected = np.sum(weights * logits, axis=1) / weights.sum(axis=1)
        return float(np.sum(expected - chosen)) + num_prior * (inverse - 1 / inverse)

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:
        return MAX_TEMPERATURE
    if slope(high) <= 0:
        return MIN_TEMPERATURE
    for _ in range(_NUM_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def reliability_table(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    num_bins: int = NUM_BINS,
) -> list[ReliabilityBin]:
    """Return mean confidence and accuracy in bins of equal width over [0, 1]."""
    confidence = probabilities.max(axis=1, initial=0.0).astype(np.float64)
    is_right = np.argmax(probabilities, axis=1) == labels
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    bin_of = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    table = []
    for number in range(num_bins):
        inside = bin_of == number
        known = bool(inside.any())
        table.append(
            ReliabilityBin(
                float(edges[number]),
                float(edges[number + 1]),
                int(inside.sum()),
                float(confidence[inside].mean()) if known else None,
                float(is_right[inside].mean()) if known else None,
            )
        )
    return table


def expected_calibration_error(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    num_bins: int = NUM_BINS,
) -> float:
    """Return the mean gap of confidence and accuracy, weighted by images; NaN for no images.

    A perfect model does not reach 0 on few images: see :func:`calibration_error_by_chance`.

    Examples:
        >>> import numpy as np
        >>> always_sure = np.array([[1.0, 0.0], [1.0, 0.0]])
        >>> expected_calibration_error(np.array([0, 1]), always_sure)
        0.5
    """
    if len(labels) == 0:
        return math.nan
    gaps = [
        one.num_images * abs(one.confidence - one.accuracy)
        for one in reliability_table(labels, probabilities, num_bins)
        if one.confidence is not None and one.accuracy is not None
    ]
    return float(sum(gaps) / len(labels))


def calibration_error_by_chance(
    probabilities: NDArray[np.floating], num_bins: int = NUM_BINS, num_draws: int = 100
) -> float:
    """Return the calibration error to expect by chance if the probabilities were perfect.

    Labels are drawn from the probabilities with a fixed seed; a smaller error is not significant.
    NaN for no images.
    """
    if len(probabilities) == 0:
        return math.nan
    rng = np.random.default_rng(0)
    bounds = np.cumsum(probabilities, axis=1, dtype=np.float64)
    errors = []
    for _ in range(num_draws):
        places = rng.random((len(probabilities), 1)) * bounds[:, -1:]
        labels = np.sum(places > bounds, axis=1)
        errors.append(expected_calibration_error(labels, probabilities, num_bins))
    return float(np.mean(errors))
