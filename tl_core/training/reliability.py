"""The reliability of a run's predictions: temperature and out-of-distribution detector.

Computed when training ends, from train and validation images; the test part is not used.
"""

from __future__ import annotations

import logging

import numpy as np

from tl_core.backbones.api import get_backbone
from tl_core.errors import Stopped
from tl_core.features.extract import extract_features
from tl_core.head.out_of_distribution import OODDetector, fit_detector, save_detector
from tl_core.head.temperature import Calibration, fit_calibration, save_calibration, weights_digest
from tl_core.runs.run import Run
from tl_core.runs.weights import feature_spec_of
from tl_core.training.phases import Phase, PhaseContext

_log = logging.getLogger(__name__)


def record_reliability(context: PhaseContext, phase: Phase) -> None:
    """Fit and write the temperature and the out-of-distribution detector of the best weights."""
    run, weights = context.recorder.run, context.checkpoints.best_weights
    labels, probabilities = context.labels("val"), phase.probabilities(context, "val")
    calibration = write_calibration(run, labels, probabilities, weights_digest(weights))
    try:
        train_features, val_features = _features(context, run)
    except Stopped:
        return  # computed when the run is first evaluated
    write_detector(
        run,
        calibration,
        train=(train_features, context.labels("train"), np.arange(len(train_features))),
        val=(val_features, labels, probabilities),
    )


def _features(context: PhaseContext, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (n, dim) of train and val by the run's own backbone.

    Raises:
        Stopped: a stop was requested while those of a fine-tuned backbone were computed.
    """
    spec = feature_spec_of(run)
    if spec.engine_file is None:
        features = context.features()
        return features.train[0], features.val
    num_train = len(context.split.train)
    together = extract_features(
        context.index,
        np.concatenate([context.split.train, context.split.val]),
        spec,
        cache_dir=context.cache_dir,
        **context.monitor.callbacks,
    )[0]
    return together[:num_train], together[num_train:]


def write_calibration(
    run: Run, labels: np.ndarray, probabilities: np.ndarray, weights: str
) -> Calibration:
    """Fit and write a run's temperature.

    Args:
        run: the run.
        labels: (n,) of its validation images.
        probabilities: (n, num_classes) of them, uncalibrated.
        weights: the digest of the weights they were computed with.
    """
    calibration = fit_calibration(labels, probabilities, weights)
    save_calibration(run.run_dir, calibration)
    _log.info("temperature %.3f on %d images", calibration.temperature, calibration.num_images)
    return calibration


def write_detector(
    run: Run,
    calibration: Calibration,
    *,
    train: tuple[np.ndarray, np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> OODDetector:
    """Fit and write the out-of-distribution detector of a run.

    Args:
        run: the run.
        calibration: its temperature.
        train: features (n, dim), labels (n,) and row (n,) of each among the split's images.
        val: features (m, dim), labels (m,) and uncalibrated probabilities (m, num_classes).
    """
    val_features, val_labels, probabilities = val
    detector = fit_detector(
        *train,
        val_features,
        val_labels,
        calibration.apply(probabilities),
        feature_dim=get_backbone(run.config.backbone).feature_dim,
        weights=calibration.weights,
    )
    save_detector(run.run_dir, detector)
    return detector
