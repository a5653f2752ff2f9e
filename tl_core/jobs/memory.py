"""How much memory each kind of job takes at its peak, estimated before it is queued in a demo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_core.analysis.effect_cache import KIND as AUGMENT_EFFECT
from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.config.search import draw_trials
from tl_core.config.training import TrainConfig
from tl_core.data.images.images import SUFFIXES
from tl_core.errors import TLError
from tl_core.jobs.handlers import (
    CLASSIFY,
    CURVE,
    EVALUATE,
    EXPLORE,
    EXPORT,
    FEATURES,
    FIND_LR,
    MEASURE_SPEED,
    SWEEP,
)
from tl_core.runs.files import CONFIG_FILE
from tl_core.runs.run import Run
from tl_core.search.store import Sweep
from tl_core.training.memory import (
    MemoryEstimate,
    estimate_inference,
    estimate_memory,
    estimate_search_memory,
)
from tl_core.workspace import Workspace

_MORE_A_PHOTO = 15  # further rows that one photo brings at most: of few, nothing large is computed


@dataclass(frozen=True)
class Need:
    """What a kind of job holds at its peak; a row is the features of one photo.

    Attributes:
        what: the beginning of a sentence that says what it needs.
        rows: for each photo of its folder.
        more_rows: besides, where there are many photos; for few at most 15 for each.
        heads: copies of the weights of the run's head.
    """

    what: str
    rows: int = 0
    more_rows: int = 0
    heads: int = 0


# Measured with 300 photos of 30,000 features and 10 classes, in rows: LABEL 902 (1,647 before it
# worked in place), of EXPLORE the probe 1,478 (2,041).
NEEDS: dict[str, Need] = {
    # The table; what was just read or computed, and is not in it yet.
    FEATURES: Need("Preparing the features of these photos", 1, 100),
    # The features and their directions, which PCA overwrites; it adds two arrays of 138 rows.
    LABEL: Need("Grouping these photos", 2, 450),
    # The features, those of photos that are no copies, and their directions. The probe of labels
    # holds two, and three to four arrays of 266 rows; t-SNE one here and one in its process.
    EXPLORE: Need("The map and the check of labels", 3, 600),
    # The features, standardised ones, and those of the largest part. The solver holds 60 rows of
    # numbers for each class, of which there are 20 at most.
    CURVE: Need("The learning curve", 3, 1200),
    # 24 photos in four views, how far these moved, and that squared.
    AUGMENT_EFFECT: Need("Measuring this augmentation", 0, 300, heads=2),
    # The features of one part, then of the others; of the training part a second time. The head
    # is loaded, and its digest computed from a copy.
    EVALUATE: Need("Evaluating this run", 2, heads=2),
    # Two parts of 16 MB, or of 16 photos.
    CLASSIFY: Need("Classifying with this model", 0, 64, heads=2),
    # The same of the proof. The head in the app, in the model that is built, in its serialised form
    # and in the file.
    EXPORT: Need("This export", 0, 64, heads=8),
    # One picture at a time.
    MEASURE_SPEED: Need("Measuring this backbone"),
}
"""Kinds of jobs that do not train."""


def estimate_job(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> tuple[str, MemoryEstimate] | None:
    """Return what a job is, as the beginning of a sentence, and what it needs at its peak.

    Args:
        workspace: where its photos and runs are.
        kind: the kind of job.
        payload: its arguments.
        run_dir: the run that it trains, if any.

    Returns:
        None where that is not known: another kind, or a run that is gone.

    Raises:
        TLError: the settings, the run or the search cannot be read.
    """
    if run_dir is not None:
        new = Run(run_dir)
        num_photos = count_photos(new.data_dir)
        need = estimate_memory(new.config, max(2, len(new.class_names)), num_photos)
        return "Training with these settings", need
    if kind == SWEEP:
        sweep = Sweep(workspace.sweeps_dir / str(payload[SWEEP]))
        trials, num_photos = draw_trials(sweep.config, sweep.base), count_photos(sweep.data_dir)
        need = estimate_search_memory(trials, sweep.config.folds, num_images=num_photos)
        return "A search with these settings", need
    num_photos = count_photos(_folder(workspace, payload, "data_dir"))
    if kind == FIND_LR:
        config = TrainConfig.create(payload["config"])
        return "Training with these settings", estimate_memory(config, num_images=num_photos)
    row = NEEDS.get(kind)
    if row is None:
        return None
    values, run = payload.get("config"), None
    if (folder := _folder(workspace, payload, "run", "model")) is not None:
        if not (folder / CONFIG_FILE).is_file():  # gone, or imported
            return None
        run = Run(folder)
        if payload.get("data_dir") is None:
            num_photos = count_photos(_folder(workspace, payload, "photos") or run.data_dir)
    if isinstance(values, Mapping):
        config = TrainConfig.create(values)
    elif run is not None:
        config = run.config
    else:
        return row.what, MemoryEstimate(0, 0, 0)
    views = 1 if kind != FEATURES or config.augment.is_identity else config.views
    more_rows = min(row.more_rows, _MORE_A_PHOTO * num_photos)
    features = estimate_inference(config, views * row.rows * num_photos + more_rows).features
    fc_layers = 0
    if run is not None:
        num_classes = max(2, len(run.class_names))
        fc_layers = estimate_inference(run.config, 0, num_classes, row.heads).fc_layers
    return row.what, MemoryEstimate(fc_layers, features, 0)


def num_bytes_of(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> int | None:
    """Return the bytes that a job needs by :func:`estimate_job`, None if that is not known."""
    try:
        estimate = estimate_job(workspace, kind, payload, run_dir)
    except (TLError, KeyError, TypeError):  # it will say so itself
        return None
    return None if estimate is None else estimate[1].total


def count_photos(folder: Path | None) -> int:
    """Return how many files of a folder are photos by their names; 0 where there is none."""
    if folder is None:
        return 0
    return sum(
        os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122, for thousands of names
        for _, _, names in os.walk(folder)
        for name in names
    )


def _folder(workspace: Workspace, payload: Mapping[str, Any], *names: str) -> Path | None:
    """Return the first folder of these names that a payload has."""
    found = next((payload[name] for name in names if payload.get(name) is not None), None)
    return None if found is None else workspace.resolve(str(found))
