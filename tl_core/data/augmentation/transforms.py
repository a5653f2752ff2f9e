"""Transforms of one image: geometry in one resample, colour in one matrix.

Uses Pillow, which releases Python's global lock, so that threads augment in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.affine import Fill, Linear, warp

# One draw each, always all of them and in this order, so that enabling or disabling one transform
# does not change the draws of the others.
DRAWS = (
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
class AugmentParams:
    """The transform parameters of one view of an image, sampled from a configuration."""

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
        """Whether the geometry changes by more than a flip."""
        return bool(self.rotation or self.scale != 1 or self.shift_x or self.shift_y or self.shear)

    @property
    def is_colour(self) -> bool:
        """Whether colours change."""
        return bool(self.brightness != 1 or self.contrast != 1 or self.saturation != 1 or self.hue)


def sample_params(config: AugmentConfig, draws: Sequence[float] | np.ndarray) -> AugmentParams:
    """Turn draws in [0, 1], in the order of :data:`DRAWS`, into transform parameters."""
    drawn = dict(zip(DRAWS, map(float, draws), strict=True))
    signed = {name: 2 * value - 1 for name, value in drawn.items()}
    return AugmentParams(
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


def apply_params(
    image: np.ndarray, changes: AugmentParams, fill: Fill, rng: np.random.Generator
) -> np.ndarray:
    """Apply transform parameters to an image.

    Args:
        image: (height, width, 3) uint8 RGB; it is not modified.
        changes: the parameters.
        fill: what to show where the image was moved away.
        rng: random generator for the noise of an erased patch.

    Returns:
        (height, width, 3) uint8 RGB; the image itself if nothing changes.
    """
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


def _flip(picture: Image.Image, changes: AugmentParams) -> Image.Image:
    if changes.flip_x:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if changes.flip_y:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _linear(changes: AugmentParams) -> Linear:
    """Return the matrix of flip, rotation, shear and zoom, in that order."""
    angle = math.radians(changes.rotation)
    cos, sin, slant = math.cos(angle), math.sin(angle), math.tan(math.radians(changes.shear))
    x = -changes.scale if changes.flip_x else changes.scale
    y = -changes.scale if changes.flip_y else changes.scale
    # y points down, so this is counter-clockwise as seen.
    return (x * (cos - slant * sin), y * (sin + slant * cos)), (-x * sin, y * cos)


def _colour_matrix(image: np.ndarray, changes: AugmentParams) -> tuple[float, ...]:
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


def _erase(image: np.ndarray, changes: AugmentParams, rng: np.random.Generator) -> None:
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
