"""The little renderer behind the sample set: colour, relief and gloss sheets, and one light.

Food is drawn at twice the size as three aligned images: what colour a spot has, how high it
stands and how much it shines. A single light pass then shades, casts shadows and adds the traits
of a photo. What is drawn is left to the other ``sample_*`` modules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Color = tuple[int, int, int]
Stops = tuple[tuple[float, Color], ...]
Points = np.ndarray[Any, np.dtype[np.float64]]
Profile = tuple[tuple[float, float], ...]

_NOISE_SIDE = 1152
_VIVID = 1.12  # how much stronger colours come out than they were mixed
_OCTAVES = {
    "cloud": (((7, 7), 1.0), ((16, 16), 0.6), ((40, 40), 0.35), ((100, 100), 0.18)),
    "broad": (((4, 4), 1.0), ((9, 9), 0.6), ((22, 22), 0.35), ((56, 56), 0.18)),
    "close": (((14, 14), 1.0), ((30, 30), 0.6), ((80, 80), 0.4), ((190, 190), 0.25)),
    "grain": (((44, 44), 0.6), ((120, 120), 1.0), ((290, 290), 0.7), ((1152, 1152), 0.25)),
    "fibre": (((4, 60), 0.8), ((6, 170), 0.8), ((9, 460), 0.5), ((44, 1152), 0.25)),
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


def radial(size: tuple[int, int], profile: Profile) -> Image.Image:
    """Return a float image of ``size`` that follows ``profile`` from the centre outwards."""
    places, values = zip(*profile, strict=True)
    return Image.fromarray(np.interp(_radius_map(), places, values).astype(np.float32)).resize(
        size, Image.Resampling.BILINEAR
    )


@lru_cache(maxsize=64)
def _circle(count: int) -> Points:
    turn = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return np.column_stack((np.cos(turn), np.sin(turn)))


@lru_cache(maxsize=8192)
def _waves(count: int, waves: tuple[int, ...], variant: int) -> Points:
    """Return one of a stock of hand-made rims: deviations from a circle, about -1..1."""
    rng = Random(variant)
    turn = np.arange(count) * (2 * math.pi / count)
    total = np.zeros(count)
    for wave in waves:
        total += rng.uniform(-0.7, 0.7) * np.sin(wave * turn + rng.uniform(0, 6.3))
    return total[:, None]


def turned(points: Points, angle: float, center: tuple[float, float] = (0, 0)) -> Points:
    """Rotate points about the origin, then move them to ``center``."""
    cos, sin = math.cos(angle), math.sin(angle)
    return points @ np.array(((cos, sin), (-sin, cos))) + np.array(center)


def moved(points: Points, across: float, down: float) -> Points:
    """Shift points by a distance."""
    return points + np.array((across, down))


def blob(
    rng: Random,
    center: tuple[float, float],
    rx: float,
    ry: float | None = None,
    *,
    angle: float = 0.0,
    wobble: float = 0.05,
    count: int = 32,
    waves: tuple[int, ...] = (2, 3, 5),
) -> Points:
    """Return an ellipse with a hand-made outline: a few random waves along its rim."""
    rim = _circle(count)
    if wobble:
        rim = rim * (1 + wobble * _waves(count, waves, rng.randrange(64)))
    return turned(rim * np.array((rx, rx if ry is None else ry)), angle, center)


@lru_cache(maxsize=1)
def _strip() -> tuple[Points, Points]:
    """Return where along and how far off its middle line a strip's outline runs: 0..1, -1..1."""
    along = np.linspace(0, 1, 12)
    half = np.sqrt(np.clip(np.sin(np.linspace(0.12, math.pi - 0.12, 12)), 0, 1))
    return np.concatenate((along, along[::-1])), np.concatenate((half, -half))


def band(
    center: tuple[float, float], radius: float, width: float, start: float, sweep: float
) -> Points:
    """Return a curved strip: an arc of ``radius`` with a ``width`` and pointed-round ends."""
    along, off = _strip()
    turn = start + sweep * along
    reach = radius + width / 2 * off
    return np.stack((np.cos(turn) * reach + center[0], np.sin(turn) * reach + center[1]), axis=1)


def vary(rng: Random, color: Color, amount: int = 12) -> Color:
    """Return a colour near ``color``: lighter or darker, and a little off in each channel."""
    lightness = rng.randint(-amount, amount)
    red, green, blue = (
        max(0, min(255, part + lightness + rng.randint(-amount // 3, amount // 3)))
        for part in color
    )
    return red, green, blue


def mix(first: Color, second: Color, share: float) -> Color:
    """Return the colour ``share`` of the way from ``first`` to ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Dome:
    """A bulge over an ellipse whose upper and lower halves may differ in height."""

    center: tuple[float, float]
    angle: float
    half_width: float
    up: float
    down: float

    def height(self, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Return the bulge, 0..1, over a box of ``size`` whose top left is ``corner``."""
        x = np.arange(size[0] // 4 + 1, dtype=np.float32) * 4 + np.float32(
            corner[0] - self.center[0]
        )
        y = np.arange(size[1] // 4 + 1, dtype=np.float32) * 4 + np.float32(
            corner[1] - self.center[1]
        )
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        along = (x * cos)[None, :] + (y * sin)[:, None]
        off = (y * cos)[:, None] - (x * sin)[None, :]
        off = np.where(off < 0, off / np.float32(self.up), off / np.float32(self.down))
        inside = 1 - (along / np.float32(self.half_width)) ** 2 - off * off
        bulge = Image.fromarray(np.sqrt(np.clip(inside, 0, 1)))
        box = (0, 0, size[0] / 4, size[1] / 4)
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
        """Return how high the sheet stands at a spot; outside, at the nearest spot inside."""
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
    ) -> None:
        """Fill a polygon, and ``more`` that melt into it, with a textured, rounded material.

        The colour runs along ``stops`` by noise of ``kind``, blended with ``gradient`` by
        ``weight``. The relief is ``base``, plus ``rise`` rounded off over ``round_px`` from the
        outline (or shaped like ``dome``, or ``profile`` from the centre outwards), plus ``barrel``
        bulging in the middle of its width, plus ``bump`` times the noise.
        """
        left, top, size = _box(np.concatenate((points, *more)))
        mask = Image.new("L", size)
        pen = ImageDraw.Draw(mask)
        for outline in (points, *more):
            pen.polygon((outline - (left, top)).ravel().tolist(), fill=255)
        grey = noise_patch(rng, size, kind)
        texture = grey
        if gradient is not None:
            texture = Image.blend(grey, gradient.resize(size, Image.Resampling.BILINEAR), weight)
        self.color.paste(colorize(texture, stops), (left, top), mask)
        if profile is not None:
            relief = np.asarray(radial(size, profile)) + base
        elif dome is not None:
            relief = dome.height((left, top), size) * rise + base
        elif rise and round_px:
            relief = _puff(mask, round_px) * rise + base
        else:
            relief = np.full((size[1], size[0]), base + rise, np.float32)
        if barrel:
            across = np.linspace(-1, 1, size[0], dtype=np.float32)
            relief = relief + np.sqrt(1 - across * across) * np.float32(barrel)
        if bump:
            relief = relief + np.asarray(grey, np.float32) * (bump / 255)
        self.relief.paste(Image.fromarray(relief.astype(np.float32)), (left, top), mask)
        if gloss is not None:
            self.gloss.paste(gloss, (left, top), mask)

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
        left, top, size = _box(np.concatenate((points - margin, points + margin)))
        mask = Image.new("L", (size[0] // 4 + 1, size[1] // 4 + 1))
        flat = ((points - (left, top)) / 4).ravel().tolist()
        ImageDraw.Draw(mask).polygon(flat, fill=round(255 * strength))
        soft = mask.filter(ImageFilter.GaussianBlur(blur / 4))
        self.color.paste(color, (left, top), soft.resize(size, Image.Resampling.BILINEAR))


def _box(points: Points) -> tuple[int, int, tuple[int, int]]:
    """Return left, top and the size of the smallest box around points."""
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
    return left, top, (max(2, right - left + 1), max(2, bottom - top + 1))


def _puff(mask: Image.Image, round_px: float) -> np.ndarray:
    """Return 0 at a mask's outline rising like a quarter circle to 1 at ``round_px`` inside."""
    step = 4 if round_px > 6 else 2
    margin = math.ceil(round_px * 1.5 / step) + 1
    small = mask.reduce(step)
    padded = Image.new("L", (small.width + 2 * margin, small.height + 2 * margin))
    padded.paste(small, (margin, margin))
    soft = padded.filter(ImageFilter.GaussianBlur(round_px * 0.6 / step))
    depth = np.clip(np.asarray(soft, np.float32) / 127.5 - 1, 0, 1)
    height = np.sqrt(np.clip(1 - (1 - depth) ** 2, 0, 1))
    box = (margin, margin, margin + mask.width / step, margin + mask.height / step)
    image = Image.fromarray(height.astype(np.float32))
    return np.asarray(image.resize(mask.size, Image.Resampling.BILINEAR, box=box))


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


@dataclass(frozen=True)
class Light:
    """Where the light comes from and what it is like."""

    angle: float  # radians in the picture plane, clockwise from the right
    steepness: float = 1.0  # tangent of its height above the table
    ambient: float = 0.5
    warmth: float = 0.0  # -1 cold .. 1 warm
    exposure: float = 1.0
    shadows: float = 0.7
    slope: float = 0.15  # how much brighter the lit side of the frame is
    vignette: float = 0.2
    distant: bool = False  # whether the ground is too far behind to catch shadows


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
        views.append(image.resize(size, Image.Resampling.BOX))
    color = views[0]
    sharp_relief = np.asarray(views[1], np.float32) * np.float32(0.5)
    relief = _smooth(sharp_relief)
    gloss = np.asarray(views[2], np.float32)

    padded = np.pad(relief, 1, mode="edge")
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) * np.float32(0.5)
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) * np.float32(0.5)
    # Cliffs between parts would draw black and white lines; steep is steep enough at 1.4.
    across, down = np.clip(across, -1.4, 1.4), np.clip(down, -1.4, 1.4)
    scale = 1 / np.sqrt(across * across + down * down + 1)
    flat = math.hypot(1, light.steepness)
    toward = (math.cos(light.angle) / flat, math.sin(light.angle) / flat, light.steepness / flat)
    facing = (toward[2] - across * toward[0] - down * toward[1]) * scale
    lit = np.clip(facing, 0, None) / np.float32(toward[2])
    shadow = _cast_shadows(relief, light) * np.float32(light.shadows)
    wide = Image.fromarray(relief).resize((size[0] // 8, size[1] // 8), Image.Resampling.BOX)
    around = np.asarray(wide.resize(size, Image.Resampling.BICUBIC))
    hollow = np.clip((around - relief) * np.float32(0.03), 0, 0.36)
    if light.distant:
        near = np.clip(sharp_relief * np.float32(0.2), 0, 1)
        lit = 1 + (lit - 1) * near
        shadow *= near
        hollow *= near

    bright = light.ambient * (1 - hollow) + (1 - light.ambient) * np.minimum(lit, 1.45) * (
        1 - shadow
    )
    half = (toward[0] * 0.5, toward[1] * 0.5, (toward[2] + 1) * 0.5)
    norm = math.sqrt(sum(part * part for part in half))
    mirror = np.clip((half[2] - across * half[0] - down * half[1]) * scale / norm, 0, 1)
    # Flat parts get next to nothing of the highlight: it sits on edges and curves.
    for _ in range(5):  # to the 32nd power
        mirror = mirror * mirror
    shine = (mirror - np.float32((half[2] / norm) ** 32 * 0.85)) * gloss * (1 - shadow)
    return _expose(color, bright, np.clip(shine, 0, None) * np.float32(0.55), light, rng)


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
