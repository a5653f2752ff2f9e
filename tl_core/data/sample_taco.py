"""Tacos for the sample set: folded shells with filling, and open ones seen from above."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image

from tl_core.data.sample_render import (
    Color,
    Points,
    Sheet,
    Stops,
    band,
    blob,
    mix,
    moved,
    turned,
    vary,
)

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


def _shell(rng: Random, radius: float, squash: float) -> Points:
    """Return the outline of a folded shell: a half moon with its fold at the bottom."""
    t = np.sin(np.linspace(-math.pi / 2, math.pi / 2, 33))
    rise = (1 - np.abs(t) ** 2.2) ** 0.5 * radius * squash
    waves = rng.uniform(0.004, 0.02) * radius * np.sin(t * rng.uniform(9, 15) + rng.uniform(0, 6))
    top = np.column_stack((t * radius, -rise - waves * (1 - t * t)))
    belly = radius * rng.uniform(0.06, 0.13)
    bottom = np.column_stack((t * radius, belly * (1 - np.abs(t) ** 2.5)))
    return np.concatenate((top, bottom[::-1]))


def draw_taco(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    angle: float,
    base: float,
    kind: int | None = None,
) -> None:
    """Draw a folded taco whose fold lies at ``center``, turned by ``angle``."""
    stops, soft = SHELLS[rng.choices(range(5), (5, 5, 4, 4, 1))[0] if kind is None else kind]
    squash = rng.uniform(0.8, 0.98)
    gape = radius * rng.uniform(0.1, 0.2)
    lean = rng.uniform(-0.06, 0.06) * radius
    back = moved(_shell(rng, radius * 1.01, squash), lean, -gape)
    dark = tuple((at, mix(color, (70, 34, 10), 0.3)) for at, color in stops)
    sheet.part(
        rng,
        turned(back, angle, center),
        dark,
        kind="close",
        base=base + 4,
        rise=10,
        round_px=14,
        bump=4,
        gloss=40,
    )
    _fill(sheet, rng, center, radius, angle, squash, gape, base)
    front = turned(_shell(rng, radius, squash), angle, center)
    light = Image.radial_gradient("L")
    sheet.part(
        rng,
        front,
        stops,
        kind="cloud" if soft else "close",
        gradient=light,
        weight=0.15 if soft else 0.3,
        base=base + 34,
        rise=30,
        round_px=radius * 0.5,
        bump=4 if soft else 6,
        gloss=25 if soft else 70,
    )
    for _ in range(rng.randint(6, 18)):  # toasted spots and blisters
        turn, away = rng.uniform(-3.0, -0.14), radius * squash * rng.uniform(0.15, 0.92)
        spot = turned(np.array(((math.cos(turn) * away, math.sin(turn) * away),)), angle, center)[0]
        size = radius * rng.uniform(0.012, 0.05 if soft else 0.03)
        toast = blob(rng, (spot[0], spot[1]), size * 1.3, size, angle=angle, wobble=0.25, count=13)
        sheet.paint(toast, mix(stops[1][1], stops[0][1], rng.uniform(0.2, 0.9)), 0.8)
    for _ in range(rng.randint(4, 12)):  # what hangs over the edge
        spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.02, 0.06))
        _shred(sheet, rng, spot, radius * 0.1, angle, base + 66)


def _rim(
    rng: Random,
    center: tuple[float, float],
    radius: float,
    angle: float,
    squash: float,
    inside: float,
) -> tuple[float, float]:
    """Return a random spot along the open edge, ``inside`` of it by a share of the radius."""
    turn = math.pi + rng.uniform(0.1, 0.9) * math.pi
    reach = radius * (1 - inside)
    local = np.array(((math.cos(turn) * reach, math.sin(turn) * reach * squash),))
    x, y = turned(local, angle, center)[0].tolist()
    return x, y


def _fill(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    angle: float,
    squash: float,
    gape: float,
    base: float,
) -> None:
    """Heap the filling between the shells: meat low, then salad, dice, cheese and cream."""
    meat = vary(rng, rng.choice(MEATS), 10)
    for _ in range(46):
        spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.04, 0.1))
        crumb(sheet, rng, spot, radius * rng.uniform(0.05, 0.085), meat, base + rng.uniform(18, 30))
    green = vary(rng, rng.choice(((112, 164, 58), (140, 186, 84), (84, 140, 56))), 10)
    for _ in range(rng.randint(14, 44)):
        spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.16, 0.04))
        leaf(sheet, rng, spot, radius * rng.uniform(0.07, 0.13), green, base + rng.uniform(24, 38))
    if rng.random() < 0.75:
        for _ in range(rng.randint(8, 18)):
            spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.13, 0.0))
            dice(sheet, rng, spot, radius * 0.05, (206, 46, 34), base + 42)
    if rng.random() < 0.4:
        for _ in range(rng.randint(2, 4)):
            spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.1, 0.0))
            avocado(sheet, rng, spot, radius * 0.2, base + 36)
    if rng.random() < 0.45:
        for _ in range(rng.randint(6, 16)):
            spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.12, 0.0))
            dice(
                sheet,
                rng,
                spot,
                radius * 0.034,
                rng.choice(((244, 236, 240), (166, 88, 146))),
                base + 44,
            )
    if rng.random() < 0.7:
        for _ in range(rng.randint(14, 34)):
            spot = _rim(rng, center, radius, angle, squash, rng.uniform(-0.14, 0.0))
            _shred(sheet, rng, spot, radius * 0.12, angle, base + 46)
    if rng.random() < 0.45:
        turn = np.linspace(math.pi * rng.uniform(1.1, 1.2), math.pi * rng.uniform(1.7, 1.9), 24)
        reach = radius * (1.05 + 0.05 * np.sin(turn * rng.uniform(9, 14)))
        line = np.column_stack((np.cos(turn) * reach, np.sin(turn) * reach * squash))
        cream(sheet, rng, turned(line, angle, center), radius * 0.06)


def crumb(
    sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, color: Color, base: float
) -> None:
    """A crumble of meat."""
    shape = blob(rng, spot, size, size * 0.75, angle=rng.uniform(0, 3), wobble=0.2, count=13)
    tone = vary(rng, color, 14)
    sheet.paint(shape, mix(tone, (40, 16, 8), 0.4), 0, 70, base=base)
    sheet.paint((shape - spot) * 0.72 + spot, tone, 2, 90, base=base)


def leaf(
    sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, color: Color, base: float
) -> None:
    """A curl of lettuce."""
    tone = vary(rng, color, 22)
    start, sweep = rng.uniform(0, 6.3), rng.uniform(1.2, 2.8)
    wide = size * rng.uniform(0.35, 0.6)
    sheet.paint(
        band(spot, size, wide, start, sweep), mix(tone, (24, 60, 14), 0.25), 0, 90, base=base
    )
    inner = band(spot, size, wide * 0.55, start + 0.08, sweep - 0.16)
    sheet.paint(inner, mix(tone, (222, 240, 160), 0.3), 2, 100, base=base)


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
    sheet.paint(inner, (214, 216, 120), 3, 130, base=base)


def cream(sheet: Sheet, rng: Random, line: Points, width: float) -> None:
    """A squiggle of cream, or of chipotle sauce."""
    color = rng.choice(((250, 246, 236), (250, 246, 236), (236, 150, 96)))
    sheet.stroke(line, mix(color, (150, 120, 90), 0.25), width, 3)
    sheet.stroke(line - (0, width * 0.08), color, width * 0.72, 1.5)


def _shred(
    sheet: Sheet, rng: Random, spot: tuple[float, float], size: float, angle: float, base: float
) -> None:
    """A shred of cheese."""
    color = vary(rng, rng.choice(((250, 190, 60), (252, 214, 110))), 10)
    turn = angle + rng.uniform(-1.4, 1.4)
    reach = size * rng.uniform(0.5, 1)
    bend = rng.uniform(-0.25, 0.25) * reach
    line = turned(np.array(((-reach, 0), (0, bend), (reach, 0))), turn, spot)
    sheet.stroke(moved(line, 0, 1.5), mix(color, (150, 84, 10), 0.5), size * 0.26)
    sheet.stroke(line, color, size * 0.22)
    sheet.paint(band(spot, reach, size * 0.2, turn, 0.4), color, 2, 90, base=base)


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
    for _ in range(70):
        crumb(
            sheet,
            rng,
            heap(0.2),
            radius * rng.uniform(0.06, 0.11),
            meat,
            base + rng.uniform(14, 24),
        )
    if rng.random() < 0.6:
        for _ in range(18):
            leaf(sheet, rng, heap(0.2), radius * 0.1, (112, 164, 58), base + rng.uniform(22, 32))
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
            _shred(sheet, rng, heap(0.17), radius * 0.11, lie, base + 34)
    for _ in range(rng.randint(4, 16)):
        leaf(sheet, rng, heap(0.17), radius * 0.045, (52, 116, 46), base + 36)
    if rng.random() < 0.4:
        t = np.linspace(-0.6, 0.6, 20)
        line = np.column_stack((t, 0.16 * np.sin(t * 16))) * radius
        cream(sheet, rng, turned(line, lie, center), radius * 0.07)


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
