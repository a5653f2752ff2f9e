"""What decides the features of an image view, and the name they are cached under."""

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
"""Raised when the same bytes or view become other pixels, so that old rows are not used."""

_NO_AUGMENT = AugmentConfig()


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides the features of an image view. ``image_size`` is (height, width).

    ``engine_file`` is the converted backbone of a fine-tuned run; None means the pretrained one.
    ``scale`` is that of 16-bit images; without one a dataset's own is taken, unless
    ``is_scale_fixed``, as for a run that was trained on one scale or on none.
    ``is_foreign`` says that it came from elsewhere, so that it is opened in a guarded process only.
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
        """Take from a training's settings what its features depend on.

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
        """Return how many of ``views`` views there are: without augmentation only the first."""
        return 1 if self.augment.is_identity else max(1, views)

    def space(self, view: int) -> str:
        """Return the cache's name for features of that view; equal for equal computations.

        Augmentation and seed count for augmented views only, so view 0 is shared by all.

        Raises:
            WeightsError: the backbone's weights come with a package that is not installed.
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
            # Transforms that are off are left out, so that a new kind of them changes no name.
            identity["augment"] = self.augment.model_dump(mode="json", exclude_defaults=True)
            identity["seed"] = self.seed
            identity["view"] = view
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.backbone}/{digest}"

    def _weights_fingerprint(self) -> str:
        if self.engine_file is None:
            return weights_fingerprint(self.backbone)
        return hashlib.sha256(self.engine_file.read_bytes()).hexdigest()
