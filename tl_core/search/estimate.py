"""How long a search takes, estimated before it starts: preparing the photos, then the heads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tl_core.backbones.api import get_backbone, resolve_image_size
from tl_core.config.training import TrainConfig
from tl_core.data.audit.image_stats import count_unmeasured
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import split_dataset
from tl_core.features.benchmark import known_speeds
from tl_core.features.engine_files import engine_path
from tl_core.features.extract import count_missing
from tl_core.features.hardware import num_cores
from tl_core.features.spec import FeatureSpec

# Measured on one core of an ordinary processor, batches of 32; see docs/BENCHMARKS.md.
_STEP_SECONDS = 0.5e-3
_WEIGHT_SECONDS = 6.5e-9  # seconds per weight of the head and step
_EPOCH_SECONDS = 9e-3  # figures of the training and the validation images
_COMPILE_SECONDS = 0.8  # per shape of head, on each core
_EPOCHS_SHARE = 0.75  # of the epochs, before early stopping ends a head
_MEASURE_SECONDS = 6e-3  # per photo: reading it to find near copies
_LOAD_SECONDS = 5e-3  # per photo: decoding and resizing
_AUGMENT_SECONDS = 1.6e-3  # per augmented view
_CONVERT_SECONDS = 6.0  # of a backbone
_OPEN_SECONDS = 1.0  # of a converted backbone
_START_SECONDS = 3.0  # of the process, unless it runs already

# The bundled backbone, from which the speed of those that were not measured here is guessed.
_REFERENCE = "EfficientNetLite0"
_REFERENCE_SECONDS = 12e-3  # per view and core


def estimate_seconds(
    configs: Sequence[TrainConfig], num_folds: int, index: DatasetIndex, cache_dir: Path
) -> float:
    """Return the seconds that a search takes on this machine while nothing else runs.

    What is in the cache is not counted. The time of a backbone is that measured on this machine,
    or else a guess from its size, which can be wrong by several times.

    Args:
        configs: the settings of the heads, see :func:`~tl_core.config.search.draw_trials`.
        num_folds: number of folds.
        index: the dataset.
        cache_dir: the folder of the caches.

    Raises:
        DatasetError: there are too few images to split.
        WeightsError: a backbone's weights are in a package that is not installed.
    """
    seconds = _START_SECONDS + _MEASURE_SECONDS * count_unmeasured(index, cache_dir) / num_cores()
    split = split_dataset(index, configs[0])
    pool = np.concatenate([split.train, split.val])
    for _, group in itertools.groupby(configs, key=lambda config: config.backbone):
        seconds += _preparing(next(group), index, pool, cache_dir)
    return seconds + _training(configs, num_folds, len(pool), index.num_classes)


def _preparing(
    config: TrainConfig, index: DatasetIndex, pool: np.ndarray, cache_dir: Path
) -> float:
    """Return the seconds until the features of the images at ``pool`` (n,) are there."""
    spec = FeatureSpec.from_config(config)
    num_views = spec.num_views(config.views)
    missing = count_missing(index, pool, spec, views=num_views, cache_dir=cache_dir)
    if not missing:
        return 0.0
    path = engine_path(spec.backbone, spec.image_size, spec.pooling, cache_dir)
    own_size = resolve_image_size(TrainConfig(backbone=config.backbone))
    area = math.prod(spec.image_size) / math.prod(own_size)
    speed = known_speeds(cache_dir).get(config.backbone)
    each = area * (_guessed_seconds(config.backbone) / num_cores() if speed is None else 1 / speed)
    each += (_LOAD_SECONDS + _AUGMENT_SECONDS * (num_views - 1)) / num_views / num_cores()
    return _OPEN_SECONDS + missing * each + (0.0 if path.exists() else _CONVERT_SECONDS)


def _guessed_seconds(backbone: str) -> float:
    """Return the seconds of one core for an image, in proportion to weights and pixels."""
    this, reference = get_backbone(backbone), get_backbone(_REFERENCE)
    area = math.prod(this.image_size) / math.prod(reference.image_size)
    return _REFERENCE_SECONDS * area * max(1, this.num_params) / reference.num_params


def _training(
    configs: Sequence[TrainConfig], num_folds: int, num_images: int, num_classes: int
) -> float:
    """Return the seconds that the folds of all heads take, on all cores."""
    seconds = 0.0
    for config in configs:
        num_steps = math.ceil(num_images * (1 - 1 / num_folds) / config.batch_size)
        widths = [get_backbone(config.backbone).feature_dim, *config.fc_layers, num_classes]
        num_weights = sum(one * other for one, other in itertools.pairwise(widths))
        step = _STEP_SECONDS + _WEIGHT_SECONDS * num_weights
        share = _EPOCHS_SHARE if config.early_stopping else 1.0
        epoch = num_steps * step + _EPOCH_SECONDS
        seconds += num_folds * share * config.epochs * epoch / num_cores()
    shapes = {(config.backbone, config.fc_layers) for config in configs}
    return seconds + _COMPILE_SECONDS * len(shapes)
