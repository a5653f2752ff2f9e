"""A preview of one transform at increasing strengths, without randomness."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.affine import Fill
from tl_core.data.augmentation.augment import SWITCHES, TRANSFORMS
from tl_core.data.augmentation.transforms import DRAWS, apply_params, sample_params
from tl_core.errors import ConfigError, did_you_mean


def strength_strip(
    image: np.ndarray,
    transform: str,
    num: int = 7,
    *,
    strongest: float | None = None,
    also: float | None = None,
    direction: Literal[1, -1] = 1,
    fill: Fill = "reflect",
) -> list[tuple[float, np.ndarray]]:
    """Apply one transform at increasing strengths, without randomness.

    Args:
        image: (height, width, 3) uint8 RGB.
        transform: Name of a field of :class:`AugmentConfig`, such as ``"rotation"``.
        num: How many steps, at least two; a flip always has two.
        strongest: Strength of the last step; by default the field's upper limit.
        also: A strength to include in the steps, such as the current setting.
        direction: 1 for the positive end of the draw, -1 for the negative.
        fill: What to show where the image was moved away.

    Returns:
        (strength, image) pairs; the first is strength 0 and the unchanged image.

    Raises:
        ConfigError: there is no such transform, or the strength is out of range.

    Examples:
        >>> from tl_core import load_image
        >>> strip = strength_strip(load_image("photos/cat/0.png", (32, 48)), "rotation", num=3)
        >>> [strength for strength, _ in strip]
        [0.0, 90.0, 180.0]
    """
    if transform not in TRANSFORMS:
        raise ConfigError(
            f"Expected a transform out of {', '.join(TRANSFORMS)}, received '{transform}'."
            f"{did_you_mean(transform, TRANSFORMS)}"
        )
    draws = dict.fromkeys(DRAWS, 1.0 if direction > 0 else 0.0)
    draws.update(blur=1.0, erasing=1.0, erasing_aspect=0.5, erasing_x=0.5, erasing_y=0.5)
    is_switch = transform in SWITCHES
    if is_switch:
        draws[transform] = 0.0
        strengths = [0.0, 1.0]
    else:
        rules = AugmentConfig.model_fields[transform].metadata
        limit = next(rule.le for rule in rules if hasattr(rule, "le"))
        last = limit if strongest is None else strongest
        strengths = _steps(last, max(num, 2), also)
    strip = []
    for strength in strengths:
        value = bool(strength) if is_switch else strength
        changes = sample_params(AugmentConfig.create({transform: value}), list(draws.values()))
        strip.append((strength, apply_params(image, changes, fill, np.random.default_rng(0))))
    return strip


def _steps(last: float, num: int, also: float | None) -> list[float]:
    """Return ``num`` strengths from 0 to ``last``, evenly spaced except for ``also``."""
    even = np.linspace(0, last, num).tolist()
    if also is None or np.isclose(even, also).any():
        return even
    return sorted([*np.linspace(0, last, max(num - 1, 2)).tolist(), also])
