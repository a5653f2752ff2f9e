"""Tacos for the sample set: folded shells with filling, and open ones seen from above."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from tl_core.data.sample.drawing.shapes import Color, Points, band, blob, mix, moved, turned, vary
from tl_core.data.sample.drawing.sheet import Dome, Sheet, Stops

SHELLS: tuple[tuple[Stops, bool], ...] = (  # colours from toasted to pale, whether it is soft
    (
        (
            (0.0, (168, 96, 34)),
            (0.35, (222, 150, 58)),
            (0.7, (240, 184, 84)),
            (1.0, (248, 210, 124)),
        ),
        False,
    ),
    (
        (
            (0.0, (190, 120, 40)),
            (0.35, (236, 178, 70)),
            (0.7, (248, 206, 104)),
            (1.0, (252, 226, 150)),
        ),
        False,
    ),
    (
        (
            (0.0, (164, 108, 62)),
            (0.2, (216, 172, 118)),
            (0.5, (240, 214, 168)),
            (1.0, (250, 236, 206)),
        ),
        True,
    ),
    (
        (
            (0.0, (150, 96, 50)),
            (0.2, (222, 184, 110)),
            (0.5, (244, 216, 142)),
            (1.0, (250, 232, 176)),
        ),
        True,
    ),
    (((0.0, (60, 66, 100)), (0.4, (88, 98, 136)), (1.0, (124, 132, 164))), False),
)
MEATS: tuple[Color, ...] = ((112, 64, 38), (146, 84, 48), (196, 142, 92), (168, 72, 44))


@dataclass(frozen=True)
class _Fold:
    """Where a folded taco lies: the middle of its fold, its size and how it is turned."""

    center: tuple[float, float]
    radius: float
    squash: float  # height of the half moon over its half width
    angle: float
    heap: float  # how far the filling stands out of the shell, as a share of the radius
    base: float

    def shell(self, rng: Random, grow: float, lean: float, lift: float) -> Points:
        """Return the outline of one side of the shell: a half moon with its fold at the bottom."""
        t = np.sin(np.linspace(-math.pi / 2, math.pi / 2, 33))
        rise = (1 - np.abs(t) ** 2.3) ** 0.5 * self.squash
        waves = rng.uniform(0.004, 0.018) * np.sin(t * rng.uniform(9, 15) + rng.uniform(0, 6))
        top = np.column_stack((t, -rise - waves * (1 - t * t)))
        belly = rng.uniform(0.1, 0.17)
        bottom = np.column_stack((t, belly * np.sqrt(1 - t**4)))
        outline = np.concatenate((top, bottom[::-1])) * (self.radius * grow)
        return turned(moved(outline, lean, -lift), self.angle, self.center)

    def rim(self, rng: Random, low: float, high: float) -> tuple[float, float]:
        """Return a spot along the opening; ``low`` to ``high`` as shares of the heap's height."""
        turn = math.pi * (1 + rng.uniform(0.07, 0.93))
        taper = math.sqrt(abs(math.sin(turn)))
        reach = self.radius * (0.97 + self.heap * rng.uniform(low, high) * taper)
        return self.spot(math.cos(turn) * reach, math.sin(turn) * reach * self.squash)

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Turn a place relative to the fold into one on the sheet."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return self.center[0] + x * cos - y * sin, self.center[1] + x * sin + y * cos


def draw_taco(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    angle: float,
    base: float,
    shell: int | None = None,
    *,
    flat: bool = False,
) -> None:
    """Draw a folded taco whose fold lies at ``center``, turned by ``angle``.

    A ``flat`` one is soft and pressed: little of its filling shows.
    """
    if flat:
        shell = rng.choice((2, 3))
    stops, soft = SHELLS[rng.choices(range(5), (5, 5, 4, 4, 1))[0] if shell is None else shell]
    heap = rng.uniform(0.05, 0.12) if flat else rng.uniform(0.16, 0.3)
    fold = _Fold(center, radius, rng.uniform(0.78, 0.95), angle, heap, base)
    lean = rng.uniform(-0.06, 0.06) * radius
    back = fold.shell(rng, 1.0, lean, radius * fold.heap * rng.uniform(0.5, 0.9))
    dark = tuple((at, mix(color, (70, 34, 10), 0.3)) for at, color in stops)
    sheet.part(rng, back, dark, kind="close", base=base + 4, rise=10, round_px=14, bump=4, gloss=40)
    _fill(sheet, rng, fold)
    light = Image.radial_gradient("L")
    sheet.part(
        rng,
        fold.shell(rng, 1.0, 0, 0),
        stops,
        kind="cloud" if soft else "close",
        gradient=light,
        weight=0.15 if soft else 0.3,
        base=base + 26,
        rise=radius * 0.26,
        dome=Dome(center, angle, radius * 1.08, radius * fold.squash * 1.12, radius * 0.34),
        bump=4 if soft else 6,
        gloss=25 if soft else 70,
    )
    for _ in range(rng.randint(6, 40 if flat else 18)):  # toasted spots and blisters
        turn, away = rng.uniform(-3.0, -0.14), radius * fold.squash * rng.uniform(0.1, 0.9)
        spot = fold.spot(math.cos(turn) * away, math.sin(turn) * away)
        size = radius * rng.uniform(0.012, 0.05 if soft else 0.03)
        toast = blob(rng, spot, size * 1.3, size, angle=angle, wobble=0.25, count=13)
        sheet.paint(toast, mix(stops[1][1], stops[0][1], rng.uniform(0.15, 0.75)), 0.8)
    for _ in range(rng.randint(0, 4) if flat else rng.randint(5, 14)):  # what hangs over the edge
        spot = fold.rim(rng, -0.35, 0.1)
        rng.choice((shred, shred, leaf))(sheet, rng, spot, radius * 0.09, base + 66)


