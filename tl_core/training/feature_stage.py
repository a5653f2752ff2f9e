"""The features a training run needs: all parts of its split through the frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import Split
from tl_core.progress import SILENT, Monitor

STAGE = "features"


@dataclass(frozen=True, eq=False)
class Features:
    """Features in the order of the split: train (views, n, dim), val and test (n, dim)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def num_views(config: TrainConfig) -> int:
    """Return the number of views of each training image, 1 without augmentation."""
    return 1 if config.augment.is_identity else config.views


def num_images_to_extract(config: TrainConfig, split: Split) -> int:
    """Return how many image views :func:`load_features` runs through the backbone."""
    return len(split.train) * num_views(config) + len(split.val) + len(split.test)


def load_features(
    config: TrainConfig,
    index: DatasetIndex,
    split: Split,
    *,
    cache_dir: Path,
    monitor: Monitor = SILENT,
) -> Features:
    """Compute the features of all parts, or read them from the cache.

    Progress of stage ``"features"`` counts the image views that have to be computed, in all
    parts together.

    Raises:
        Stopped: ``monitor`` was asked to stop; what was computed is in the cache.
        DatasetError: an image is missing.
        WeightsError: the backbone's weights are not available.
    """
    from tl_core.features.extract import FeatureSpec, extract_features

    spec = FeatureSpec.from_config(config)
    stage = monitor.stage(STAGE)

    def extract(indices: np.ndarray, views: int, num_later: int) -> np.ndarray:
        return extract_features(
            index,
            indices,
            spec,
            views=views,
            cache_dir=cache_dir,
            **stage.part(num_later).callbacks,
        )

    num_train, num_val = len(split.train), len(split.val)
    rest_of_split = np.concatenate([split.val, split.test])
    views = num_views(config)
    if views == 1:
        together = extract(np.concatenate([split.train, rest_of_split]), 1, 0)[0]
        train, rest = together[None, :num_train], together[num_train:]
    else:
        rest = extract(rest_of_split, 1, num_train * views)[0]
        train = extract(split.train, views, 0)
    return Features(train, rest[:num_val], rest[num_val:])
