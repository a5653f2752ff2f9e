"""How strong an augmentation is for this dataset and backbone, measured instead of guessed.

An augmented photo should still look like its class to the backbone. Each transform is tried alone
at its setting on a few photos: how far does it move their features, compared with how far apart
photos of different classes lie, and how often would the answer change?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.augment import active_transforms
from tl_core.data.dataset import DatasetIndex
from tl_core.features.extract import STAGE, FeatureSpec, extract_features
from tl_core.head.model import head_forward
from tl_core.progress import SILENT, Monitor

ALL_TOGETHER = "all"
"""The name under which the combined effect of all transforms is reported."""

_SHIFT_STRONG = 0.9
_FLIPS_STRONG = 0.2
_SAME_AS_OTHER = 0.95
_NUM_PAIRS = 2000


@dataclass(frozen=True)
class TransformEffect:
    """What one transform does to the features of a few photos.

    ``transform`` is the field of :class:`~tl_core.config.training.AugmentConfig`, or ``"all"``.
    ``shift`` is the mean distance a photo moves, as a share of the mean distance between photos
    of different classes: at 1 it has moved as far as another class is away. ``same_class`` is the
    mean distance between photos of one class on that scale. ``flips`` is the share of augmented
    views, in [0, 1], that are classified differently from the unaugmented photo.
    """

    transform: str
    shift: float
    same_class: float
    flips: float
    num_views: int

    @property
    def is_too_strong(self) -> bool:
        """Whether the transform makes many photos look like another class."""
        return self.shift > _SHIFT_STRONG or self.flips > _FLIPS_STRONG

    @property
    def distance_tells(self) -> bool:
        """Whether photos of one class lie nearer to each other than to those of other classes."""
        return self.same_class < _SAME_AS_OTHER


def measure_augment_effect(
    index: DatasetIndex,
    spec: FeatureSpec,
    *,
    cache_dir: Path,
    head: Mapping[str, np.ndarray] | None = None,
    num_images: int = 24,
    num_views: int = 3,
    monitor: Monitor = SILENT,
) -> tuple[TransformEffect, ...]:
    """Measure each transform of ``spec.augment`` alone, and all of them together.

    Args:
        index: the dataset.
        spec: backbone, pixel settings and the augmentation to measure.
        cache_dir: the folder of the feature cache; settings measured before return at once.
        head: weights of a trained head, used to find flipped predictions; without one the
            prediction is the class whose mean feature is nearest.
        num_images: how many photos to try, spread over the classes; with more classes than half
            of that, only some classes are used.
        num_views: augmented views of each photo.
        monitor: counts all features together.

    Returns:
        One effect per enabled transform, in the config's order, then ``"all"`` if there are
        several. Empty for a config without augmentation.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    names = active_transforms(spec.augment)
    if not names:
        return ()
    rows = _spread(index.labels, num_images)
    configs = {name: _alone(spec.augment, name) for name in names}
    if len(names) > 1:
        configs[ALL_TOGETHER] = spec.augment
    effects, scale = [], None
    stage = monitor.stage(STAGE)
    num_later = len(configs) * len(rows) * num_views
    for name, config in configs.items():
        num_later -= len(rows) * num_views
        features = extract_features(
            index,
            rows,
            replace(spec, augment=config),
            views=1 + num_views,
            cache_dir=cache_dir,
            **stage.part(num_later).callbacks,
        )
        scale = scale or _Scale.of(features[0], index.labels[rows])
        effects.append(_effect(name, features, index.labels[rows], scale, head))
    return tuple(effects)


@dataclass(frozen=True)
class _Scale:
    """Mean distances between photos of one class and of different classes."""

    same: float
    other: float

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray) -> _Scale:
        first, second = np.triu_indices(len(features), 1)
        if len(first) > _NUM_PAIRS:
            chosen = np.random.default_rng(0).choice(len(first), _NUM_PAIRS, replace=False)
            first, second = first[chosen], second[chosen]
        distances = np.linalg.norm(features[first] - features[second], axis=1)
        equal = labels[first] == labels[second]
        other = float(distances[~equal].mean()) if (~equal).any() else 1.0
        same = float(distances[equal].mean()) if equal.any() else 0.0
        return cls(same, other or 1.0)


def _effect(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    scale: _Scale,
    head: Mapping[str, np.ndarray] | None,
) -> TransformEffect:
    plain, views = features[0], features[1:]
    shift = float(np.linalg.norm(views - plain, axis=2).mean()) / scale.other
    flat = views.reshape(-1, views.shape[2])
    if head is None:
        means = np.stack([plain[labels == label].mean(axis=0) for label in np.unique(labels)])
        before, after = _nearest(plain, means), _nearest(flat, means)
    else:
        before = head_forward(head, plain).argmax(axis=1)
        after = head_forward(head, flat).argmax(axis=1)
    flips = float(np.mean(after != np.tile(before, len(views))))
    return TransformEffect(name, shift, scale.same / scale.other, flips, len(flat))


def _nearest(features: np.ndarray, means: np.ndarray) -> np.ndarray:
    # One mean at a time: an array of all differences would be as many times as large.
    distances = [np.linalg.norm(features - mean, axis=1) for mean in means]
    return np.argmin(distances, axis=0)


def _alone(config: AugmentConfig, name: str) -> AugmentConfig:
    return AugmentConfig().updated(**{name: getattr(config, name), "fill": config.fill})


def _spread(labels: np.ndarray, num_images: int) -> np.ndarray:
    """Return about ``num_images`` rows, spread evenly over the classes and over each class."""
    classes = np.unique(labels)
    if len(classes) > num_images // 2:  # at least two of a class, to measure the distance within it
        chosen_classes = np.linspace(0, len(classes) - 1, max(2, num_images // 2)).round()
        classes = classes[chosen_classes.astype(int)]
    each = max(2, num_images // len(classes))
    chosen = []
    for label in classes:
        rows = np.flatnonzero(labels == label)
        chosen.append(rows[np.unique(np.linspace(0, len(rows) - 1, each).round().astype(int))])
    return np.sort(np.concatenate(chosen))
