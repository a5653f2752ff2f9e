"""Random changes of one decoded image: geometry in one resample, colour in one matrix.

Preview and training both call :func:`augment_view`, so they show and learn the same pixels.
The work is done by Pillow, which lets go of Python's lock, so threads augment side by side.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from tl_core.config import AugmentConfig
from tl_core.data.warp import Fill, Linear, warp
from tl_core.errors import ConfigError, did_you_mean

TRANSFORMS = tuple(name for name in AugmentConfig.model_fields if name != "fill")

SWITCHES = frozenset(
    name for name in TRANSFORMS if AugmentConfig.model_fields[name].annotation is bool
)
"""Transforms that are on or off; all others have a strength."""

TWO_SIDED = frozenset(
    ("rotation", "zoom", "shift", "shear", "brightness", "contrast", "saturation", "hue")
)
"""Transforms that draw from both sides of nothing, such as darker and brighter."""

# One draw each, always all of them and in this order, so that switching one transform on or
# off leaves what the others draw as it was.
_DRAWS = (
    "horizontal_flip",
    "vertical_flip",
    "rotation",
    "zoom",
    "shift_x",
    "shift_y",
    "shear",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "blur",
    "erasing",
    "erasing_aspect",
    "erasing_x",
    "erasing_y",
)
_MAX_ASPECT = 1 / 0.3

_YIQ_OF_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.595716, -0.274453, -0.321263],
        [0.211456, -0.522591, 0.311135],
    ]
)
_RGB_OF_YIQ = np.linalg.inv(_YIQ_OF_RGB)


@dataclass(frozen=True)
class _Changes:
    """What is done to one image: a configuration with the dice thrown."""

    flip_x: bool
    flip_y: bool
    rotation: float  # degrees, counter-clockwise
    scale: float  # of the content
    shift_x: float  # fraction of the width, to the right
    shift_y: float  # fraction of the height, down
    shear: float  # degrees
    brightness: float  # factor
    contrast: float  # factor
    saturation: float  # factor
    hue: float  # fraction of the colour circle
    blur: float  # pixels
    erasing: float  # fraction of the area
    erasing_aspect: float  # height over width
    erasing_x: float  # place of the patch from 0 (left) to 1
    erasing_y: float  # place of the patch from 0 (top) to 1

    @property
    def is_warp(self) -> bool:
        """Whether pixels move by more than a flip."""
        return bool(self.rotation or self.scale != 1 or self.shift_x or self.shift_y or self.shear)

    @property
    def is_colour(self) -> bool:
        """Whether colours change."""
        return bool(self.brightness != 1 or self.contrast != 1 or self.saturation != 1 or self.hue)


def active_transforms(config: AugmentConfig) -> tuple[str, ...]:
    """Return the fields of the transforms that a config switches on, in the config's order."""
    return tuple(name for name in TRANSFORMS if getattr(config, name))


