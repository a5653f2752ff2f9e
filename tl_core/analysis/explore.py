"""Analyse a dataset by its features: maps, neighbours, the audit with features, learning curve.

This runs in the worker. Results are saved to :class:`ExploreFiles` one by one, and existing
results are not computed again.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.learning_curve import learning_curve
from tl_core.analysis.overview import audit_all, write_audit
from tl_core.analysis.projection import pca_2d
from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import Audit, audit_dataset
from tl_core.data.dataset import DatasetIndex
from tl_core.data.folds import units_of
from tl_core.errors import DatasetError
from tl_core.features.spec import FeatureSpec
from tl_core.metrics.nearest import nearest_rows, spread_rows, take_rows, unit_rows
from tl_core.processes import child_environment, module_command
from tl_core.progress import SILENT, Monitor

MAX_TSNE = 3000  # images; t-SNE of more takes minutes
NUM_NEIGHBOURS = 12
_POLL_SECONDS = 0.1


def explore(
    index: DatasetIndex,
    config: TrainConfig,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
) -> None:
    """Project a dataset's features, find each image's neighbours, and audit with features.

    Raises:
        DatasetError: an image is missing.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop; results so far are saved.
    """
    spec = FeatureSpec.from_config(config)
    files = ExploreFiles(cache_dir, index, spec)
    features = _features(index, spec, cache_dir, monitor)
    if files.read_map("pca") is None:
        neighbours = nearest_of_all(features, NUM_NEIGHBOURS, monitor)
        files.write_map("pca", pca_2d(features), neighbours)
    if files.read_audit() is None:
        write_audit(files, index, features, cache_dir, monitor)
    if files.read_map("tsne") is None:
        chosen = spread_rows(len(features), MAX_TSNE)
        points = np.full((len(features), 2), np.nan, np.float32)
        monitor.stage("map", 1).report()
        points[chosen] = _tsne_in_child(take_rows(features, chosen), monitor)
        known = files.read_map("pca")
        none = np.zeros((0, 0), np.int32)
        files.write_map("tsne", points, none if known is None else known.neighbours)


def audit_with_features(
    index: DatasetIndex, config: TrainConfig, cache_dir: Path, *, monitor: Monitor = SILENT
) -> Audit:
    """Audit a dataset with its features: labels, odd images and the effect of groups as well.

    Raises:
        DatasetError: an image is missing.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    features = _features(index, FeatureSpec.from_config(config), cache_dir, monitor)
    return audit_all(index, features, cache_dir, monitor)


def measure_curve(
    index: DatasetIndex,
    config: TrainConfig,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
) -> None:
    """Measure how a linear probe improves with more images.

    Raises:
        DatasetError: a class is too small, or an image is missing.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    spec = FeatureSpec.from_config(config)
    features = _features(index, spec, cache_dir, monitor)
    audit = audit_dataset(index, cache_dir=cache_dir, **monitor.callbacks)
    curve = learning_curve(
        features,
        index.labels,
        groups=units_of(index, np.arange(index.num_images), audit.groups),
        monitor=monitor,
    )
    ExploreFiles(cache_dir, index, spec).write_curve(curve)


def nearest_of_all(
    features: np.ndarray,
    num: int,
    monitor: Monitor = SILENT,
) -> np.ndarray:
    """Return for each row the ``num`` rows of greatest cosine similarity: (n, num) int32.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    total = len(features)
    stage = monitor.stage("neighbours", total)

    def note(done: int) -> None:
        monitor.check()
        stage.update(done)

    rows = unit_rows(features)
    positions, _ = nearest_rows(rows, rows, min(num, total - 1), np.arange(total), note)
    return positions.astype(np.int32)


def _features(
    index: DatasetIndex,
    spec: FeatureSpec,
    cache_dir: Path,
    monitor: Monitor,
) -> np.ndarray:
    from tl_core.features.extract import extract_features

    return extract_features(
        index,
        range(index.num_images),
        spec,
        cache_dir=cache_dir,
        **monitor.callbacks,
    )[0]


def _tsne_in_child(features: np.ndarray, monitor: Monitor) -> np.ndarray:
    """Run t-SNE in a child process, which can be ended, unlike the computation itself."""
    if len(features) < 3:
        return np.zeros((len(features), 2), np.float32)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as laid_out:
        np.save(given, features)
        given.seek(0)
        child = subprocess.Popen(
            module_command("tl_core.analysis.projection"),
            env=child_environment(),
            stdin=given,
            stdout=laid_out,
        )
        try:
            while child.poll() is None:
                monitor.check()
                time.sleep(_POLL_SECONDS)
        finally:
            child.terminate()
            child.wait()
        if child.returncode != 0:
            raise DatasetError("The map could not be laid out; memory may have run out.")
        laid_out.seek(0)
        return np.asarray(np.load(laid_out), np.float32)
