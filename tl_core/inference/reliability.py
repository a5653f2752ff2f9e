"""The temperature and out-of-distribution detector of a run: loaded, or computed if missing.

Runs write both when training ends. For older, interrupted and fine-tuned runs they are computed
from the training data when the run is first evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_core.data.dataset import DatasetIndex
from tl_core.head.model import head_forward
from tl_core.head.out_of_distribution import OODDetector, load_detector
from tl_core.head.temperature import NOT_CALIBRATED, Calibration, load_calibration, weights_digest
from tl_core.progress import SILENT, Monitor
from tl_core.runs.store import Run
from tl_core.runs.weights import feature_spec_of


@dataclass(frozen=True, eq=False)
class Reliability:
    """Calibration and detector of a run; ``known`` is None if it has no detector."""

    calibration: Calibration = NOT_CALIBRATED
    detector: OODDetector | None = None

    @property
    def is_complete(self) -> bool:
        """Whether both are available."""
        return self.calibration is not NOT_CALIBRATED and self.detector is not None


def load_reliability(run: Run, weights: Mapping[str, np.ndarray]) -> Reliability:
    """Load what is saved for these weights of the head.

    Raises:
        RunError: it was written by a newer version.
    """
    digest = weights_digest(weights)
    calibration = load_calibration(run.run_dir, digest)
    if calibration is None:
        return Reliability()  # the thresholds are only valid together with the temperature
    return Reliability(calibration, load_detector(run.run_dir, digest))


def complete_reliability(
    run: Run,
    weights: Mapping[str, np.ndarray],
    index: DatasetIndex,
    *,
    cache_dir: Path,
    monitor: Monitor = SILENT,
) -> Reliability:
    """Return the run's reliability, computing and saving what is missing.

    Nothing is computed for a run still in training, since its weights may change at any moment.

    Args:
        run: a run with weights.
        weights: the weights of its head.
        index: the images of the folder it was trained on.
        cache_dir: the cache folder.
        monitor: reports the features.

    Raises:
        DatasetError: the training or validation images are missing.
        Stopped: ``monitor`` was asked to stop.
    """
    # Imported here, so that prediction starts quickly.
    from tl_core.features.extract import extract_features
    from tl_core.runs.image_selection import select_part
    from tl_core.training.reliability import write_calibration, write_detector

    reliability = load_reliability(run, weights)
    if reliability.is_complete or run.is_active:
        return reliability
    parts = {}
    for name in ("train", "val"):
        _, chosen = select_part(run, index, name)
        features = extract_features(
            index, chosen.positions, feature_spec_of(run), cache_dir=cache_dir, **monitor.callbacks
        )[0]
        parts[name] = (features, np.array(chosen.labels), np.array(chosen.rows))
    features, labels, _ = parts["val"]
    probabilities = head_forward(weights, features)
    calibration = reliability.calibration
    if calibration is NOT_CALIBRATED:
        calibration = write_calibration(run, labels, probabilities, weights_digest(weights))
    detector = write_detector(
        run, calibration, train=parts["train"], val=(features, labels, probabilities)
    )
    return Reliability(calibration, detector)
