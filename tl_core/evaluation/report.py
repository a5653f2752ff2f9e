"""Evaluation results: metrics of a run on labelled images, and the images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tl_core.errors import ConfigError
from tl_core.head.out_of_distribution import Scores, Thresholds
from tl_core.head.temperature import NOT_CALIBRATED, Calibration
from tl_core.metrics import classification
from tl_core.metrics.calibration import calibration_error_by_chance, expected_calibration_error
from tl_core.metrics.curves import PrecisionRecallCurve, RocCurve, precision_recall_curve, roc_curve
from tl_core.runs.image_selection import TRAINED_ON, VALIDATED_WITH

_TOP_KS = (2, 3, 5)


@dataclass(frozen=True)
class ClassFigures:
    """The metrics of one class; None where undefined.

    ``precision`` is the share of predictions of this class that are right, ``recall`` the share of
    its images that are predicted as it, ``support`` the number of its images. ``auc`` is the area
    under its one-vs-rest ROC curve, ``average_precision`` under its precision-recall curve.
    """

    class_name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    auc: float | None = None
    average_precision: float | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of a run on labelled images, and their metrics.

    Args:
        class_names: the run's classes, in the order of the labels.
        part: ``train``, ``val`` or ``test`` of the run's own split, or ``all`` of a folder.
        data_dir: the folder the images lie in.
        paths: path of each image relative to ``data_dir``, with slashes.
        labels: (n,) int64, the true class of each image.
        probabilities: (n, num_classes) float32, calibrated, as shown.
        skipped: reasons why images were left out, by path.
        raw_probabilities: the uncalibrated probabilities; None if they are the same.
        calibration: the calibration that was applied.
        distances: (n,) float32 to the training images; None if the run has no detector.
        thresholds: the thresholds of "none of these"; None if the run has none.
        num_relabelled: how many images have another class than when the run was trained.
    """

    class_names: tuple[str, ...]
    part: str
    data_dir: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    skipped: dict[str, str]
    raw_probabilities: np.ndarray | None = None
    calibration: Calibration = NOT_CALIBRATED
    distances: np.ndarray | None = None
    thresholds: Thresholds | None = None
    num_relabelled: int = 0

    @property
    def num_images(self) -> int:
        """Number of images evaluated."""
        return len(self.labels)

    @property
    def num_used_in_training(self) -> int:
        """Number of images left out because the run used them for training or validation."""
        reasons = (TRAINED_ON, VALIDATED_WITH)
        return sum(reason in reasons for reason in self.skipped.values())

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image: (n,) int64."""
        return np.argmax(self.probabilities, axis=1)

    @cached_property
    def is_right(self) -> np.ndarray:
        """Whether the most probable class is the true one: (n,) bool."""
        return self.predicted == self.labels

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the most probable class: (n,) float32."""
        return self.probabilities.max(axis=1, initial=0.0)

    @cached_property
    def uncalibrated(self) -> np.ndarray:
        """The uncalibrated probabilities: (n, num_classes) float32."""
        return self.probabilities if self.raw_probabilities is None else self.raw_probabilities

    @cached_property
    def unfamiliarity(self) -> np.ndarray | None:
        """How close each image is to being rejected: (n,), rejected above 1."""
        if self.distances is None or self.thresholds is None:
            return None
        return self.thresholds.unfamiliarity(Scores(self.distances, self.confidence))

    @cached_property
    def is_none_of_these(self) -> np.ndarray:
        """Whether the image is rejected as none of the run's classes: (n,) bool."""
        if self.unfamiliarity is None:
            return np.zeros(self.num_images, bool)
        return self.unfamiliarity > 1

    @cached_property
    def accuracy(self) -> float:
        """Share of the images whose most probable class is the true one."""
        return classification.accuracy(self.labels, self.probabilities)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return classification.wilson_interval(int(np.sum(self.is_right)), self.num_images)

    @property
    def top_k(self) -> dict[int, float]:
        """Share of the images whose class is among the k most probable, for several k."""
        return {
            k: classification.top_k_accuracy(self.labels, self.probabilities, k)
            for k in _TOP_KS
            if k < len(self.class_names)
        }

    @cached_property
    def macro_f1(self) -> float:
        """Mean F1 of the classes, weighted equally."""
        return classification.macro_f1(self.confusion_matrix)

    @cached_property
    def log_loss(self) -> float:
        """Mean negative log-likelihood of the true classes before calibration, as in training."""
        return classification.log_loss(self.labels, self.uncalibrated)

    @cached_property
    def scaled_log_loss(self) -> float:
        """Mean negative log-likelihood of the true classes after calibration."""
        return classification.log_loss(self.labels, self.probabilities)

    @cached_property
    def ece(self) -> float:
        """Expected calibration error after calibration, 15 bins of equal width."""
        return expected_calibration_error(self.labels, self.probabilities)

    @cached_property
    def ece_before(self) -> float:
        """Expected calibration error before calibration."""
        return expected_calibration_error(self.labels, self.uncalibrated)

    @cached_property
    def ece_by_chance(self) -> float:
        """The calibration error to expect by chance on as many images."""
        return calibration_error_by_chance(self.probabilities)

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """Counts (num_classes, num_classes) int64: row the true class, column the answer."""
        return classification.confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def confusion_shares(self) -> np.ndarray:
        """The confusion matrix with rows normalised to 1; NaN in rows without images."""
        matrix = self.confusion_matrix.astype(np.float64)
        totals = matrix.sum(axis=1, keepdims=True)
        return np.divide(matrix, totals, out=np.full_like(matrix, np.nan), where=totals > 0)

    @cached_property
    def roc_curves(self) -> dict[str, RocCurve]:
        """One-vs-rest ROC curve of each class, where both sides have images."""
        curves = {
            name: roc_curve(self.labels == label, self.probabilities[:, label])
            for label, name in enumerate(self.class_names)
        }
        return {name: curve for name, curve in curves.items() if curve is not None}

    @cached_property
    def precision_recall_curves(self) -> dict[str, PrecisionRecallCurve]:
        """Precision-recall curve of each class that has images."""
        curves = {
            name: precision_recall_curve(self.labels == label, self.probabilities[:, label])
            for label, name in enumerate(self.class_names)
        }
        return {name: curve for name, curve in curves.items() if curve is not None}

    @cached_property
    def per_class(self) -> tuple[ClassFigures, ...]:
        """The metrics of each class, in class order."""
        matrix, roc, precision_recall = (
            self.confusion_matrix,
            self.roc_curves,
            self.precision_recall_curves,
        )
        rows = zip(self.class_names, matrix.diagonal(), matrix.sum(0), matrix.sum(1), strict=True)
        return tuple(
            ClassFigures(
                name,
                precision=_ratio(num_right, num_answers),
                recall=_ratio(num_right, support),
                f1=_ratio(2 * num_right, num_answers + support),
                support=int(support),
                auc=roc[name].auc if name in roc else None,
                average_precision=(
                    precision_recall[name].average_precision if name in precision_recall else None
                ),
            )
            for name, num_right, num_answers, support in rows
        )

    def confusions(self) -> list[tuple[str, str, int]]:
        """Return (true class, predicted class, number of images) of mistakes, most common first."""
        matrix = self.confusion_matrix
        pairs = [(i, j) for i, j in zip(*np.nonzero(matrix), strict=True) if i != j]
        pairs.sort(key=lambda pair: (-matrix[pair], pair))
        return [(self.class_names[i], self.class_names[j], int(matrix[i, j])) for i, j in pairs]

    def cell(self, true_name: str, answer: str) -> list[int]:
        """Return the images of one cell of the confusion matrix, most confident first.

        Raises:
            ConfigError: the run has no class of that name.
        """
        label, answered = self._label_of(true_name), self._label_of(answer)
        inside = np.flatnonzero((self.labels == label) & (self.predicted == answered))
        return _by(-self.confidence, inside)

    def worst_mistakes(self, limit: int | None = None) -> list[int]:
        """Return the misclassified images, most confident first."""
        return _by(-self.confidence, np.flatnonzero(~self.is_right))[:limit]

    def least_sure(
        self, limit: int | None = None, by: Literal["margin", "entropy"] = "margin"
    ) -> list[int]:
        """Return all images, least confident first.

        Args:
            limit: how many.
            by: ``"margin"`` between the two most probable classes, or ``"entropy"`` over all.
        """
        sureness = self.margins if by == "margin" else -self.entropies
        return _by(sureness, np.arange(self.num_images))[:limit]

    @cached_property
    def margins(self) -> np.ndarray:
        """By how much the most probable class is ahead of the second: (n,) float32."""
        ordered = np.sort(self.probabilities, axis=1)
        return ordered[:, -1] - ordered[:, -2]

    @cached_property
    def entropies(self) -> np.ndarray:
        """Entropy of each image's probabilities in nats: (n,) float64."""
        shares = self.probabilities.astype(np.float64)
        return -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1)

    def table(self, positions: Sequence[int] | None = None) -> dict[str, list[Any]]:
        """Return columns ready for a DataFrame, one row per image.

        Args:
            positions: which images, in the order of the result; by default all.
        """
        rows = list(range(self.num_images)) if positions is None else list(positions)
        names = self.class_names
        return {
            "path": [self.paths[row] for row in rows],
            "true": [names[self.labels[row]] for row in rows],
            "answer": [names[self.predicted[row]] for row in rows],
            "probability": [float(self.confidence[row]) for row in rows],
            "true_probability": [float(self.probabilities[row, self.labels[row]]) for row in rows],
            "is_right": [bool(self.is_right[row]) for row in rows],
            "margin": [float(self.margins[row]) for row in rows],
            "none_of_these": [bool(self.is_none_of_these[row]) for row in rows],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON-serialisable values, without the images."""
        is_known = self.unfamiliarity is not None
        accepted = ~self.is_none_of_these
        right = int(np.sum(self.is_right & accepted))
        return {
            "part": self.part,
            "data_dir": str(self.data_dir),
            "num_images": self.num_images,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top_k": {str(k): share for k, share in self.top_k.items()},
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "scaled_log_loss": self.scaled_log_loss,
            "ece_before": self.ece_before,
            "ece": self.ece,
            "ece_by_chance": self.ece_by_chance,
            "temperature": self.calibration.temperature,
            "coverage": float(accepted.mean()) if is_known else None,
            "covered_accuracy": _ratio(right, int(accepted.sum())) if is_known else None,
            "class_names": list(self.class_names),
            "per_class": [vars(figures) for figures in self.per_class],
            "confusion_matrix": self.confusion_matrix.tolist(),
            "skipped": self.skipped,
        }

    def _label_of(self, name: str) -> int:
        if name not in self.class_names:
            raise ConfigError(
                f"Expected a class out of {', '.join(self.class_names)}, received '{name}'."
            )
        return self.class_names.index(name)


def _by(keys: np.ndarray, positions: np.ndarray) -> list[int]:
    """Return the positions sorted by key, lowest first; stable."""
    return [int(i) for i in positions[np.argsort(keys[positions], kind="stable")]]


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
