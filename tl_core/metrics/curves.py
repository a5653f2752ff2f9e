"""One-vs-rest curves of a classifier as tables ready for a DataFrame, in NumPy alone.

Points are those of scikit-learn on the same scores; images of equal score share one point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RocCurve:
    """True and false positive rate (points,) at each threshold, from (0, 0) to (1, 1)."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    threshold: NDArray[np.float64]
    auc: float


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Precision and recall (points,) at each threshold, from the lowest recall on.

    ``average_precision`` is the sum of the precisions weighted by the steps in recall.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: NDArray[np.float64]
    average_precision: float


def roc_curve(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> RocCurve | None:
    """Return the ROC curve of scores (n,); None without both positives and negatives."""
    thresholds, num_true, num_false = _counts(is_positive, scores)
    num_positive, num_negative = int(is_positive.sum()), int((~is_positive).sum())
    if num_positive == 0 or num_negative == 0:
        return None
    true_rate = np.concatenate([[0.0], num_true / num_positive])
    false_rate = np.concatenate([[0.0], num_false / num_negative])
    area = float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2))
    return RocCurve(false_rate, true_rate, np.concatenate([[math.inf], thresholds]), area)


def precision_recall_curve(
    is_positive: NDArray[np.bool_], scores: NDArray[np.floating]
) -> PrecisionRecallCurve | None:
    """Return the precision-recall curve of scores (n,); None without positives."""
    thresholds, num_true, num_false = _counts(is_positive, scores)
    num_positive = int(is_positive.sum())
    if num_positive == 0:
        return None
    recall, precision = num_true / num_positive, num_true / (num_true + num_false)
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return PrecisionRecallCurve(recall, precision, thresholds, average)


def _counts(
    is_positive: NDArray[np.bool_], scores: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each distinct score, highest first, with the positives and negatives at or above."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = np.asarray(scores, np.float64)[order], is_positive[order]
    last = np.flatnonzero(np.diff(ordered, append=-math.inf)) if len(ordered) else order
    num_true = np.cumsum(hits, dtype=np.int64)[last]
    return ordered[last], num_true, last + 1 - num_true
