"""The camera of the sample set: lights a sheet, casts its shadows and takes the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from tl_core.data.sample.drawing.sheet import Sheet, noise_patch

_VIVID = 1.12  # factor by which colours are saturated


@dataclass(frozen=True)
class Light:
    """Direction and properties of the light."""

    angle: float  # radians in the picture plane, clockwise from the right
    steepness: float = 1.0  # tangent of its height above the table
    ambient: float = 0.5
    warmth: float = 0.0  # -1 cold .. 1 warm
    exposure: float = 1.0
    shadows: float = 0.7
    slope: float = 0.15  # how much brighter the lit side of the frame is
    vignette: float = 0.2
    distant: bool = False  # whether the ground is too far behind to catch shadows


def leaned(image: Image.Image, size: tuple[int, int], inset: float) -> Image.Image:
    """Return an image leaning back: its near edge shows all but ``inset`` of it on either side."""
    width, height = image.size
    near = 1 - 2 * inset
    # Homography from the output rectangle to a trapezoid as wide as the image at its far edge.
    squeeze = (1 / near - 1) / size[1]
    down = height / size[1] / near
    across = width / size[0]
    middle = width / 2 * squeeze
    coefficients = (across, middle, 0.0, 0.0, down, 0.0, 0.0, squeeze)
    return image.transform(
        size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )


def develop(
    sheet: Sheet, size: tuple[int, int], light: Light, rng: Random, *, tilt: float = 0.0
) -> Image.Image:
    """Light a sheet and take its photo of ``size`` (width, height), leaning back by ``tilt``."""
    views = []
    for image, sharp in ((sheet.color, 1.5), (sheet.relief, 1.0), (sheet.gloss, 1.0)):
        if tilt:
            # Colour edges would step: sample them finer, then average.
            fine = (round(size[0] * sharp), round(size[1] * sharp))
            image = leaned(image, fine, 0.13 * tilt)
        views.append(
            image.reduce(2)
            if image.width == 2 * size[0]
            else image.resize(size, Image.Resampling.BOX)
        )
    color = views[0]
    sharp_relief = np.asarray(views[1], np.float32) * np.float32(0.5)
    relief = _smooth(sharp_relief)
    gloss = np.asarray(views[2], np.float32)

    padded = np.pad(relief, 1, mode="edge")
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(0.5)
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(0.5)
    # Height steps between parts would give black and white lines, so slopes are limited to 1.4.
    across, down = np.clip(across, -1.4, 1.4), np.clip(down, -1.4, 1.4)
    scale = 1 / np.sqrt(across * across + down * down + 1)
    flat = math.hypot(1, light.steepness)
    toward = (math.cos(light.angle) / flat, math.sin(light.angle) / flat, light.steepness / flat)
    facing = (toward[2] - across * toward[0] - down * toward[1]) * scale
    lit = _smooth(np.clip(facing / np.float32(toward[2]), 0.1, 1.45))
    shadow = _cast_shadows(relief, light) * np.float32(light.shadows)
    wide = Image.fromarray(relief).resize((size[0] // 8, size[1] // 8), Image.Resampling.BOX)
    around = np.asarray(wide.resize(size, Image.Resampling.BICUBIC))
    hollow = np.clip((around - relief) * np.float32(0.03), 0, 0.36)
    if light.distant:
        near = np.clip(sharp_relief * np.float32(0.2), 0, 1)
        lit = 1 + (lit - 1) * near
        shadow *= near
        hollow *= near

    bright = light.ambient * (1 - hollow) + (1 - light.ambient) * lit * (1 - shadow)
    half = (toward[0] * 0.5, toward[1] * 0.5, (toward[2] + 1) * 0.5)
    norm = math.sqrt(sum(part * part for part in half))
    mirror = np.clip((half[2] - across * half[0] - down * half[1]) * scale / norm, 0, 1)
    # Flat parts get next to nothing of the highlight: it sits on edges and curves.
    for _ in range(5):  # to the 32nd power
        mirror = mirror * mirror
    shine = (mirror - np.float32((half[2] / norm) ** 32 * 0.85)) * gloss * (1 - shadow)
    return _expose(color, bright, np.clip(shine, 0, None) * np.float32(0.55), light, rng)


def _smooth(field: np.ndarray) -> np.ndarray:
    """Blur a float image with a 1-2-1 kernel both ways."""
    padded = np.pad(field, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 16)


def _cast_shadows(relief: np.ndarray, light: Light) -> np.ndarray:
    """Return 0 (lit) .. 1 (in shadow), by walking from each pixel towards the light."""
    reach = 44
    height, width = relief.shape
    padded = np.pad(relief, reach, mode="edge")
    hidden = np.zeros_like(relief)
    for distance in (1.5, 3, 5, 8, 12, 17, 23, 30, 38):
        x = reach + round(math.cos(light.angle) * distance)
        y = reach + round(math.sin(light.angle) * distance)
        above = padded[y : y + height, x : x + width] - relief
        np.maximum(hidden, above - np.float32(distance * light.steepness), out=hidden)
    mask = Image.fromarray((np.clip(hidden * 0.45, 0, 1) * 255).astype(np.uint8))
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(1.6)), np.float32) / 255


def _expose(
    color: Image.Image, bright: np.ndarray, shine: np.ndarray, light: Light, rng: Random
) -> Image.Image:
    """Turn lit colours into a photo: tint, fall-off, vignette, tone curve and grain."""
    height, width = bright.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    fall = x * np.float32(light.slope * math.cos(light.angle) * light.exposure)
    fall = fall + (y * np.float32(light.slope * math.sin(light.angle)) + 1) * light.exposure
    corner = np.clip((x * x + y * y) * np.float32(0.6), 0, 1.2)
    fall *= 1 - np.float32(light.vignette) * corner * corner
    bright = bright * fall
    noise = np.asarray(noise_patch(rng, (width, height), "grain"), np.float32)
    extra = shine * fall + (noise - 127) * np.float32(rng.uniform(0.01, 0.045))
    tints = (1 + 0.09 * light.warmth, 1.0, 1 - 0.13 * light.warmth)
    grey = np.asarray(color.convert("L"), np.float32) * np.float32(1 - _VIVID)
    planes = []
    for plane, tint in zip(color.split(), tints, strict=True):
        level = (np.asarray(plane, np.float32) * np.float32(_VIVID) + grey) * bright
        level += extra
        level *= np.float32(tint)
        # A soft shoulder above 212 keeps highlights from clipping to flat white.
        over = np.clip(level - 212, 0, None)
        level = np.minimum(level, 212) + 43 * over / (over + 48)
        planes.append(Image.fromarray(np.clip(level, 0, 255).astype(np.uint8)))
    return Image.merge("RGB", planes)
