"""Small things beside the sample food: fries, lime."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from tl_core.data.sample.drawing.shapes import mix, turned, vary
from tl_core.data.sample.drawing.sheet import Sheet


def draw_fries(
    sheet: Sheet, rng: Random, x: float, y: float, size: float, count: int, height: float = 20.0
) -> None:
    """Draw a loose heap of fries around a spot, the far ones first."""
    spots = sorted(
        (y - abs(rng.gauss(0, size * 0.2)), rng.gauss(0, size * 0.5)) for _ in range(count)
    )
    for index, (down, across) in enumerate(spots):
        angle = rng.choice((rng.gauss(0, 0.35), rng.gauss(0, 0.35), rng.uniform(-1.2, 1.2)))
        _fry(sheet, rng, (x + across, down), size * rng.uniform(0.3, 0.5), angle, height + index)


def _fry(
    sheet: Sheet, rng: Random, spot: tuple[float, float], half: float, angle: float, height: float
) -> None:
    color = vary(rng, (242, 194, 92), 14)
    thick = half * 0.2
    bend = rng.uniform(-0.4, 0.4) * thick
    body = np.array(
        (
            (-half, -thick),
            (0, bend - thick),
            (half, -thick),
            (half, thick),
            (0, bend + thick),
            (-half, thick),
        )
    )
    sheet.paint(turned(body, angle, spot), mix(color, (176, 104, 30), 0.55), 0, 50, base=height)
    face = body * (0.96, 0.62) - (0, thick * 0.3)
    sheet.paint(turned(face, angle, spot), color, 2.5, base=height)


def draw_fry_box(sheet: Sheet, rng: Random, foot: tuple[float, float], size: float) -> None:
    """Draw a paper box of fries that stands at ``foot``."""
    x, y = foot
    color = rng.choice(((200, 42, 36), (214, 170, 120), (240, 236, 228), (60, 110, 150)))
    for _ in range(26):
        spot = (x + rng.gauss(0, size * 0.2), y - size * rng.uniform(0.95, 1.3))
        lean = -math.pi / 2 + (spot[0] - x) / size * 0.9 + rng.gauss(0, 0.12)
        _fry(sheet, rng, spot, size * rng.uniform(0.35, 0.48), lean, 16 + rng.uniform(0, 8))
    t = np.linspace(-1, 1, 15)
    brim = np.column_stack((x + t * size * 0.5, y - size * (1.02 - 0.16 * (1 - t * t))))
    foot_line = np.array(((x + size * 0.36, y), (x - size * 0.36, y)))
    stops = ((0.0, mix(color, (0, 0, 0), 0.18)), (1.0, mix(color, (255, 255, 255), 0.1)))
    sheet.part(
        rng, np.concatenate((brim, foot_line)), stops, kind="broad", base=30, barrel=16, gloss=50
    )


def draw_lime(
    sheet: Sheet, rng: Random, center: tuple[float, float], radius: float, base: float
) -> None:
    """Draw a wedge or a half of lime."""
    color = vary(rng, (122, 172, 56), 10)
    angle = rng.uniform(0, 6.3)
    full = rng.random() < 0.4
    turn = np.linspace(0, 2 * math.pi if full else math.pi, 25)
    rim = np.column_stack((np.cos(turn), np.sin(turn))) * radius
    sheet.paint(turned(rim * 1.0, angle, center), mix(color, (40, 80, 16), 0.4), 14, 150, base=base)
    sheet.paint(turned(rim * 0.92, angle, center), (226, 236, 180), 15, 120, base=base)
    pieces = 8 if full else 4
    for piece in range(pieces):
        start = (piece + 0.08) * turn[-1] / pieces
        stop = (piece + 0.92) * turn[-1] / pieces
        arc = np.linspace(start, stop, 6)
        segment = np.column_stack((np.cos(arc), np.sin(arc))) * radius * 0.84
        middle = (start + stop) / 2
        root = np.array(((math.cos(middle), math.sin(middle)),)) * radius * 0.14
        pulp = turned(np.concatenate((root, segment)), angle, center)
        sheet.paint(pulp, vary(rng, (176, 208, 96), 8), 14, 220, base=base)
