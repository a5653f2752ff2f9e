"""The canvas of the sample set: three aligned images of colour, relief and gloss.

Everything is drawn at twice its final size; ``light.py`` turns a sheet into a photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tl_core.data.sample.drawing.shapes import Color, Points

Stops = tuple[tuple[float, Color], ...]
Profile = tuple[tuple[float, float], ...]
Box = tuple[int, int, int, int]
_NOISE_SIDE = 1152
_OCTAVES = {  # ((cells across, cells down), weight) over the whole side
    "broad": (((8, 8), 1.0), ((18, 18), 0.6), ((44, 44), 0.35), ((112, 112), 0.18)),
    "cloud": (((14, 14), 1.0), ((32, 32), 0.6), ((80, 80), 0.35), ((200, 200), 0.18)),
    "close": (((28, 28), 1.0), ((60, 60), 0.6), ((160, 160), 0.4), ((380, 380), 0.25)),
    "grain": (((88, 88), 0.6), ((240, 240), 1.0), ((580, 580), 0.7), ((1152, 1152), 0.3)),
    "fibre": (((8, 120), 0.8), ((12, 340), 0.8), ((18, 920), 0.5), ((88, 1152), 0.25)),
}


@lru_cache(maxsize=8)
def _noise(kind: str) -> Image.Image:
    """Return a big grey noise image with a flat histogram, the same in every process."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    total = np.zeros((_NOISE_SIDE, _NOISE_SIDE), np.float32)
    for (across, down), weight in _OCTAVES[kind]:
        cells = Image.fromarray(rng.random((down, across), np.float32))
        field = cells.resize((_NOISE_SIDE, _NOISE_SIDE), Image.Resampling.BICUBIC)
        total += weight * np.asarray(field)
    low, high = np.quantile(total[::4, ::4], (0.01, 0.99))
    return Image.fromarray((np.clip((total - low) / (high - low), 0, 1) * 255).astype(np.uint8))


def noise_patch(rng: Random, size: tuple[int, int], kind: str) -> Image.Image:
    """Cut a random patch of noise of ``size`` (width, height)."""
    width, height = size
    if max(size) > _NOISE_SIDE:
        fits = (min(width, _NOISE_SIDE), min(height, _NOISE_SIDE))
        return noise_patch(rng, fits, kind).resize(size, Image.Resampling.BILINEAR)
    left, top = rng.randrange(_NOISE_SIDE - width + 1), rng.randrange(_NOISE_SIDE - height + 1)
    return _noise(kind).crop((left, top, left + width, top + height))


def colorize(grey: Image.Image, stops: Stops) -> Image.Image:
    """Turn grey levels into colours along ``stops`` of (position 0..1, colour)."""
    at = [255 * position for position, _ in stops]
    bands = [np.interp(range(256), at, [color[band] for _, color in stops]) for band in range(3)]
    tinted = grey.copy()
    tinted.putpalette(np.column_stack(bands).round().astype(np.uint8).tobytes())
    return tinted.convert("RGB")


@lru_cache(maxsize=1)
def _radius_map() -> np.ndarray:
    """Return the distance from the centre, 1 at the inscribed circle, on a 160 px square."""
    axis = (np.arange(160) + 0.5) / 80 - 1
    return np.hypot(axis[:, None], axis[None, :]).astype(np.float32)


def doubled(image: Image.Image) -> Image.Image:
    """Upsample by repeating each pixel four times; averaging is the inverse."""
    return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)


def _radial(profile: Profile) -> Image.Image:
    """Return a small square float image that follows ``profile`` from its centre outwards."""
    places, values = zip(*profile, strict=True)
    return Image.fromarray(np.interp(_radius_map(), places, values).astype(np.float32))