def _fill(sheet: Sheet, rng: Random, fold: _Fold) -> None:
    """Heap the filling between the shells: meat low, then salad, dice, cheese and cream."""
    radius, base = fold.radius, fold.base
    meat = vary(rng, rng.choice(MEATS), 10)
    bed = fold.shell(rng, 1.0, 0, radius * fold.heap * 0.35)
    sheet.paint(bed, mix(meat, (30, 14, 8), 0.55), 14, 60, base=base)
    for _ in range(46):
        size = radius * rng.uniform(0.05, 0.09)
        crumb(sheet, rng, fold.rim(rng, -0.3, 0.75), size, meat, base + rng.uniform(18, 30))
    green = vary(rng, rng.choice(((112, 168, 58), (140, 190, 84), (84, 144, 56))), 10)
    for _ in range(rng.randint(22, 52)):
        size = radius * rng.uniform(0.07, 0.12)
        leaf(sheet, rng, fold.rim(rng, 0.1, 1.05), size, base + rng.uniform(24, 40), green)
    if rng.random() < 0.8:
        for _ in range(rng.randint(10, 22)):
            dice(sheet, rng, fold.rim(rng, 0.0, 0.9), radius * 0.05, (212, 44, 34), base + 42)
    if rng.random() < 0.4:
        for _ in range(rng.randint(2, 4)):
            avocado(sheet, rng, fold.rim(rng, 0.2, 0.7), radius * 0.2, base + 36)
    if rng.random() < 0.45:
        color = rng.choice(((246, 238, 240), (170, 88, 146)))
        for _ in range(rng.randint(8, 18)):
            dice(sheet, rng, fold.rim(rng, 0.0, 0.9), radius * 0.034, color, base + 44)
    if rng.random() < 0.75:
        for _ in range(rng.randint(18, 40)):
            shred(sheet, rng, fold.rim(rng, -0.1, 1.0), radius * 0.11, base + 46)
    if rng.random() < 0.4:
        turn = np.linspace(math.pi * rng.uniform(1.12, 1.2), math.pi * rng.uniform(1.7, 1.88), 24)
        reach = radius * (1 + fold.heap * (0.45 + 0.3 * np.sin(turn * rng.uniform(9, 14))))
        line = np.column_stack((np.cos(turn) * reach, np.sin(turn) * reach * fold.squash))
        cream(sheet, rng, turned(line, fold.angle, fold.center), radius * 0.06)


def crumb(
    sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, color: Color, base: float
) -> None:
    """A crumble of meat."""
    shape = blob(rng, spot, size, size * 0.75, angle=rng.uniform(0, 3), wobble=0.2, count=13)
    tone = vary(rng, color, 14)
    sheet.paint(shape, mix(tone, (40, 16, 8), 0.4), 0, base=base)
    sheet.paint((shape - spot) * 0.72 + spot, tone, 2, base=base)


def leaf(
    sheet: Sheet,
    rng: Random,
    spot: tuple[float, float],
    size: float,
    base: float,
    color: Color = (112, 168, 58),
) -> None:
    """A curl of lettuce."""
    tone = vary(rng, color, 22)
    start, sweep = rng.uniform(0, 6.3), rng.uniform(1.2, 2.8)
    wide = size * rng.uniform(0.4, 0.7)
    edge = band(spot, size, wide, start, sweep)
    sheet.paint(edge, mix(tone, (30, 70, 16), 0.25), 0, base=base)
    inner = band(spot, size, wide * 0.55, start + 0.08, sweep - 0.16)
    sheet.paint(inner, mix(tone, (222, 240, 160), 0.3), 2, base=base)


def dice(
    sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, color: Color, base: float
) -> None:
    """A small cube of tomato or onion, two of its faces showing."""
    tone = vary(rng, color, 14)
    angle = rng.uniform(0, 3)
    cube = np.array(((-1, -1), (1, -0.9), (0.95, 1), (-0.9, 0.95))) * size
    sheet.paint(
        turned(cube * 1.08, angle, (spot[0], spot[1] + size * 0.25)),
        mix(tone, (70, 6, 10), 0.4),
        0,
        170,
        base=base,
    )
    sheet.paint(
        turned(cube * 0.84, angle, spot), mix(tone, (255, 200, 180), 0.15), 3, 190, base=base
    )


def avocado(sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, base: float) -> None:
    """A slice of avocado, green at its rim and yellow inside."""
    start, sweep = rng.uniform(0, 6.3), rng.uniform(1.6, 2.4)
    tone = vary(rng, (122, 156, 58), 8)
    sheet.paint(
        band(spot, size * 0.8, size * 0.55, start, sweep),
        mix(tone, (40, 70, 20), 0.35),
        0,
        120,
        base=base,
    )
    inner = band(spot, size * 0.76, size * 0.4, start + 0.1, sweep - 0.2)
    sheet.paint(inner, (214, 216, 120), 3, base=base)


def cream(sheet: Sheet, rng: Random, line: Points, width: float) -> None:
    """A squiggle of cream, or of chipotle sauce."""
    color = rng.choice(((250, 246, 236), (250, 246, 236), (236, 150, 96)))
    sheet.stroke(line, mix(color, (150, 120, 90), 0.25), width, 3)
    sheet.stroke(line - (0, width * 0.08), color, width * 0.72, 1.5)


def shred(sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, base: float) -> None:
    """A shred of cheese."""
    color = vary(rng, rng.choice(((250, 190, 60), (252, 214, 110))), 10)
    reach, start = size * rng.uniform(1.5, 3.5), rng.uniform(0, 6.3)
    sweep = 1.7 * size / reach
    middle = start + sweep / 2
    hub = (spot[0] - math.cos(middle) * reach, spot[1] - math.sin(middle) * reach)
    edge = band(hub, reach, size * 0.34, start, sweep)
    sheet.paint(edge, mix(color, (160, 90, 12), 0.45), 0, base=base)
    sheet.paint(band(hub, reach, size * 0.2, start, sweep), color, 2, base=base)


def draw_open_taco(
    sheet: Sheet, rng: Random, center: tuple[float, float], radius: float, base: float
) -> None:
    """Draw an open street taco seen from above: a round tortilla with its filling in the middle."""
    stops, _ = SHELLS[rng.choice((2, 3, 0))]
    outline = blob(
        rng,
        center,
        radius,
        radius * rng.uniform(0.84, 0.98),
        angle=rng.uniform(0, 3),
        wobble=0.04,
        count=48,
    )
    profile = ((0, 6), (0.5, 6), (0.85, 10), (0.97, 16), (1.02, 6), (1.5, 0))
    sheet.part(rng, outline, stops, kind="cloud", base=base, profile=profile, bump=4, gloss=25)
    for _ in range(rng.randint(5, 16)):
        turn, away = rng.uniform(0, 6.3), radius * rng.uniform(0.5, 0.92)
        spot = (center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away)
        toast = blob(rng, spot, radius * rng.uniform(0.02, 0.07), wobble=0.25, count=14)
        sheet.paint(toast, mix(stops[1][1], stops[0][1], rng.uniform(0.1, 0.8)), 0.5)
    lie = rng.uniform(0, 3.14)

    def heap(wide: float) -> tuple[float, float]:
        local = np.array(((rng.gauss(0, 0.34) * radius, rng.gauss(0, wide) * radius),))
        x, y = turned(np.clip(local, -0.72 * radius, 0.72 * radius), lie, center)[0].tolist()
        return x, y

    meat = vary(rng, rng.choice(MEATS), 10)
    bed = blob(rng, center, radius * 0.62, radius * 0.36, angle=lie, wobble=0.14)
    dark = mix(meat, (30, 14, 8), 0.5)
    sheet.part(
        rng, bed, ((0, dark), (1, meat)), kind="grain", base=base + 8, rise=10, round_px=18, bump=8
    )
    for _ in range(90):
        size = radius * rng.uniform(0.05, 0.1)
        crumb(sheet, rng, heap(0.19), size, meat, base + rng.uniform(16, 28))
    if rng.random() < 0.6:
        for _ in range(18):
            leaf(sheet, rng, heap(0.2), radius * 0.1, base + rng.uniform(22, 32))
    for _ in range(rng.randint(8, 22)):
        dice(
            sheet,
            rng,
            heap(0.17),
            radius * 0.045,
            rng.choice(((206, 46, 34), (244, 236, 240))),
            base + 32,
        )
    if rng.random() < 0.5:
        for _ in range(22):
            shred(sheet, rng, heap(0.17), radius * 0.11, base + 34)
    for _ in range(rng.randint(4, 16)):
        leaf(sheet, rng, heap(0.17), radius * 0.045, base + 36, (52, 116, 46))
    if rng.random() < 0.4:
        t = np.linspace(-0.6, 0.6, 20)
        line = np.column_stack((t, 0.16 * np.sin(t * 16))) * radius
        cream(sheet, rng, turned(line, lie, center), radius * 0.07)
