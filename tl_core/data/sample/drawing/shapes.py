"""Outlines and colours with a hand-made look, for everything the sample set draws.

Points are (n, 2) float arrays of x and y in pixels; y grows downwards.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

Color = tuple[int, int, int]
Points = np.ndarray[Any, np.dtype[np.float64]]


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
        rim = rim * (1 + wobble * _waves(count, waves, int(rng.random() * 64)))
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


def rounded_box(
    center: tuple[float, float], half_width: float, half_height: float, corner: float, angle: float
) -> Points:
    """Return a rotated rectangle with round corners."""
    corner = min(corner, half_width, half_height)
    points = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        middle = (sx * (half_width - corner), sy * (half_height - corner))
        for step in range(5):
            turn = (quarter + step / 4) * math.pi / 2
            points.append(
                (middle[0] + corner * math.cos(turn), middle[1] + corner * math.sin(turn))
            )
    return turned(np.array(points), angle, center)


def wedge(center: tuple[float, float], radius: float, start: float, sweep: float) -> np.ndarray:
    """Return a slice-shaped polygon that reaches beyond ``radius``."""
    turn = np.linspace(start, start + sweep, 12)
    arc = np.column_stack((np.cos(turn), np.sin(turn))) * radius * 1.3
    return np.concatenate((np.zeros((1, 2)), arc)) + np.asarray(center)


def vary(rng: Random, color: Color, amount: int = 12) -> Color:
    """Return a colour near ``color``: lighter or darker, and a little off in each channel."""
    step = (2 * rng.random() - 1) * amount
    off = amount * 2 / 3
    red = color[0] + step + (rng.random() - 0.5) * off
    green = color[1] + step + (rng.random() - 0.5) * off
    blue = color[2] + step + (rng.random() - 0.5) * off
    return (
        max(0, min(255, round(red))),
        max(0, min(255, round(green))),
        max(0, min(255, round(blue))),
    )


def mix(first: Color, second: Color, share: float) -> Color:
    """Return the colour ``share`` of the way from ``first`` to ``second``."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )
