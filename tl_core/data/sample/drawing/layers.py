"""Layers of the sample burgers, seen from the side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from tl_core.data.sample.drawing.shapes import Color, Points, blob, mix, moved, vary
from tl_core.data.sample.drawing.sheet import Sheet

GREENS: tuple[Color, ...] = ((104, 164, 56), (84, 146, 50), (136, 182, 74), (72, 126, 60))


@dataclass(frozen=True)
class Stack:
    """Where a burger stands: its axis, half width, and how far we look down on it."""

    x: float
    radius: float
    tilt: float  # height of the ellipse that a round layer shows, as a share of its width

    def slab(
        self, rng: Random, y: float, thick: float, reach: float = 1.0, wobble: float = 0.0
    ) -> Points:
        """Return the outline of a round layer whose middle height is ``y``."""
        t = np.sin(np.linspace(-math.pi / 2, math.pi / 2, 33))
        half = thick / 2 * (1 - np.abs(t) ** 7) ** 0.5
        rx = self.radius * reach
        sag = np.sqrt(1 - t * t) * rx * self.tilt
        rough = np.array([rng.uniform(-1, 1) for _ in range(66)]) * wobble * thick
        lower = np.column_stack((self.x + t * rx, y + half + sag + rough[:33]))
        upper = np.column_stack((self.x + t * rx, y - half - sag + rough[33:]))
        return np.concatenate((upper, lower[::-1]))

    def front(self, t: float) -> tuple[float, float]:
        """Return x, and how much lower the near rim lies there, for ``t`` from -1 to 1."""
        inside = max(0.0, 1 - t * t)
        return self.x + t * self.radius, math.sqrt(inside) * self.radius * self.tilt


def _lettuce(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    color = rng.choice(GREENS)
    reach = rng.uniform(1.02, 1.12)
    thick = stack.radius * 0.1
    under = stack.slab(rng, y - thick / 2, thick, 1.0, 0.1)
    dark = mix(color, (20, 50, 10), 0.5)
    sheet.part(rng, under, ((0, dark), (1, color)), base=6, rise=8, round_px=6, barrel=30)
    count = rng.randint(22, 30)
    order = list(range(count))
    rng.shuffle(order)
    for index in order:
        t = -1 + 2 * (index + 0.5) / count
        x, sag = stack.front(t)
        drop = stack.radius * rng.uniform(0.02, 0.12)
        center = (stack.x + (x - stack.x) * reach, y + sag - thick * 0.35 + drop * 0.5)
        tone = vary(rng, color, 22)
        wide, tall = stack.radius * rng.uniform(0.1, 0.16), drop * 0.7 + thick * 0.55
        frill = blob(rng, center, wide, tall, wobble=0.2, count=30, waves=(4, 7, 9))
        height = 22 + 34 * math.sqrt(max(0, 1 - t * t)) + rng.uniform(-4, 5)
        sheet.paint(frill, mix(tone, (222, 240, 150), 0.4), 0, 70, base=height)
        for share, dusk, lift in ((0.84, 0.0, 1.6), (0.55, 0.28, 0.8)):  # darker into the fold
            inner = moved((frill - center) * share, center[0], center[1] - tall * (1 - share) * 0.8)
            sheet.paint(inner, mix(tone, (30, 80, 16), dusk), lift, base=height)
        vein = np.array(((rng.uniform(-4, 4), -tall * 0.7), (rng.uniform(-6, 6), tall * 0.6)))
        sheet.stroke(vein + center, mix(tone, (226, 240, 170), 0.4), 2)
    return y - thick * 0.8


def _patty(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * rng.uniform(0.2, 0.32)
    color = rng.choice(((98, 56, 34), (84, 46, 30), (122, 72, 42), (150, 98, 52)))
    stops = (
        (0.0, mix(color, (20, 8, 4), 0.6)),
        (0.5, color),
        (1.0, mix(color, (206, 140, 84), 0.45)),
    )
    points = stack.slab(rng, y - thick / 2, thick, rng.uniform(0.98, 1.05), 0.06)
    sheet.part(
        rng,
        points,
        stops,
        kind="grain",
        base=8,
        rise=14,
        round_px=thick * 0.5,
        barrel=34,
        bump=11,
        gloss=80,
    )
    return y - thick


def _cheese(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * rng.uniform(0.045, 0.075)
    color = vary(
        rng, rng.choice(((250, 186, 46), (252, 202, 84), (246, 164, 40), (250, 226, 160))), 8
    )
    t = np.linspace(-1, 1, 61)
    rx = stack.radius * rng.uniform(1.0, 1.07)
    sag = np.sqrt(1 - t * t) * rx * stack.tilt
    drop = np.zeros_like(t)
    for place in rng.choice(((-0.45, 0.5), (0.0,), (-0.8, 0.05, 0.85), (-0.2, 0.75), (-0.7, 0.25))):
        place += rng.uniform(-0.12, 0.12)
        depth, wide = stack.radius * rng.uniform(0.14, 0.3), rng.uniform(0.24, 0.42)
        drop = np.maximum(drop, depth * np.clip(1 - np.abs(t - place) / wide, 0, 1) ** 1.1)
    ends = np.sqrt(1 - np.abs(t) ** 12)
    lower = np.column_stack((stack.x + t * rx, y + (thick * 0.3 + drop) * ends + sag))
    upper = np.column_stack((stack.x + t * rx, y - thick * 0.7 * ends - sag))
    points = np.concatenate((upper, lower[::-1]))
    stops = (
        (0.0, mix(color, (206, 110, 20), 0.35)),
        (0.4, color),
        (1.0, mix(color, (255, 240, 190), 0.3)),
    )
    sheet.part(
        rng,
        points,
        stops,
        kind="broad",
        gradient=Image.linear_gradient("L"),
        weight=0.3,
        base=20,
        rise=6,
        round_px=8,
        barrel=38,
        gloss=150,
    )
    return y - thick * 0.6


def _tomato(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * rng.uniform(0.08, 0.13)
    color = vary(rng, (206, 48, 36), 12)
    reach = rng.uniform(0.45, 0.56)
    for side in rng.choice(((-0.5, 0.5), (0.48, -0.48), (-0.62, 0.6, 0.0))):
        part = Stack(stack.x + side * stack.radius * 0.98, stack.radius, stack.tilt * 0.8)
        sag = stack.front(side)[1] * 0.55
        points = part.slab(rng, y - thick / 2 + sag, thick, reach, 0.02)
        stops = (
            (0.0, mix(color, (110, 10, 10), 0.45)),
            (0.5, color),
            (1.0, mix(color, (255, 150, 120), 0.4)),
        )
        sheet.part(rng, points, stops, base=20, rise=10, round_px=thick * 0.5, barrel=24, gloss=210)
    return y - thick * 0.85


def _onion(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * 0.06
    skin: Color = rng.choice(((158, 78, 136), (214, 206, 176)))
    for _ in range(rng.randint(5, 8)):
        t = rng.uniform(-0.85, 0.85)
        x, sag = stack.front(t)
        wide = stack.radius * rng.uniform(0.16, 0.3)
        center = (x, y + sag - thick * rng.uniform(0.2, 0.8))
        ring = blob(rng, center, wide, thick * 0.62, angle=rng.uniform(-0.08, 0.08), wobble=0.03)
        height = 34 + 30 * math.sqrt(1 - t * t)
        sheet.paint(ring, vary(rng, skin, 10), 0, 150, base=height)
        sheet.paint((ring - center) * (0.94, 0.55) + center, (244, 236, 240), 2, 150, base=height)
    return y - thick


def _pickle(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * 0.075
    color = vary(rng, (112, 134, 48), 10)
    for t in (-0.66, -0.12, 0.42, 0.78)[: rng.randint(2, 4)]:
        t += rng.uniform(-0.1, 0.1)
        x, sag = stack.front(t)
        part = Stack(x, stack.radius, stack.tilt * 0.8)
        points = part.slab(rng, y - thick / 2 + sag * 0.8, thick, rng.uniform(0.2, 0.26), 0.03)
        stops = (
            (0.0, mix(color, (40, 60, 10), 0.5)),
            (0.5, color),
            (1.0, mix(color, (214, 220, 130), 0.5)),
        )
        sheet.part(
            rng,
            points,
            stops,
            kind="grain",
            base=34 + 24 * math.sqrt(max(0, 1 - t * t)),
            rise=8,
            round_px=thick * 0.5,
            gloss=170,
        )
    return y - thick * 0.8


def _bacon(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    thick = stack.radius * 0.075
    t = np.linspace(-1.06, 1.06, 40)
    wave = np.sin(t * rng.uniform(8, 13) + rng.uniform(0, 6)) * thick * 0.5
    sag = np.sqrt(np.clip(1 - t * t, 0, 1)) * stack.radius * stack.tilt
    middle = np.column_stack((stack.x + t * stack.radius, y - thick * 0.5 + wave + sag))
    points = np.concatenate((middle - (0, thick * 0.55), moved(middle, 0, thick * 0.55)[::-1]))
    stops = (
        (0.0, (116, 36, 24)),
        (0.45, (168, 62, 42)),
        (0.7, (226, 150, 110)),
        (1.0, (244, 204, 164)),
    )
    sheet.part(rng, points, stops, kind="fibre", base=28, rise=8, round_px=8, barrel=34, gloss=150)
    return y - thick


def _sauce(sheet: Sheet, rng: Random, stack: Stack, y: float) -> float:
    color = rng.choice(((190, 36, 24), (244, 226, 178), (236, 168, 110), (226, 172, 44)))
    thick = stack.radius * 0.06
    t = np.linspace(-0.98, 0.98, 49)
    drip = np.zeros_like(t)
    for _ in range(rng.randint(2, 5)):
        place, wide = rng.uniform(-0.8, 0.8), rng.uniform(0.05, 0.09)
        drip += stack.radius * rng.uniform(0.05, 0.16) * np.exp(-(((t - place) / wide) ** 4))
    sag = np.sqrt(1 - t * t) * stack.radius * stack.tilt
    lower = np.column_stack((stack.x + t * stack.radius, y + thick * 0.5 + drip + sag))
    upper = np.column_stack((stack.x + t * stack.radius, y - thick - sag))
    stops = ((0.0, mix(color, (60, 10, 0), 0.12)), (1.0, mix(color, (255, 255, 255), 0.12)))
    sheet.part(
        rng,
        np.concatenate((upper, lower[::-1])),
        stops,
        base=18,
        rise=8,
        round_px=7,
        barrel=36,
        gloss=210,
    )
    return y - thick * 0.6


LAYERS: dict[str, Callable[[Sheet, Random, Stack, float], float]] = {
    "lettuce": _lettuce,
    "patty": _patty,
    "cheese": _cheese,
    "tomato": _tomato,
    "onion": _onion,
    "pickle": _pickle,
    "bacon": _bacon,
    "sauce": _sauce,
}
