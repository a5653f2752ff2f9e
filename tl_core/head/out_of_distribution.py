"""Out-of-distribution detection: which photos belong to none of a run's classes.

A photo is rejected if its features are farther from those of the training images than those of the
validation images are, or if no class is probable enough.

References:
    Y. Sun, Y. Ming, X. Zhu, Y. Li (2022), "Out-of-distribution detection with deep nearest
    neighbors", ICML.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import ConfigError, RunError
from tl_core.head.model import METADATA_KEY, load_weights, load_weights_metadata, save_weights
from tl_core.metrics.nearest import highest, spread_rows, unit_rows

KNOWN_FILE = "known.safetensors"
KNOWN_SCHEMA = 1
DEFAULT_TARGET = 0.05

NUM_NEIGHBOURS = 3
MAX_ANCHOR_BYTES = 16 * 2**20  # 16-bit numbers: 6,500 images of 1,280 features
FEW_IMAGES = 50
_MAX_LEFT_OUT = 500
_MARGIN = 1e-4
_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # shares of the rejections due to distance


@dataclass(frozen=True, eq=False)
class Scores:
    """The criteria of rejection: distance (n,) and highest probability (n,), both float32."""

    distance: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of "none of these", and their error rates.

    Args:
        target: share of photos of the known classes that may be rejected.
        max_distance: photos farther from the training images are rejected.
        min_probability: photos whose best class is less probable are rejected.
        false_reject: share of the validation images that are rejected.
        false_accept: share of validation images accepted with their own class hidden, which makes
            them hard unknown photos. None if no class could be hidden.
    """

    target: float
    max_distance: float
    min_probability: float
    false_reject: float
    false_accept: float | None

    def unfamiliarity(self, scores: Scores) -> np.ndarray:
        """Return how close each photo is to being rejected: (n,), rejected above 1."""
        from_distance = scores.distance / self.max_distance
        return np.maximum(from_distance, self.min_probability / scores.probability)


@dataclass(frozen=True, eq=False)
class OODDetector:
    """Training images by their features, and the thresholds chosen on validation images.

    Args:
        anchors: (n, dim) float32 features of training images, rows of length 1.
        labels: (n,) int32 class of each.
        rows: (n,) int32 row of each among the training images of the run's split.
        known: scores of the validation images.
        unknown: scores of validation images with their own class hidden; may be empty.
        left_out: distance of each anchor to the others, used if there are few validation images.
        thresholds: the thresholds in use.
        weights: the digest of the weights it was fitted for.
    """

    anchors: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    known: Scores
    unknown: Scores
    left_out: np.ndarray
    thresholds: Thresholds
    weights: str

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Return cosines (n, num_anchors) of features (n, dim or positions times dim)."""
        return _directions(features, self.anchors.shape[1]) @ self.anchors.T

    def scores(self, features: np.ndarray, probabilities: np.ndarray) -> Scores:
        """Return the scores of photos from their features and calibrated probabilities."""
        distance = _mean_distance(self.similarity(features))
        return Scores(distance, probabilities.max(axis=1).astype(np.float32))

    def with_target(self, target: float) -> OODDetector:
        """Return a copy with thresholds for another share of rejected known photos.

        Raises:
            ConfigError: the share is not in [0, 0.5].
        """
        return replace(self, thresholds=self.choose(target))

    def choose(self, target: float) -> Thresholds:
        """Return the thresholds for a share of rejected known photos.

        The share is divided between distance and probability so that most photos of hidden
        classes are rejected.

        Raises:
            ConfigError: the share is not in [0, 0.5].
        """
        if not 0 <= target <= 0.5:
            raise ConfigError(f"Expected a share from 0 to 0.5 to reject, received {target!r}.")
        best: Thresholds | None = None
        for share in _SHARES:
            max_distance = _high_quantile(self.known.distance, target * share)
            if len(self.known.distance) < FEW_IMAGES and len(self.left_out):
                others = _high_quantile(self.left_out, target * share)
                max_distance = max(max_distance, others)
            near = self.known.distance <= max_distance
            num_more = int(target * len(near)) - int(np.sum(~near))
            least = np.sort(self.known.probability[near])
            min_probability = float(least[num_more]) if 0 < num_more < len(least) else 0.0
            # With a small margin, since the last digits depend on the batch size.
            max_distance = max_distance * (1 + _MARGIN) + _MARGIN
            min_probability *= 1 - _MARGIN
            chosen = Thresholds(target, max_distance, min_probability, 0.0, None)
            chosen = self._with_rates(chosen)
            if best is None or (chosen.false_accept or 0.0) < (best.false_accept or 0.0):
                best = chosen
        if best is None:
            raise ConfigError("Expected at least one way to choose thresholds.")
        return best

    def _with_rates(self, thresholds: Thresholds) -> Thresholds:
        rejected = thresholds.unfamiliarity(self.known) > 1
        accepted = thresholds.unfamiliarity(self.unknown) <= 1
        return replace(
            thresholds,
            false_reject=float(rejected.mean()) if len(rejected) else 0.0,
            false_accept=float(accepted.mean()) if len(accepted) else None,
        )


def fit_detector(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    train_rows: np.ndarray,
    val_features: np.ndarray,
    val_labels: np.ndarray,
    val_probabilities: np.ndarray,
    feature_dim: int,
    weights: str,
    target: float = DEFAULT_TARGET,
) -> OODDetector:
    """Fit a detector: store the training features and choose thresholds on validation images.

    Args:
        train_features: (n, dim) float32 of the unaugmented images; flattened feature maps are
            averaged over their positions.
        train_labels: (n,) integer class indices.
        train_rows: (n,) row of each among the training images of the run's split.
        val_features: (m, dim) float32.
        val_labels: (m,) integer class indices.
        val_probabilities: (m, num_classes) float32, calibrated.
        feature_dim: channels of the backbone's feature map.
        weights: the digest of the head's weights.
        target: share of known photos that may be rejected.
    """
    kept = spread_rows(len(train_features), MAX_ANCHOR_BYTES // (2 * feature_dim))
    # Rounded as stored, so that a reloaded detector gives the same results.
    anchors = _directions(train_features[kept], feature_dim).astype(np.float16).astype(np.float32)
    labels = train_labels[kept].astype(np.int32)
    similarity = _directions(val_features, feature_dim) @ anchors.T
    known = Scores(_mean_distance(similarity), val_probabilities.max(axis=1).astype(np.float32))
    similarity[val_labels[:, None] == labels[None]] = -1.0  # as if that class had not been trained
    others = val_probabilities.astype(np.float64).copy()
    others[np.arange(len(val_labels)), val_labels] = 0.0
    left = np.maximum(others.sum(axis=1), 1e-12)
    can_hide = val_probabilities.shape[1] > 2
    unknown = Scores(
        _mean_distance(similarity)[: len(val_labels) * can_hide],
        (others.max(axis=1) / left).astype(np.float32)[: len(val_labels) * can_hide],
    )
    described = OODDetector(
        anchors=anchors,
        labels=labels,
        rows=train_rows[kept].astype(np.int32),
        known=known,
        unknown=unknown,
        left_out=_left_out_distances(anchors) if len(val_labels) < FEW_IMAGES else np.empty(0),
        thresholds=Thresholds(target, 2.0, 0.0, 0.0, None),
        weights=weights,
    )
    return described.with_target(target)


def save_detector(run_dir: Path, known: OODDetector) -> None:
    """Write the detector's file atomically."""
    arrays: dict[str, np.ndarray] = {
        "anchors": known.anchors.astype(np.float16),
        "labels": known.labels.astype(np.int32),
        "rows": known.rows.astype(np.int32),
        "known": np.stack([known.known.distance, known.known.probability]).astype(np.float32),
        "unknown": np.stack([known.unknown.distance, known.unknown.probability]).astype(np.float32),
        "left_out": known.left_out.astype(np.float32),
    }
    facts = {"schema": KNOWN_SCHEMA, "weights": known.weights, **vars(known.thresholds)}
    save_weights(run_dir / KNOWN_FILE, arrays, {METADATA_KEY: json.dumps(facts)})


