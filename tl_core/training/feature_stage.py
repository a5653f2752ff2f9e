"""The features a training run needs: all parts of its split through the frozen backbone."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tl_core.config import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.progress import OnProgress, Progress, ShouldStop
from tl_core.data.split import Split

STAGE = "features"


@dataclass(frozen=True, eq=False)
class Features:
    """Features in the order of the split: train (views, n, dim), val and test (n, dim)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def num_views(config: TrainConfig) -> int:
    """Return how many views of each training image there are: one when nothing augments it."""
    return 1 if config.augment.is_identity else config.views


def num_images_to_extract(config: TrainConfig, split: Split) -> int:
    """Return how many image views :func:`load_features` puts through the backbone."""
    return len(split.train) * num_views(config) + len(split.val) + len(split.test)


def load_features(
    config: TrainConfig,
    index: DatasetIndex,
    split: Split,
    *,
    cache_dir: Path,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Features:
    """Compute the features of all parts, or take them from the cache.

    Progress counts over all parts, with stage ``"features"``.

    Raises:
        Stopped: ``should_stop`` said so; what was computed is in the cache.
        DatasetError, WeightsError: an image is gone, or the backbone's weights cannot be had.
    """
    from tl_core.model.features import FeatureSpec, extract_features

    spec = FeatureSpec.from_config(config)
    total = num_images_to_extract(config, split)
    started = time.monotonic()

    def extract(indices: np.ndarray, views: int, num_before: int) -> np.ndarray:
        def report(progress: Progress) -> None:
            if on_progress is not None:
                done = min(total, num_before + progress.done)
                on_progress(
                    replace(
                        progress,
                        stage=STAGE,
                        done=done,
                        total=total,
                        seconds=time.monotonic() - started,
                    )
                )

        return extract_features(
            index,
            indices,
            spec,
            views=views,
            cache_dir=cache_dir,
            on_progress=report,
            should_stop=should_stop,
        )

    num_train, num_val = len(split.train), len(split.val)
    views = num_views(config)
    if views == 1:
        together = extract(np.concatenate([split.train, split.val, split.test]), 1, 0)[0]
        train = together[None, :num_train]
        rest = together[num_train:]
    else:
        rest = extract(np.concatenate([split.val, split.test]), 1, 0)[0]
        train = extract(split.train, views, len(rest))
    return Features(train, rest[:num_val], rest[num_val:])
