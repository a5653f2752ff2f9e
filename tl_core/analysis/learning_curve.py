"""How much more data would help: a linear probe trained on growing parts of cached features.

The points are measurements; the curve fitted through them is only an extrapolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_core.errors import DatasetError
from tl_core.progress import SILENT, Monitor

_SHARES = (0.1, 0.2, 0.35, 0.6, 1.0)
_HELD_OUT = 0.25
_COLUMNS = 4096  # that are standardised at once
_LEAST_EXPONENT, _MOST_EXPONENT, _NUM_EXPONENTS = 0.1, 2.0, 77


@dataclass(frozen=True)
class CurvePoint:
    """Accuracies of the probe with ``num_images`` training images, one per repeat."""

    num_images: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy over the repeats."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest accuracy of the repeats."""
        return min(self.accuracies), max(self.accuracies)


@dataclass(frozen=True)
class LearningCurve:
    """Measured points, and the law ``error(n) = floor + scale * n ** -exponent`` through them.

    References:
        C. Cortes et al. (1993), "Learning curves: asymptotic values and rate of convergence", NIPS.
    """

    points: tuple[CurvePoint, ...]
    floor: float
    scale: float
    exponent: float

    def accuracy_at(self, num_images: float) -> float:
        """Return the fitted accuracy with that many training images."""
        return float(np.clip(1 - self.floor - self.scale * num_images**-self.exponent, 0, 1))

    def gain(self, factor: float = 2.0) -> float:
        """Return the accuracy that ``factor`` times as many images would add, by the fit."""
        most = self.points[-1].num_images
        return self.accuracy_at(factor * most) - self.accuracy_at(most)


def learning_curve(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    repeats: int = 3,
    seed: int = 0,
    monitor: Monitor = SILENT,
) -> LearningCurve:
    """Measure how a logistic regression on features improves with more training images.

    In each repeat a quarter of every class is held out, copies of a picture together; the probe is
    trained on growing, nested, stratified parts of the rest.

    Args:
        features: (n, dim) float32.
        labels: (n,) integer.
        groups: (n,) integer; images of equal number are copies. By default there are none.
        repeats: how many times, each with different images held out.
        seed: the same seed gives the same curve.
        monitor: counts the probes, in stage ``"learning curve"``; checked between them.

    Raises:
        DatasetError: a class has fewer than 4 different images, too few to hold one out.
        Stopped: ``monitor`` was asked to stop.
    """
    if groups is None:
        groups = np.arange(len(labels))
    least = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    if least < 4:
        raise DatasetError(
            f"Expected at least 4 different images in every class for a learning curve, found "
            f"{least}. Add some to the smallest class."
        )
    stage = monitor.stage("learning curve", repeats * len(_SHARES))
    scaled = standardised(features)
    sizes: list[list[int]] = [[] for _ in _SHARES]
    accuracies: list[list[float]] = [[] for _ in _SHARES]
    for repeat in range(repeats):
        order, held_out = _hold_out(labels, groups, np.random.default_rng([seed, repeat]))
        for step, share in enumerate(_SHARES):
            monitor.check()
            rows = np.concatenate([part[: max(1, round(share * len(part)))] for part in order])
            sizes[step].append(len(rows))
            accuracies[step].append(_probe_accuracy(scaled, labels, rows, held_out))
            stage.advance()
    results: dict[int, list[float]] = {}  # with few images two shares may be the same number
    for of_share, values in zip(sizes, accuracies, strict=True):
        # Copies are held out together, so the number of training images varies between repeats.
        results.setdefault(round(float(np.mean(of_share))), []).extend(values)
    points = tuple(CurvePoint(size, tuple(values)) for size, values in sorted(results.items()))
    return LearningCurve(points, *_fit(points))


def standardised(features: np.ndarray) -> np.ndarray:
    """Return features ``(n, dim)`` with mean 0 and, where they vary, standard deviation 1."""
    result = np.array(features)
    standardise(result)
    return result


def standardise(features: np.ndarray) -> None:
    """Do as :func:`standardised` in place, which takes no second array of that size."""
    for start in range(0, features.shape[1], _COLUMNS):
        some = features[:, start : start + _COLUMNS]
        spread = some.std(axis=0)
        some -= some.mean(axis=0)
        some /= np.where(spread > 0, spread, 1.0)


def _hold_out(
    labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the rows of each class to train on, in random order, and those held out."""
    order: list[np.ndarray] = []
    held_out: list[np.ndarray] = []
    # A picture in two classes is where the smaller one needs it: it has the fewer to choose from.
    is_held: dict[int, bool] = {}
    present, counts = np.unique(labels, return_counts=True)
    for label in present[np.argsort(counts, kind="stable")]:
        rows = np.flatnonzero(labels == label)
        members = rng.permutation(np.unique(groups[rows]))
        num_held = max(1, round(_HELD_OUT * len(members)))
        num_held -= sum(is_held.get(int(group), False) for group in members)
        for group in members:
            if int(group) not in is_held:
                is_held[int(group)] = num_held > 0
                num_held -= 1
        place = {int(group): number for number, group in enumerate(members)}
        rows = rows[np.argsort([place[int(group)] for group in groups[rows]], kind="stable")]
        held = np.array([is_held[int(group)] for group in groups[rows]])
        held_out.append(rows[held])
        order.append(rows[~held])
    return order, np.concatenate(held_out)


def _probe_accuracy(
    features: np.ndarray, labels: np.ndarray, rows: np.ndarray, held_out: np.ndarray
) -> float:
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=0.01, max_iter=200, tol=1e-3)
    probe.fit(features[rows], labels[rows])
    return float(np.mean(probe.predict(features[held_out]) == labels[held_out]))


def _fit(points: Sequence[CurvePoint]) -> tuple[float, float, float]:
    """Fit the power law by least squares: for each exponent of a grid the rest is linear.

    Floor and scale are clipped at zero, since more data does not reduce accuracy.
    """
    sizes = np.array([point.num_images for point in points], np.float64)
    errors = np.array([1 - point.mean for point in points])
    best = (np.inf, float(errors[-1]), 0.0, 1.0)
    for exponent in np.linspace(_LEAST_EXPONENT, _MOST_EXPONENT, _NUM_EXPONENTS):
        power = sizes**-exponent
        columns = np.stack([np.ones_like(power), power], axis=1)
        candidates = [np.linalg.lstsq(columns, errors, rcond=None)[0]]
        candidates.append(np.array([0.0, float(power @ errors / (power @ power))]))
        candidates.append(np.array([float(errors.mean()), 0.0]))
        for floor, scale in candidates:
            if floor < 0 or scale < 0:
                continue
            residual = float(np.sum((floor + scale * power - errors) ** 2))
            if residual < best[0] - 1e-15:
                best = (residual, float(floor), float(scale), float(exponent))
    return best[1:]
