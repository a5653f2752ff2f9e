"""Random augmentation of one decoded image.

Preview and training both call :func:`augment_view`, so they use the same pixels.
"""

from __future__ import annotations

import hashlib

import numpy as np

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.transforms import DRAWS, apply_params, sample_params

TRANSFORMS = tuple(name for name in AugmentConfig.model_fields if name != "fill")

SWITCHES = frozenset(
    name for name in TRANSFORMS if AugmentConfig.model_fields[name].annotation is bool
)
"""Transforms that are on or off; all others have a strength."""

TWO_SIDED = frozenset(
    ("rotation", "zoom", "shift", "shear", "brightness", "contrast", "saturation", "hue")
)
"""Transforms drawn symmetrically about no change, such as darker and brighter."""


def active_transforms(config: AugmentConfig) -> tuple[str, ...]:
    """Return the names of the transforms that a config enables, in the config's order."""
    return tuple(name for name in TRANSFORMS if getattr(config, name))


def augment(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Return a randomly augmented copy of an image.

    Each strength in ``config`` bounds one uniform draw, in this order:

    - ``horizontal_flip``, ``vertical_flip``: each with probability 1/2.
    - ``rotation``: in [-r, r] degrees; positive turns the content counter-clockwise.
    - ``zoom``: content scaled by a factor in [1 - z, 1 + z]; above 1 it grows.
    - ``shift``: in [-s, s] of the width and of the height; positive moves right and down.
    - ``shear``: in [-s, s] degrees; positive slants the content's foot to the right.
    - ``brightness``: all channels times a factor in [1 - b, 1 + b].
    - ``contrast``: distance from the image's mean grey times a factor in [1 - c, 1 + c].
    - ``saturation``: distance of each pixel from its own grey times [1 - s, 1 + s].
    - ``hue``: in [-h, h] of the colour circle; positive turns red towards yellow and green.
    - ``blur``: Gaussian with a standard deviation in [0, b] pixels.
    - ``erasing``: a patch of a part in [0, e] of the area, aspect 0.3 to 3.3, becomes noise.

    Flip, rotation, shear, zoom and shift act in that order about the image's centre, as one
    matrix and one bilinear resample; flips alone only move pixels. A strong zoom out averages
    pixels first, since bilinear sampling would skip some.

    Args:
        image: (height, width, 3) uint8 RGB.
        config: Which transforms are on, and how strong.
        rng: Random generator; the number of draws does not depend on the config, except for
            the noise of ``erasing``, which is drawn last.

    Returns:
        (height, width, 3) uint8 RGB; ``image`` itself when no transform is on.

    References:
        Hue and saturation: rotation and scaling of the I, Q plane of YIQ, as TensorFlow
        Addons' ``adjust_hsv_in_yiq`` does. Erasing: Zhong et al. 2017, "Random Erasing Data
        Augmentation", arXiv:1708.04896.

    Examples:
        >>> import numpy as np
        >>> from tl_core import AugmentConfig, augment, load_image
        >>> image = load_image("photos/cat/0.png", (32, 48))
        >>> changed = augment(image, AugmentConfig(rotation=30), np.random.default_rng(0))
        >>> changed.shape, changed.dtype
        ((32, 48, 3), dtype('uint8'))
    """
    return apply_params(image, sample_params(config, rng.random(len(DRAWS))), config.fill, rng)


def augment_view(
    image: np.ndarray, config: AugmentConfig, sha256: str, view: int, seed: int
) -> np.ndarray:
    """Return one numbered view of an image, the same in every process and on every machine.

    Args:
        image: (height, width, 3) uint8 RGB, decoded and resized.
        config: Which transforms are on, and how strong.
        sha256: Digest of the file's content, so that equal photos get equal views.
        view: 0 is the unchanged image; every other number a different augmentation.
        seed: The run's seed.

    Returns:
        (height, width, 3) uint8 RGB.

    Examples:
        >>> import numpy as np
        >>> from tl_core import AugmentConfig, augment_view, scan_dataset, load_image
        >>> record = scan_dataset("photos").records[0]
        >>> image, config = load_image("photos/cat/0.png", (32, 48)), AugmentConfig(brightness=0.5)
        >>> views = [augment_view(image, config, record.sha256, view=1, seed=0) for _ in range(2)]
        >>> np.array_equal(*views)
        True
    """
    if view == 0:
        return image
    digest = hashlib.sha256(f"{sha256}/{view}/{seed}".encode()).digest()
    key = int.from_bytes(digest[:16], "little")
    return augment(image, config, np.random.Generator(np.random.Philox(key=key)))
