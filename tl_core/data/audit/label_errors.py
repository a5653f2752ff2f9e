"""Which images probably carry a wrong label, and which are unlike the rest of their class.

From features of a frozen backbone alone. A linear probe says what each image is without having
seen it in training; where it is as sure of another class as it is of that class's own images, the
label is doubted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_core.data.folds import assign_folds
from tl_core.metrics.nearest import make_unit, nearest_rows, spread_rows, take_rows
from tl_core.progress import SILENT, Monitor

STAGE = "labels"
_NUM_FOLDS = 5
_MIN_IMAGES = 5  # different ones of a class, so that each fold trains on most of them
_MAX_DIM = 256  # beyond it the probe gains nothing and takes longer
_PENALTY = 10.0  # inverse strength, for centred features of length 1

_NUM_NEIGHBOURS = 10
_MAX_REFERENCES = 2000  # images of a class that each of it is compared with


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """What a probe that has not seen an image says of it.

    Attributes:
        probabilities: ``(num_images, num_classes)`` float32; zeros where nothing can be said.
        scores: how much speaks against the given label, 0 to 1: ``(num_images,)`` float32.
        suggested: the most probable class, the given one where nothing can be said:
            ``(num_images,)`` int64.
        confident: the class that the image belongs to by confident learning, or the given one:
            ``(num_images,)`` int64.
    """

    probabilities: np.ndarray
    scores: np.ndarray
    suggested: np.ndarray
    confident: np.ndarray


def check_labels(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    monitor: Monitor = SILENT,
) -> LabelCheck:
    """Compare each label with the prediction of a probe trained on the other images.

    An image confidently belongs to a class if its probability is at least the mean probability of
    the images labelled with that class; of several such classes, to the most probable one.

    Args:
        features: ``(num_images, dim)``.
        labels: ``(num_images,)`` integer.
        num_classes: how many classes there are.
        groups: ``(num_images,)`` integer; images of equal number are copies, which are always in
            the same fold. By default there are none.
        seed: determines the folds.
        monitor: counts the probes trained, in stage ``"labels"``.

    Raises:
        Stopped: ``monitor`` was asked to stop.

    References:
        Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
        Labels", Journal of Artificial Intelligence Research 70.
    """
    labels = np.asarray(labels, np.int64)
    groups = np.arange(len(labels)) if groups is None else groups
    sizes = np.array([len(np.unique(groups[labels == label])) for label in range(num_classes)])
    known = np.flatnonzero(sizes >= _MIN_IMAGES)
    known = known if len(known) >= 2 else known[:0]
    judged = np.isin(labels, known)
    probabilities = np.zeros((len(labels), num_classes), np.float32)
    rows = np.flatnonzero(judged)
    if len(rows):
        probabilities[rows] = _out_of_fold(
            np.asarray(features[rows], np.float32),
            labels[rows],
            groups[rows],
            num_classes,
            np.random.default_rng(seed),
            monitor,
        )
    own = probabilities[np.arange(len(labels)), labels]
    thresholds = np.full(num_classes, np.inf)
    for label in known:
        thresholds[label] = own[labels == label].mean()
    reached = np.where(probabilities >= thresholds, probabilities, 0)
    is_confident = judged & (reached.max(axis=1) > 0)
    return LabelCheck(
        probabilities=probabilities,
        scores=np.where(judged, 1 - own, 0).astype(np.float32),
        suggested=np.where(judged, probabilities.argmax(axis=1), labels),
        confident=np.where(is_confident, reached.argmax(axis=1), labels),
    )


def dissimilarity(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the distance of each image to the nearest of its class: ``(num_images,)`` float32.

    Scaled to 0 for the median of the class and 1 for its 95th percentile; 0 in too small classes.

    Args:
        features: ``(num_images, dim)``.
        labels: ``(num_images,)`` integer.
    """
    scores = np.zeros(len(features), np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > _NUM_NEIGHBOURS:
            rows = np.asarray(features[members], np.float32)
            make_unit(rows)
            distances = _distances(rows)
            middle, far = np.quantile(distances, (0.5, 0.95))
            scores[members] = (distances - middle) / max(far - middle, 1e-6)
    return scores


def _out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    num_classes: int,
    rng: np.random.Generator,
    monitor: Monitor,
) -> np.ndarray:
    """Return probabilities (n, num_classes) of each image by a probe trained without its fold.

    The features, float32, are overwritten.
    """
    from sklearn.linear_model import LogisticRegression

    stage = monitor.stage(STAGE, _NUM_FOLDS)
    stage.report()
    inputs = _reduced(features)
    folds = assign_folds(labels, groups, _NUM_FOLDS, rng)
    probabilities = np.zeros((len(labels), num_classes), np.float32)
    for fold in range(_NUM_FOLDS):
        monitor.check()
        held_out = folds == fold
        probe = LogisticRegression(C=_PENALTY, max_iter=200, tol=1e-3)
        probe.fit(inputs[~held_out], labels[~held_out])
        probabilities[np.ix_(held_out, probe.classes_)] = probe.predict_proba(inputs[held_out])
        stage.advance()
    return probabilities


def _reduced(features: np.ndarray) -> np.ndarray:
    """Return centred features of length 1, reduced to their principal components.

    The features are overwritten: a copy of what is not pooled takes hundreds of MB.
    """
    from sklearn.utils.extmath import randomized_svd

    features -= features.mean(axis=0)
    make_unit(features)
    num = min(_MAX_DIM, *features.shape)
    if num == features.shape[1]:
        return features
    features -= features.mean(axis=0)
    left, values, _ = randomized_svd(features, num, random_state=0)
    return (left * values).astype(np.float32)


def _distances(rows: np.ndarray) -> np.ndarray:
    """Return the mean cosine distance of each row to its nearest ones: (n,)."""
    num = len(rows)
    chosen = spread_rows(num, _MAX_REFERENCES)
    # Of a sample of the class only as many of the nearest are to be expected in it.
    num_nearest = max(1, round(_NUM_NEIGHBOURS * len(chosen) / num))
    own = np.full(num, -1)
    own[chosen] = np.arange(len(chosen))
    _, cosines = nearest_rows(rows, take_rows(rows, chosen), num_nearest, own)
    return np.asarray(1 - cosines.mean(axis=1))