def augment(image: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Return a randomly changed copy of an image.

    Each strength in ``config`` bounds one uniform draw, in this order and to these signs:

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
        rng: Source of the draws; the same number of them is taken whatever is on, but for
            the noise of ``erasing``, which comes last.

    Returns:
        (height, width, 3) uint8 RGB; ``image`` itself when no transform is on.

    References:
        Hue and saturation: rotation and scaling of the I, Q plane of YIQ, as TensorFlow
        Addons' ``adjust_hsv_in_yiq`` does. Erasing: Zhong et al. 2017, "Random Erasing Data
        Augmentation", arXiv:1708.04896.
    """
    return _apply(image, _throw(config, rng.random(len(_DRAWS))), config.fill, rng)


def augment_view(
    image: np.ndarray, config: AugmentConfig, sha256: str, view: int, seed: int
) -> np.ndarray:
    """Return one numbered view of an image, the same in every process and on every machine.

    Args:
        image: (height, width, 3) uint8 RGB, decoded and resized.
        config: Which transforms are on, and how strong.
        sha256: Digest of the file's content, so that equal photos get equal views.
        view: 0 is the image as it is; every other number its own change.
        seed: The run's seed.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    if view == 0:
        return image
    digest = hashlib.sha256(f"{sha256}/{view}/{seed}".encode()).digest()
    key = int.from_bytes(digest[:16], "little")
    return augment(image, config, np.random.Generator(np.random.Philox(key=key)))


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
    """Show one transform from off to its strongest, without chance.

    Args:
        image: (height, width, 3) uint8 RGB.
        transform: Name of a field of :class:`AugmentConfig`, such as ``"rotation"``.
        num: How many steps, two at least; a flip has two whatever is asked.
        strongest: Strength of the last step; the field's upper limit when left out.
        also: A strength that is to be among the steps, such as the one that is set.
        direction: 1 shows the positive end of the draw, -1 the negative.
        fill: What shows where the image was moved away.

    Returns:
        (strength, image) pairs; the first is strength 0 and the image as it is.

    Raises:
        ConfigError: there is no such transform, or the strength is out of range.
    """
    if transform not in TRANSFORMS:
        raise ConfigError(
            f"Expected a transform out of {', '.join(TRANSFORMS)}, received '{transform}'."
            f"{did_you_mean(transform, TRANSFORMS)}"
        )
    draws = dict.fromkeys(_DRAWS, 1.0 if direction > 0 else 0.0)
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
        changes = _throw(AugmentConfig.create({transform: value}), list(draws.values()))
        strip.append((strength, _apply(image, changes, fill, np.random.default_rng(0))))
    return strip


def _steps(last: float, num: int, also: float | None) -> list[float]:
    """Return ``num`` strengths from 0 to ``last``, evenly spaced but for ``also`` among them."""
    even = np.linspace(0, last, num).tolist()
    if also is None or np.isclose(even, also).any():
        return even
    return sorted([*np.linspace(0, last, max(num - 1, 2)).tolist(), also])


def _throw(config: AugmentConfig, draws: Sequence[float] | np.ndarray) -> _Changes:
    """Turn draws in [0, 1], in the order of ``_DRAWS``, into what is done to an image."""
    drawn = dict(zip(_DRAWS, map(float, draws), strict=True))
    signed = {name: 2 * value - 1 for name, value in drawn.items()}
    return _Changes(
        flip_x=config.horizontal_flip and drawn["horizontal_flip"] < 0.5,
        flip_y=config.vertical_flip and drawn["vertical_flip"] < 0.5,
        rotation=config.rotation * signed["rotation"],
        scale=1 + config.zoom * signed["zoom"],
        shift_x=config.shift * signed["shift_x"],
        shift_y=config.shift * signed["shift_y"],
        shear=config.shear * signed["shear"],
        brightness=1 + config.brightness * signed["brightness"],
        contrast=1 + config.contrast * signed["contrast"],
        saturation=1 + config.saturation * signed["saturation"],
        hue=config.hue * signed["hue"],
        blur=config.blur * drawn["blur"],
        erasing=config.erasing * drawn["erasing"],
        erasing_aspect=_MAX_ASPECT ** signed["erasing_aspect"],
        erasing_x=drawn["erasing_x"],
        erasing_y=drawn["erasing_y"],
    )


def _apply(
    image: np.ndarray, changes: _Changes, fill: Fill, rng: np.random.Generator
) -> np.ndarray:
    is_flip = changes.flip_x or changes.flip_y
    if is_flip or changes.is_warp or changes.is_colour or changes.blur:
        picture = Image.fromarray(image)
        if changes.is_warp:
            shift = (changes.shift_x * picture.width, changes.shift_y * picture.height)
            picture = warp(picture, _linear(changes), shift, fill)
        else:
            picture = _flip(picture, changes)
        if changes.is_colour:
            picture = picture.convert("RGB", _colour_matrix(image, changes))
        if changes.blur:
            picture = picture.filter(ImageFilter.GaussianBlur(changes.blur))
        result = np.array(picture)
    elif changes.erasing:
        result = image.copy()
    else:
        return image
    if changes.erasing:
        _erase(result, changes, rng)
    return result


def _flip(picture: Image.Image, changes: _Changes) -> Image.Image:
    if changes.flip_x:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if changes.flip_y:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _linear(changes: _Changes) -> Linear:
    """Return the matrix of flip, rotation, shear and zoom, in that order."""
    angle = math.radians(changes.rotation)
    cos, sin, slant = math.cos(angle), math.sin(angle), math.tan(math.radians(changes.shear))
    x = -changes.scale if changes.flip_x else changes.scale
    y = -changes.scale if changes.flip_y else changes.scale
    # y runs down, so this turns counter-clockwise for the eye.
    return (x * (cos - slant * sin), y * (sin + slant * cos)), (-x * sin, y * cos)


def _colour_matrix(image: np.ndarray, changes: _Changes) -> tuple[float, ...]:
    """Return the (3, 4) matrix of all colour changes, row by row."""
    angle = 2 * math.pi * changes.hue
    cos, sin = changes.saturation * math.cos(angle), changes.saturation * math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    linear = changes.contrast * (_RGB_OF_YIQ @ turn @ _YIQ_OF_RGB)
    offset = 0.0
    if changes.contrast != 1:
        height, width = image.shape[:2]
        columns = image.reshape(height, -1).sum(axis=0, dtype=np.uint32)
        means = columns.reshape(-1, 3).sum(axis=0, dtype=np.uint64) / (height * width)
        offset = (1 - changes.contrast) * float(_YIQ_OF_RGB[0] @ means)
    rows = (changes.brightness * linear).tolist()
    return tuple(value for row in rows for value in (*row, changes.brightness * offset))


def _erase(image: np.ndarray, changes: _Changes, rng: np.random.Generator) -> None:
    """Overwrite a patch of the image, in place, with noise."""
    height, width = image.shape[:2]
    area = changes.erasing * height * width
    patch_height = min(height, round(math.sqrt(area * changes.erasing_aspect)))
    patch_width = min(width, round(math.sqrt(area / changes.erasing_aspect)))
    top = round(changes.erasing_y * (height - patch_height))
    left = round(changes.erasing_x * (width - patch_width))
    noise = np.frombuffer(rng.bytes(patch_height * patch_width * 3), np.uint8)
    image[top : top + patch_height, left : left + patch_width] = noise.reshape(
        patch_height, patch_width, 3
    )
