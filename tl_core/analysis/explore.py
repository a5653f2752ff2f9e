"""Analyse a dataset for the Data page: audit, mean images, maps, neighbours, learning curve.

:func:`look` needs only the files and takes seconds; :func:`explore` and :func:`measure_curve` need
the backbone's features and run in the worker. Results are saved to :class:`ExploreFiles` one by
one, and existing results are not computed again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.group_effect import find_group_effect
from tl_core.analysis.learning_curve import learning_curve
from tl_core.analysis.projection import pca_2d
from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import audit_dataset
from tl_core.data.dataset import DatasetIndex, ImageRecord, scan_dataset
from tl_core.data.folds import units_of
from tl_core.data.images.images import load_image
from tl_core.errors import DatasetError, ImageError, TLError
from tl_core.features.spec import FeatureSpec
from tl_core.metrics.nearest import nearest_rows, spread_rows, unit_rows
from tl_core.processes import (
    child_environment,
    exit_reason,
    module_command,
    parse_error,
    print_error,
)
from tl_core.progress import SILENT, Monitor, Progress

MAX_TSNE = 3000  # images; t-SNE of more takes minutes
NUM_NEIGHBOURS = 12
_MEAN_SIDE = 64
_MAX_IN_MEAN = 60  # images per class: with more, the mean hardly changes
_MAX_IN_MEANS = 1200
_POLL_SECONDS = 0.1


def look(
    index: DatasetIndex,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
) -> None:
    """Audit a dataset without features and compute the mean image of each class.

    Raises:
        DatasetError: a file is missing or has changed since the scan.
        Stopped: ``monitor`` was asked to stop.
    """
    files = ExploreFiles(cache_dir, index)
    if files.read_audit() is None:
        _audit(files, index, None, cache_dir, monitor)
        files.prune()
    if files.read_means() is None:
        files.write_means(mean_images(index))


def look_apart(index: DatasetIndex, cache_dir: Path, *, monitor: Monitor = SILENT) -> None:
    """Run :func:`look` in a separate low-priority process and wait for it.

    A web server that analysed many thousands of images itself could not respond meanwhile.

    Raises:
        TLError: the process failed with this error.
        RuntimeError: the process failed unexpectedly; the message is its traceback.
    """
    said = None
    with subprocess.Popen(
        module_command(
            "tl_core.analysis.explore", str(index.data_dir), str(cache_dir), index.layout
        ),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        for line in child.stdout or ():
            said = parse_error(line)
            if said is None:
                monitor.report(Progress(**json.loads(line)))
        complaint = child.stderr.read() if child.stderr else ""
    if said is not None:
        raise said
    if reason := exit_reason(child.returncode):
        raise DatasetError(f"The photos could not be looked at: {reason}.")
    if child.returncode:
        raise RuntimeError(complaint)


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
        _audit(files, index, features, cache_dir, monitor)
    if files.read_map("tsne") is None:
        chosen = spread_rows(len(features), MAX_TSNE)
        points = np.full((len(features), 2), np.nan, np.float32)
        monitor.stage("map", 1).report()
        points[chosen] = _tsne_in_child(features[chosen], monitor)
        known = files.read_map("pca")
        none = np.zeros((0, 0), np.int32)
        files.write_map("tsne", points, none if known is None else known.neighbours)


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


def mean_images(index: DatasetIndex) -> np.ndarray:
    """Return the mean image of each class, (num_classes, side, side, 3) uint8.

    Large classes are sampled evenly; images that can no longer be read are skipped.
    """
    most = max(1, min(_MAX_IN_MEAN, _MAX_IN_MEANS // index.num_classes))

    def read(record: ImageRecord) -> np.ndarray | None:
        try:
            return load_image(
                index.path_of(record), (_MEAN_SIDE, _MEAN_SIDE), scale=index.scale_of(record)
            )
        except (ImageError, OSError):
            return None

    means = np.zeros((index.num_classes, _MEAN_SIDE, _MEAN_SIDE, 3), np.uint8)
    with ThreadPoolExecutor(2, "means") as pool:
        for label in range(index.num_classes):
            places = np.flatnonzero(index.labels == label)
            chosen = places[spread_rows(len(places), most)]
            images = list(pool.map(read, [index.records[i] for i in chosen]))
            known = [image for image in images if image is not None]
            if known:
                means[label] = np.mean(known, axis=0).round()
    return means


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


def _audit(
    files: ExploreFiles,
    index: DatasetIndex,
    features: np.ndarray | None,
    cache_dir: Path,
    monitor: Monitor,
) -> None:
    audit = audit_dataset(
        index,
        cache_dir=cache_dir,
        features=features,
        **monitor.callbacks,
    )
    if features is not None:
        effect = find_group_effect(index, features, monitor)
        audit = replace(audit, findings=(*audit.findings, *effect))
    files.write_audit(audit, has_features=features is not None)


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


def main() -> None:
    """Analyse a data folder; the arguments are its path, the cache folder and the layout."""
    data_dir, cache_dir, layout = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if hasattr(os, "nice"):
        os.nice(10)

    def tell(progress: Progress) -> None:
        print(json.dumps(asdict(progress)), flush=True)

    try:
        look(scan_dataset(data_dir, layout, cache_dir=cache_dir), cache_dir, monitor=Monitor(tell))
    except TLError as error:
        print_error(error)
        sys.exit(2)


if __name__ == "__main__":
    main()
