"""Evaluate a run on its test images, or on another folder with the same classes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tl_core.data.curation.store import load_dataset
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import DatasetError
from tl_core.evaluation.report import ClassFigures, Evaluation
from tl_core.head.model import head_forward
from tl_core.head.temperature import NOT_CALIBRATED
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import Reliability, complete_reliability, load_reliability
from tl_core.progress import SILENT, Monitor, OnProgress, ShouldStop
from tl_core.runs.image_selection import select_all, select_part
from tl_core.runs.images import load_images_of
from tl_core.runs.store import Run, load_run
from tl_core.runs.weights import feature_spec_of
from tl_core.workspace import default_workspace

__all__ = ["ALL_IMAGES", "ClassFigures", "Evaluation", "evaluate_run"]

ALL_IMAGES = "all"


def evaluate_run(
    run_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    part: str = "test",
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Evaluation:
    """Evaluate a run, using cached features where possible.

    Args:
        run_dir: a run with weights.
        data_dir: a folder of class folders, all of whose images are used; by default the run's
            own data, of which only ``part`` is used.
        part: ``test``, which falls back to ``val`` in a run without test images, ``val`` or
            ``train``; images are never augmented.
        cache_dir: the cache folder; by default that of the default workspace.
        on_progress: called with the progress of the scan and the features.
        should_stop: polled several times a second.

    Raises:
        RunError: there is no such run, or it has no weights.
        DatasetError: the folder is missing, or has no image to evaluate.
        Stopped: ``should_stop`` returned True.

    Examples:
        >>> from tl_core import evaluate_run
        >>> evaluation = evaluate_run("runs/first")
        >>> evaluation.part, evaluation.class_names, evaluation.predicted.shape
        ('test', ('cat', 'dog'), (4,))
    """
    from tl_core.features.extract import extract_features

    monitor = Monitor(on_progress, should_stop)
    run = load_run(Path(run_dir))
    weights = load_head(run)
    cache_dir = cache_dir or default_workspace().cache_dir
    index = images_to_evaluate(run, data_dir, cache_dir=cache_dir, monitor=monitor)
    if data_dir is None:
        part, chosen = select_part(run, index, part)
    else:
        part, chosen = ALL_IMAGES, select_all(run, index)
    features = extract_features(
        index,
        np.array(chosen.positions, np.int64),
        feature_spec_of(run),
        cache_dir=cache_dir,
        **monitor.callbacks,
    )[0]
    raw = head_forward(weights, features)
    reliability = load_reliability(run, weights)
    if not reliability.is_complete and data_dir is None:
        try:
            reliability = complete_reliability(
                run,
                weights,
                index,
                cache_dir=cache_dir,
                monitor=monitor,
            )
        except DatasetError:
            reliability = Reliability(
                NOT_CALIBRATED
            )  # the run's own images are missing, but the metrics do not need them
    probabilities = reliability.calibration.apply(raw)
    detector = reliability.detector
    return Evaluation(
        class_names=run.class_names,
        part=part,
        data_dir=index.data_dir,
        paths=tuple(index.records[position].path for position in chosen.positions),
        labels=np.array(chosen.labels, np.int64),
        probabilities=probabilities,
        skipped=chosen.skipped,
        raw_probabilities=raw,
        calibration=reliability.calibration,
        distances=None if detector is None else detector.scores(features, probabilities).distance,
        thresholds=None if detector is None else detector.thresholds,
        num_relabelled=chosen.num_relabelled,
    )


def images_to_evaluate(
    run: Run,
    data_dir: str | os.PathLike[str] | None,
    *,
    cache_dir: Path,
    monitor: Monitor = SILENT,
) -> DatasetIndex:
    """Scan the folder for :func:`evaluate_run`, and apply the decisions about it.

    Raises:
        DatasetError: the folder is missing, or has no images in class folders.
        Stopped: ``monitor`` was asked to stop.
    """
    if data_dir is None:
        return load_images_of(run, cache_dir=cache_dir, monitor=monitor)
    return load_dataset(data_dir, run.workspace, cache_dir=cache_dir, monitor=monitor)
