"""Mixup and CutMix: training on mixtures of two images, with targets mixed the same way.

References:
    H. Zhang et al. (2018), "mixup: beyond empirical risk minimization", ICLR.
    S. Yun et al. (2019), "CutMix: regularization strategy to train strong classifiers with
    localizable features", ICCV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mix:
    """The other image and view that one is mixed with, and how.

    ``share`` is the share of the first image. ``box`` (top, left, height, width) in fractions of
    the sides is the patch filled by the other; without one the whole images are blended.
    """

    image: int
    view: int
    share: float
    box: tuple[float, float, float, float] | None = None


def draw_mix(
    mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[float, tuple[float, float, float, float] | None]:
    """Draw how the images of one batch are mixed: the share that remains, and the patch if any.

    Args:
        mixup, cutmix: parameters of the Beta distributions; 0 is off. With both on, each is used
            in half of the batches.
        rng: the random generator.
    """
    is_cut = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    strength = cutmix if is_cut else mixup
    share = float(rng.beta(strength, strength))
    if not is_cut:
        return share, None
    side = math.sqrt(1 - share)
    top, left = rng.random(2) * (1 - side)
    return share, (float(top), float(left), side, side)


def mix_images(image: np.ndarray, other: np.ndarray, mix: Mix) -> np.ndarray:
    """Return the mixture of two images (height, width, 3) uint8 of equal size."""
    if mix.box is None:
        blend = mix.share * image.astype(np.float32) + (1 - mix.share) * other.astype(np.float32)
        return np.rint(blend).astype(np.uint8)
    height, width = image.shape[:2]
    top, left = round(mix.box[0] * height), round(mix.box[1] * width)
    rows = slice(top, top + round(mix.box[2] * height))
    columns = slice(left, left + round(mix.box[3] * width))
    mixed = image.copy()
    mixed[rows, columns] = other[rows, columns]
    return mixed