@dataclass(frozen=True)
class Dome:
    """A bulge over an ellipse whose upper and lower halves may differ in height."""

    center: tuple[float, float]
    angle: float
    half_width: float
    up: float
    down: float

    def height(self, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Return the bulge, 0..1, from a sheet's ``corner`` on, for ``size`` final pixels."""
        steps = (size[0] // 2 + 1, size[1] // 2 + 1)
        x = np.arange(steps[0], dtype=np.float32) * 4 + np.float32(corner[0] - self.center[0])
        y = np.arange(steps[1], dtype=np.float32) * 4 + np.float32(corner[1] - self.center[1])
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        along = (x * cos)[None, :] + (y * sin)[:, None]
        off = (y * cos)[:, None] - (x * sin)[None, :]
        off = np.where(off < 0, off / np.float32(self.up), off / np.float32(self.down))
        inside = 1 - (along / np.float32(self.half_width)) ** 2 - off * off
        bulge = Image.fromarray(np.sqrt(np.clip(inside, 0, 1)))
        box = (0, 0, size[0] / 2, size[1] / 2)
        return np.asarray(bulge.resize(size, Image.Resampling.BILINEAR, box=box))


class Sheet:
    """Colour, relief (height in pixels of this sheet) and gloss (0..255), drawn together."""

    def __init__(self, width: int, height: int, color: Color = (0, 0, 0), gloss: int = 20) -> None:
        self.size = (width, height)
        self.color = Image.new("RGB", self.size, color)
        self.relief = Image.new("F", self.size, 0)
        self.gloss = Image.new("L", self.size, gloss)
        self._pens = [ImageDraw.Draw(image) for image in (self.color, self.relief, self.gloss)]

    def level(self, x: float, y: float) -> float:
        """Return the height of the relief at a point; outside, at the nearest point inside."""
        width, height = self.size
        spot = (min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1))
        value = self.relief.getpixel(spot)
        return float(value) if isinstance(value, int | float) else 0.0

    def paint(
        self,
        points: Points,
        color: Color,
        lift: float | None = None,
        gloss: int | None = None,
        base: float | None = None,
    ) -> None:
        """Fill a polygon; with ``lift`` it stands that much above ``base`` or what is there."""
        flat = points.ravel().tolist()
        self._pens[0].polygon(flat, fill=color)
        if lift is not None:
            if base is None:
                base = self.level(*points.mean(axis=0).tolist())
            self._pens[1].polygon(flat, fill=base + lift)
        if gloss is not None:
            self._pens[2].polygon(flat, fill=gloss)

    def stroke(self, points: Points, color: Color, width: float, lift: float | None = None) -> None:
        """Draw a line through the points."""
        flat = points.ravel().tolist()
        self._pens[0].line(flat, fill=color, width=max(1, round(width)), joint="curve")
        if lift is not None:
            base = self.level(*points[len(points) // 2].tolist())
            self._pens[1].line(flat, fill=base + lift, width=max(1, round(width)))

    def part(
        self,
        rng: Random,
        points: Points,
        stops: Stops,
        *,
        kind: str = "cloud",
        gradient: Image.Image | None = None,
        weight: float = 0.0,
        base: float = 0.0,
        rise: float = 0.0,
        round_px: float = 0.0,
        profile: Profile | None = None,
        dome: Dome | None = None,
        barrel: float = 0.0,
        bump: float = 0.0,
        gloss: int | None = None,
        more: Sequence[Points] = (),
        patchy: tuple[str, float] | None = None,
    ) -> None:
        """Fill a polygon, and ``more`` that melt into it, with a textured, rounded material.

        The colour runs along ``stops`` by noise of ``kind``, blended with ``gradient`` by
        ``weight``. The relief is ``base``, plus ``rise`` rounded off over ``round_px`` from the
        outline (or shaped like ``dome``, or ``profile`` from the centre outwards), plus ``barrel``
        bulging in the middle of its width, plus ``bump`` times the noise. With ``patchy``, a kind
        of noise and a share, only about that share is filled: where that noise is high.
        """
        whole = _box(np.concatenate((points, *more)))
        seen = self._clip(whole)
        if seen is None:
            return
        left, top, right, bottom = seen
        corner, size = (left, top), (right - left, bottom - top)
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        for outline in (points, *more):
            pen.polygon((outline - corner).ravel().tolist(), fill=255)
        # Only outlines need the double size; what fills them is made in final pixels.
        half = (size[0] // 2, size[1] // 2)
        if patchy is not None:
            least = 255 * (1 - patchy[1])
            soft = noise_patch(rng, half, patchy[0]).resize(size, Image.Resampling.BILINEAR)
            mask = ImageChops.darker(mask, soft.point([255 * (at >= least) for at in range(256)]))
        grey = noise_patch(rng, half, kind)
        texture = grey
        if gradient is not None:
            texture = Image.blend(grey, _cut(gradient, whole, seen), weight)
        self.color.paste(doubled(colorize(texture, stops)), corner, mask)
        if profile is not None:
            relief = np.asarray(_cut(_radial(profile), whole, seen)) + np.float32(base)
        elif dome is not None:
            relief = dome.height(corner, half) * np.float32(rise) + np.float32(base)
        elif rise and round_px:
            relief = _puff(mask, round_px) * np.float32(rise) + np.float32(base)
        else:
            relief = np.full((half[1], half[0]), base + rise, np.float32)
        if barrel:
            reach = (whole[2] - whole[0]) / 2
            across = (np.arange(left, right, 2, dtype=np.float32) - (whole[0] + reach)) / reach
            relief = relief + np.sqrt(np.clip(1 - across * across, 0, 1)) * np.float32(barrel)
        if bump:
            relief = relief + np.asarray(grey, np.float32) * np.float32(bump / 255)
        relief = relief.astype(np.float32, copy=False)
        self.relief.paste(doubled(Image.fromarray(relief)), corner, mask)
        if gloss is not None:
            self.gloss.paste(gloss, corner, mask)

    def _clip(self, box: Box) -> Box | None:
        """Return the part of a box on or near the sheet, in whole final pixels; None if empty."""
        around = 24  # so that shapes cut off by the frame are not rounded there
        left, top = max(box[0], -around) // 2 * 2, max(box[1], -around) // 2 * 2
        right = (min(box[2], self.size[0] + around) + 1) // 2 * 2
        bottom = (min(box[3], self.size[1] + around) + 1) // 2 * 2
        return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None

    def place(self, other: Sheet, mask: Image.Image, at: tuple[int, int], base: float) -> None:
        """Lay another sheet on this one where ``mask`` (only 0 and 255) allows, on ``base``."""
        self.color.paste(other.color, at, mask)
        raised = np.asarray(other.relief) + np.float32(base)
        self.relief.paste(Image.fromarray(raised), at, mask)
        self.gloss.paste(other.gloss, at, mask)

    def shade_under(
        self, points: Points, blur: float, strength: float, color: Color = (20, 12, 8)
    ) -> None:
        """Darken the colour under a soft-edged polygon: a drawn shadow, for side views."""
        margin = np.array((blur * 2, blur * 2))
        seen = self._clip(_box(np.concatenate((points - margin, points + margin))))
        if seen is None:
            return
        left, top, right, bottom = seen
        size = (right - left, bottom - top)
        mask = Image.new("L", (size[0] // 4 + 1, size[1] // 4 + 1))
        flat = ((points - (left, top)) / 4).ravel().tolist()
        ImageDraw.Draw(mask).polygon(flat, fill=round(255 * strength))
        soft = mask.filter(ImageFilter.GaussianBlur(blur / 4))
        self.color.paste(color, (left, top), soft.resize(size, Image.Resampling.BILINEAR))


def _box(points: Points) -> Box:
    """Return the smallest box (left, top, right, bottom) around points."""
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
    return left, top, max(left + 2, right + 1), max(top + 2, bottom + 1)


def _cut(image: Image.Image, whole: Box, seen: Box) -> Image.Image:
    """Stretch an image over the box ``whole`` and return what ``seen`` shows, at half size."""
    across = image.width / (whole[2] - whole[0])
    down = image.height / (whole[3] - whole[1])
    box = (
        max(0.0, (seen[0] - whole[0]) * across),
        max(0.0, (seen[1] - whole[1]) * down),
        min(float(image.width), (seen[2] - whole[0]) * across),
        min(float(image.height), (seen[3] - whole[1]) * down),
    )
    half = ((seen[2] - seen[0]) // 2, (seen[3] - seen[1]) // 2)
    return image.resize(half, Image.Resampling.BILINEAR, box=box)


def _puff(mask: Image.Image, round_px: float) -> np.ndarray:
    """Return 0 at a mask's outline rising like a quarter circle to 1 at ``round_px`` inside.

    The result has half the mask's size.
    """
    step = 4 if round_px > 6 else 2
    margin = math.ceil(round_px * 1.5 / step) + 1
    small = mask.reduce(step)
    padded = Image.new("L", (small.width + 2 * margin, small.height + 2 * margin))
    padded.paste(small, (margin, margin))
    soft = padded.filter(ImageFilter.GaussianBlur(round_px * 0.6 / step))
    depth = np.clip(np.asarray(soft, np.float32) / 127.5 - 1, 0, 1)
    height = np.sqrt(np.clip(1 - (1 - depth) ** 2, 0, 1))
    box = (margin, margin, margin + mask.width / step, margin + mask.height / step)
    half = (mask.width // 2, mask.height // 2)
    image = Image.fromarray(height.astype(np.float32, copy=False))
    return np.asarray(image.resize(half, Image.Resampling.BILINEAR, box=box))
