"""The parameters that determine the features of an image view, and their cache key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from tl_core.backbones.registry import resolve_image_size
from tl_core.backbones.weights import weights_fingerprint
from tl_core.config.training import AugmentConfig, Pooling, Resize, TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.images.decode import PixelScale
from tl_core.features.engine_files import ENGINE_VERSION

PIXEL_VERSION = 1
"""Incremented when the same bytes or view give other pixels, so that old rows are not used."""

_NO_AUGMENT = AugmentConfig()


@dataclass(frozen=True)
class FeatureSpec:
    """The parameters that determine an image view's features. ``image_size`` is (height, width).

    ``engine_file`` is the converted backbone of a fine-tuned run; None means the pretrained one.
    ``scale`` is that of 16-bit images; if None, the dataset's scale is used, unless
    ``is_scale_fixed``, as for a trained run.
    ``is_foreign`` marks an untrusted engine file, which is opened in a guarded process only.
    """

    backbone: str
    image_size: tuple[int, int]
    resize: Resize = "squash"
    pooling: Pooling = "avg"
    augment: AugmentConfig = _NO_AUGMENT
    seed: int = 0
    engine_file: Path | None = None
    scale: PixelScale | None = None
    is_scale_fixed: bool = False
    is_foreign: bool = False

    @classmethod
    def from_config(cls, config: TrainConfig) -> FeatureSpec:
        """Create the spec from the training settings.

        Raises:
            ConfigError: no backbone has that name, or the image size is too small for it.
        """
        return cls(
            backbone=config.backbone,
            image_size=resolve_image_size(config),
            resize=config.resize,
            pooling=config.pooling,
            augment=config.augment,
            seed=config.seed,
        )

    def scaled_for(self, index: DatasetIndex) -> FeatureSpec:
        """Return the spec with the scale of a dataset's 16-bit images, unless it has one."""
        if self.is_scale_fixed or self.scale is not None or index.pixel_scale is None:
            return self
        return replace(self, scale=index.pixel_scale)

    def num_views(self, views: int) -> int:
        """Return the number of distinct views out of ``views``: 1 without augmentation."""
        return 1 if self.augment.is_identity else max(1, views)

    def space(self, view: int) -> str:
        """Return the cache namespace for features of that view; equal for equal computations.

        Augmentation and seed matter for augmented views only, so view 0 is shared by all configs.

        Raises:
            WeightsError: the backbone's weights are in a package that is not installed.
        """
        identity: dict[str, object] = {
            "backbone": self.backbone,
            "weights": self._weights_fingerprint(),
            "engine": ENGINE_VERSION,
            "pixels": PIXEL_VERSION,
            "image_size": self.image_size,
            "resize": self.resize,
            "pooling": self.pooling,
        }
        if self.scale is not None:
            identity["scale"] = (self.scale.low, self.scale.high)
        if view > 0:
            # Transforms that are off are left out, so that adding a new one keeps existing names.
            identity["augment"] = self.augment.model_dump(mode="json", exclude_defaults=True)
            identity["seed"] = self.seed
            identity["view"] = view
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.backbone}/{digest}"

    def _weights_fingerprint(self) -> str:
        if self.engine_file is None:
            return weights_fingerprint(self.backbone)
        return hashlib.sha256(self.engine_file.read_bytes()).hexdigest()
