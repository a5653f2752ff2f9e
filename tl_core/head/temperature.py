"""The temperature of a run, fitted on its validation images and stored with its weights."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import RunError
from tl_core.files import read_json, write_json
from tl_core.metrics.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
)
from tl_core.metrics.classification import log_loss

CALIBRATION_FILE = "calibration.json"
CALIBRATION_SCHEMA = 1

FEW_IMAGES = 100
# Weight of the prior (temperature 1), in images, against higher and against lower values.
_PRIOR_SOFTER, _PRIOR_SURER = 1.0, 16.0
_NUM_FOLDS = 5
_HEAD_NAMES = ("fc_", "predictions/")


@dataclass(frozen=True)
class Calibration:
    """The calibration of a run's probabilities.

    Args:
        temperature: divisor of the logarithms of the probabilities; 1 changes nothing.
        num_images: number of validation images it was fitted on.
        log_loss_before: their log loss, uncalibrated.
        log_loss_after: their log loss, each scaled by a temperature fitted without it.
        ece_before: their expected calibration error, uncalibrated.
        ece_after: the same, each scaled by a temperature fitted without it.
        note: a remark for the user; may be empty.
        weights: digest of the weights it was fitted for, see :func:`weights_digest`.
    """

    temperature: float = 1.0
    num_images: int = 0
    log_loss_before: float | None = None
    log_loss_after: float | None = None
    ece_before: float | None = None
    ece_after: float | None = None
    note: str = ""
    weights: str = ""

    @property
    def is_known(self) -> bool:
        """Whether a temperature was fitted."""
        return self.num_images > 0

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (n, num_classes) float32; the best class is the same."""
        return apply_temperature(probabilities, self.temperature)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable values."""
        return asdict(self)


NOT_CALIBRATED = Calibration(
    note="Not calibrated yet: the probabilities are shown as the head gives them."
)


def fit_calibration(labels: np.ndarray, probabilities: np.ndarray, weights: str) -> Calibration:
    """Fit a temperature on validation images.

    With few images it is shrunk towards 1, and more so if it would increase confidence: the same
    images were used to choose the best epoch, so they are optimistic. The figures after scaling are
    cross-validated.

    Args:
        labels: (n,) integer class indices.
        probabilities: (n, num_classes), uncalibrated.
        weights: the digest of the weights they were computed with.
    """
    num_images = len(labels)
    if num_images == 0:
        return Calibration(
            note="No validation images, so the probabilities are shown as the head gives them.",
            weights=weights,
        )
    held_out = _scale_held_out(labels, probabilities)
    note = ""
    if num_images < FEW_IMAGES:
        note = (
            f"Fitted on {num_images} validation images only, so it is held back; "
            "more images make it surer."
        )
    return Calibration(
        temperature=_fit_shrunk(labels, probabilities),
        num_images=num_images,
        log_loss_before=log_loss(labels, probabilities),
        log_loss_after=log_loss(labels, held_out),
        ece_before=expected_calibration_error(labels, probabilities),
        ece_after=expected_calibration_error(labels, held_out),
        note=note,
        weights=weights,
    )


def _fit_shrunk(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return a temperature that is closer to 1 the fewer images there are."""
    temperature = fit_temperature(labels, probabilities, _PRIOR_SOFTER)
    if temperature >= 1:
        return temperature
    return fit_temperature(labels, probabilities, _PRIOR_SURER)


def _scale_held_out(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the probabilities, each scaled by a temperature fitted on other images."""
    scaled = np.array(probabilities, np.float32)
    folds = np.arange(len(labels)) % min(_NUM_FOLDS, len(labels))
    for fold in np.unique(folds):
        inside = folds == fold
        temperature = _fit_shrunk(labels[~inside], probabilities[~inside])
        scaled[inside] = apply_temperature(probabilities[inside], temperature)
    return scaled


def save_calibration(run_dir: Path, calibration: Calibration) -> None:
    """Write the file of a run's calibration atomically."""
    content = {"schema": CALIBRATION_SCHEMA, **calibration.to_dict()}
    write_json(run_dir / CALIBRATION_FILE, content)


def load_calibration(run_dir: Path, weights: str) -> Calibration | None:
    """Return the run's calibration; None if there is none for these weights.

    Raises:
        RunError: the file is of a newer schema.
    """
    try:
        values = read_json(run_dir / CALIBRATION_FILE)
        schema = values.pop("schema")
        if schema > CALIBRATION_SCHEMA:
            raise RunError(
                f"Run '{run_dir.name}' has a {CALIBRATION_FILE} of schema {schema}, newer than "
                f"{CALIBRATION_SCHEMA}. Update tl_core."
            )
        calibration = Calibration(**values)
        is_sound = math.isfinite(calibration.temperature) and calibration.temperature > 0
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None  # it can be computed again
    return calibration if is_sound and calibration.weights == weights else None


def weights_digest(weights: Mapping[str, np.ndarray]) -> str:
    """Return a digest of a head's weights; equal for equal values."""
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith(_HEAD_NAMES)):
        array = np.ascontiguousarray(weights[name])
        digest.update(json.dumps([name, array.shape, array.dtype.str]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
