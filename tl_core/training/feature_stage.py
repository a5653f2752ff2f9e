"""The features a training run needs: all parts of its split through the frozen backbone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import Split
from tl_core.progress import OnProgress, Progress, ShouldStop

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

    Progress of stage ``"features"`` counts the image views that have to be computed, in all
    parts together.

    Raises:
        Stopped: ``should_stop`` said so; what was computed is in the cache.
        DatasetError, WeightsError: an image is gone, or the backbone's weights cannot be had.
    """
    from tl_core.features.extract import FeatureSpec, extract_features

    spec = FeatureSpec.from_config(config)
    meter = _Meter(on_progress)

    def extract(indices: np.ndarray, views: int, num_later: int) -> np.ndarray:
        meter.start_part(num_later)
        return extract_features(
            index,
            indices,
            spec,
            views=views,
            cache_dir=cache_dir,
            on_progress=meter.report,
            should_stop=should_stop,
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


class _Meter:
    """Adds up the progress of several parts, at the pace since the first image came through.

    What came before it, such as converting the backbone, would make the time left absurd.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._num_before = self._num_this = self._num_later = 0
        self._first: tuple[int, float] | None = None

    def start_part(self, num_later: int) -> None:
        """Begin another part; ``num_later`` is how many may come after it."""
        self._num_before += self._num_this
        self._num_this, self._num_later = 0, num_later

    def report(self, progress: Progress) -> None:
        """Pass the progress of the current part on as that of all."""
        if self._on_progress is None:
            return
        if progress.stage != STAGE:
            self._on_progress(progress)
            return
        now = time.monotonic()
        self._num_this = progress.total
        done = self._num_before + progress.done
        total = self._num_before + progress.total + self._num_later
        if self._first is None and progress.done > 0:
            self._first = (done, now)
        num_first, started = self._first or (done, now)
        rate = (done - num_first) / max(now - started, 1e-6)
        seconds = done / rate if rate > 0 else 0.0
        self._on_progress(Progress(STAGE, done, total, seconds))
