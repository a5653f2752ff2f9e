"""How much memory a training needs, estimated from its settings before it starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tl_core.backbones.blocks import block_table, num_trainable
from tl_core.backbones.registry import get_backbone, resolve_image_size
from tl_core.config.limits import current_limits
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import ConfigError
from tl_core.features.hardware import available_bytes, num_cores
from tl_core.files import size_text
from tl_core.training.activation_source import DEMO_CACHE_BYTES

_FLOAT_BYTES = 4
_NUM_COPIES = 14  # of each weight: itself, gradient, Adam's moments, and a checkpoint being saved
_NUM_SEARCH_COPIES = 8  # in a search, which saves none
_NUM_FEATURE_COPIES = 2  # the array and the tensor
_AHEAD_BATCHES = 3  # of activations at the cut, computed ahead
_FINE_TUNE_BYTES = 600 * 10**6  # the Keras model, compiled steps, and converting the backbone
_MAP_STRIDE = 32  # pixels of a side for each place of a backbone's feature map
_ADVICE = {
    "fc_layers": "the FC layers. Choose fewer or narrower ones.",
    "features": "the images' features. Choose pooling 'avg', fewer views or a smaller image size.",
    "blocks": "the fine-tuned blocks. Choose a smaller batch size or fewer blocks.",
    "programs": "the programs that convert the model.",
}


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that a job needs in bytes, by what takes it.

    ``fc_layers`` and ``blocks`` count weights, gradients, Adam's moments and saved copies;
    ``blocks`` also the values of the layers for one batch, and the Keras model. ``programs`` are
    the processes that it starts, with the backbone in them.
    """

    fc_layers: int
    features: int
    blocks: int
    programs: int = 0

    @property
    def total(self) -> int:
        """The sum in bytes."""
        return self.fc_layers + self.features + self.blocks + self.programs


def estimate_memory(
    config: TrainConfig, num_classes: int = 2, num_images: int = 0
) -> MemoryEstimate:
    """Return about how much memory a training takes beyond TensorFlow itself.

    Args:
        config: the settings.
        num_classes: number of classes.
        num_images: images of all parts; all of them are counted in every view.

    Raises:
        ConfigError: no backbone has that name, or the image size does not suit it.

    Examples:
        >>> from tl_core import TrainConfig
        >>> estimate = estimate_memory(TrainConfig(fc_layers=(8192,) * 8))
        >>> round(estimate.fc_layers / 2**30)
        25
    """
    height, width = resolve_image_size(config)
    views = 1 if config.augment.is_identity else config.views
    blocks = 0
    if config.fine_tune_blocks:
        rows = block_table(config.backbone)[: config.fine_tune_blocks]
        values = sum(row.num_values for row in rows) + _AHEAD_BATCHES * rows[-1].num_inputs
        num_values = int(config.batch_size * height * width * values)
        weights = num_trainable(config.backbone, config.fine_tune_blocks)
        blocks = _FINE_TUNE_BYTES + _FLOAT_BYTES * (num_values + _NUM_COPIES * weights)
        blocks += 0 if current_limits() is None else DEMO_CACHE_BYTES  # else they take what is free
    return MemoryEstimate(
        fc_layers=_FLOAT_BYTES * _NUM_COPIES * _num_weights(config, num_classes),
        features=_FLOAT_BYTES * _NUM_FEATURE_COPIES * views * num_images * _num_features(config),
        blocks=blocks,
    )


def estimate_inference(
    config: TrainConfig, num_rows: int, num_classes: int = 2, num_copies: int = 0
) -> MemoryEstimate:
    """Return about how much memory work with features takes that trains nothing.

    Args:
        config: the settings of the features and the head.
        num_rows: how many rows of features it holds at its peak, in all arrays together.
        num_classes: number of classes.
        num_copies: how often it holds the weights of the head.

    Raises:
        ConfigError: no backbone has that name, or the image size does not suit it.
    """
    return MemoryEstimate(
        fc_layers=_FLOAT_BYTES * num_copies * _num_weights(config, num_classes),
        features=_FLOAT_BYTES * num_rows * _num_features(config),
        blocks=0,
    )


def _num_features(config: TrainConfig) -> int:
    """Return the features of one image."""
    height, width = resolve_image_size(config)
    num_features = get_backbone(config.backbone).feature_dim
    if config.pooling == "flatten":
        num_features *= math.ceil(height / _MAP_STRIDE) * math.ceil(width / _MAP_STRIDE)
    return num_features


def _num_weights(config: TrainConfig, num_classes: int) -> int:
    """Return the weights of a head."""
    widths = [_num_features(config), *config.fc_layers, num_classes]
    return sum(ins * outs + outs for ins, outs in itertools.pairwise(widths))


def check_memory(config: TrainConfig, index: DatasetIndex | None = None) -> None:
    """Check that a training fits into the memory that is free, and that a demo allows a job.

    Args:
        config: the settings.
        index: the images; without them only what the settings alone need is checked.

    Raises:
        ConfigError: it needs more than is free, or the backbone or image size is invalid.
    """
    check_need("Training with these settings", _estimate(config, index))


def check_search_memory(
    trials: Sequence[TrainConfig], num_folds: int, index: DatasetIndex | None = None
) -> None:
    """Check that the largest heads of a search fit into memory, as :func:`check_memory`.

    As many heads are trained at once as there are cores, each on another fold or with other
    settings.

    Args:
        trials: the settings of each head.
        num_folds: how often each is trained.
        index: the images; without them only what the settings alone need is checked.

    Raises:
        ConfigError: they need more than is free, or a backbone or image size is invalid.
    """
    check_need("A search with these settings", estimate_search_memory(trials, num_folds, index))


def estimate_search_memory(
    trials: Sequence[TrainConfig],
    num_folds: int,
    index: DatasetIndex | None = None,
    num_images: int = 0,
) -> MemoryEstimate:
    """Return about how much memory a search takes; see :func:`check_search_memory`.

    Without an index only the number of images may be known.
    """
    distinct = {(one.backbone, one.fc_layers): one for one in trials}
    needs = {key: _estimate(one, index, num_images) for key, one in distinct.items()}
    heads = sorted((needs[one.backbone, one.fc_layers].fc_layers for one in trials), reverse=True)
    at_once = [need for need in heads[: num_cores()] for _ in range(num_folds)][: num_cores()]
    fc_layers = sum(at_once) * _NUM_SEARCH_COPIES // _NUM_COPIES
    features = max((need.features for need in needs.values()), default=0)
    return MemoryEstimate(fc_layers, features, 0)


def _estimate(
    config: TrainConfig, index: DatasetIndex | None, num_images: int = 0
) -> MemoryEstimate:
    if index is None:
        return estimate_memory(config, num_images=num_images)
    return estimate_memory(config, index.num_classes, index.num_images)


def check_need(what: str, need: MemoryEstimate) -> None:
    """Check a need against what is free, and what a demo leaves a job of its limit.

    Args:
        what: needs it, the beginning of a sentence.
        need: by an estimate.

    Raises:
        ConfigError: it is more.
    """
    available, reason, limits = available_bytes(), "", current_limits()
    if limits is not None and limits.job_bytes < available:
        available = limits.job_bytes
        reason = f" of the {limits.job_memory_mb:,} MB that this demo allows a job"
    if need.total <= available:
        return
    most = max(_ADVICE, key=lambda name: int(getattr(need, name)))
    raise ConfigError(
        f"{what} needs about {size_text(need.total)} of memory; {size_text(available)} are "
        f"available{reason}. {size_text(getattr(need, most))} of it are for {_ADVICE[most]}"
    )
