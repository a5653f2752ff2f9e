"""How long a search will take at most, before it is begun."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from tl_core.backbones.api import get_backbone
from tl_core.config.training import TrainConfig
from tl_core.features.hardware import num_cores

# Measured on one core of an ordinary processor, batches of 32.
_STEP_SECONDS = 0.45e-3
_WEIGHT_SECONDS = 5.5e-9  # seconds per weight of the head and step
_COMPILE_SECONDS = 0.6  # a shape of head and core


def estimate_seconds(
    configs: Sequence[TrainConfig], num_folds: int, num_images: int, num_classes: int
) -> float:
    """Return the seconds that all heads take when none stops early, features being there.

    Args:
        configs: the heads, see :func:`~tl_core.config.search.draw_trials`.
        num_folds: how often each is trained.
        num_images: of train and val part together.
        num_classes: how many classes there are.
    """
    seconds = 0.0
    for config in configs:
        num_steps = math.ceil(num_images * (1 - 1 / num_folds) / config.batch_size)
        widths = [get_backbone(config.backbone).feature_dim, *config.fc_layers, num_classes]
        num_weights = sum(one * other for one, other in itertools.pairwise(widths))
        step = _STEP_SECONDS + _WEIGHT_SECONDS * num_weights
        seconds += num_folds * config.epochs * num_steps * step / num_cores()
    shapes = {(config.backbone, config.fc_layers) for config in configs}
    return seconds + _COMPILE_SECONDS * len(shapes)
