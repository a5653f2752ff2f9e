"""How much memory each kind of job takes at its peak, estimated before it is queued in a demo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_core.analysis.effect_cache import KIND as AUGMENT_EFFECT
from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.backbones.registry import get_backbone, resolve_image_size
from tl_core.config.limits import MEGABYTE
from tl_core.config.search import draw_trials
from tl_core.config.training import TrainConfig
from tl_core.data.images.images import SUFFIXES
from tl_core.errors import TLError
from tl_core.features.engine_files import engine_path
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
from tl_core.runs.weights import engine_file_of
from tl_core.search.store import Sweep
from tl_core.training.memory import (
    MemoryEstimate,
    estimate_inference,
    estimate_memory,
    estimate_search_memory,
)
from tl_core.workspace import Workspace

_FLOAT_BYTES = 4
_MORE_A_PHOTO = 15  # further rows that one photo brings at most: of few, nothing large is computed


@dataclass(frozen=True)
class Need:
    """What a kind of job holds at its peak; a row is the features of one photo.

    Attributes:
        what: the beginning of a sentence that says what it needs.
        rows: for each photo of its folder.
        more_rows: besides, where there are many photos; for few at most 15 for each.
        heads: copies of the weights of the run's head.
        backbones: copies of the weights of its backbone.
        programs_mb: MB of the processes that it starts, without these copies.
    """

    what: str
    rows: int = 0
    more_rows: int = 0
    heads: int = 0
    backbones: int = 0
    programs_mb: int = 0


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
    # The same of the proof. What else it holds depends on the format.
    EXPORT: Need("This export", 0, 64),
    # One picture at a time.
    MEASURE_SPEED: Need("Measuring this backbone"),
}
"""Kinds of jobs that do not train."""

# Measured beyond what a new worker holds, with heads of 1.3, 9.5 and 40.4 MB. LiteRT and NumPy in
# other processes take little, answers in this one more: 213 MB, and 259 for the largest head.
_LIGHT = Need("This export", 0, 64, heads=2, programs_mb=230)
# TensorFlow in the process that writes or opens it: 438, 454 and 636 MB.
_TENSORFLOW = Need("This export", 0, 64, heads=6, backbones=6, programs_mb=390)
# Besides, weights frozen into a graph, optimised and converted: 690, 885 and 1,628 MB for a page,
# 729 and 1,793 for 8 bits. The browser begins later and holds less: 601, 647 and 780 MB.
_CONVERTED = Need("This export", 0, 64, heads=28, backbones=28, programs_mb=360)
EXPORTS: dict[str, Need] = {
    "web": _CONVERTED,
    "web-int8": _CONVERTED,
    "bundle": _LIGHT,
    "streamlit": _LIGHT,
    "docker": _LIGHT,
    "keras": _TENSORFLOW,
    "savedmodel": _TENSORFLOW,
    "litert": _CONVERTED,
    "litert-float16": _CONVERTED,
    "litert-int8": _CONVERTED,
    "onnx": _CONVERTED,
    "openvino": _CONVERTED,
    "notebook": Need("This export", 0, 64, heads=2, backbones=2, programs_mb=360),
}
"""Formats of an export; a process of its own converts the model, and others open it."""

LEAST_EXPORT = "bundle"
"""A format that needs less memory than most."""

_CONVERT_MB = 450  # converting a backbone for 224 to 320 pixels; 375 to 443 measured
_MAP_MB = 150  # t-SNE's process: 122 MB of its own for 96 photos, 135 for 1,000


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
    if kind == EXPORT:
        row = EXPORTS.get(str(payload.get("format")), _CONVERTED)
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
    fc_layers, programs = 0, row.programs_mb * MEGABYTE
    if run is not None:
        num_classes = max(2, len(run.class_names))
        fc_layers = estimate_inference(run.config, 0, num_classes, row.heads).fc_layers
        num_params = get_backbone(run.config.backbone).num_params
        programs += row.backbones * _FLOAT_BYTES * num_params
    return row.what, MemoryEstimate(fc_layers, features, 0, programs)


def num_bytes_of(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> int | None:
    """Return the bytes that a job needs at its peak, None if that is not known.

    Besides what :func:`estimate_job` counts, this is the process that lays out the map, and
    converting a backbone, which is over before the rest begins. No job is refused for these: they
    are needed once, and their size does not depend on its settings.
    """
    try:
        estimate = estimate_job(workspace, kind, payload, run_dir)
        if estimate is None:
            return None
        configs = _extracting(workspace, kind, payload, run_dir)
        is_new = any(not _is_converted(workspace, config) for config in configs)
    except (TLError, KeyError, TypeError, ValueError, OSError):  # it will say so itself
        return None
    total = estimate[1].total + (_MAP_MB * MEGABYTE if kind == EXPLORE else 0)
    return max(total, _CONVERT_MB * MEGABYTE) if is_new else total


def _extracting(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> list[TrainConfig]:
    """Return the settings with which a job computes features by a pretrained backbone."""
    if run_dir is not None:
        return [Run(run_dir).config]
    if kind == SWEEP:
        sweep = Sweep(workspace.sweeps_dir / str(payload[SWEEP]))
        return draw_trials(sweep.config, sweep.base)
    if isinstance(values := payload.get("config"), Mapping):
        return [TrainConfig.create(values)]
    if (backbone := payload.get("backbone")) is not None:
        return [TrainConfig(backbone=str(backbone))]
    folder = _folder(workspace, payload, "run", "model")
    if folder is None or engine_file_of(folder) is not None:
        return []
    return [Run(folder).config]


def _is_converted(workspace: Workspace, config: TrainConfig) -> bool:
    size = resolve_image_size(config)
    return engine_path(config.backbone, size, config.pooling, workspace.cache_dir).exists()


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