def load_detector(run_dir: Path, weights: str | None = None) -> OODDetector | None:
    """Return the run's detector; None if there is none for these weights.

    Raises:
        RunError: the file is of a newer schema.
    """
    path = run_dir / KNOWN_FILE
    if not path.exists():
        return None
    try:
        facts: dict[str, Any] = json.loads(load_weights_metadata(path)[METADATA_KEY])
        schema = facts.pop("schema")
        digest = facts.pop("weights")
        if schema <= KNOWN_SCHEMA and weights not in (None, digest):
            return None
        arrays = load_weights(path) if schema <= KNOWN_SCHEMA else {}
        if arrays:
            return OODDetector(
                anchors=arrays["anchors"].astype(np.float32),
                labels=arrays["labels"],
                rows=arrays["rows"],
                known=Scores(*arrays["known"]),
                unknown=Scores(*arrays["unknown"]),
                left_out=arrays["left_out"],
                thresholds=Thresholds(**facts),
                weights=digest,
            )
    except (RunError, ValueError, TypeError, KeyError):
        return None  # it can be computed again
    raise RunError(
        f"Run '{run_dir.name}' has a {KNOWN_FILE} of schema {schema}, newer than {KNOWN_SCHEMA}. "
        "Update tl_core."
    )


def _directions(features: np.ndarray, feature_dim: int) -> np.ndarray:
    """Return rows (n, feature_dim) of length 1; flattened maps are averaged over positions."""
    places = np.asarray(features, np.float32).reshape(len(features), -1, feature_dim)
    return unit_rows(places.mean(axis=1))


def _mean_distance(similarity: np.ndarray) -> np.ndarray:
    """Return 1 minus the mean cosine similarity to the nearest few: (n,) float32."""
    _, cosines = highest(similarity, NUM_NEIGHBOURS)
    return (1 - cosines.mean(axis=1)).astype(np.float32)


def _left_out_distances(anchors: np.ndarray) -> np.ndarray:
    some = spread_rows(len(anchors), _MAX_LEFT_OUT)
    similarity = anchors[some] @ anchors.T
    similarity[np.arange(len(some)), some] = -1.0
    return _mean_distance(similarity)


def _high_quantile(values: np.ndarray, share_above: float) -> float:
    """Return the smallest value that at most this share of the values exceed."""
    if len(values) == 0:
        return 2.0  # the largest possible cosine distance
    num_above = int(share_above * len(values))
    return float(np.sort(values)[len(values) - 1 - num_above])
