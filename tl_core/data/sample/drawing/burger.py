"""Burgers for the sample set: stacks seen from the side, from a little above, from the top."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image

from tl_core.data.sample.drawing.layers import GREENS, LAYERS, Stack
from tl_core.data.sample.drawing.shapes import Color, blob, mix, moved, turned, vary
from tl_core.data.sample.drawing.sheet import Dome, Sheet, Stops

BUNS: tuple[tuple[Color, Color, Color], ...] = (  # top, side, crumb
    ((178, 98, 38), (222, 154, 74), (246, 216, 158)),
    ((204, 130, 58), (232, 176, 102), (248, 224, 172)),
    ((146, 74, 30), (198, 126, 58), (240, 204, 146)),
    ((214, 160, 92), (236, 200, 140), (250, 232, 192)),
    ((52, 44, 42), (84, 72, 66), (150, 134, 118)),
)


def choose_filling(rng: Random, num_patties: int | None = None) -> list[str]:
    """Choose a burger's layers from the bottom up."""
    layers = [rng.choice(("lettuce", "sauce", "onion", "lettuce"))]
    for _ in range(num_patties or rng.choices((1, 2, 3), (6, 4, 1))[0]):
        layers.append("patty")
        if rng.random() < 0.8:
            layers.append("cheese")
    extras = ["tomato", "onion", "pickle", "lettuce", "bacon", "sauce"]
    rng.shuffle(extras)
    return layers + extras[: rng.randint(1, 3)]


def stack_height(layers: list[str]) -> float:
    """Return about how high a burger of these layers is, in half widths."""
    return 0.93 + sum(0.26 if layer == "patty" else 0.08 for layer in layers)


def draw_burger(
    sheet: Sheet,
    rng: Random,
    foot: tuple[float, float],
    radius: float,
    tilt: float,
    layers: list[str],
) -> None:
    """Draw a burger that stands with the middle of its bottom edge at ``foot``."""
    stack = Stack(foot[0], radius, tilt)
    bun = rng.choices(BUNS, (5, 4, 3, 2, 1))[0]
    thick = radius * rng.uniform(0.24, 0.34)
    _bottom_bun(sheet, rng, stack, foot[1] - thick / 2, thick, bun)
    level = foot[1] - thick
    for layer in layers:
        level = LAYERS[layer](sheet, rng, stack, level)
    _top_bun(sheet, rng, stack, level, radius * rng.uniform(0.5, 0.78), bun)


def _bun_stops(bun: tuple[Color, Color, Color]) -> Stops:
    return ((0.0, bun[0]), (0.45, mix(bun[0], bun[1], 0.55)), (0.72, bun[1]), (1.0, bun[2]))


def _bottom_bun(
    sheet: Sheet, rng: Random, stack: Stack, y: float, thick: float, bun: tuple[Color, Color, Color]
) -> None:
    stops = (
        (0.0, bun[2]),
        (0.25, mix(bun[1], bun[2], 0.5)),
        (0.6, bun[1]),
        (1.0, mix(bun[0], bun[1], 0.4)),
    )
    points = stack.slab(rng, y, thick, 0.97, 0.01)
    fade = Image.linear_gradient("L")
    sheet.part(
        rng,
        points,
        stops,
        gradient=fade,
        weight=0.75,
        rise=12,
        round_px=thick * 0.5,
        barrel=36,
        bump=3,
        gloss=30,
    )


def _top_bun(
    sheet: Sheet, rng: Random, stack: Stack, y: float, top: float, bun: tuple[Color, Color, Color]
) -> None:
    t = np.sin(np.linspace(-math.pi / 2, math.pi / 2, 41))
    round_top = rng.uniform(2.0, 2.6)
    upper = np.column_stack(
        (stack.x + t * stack.radius, y - top * (1 - np.abs(t) ** round_top) ** 0.52)
    )
    sag = np.sqrt(1 - t * t) * stack.radius * stack.tilt
    tuck = top * 0.13 * (1 - np.abs(t) ** 9) ** 0.5
    lower = np.column_stack((stack.x + t * stack.radius, y + tuck + sag))
    points = np.concatenate((upper, lower[::-1]))
    fade = Image.linear_gradient("L")
    sheet.part(
        rng,
        points,
        _bun_stops(bun),
        gradient=fade,
        weight=0.82,
        base=6,
        rise=stack.radius * 0.42,
        dome=Dome((stack.x, y), 0, stack.radius * 1.03, top * 1.06, (top * 0.13 + sag.max()) * 1.5),
        bump=2.5,
        gloss=rng.choice((50, 90, 150)),
    )
    seeds = rng.choices((0, 36, 64, 90), (2, 3, 4, 2))[0]
    seed_color = rng.choice(((250, 236, 200), (250, 236, 200), (64, 54, 50)))
    full = top + stack.radius * stack.tilt
    for _ in range(seeds):
        a, b = rng.uniform(-0.9, 0.9), rng.uniform(0.12, 0.95)
        dome = (1 - abs(a) ** round_top) ** 0.52
        spot = (stack.x + a * stack.radius, y - top * dome + full * dome * (1 - b) * 0.85)
        size = stack.radius * rng.uniform(0.024, 0.034)
        flat = 0.62 if b < 0.8 else 0.45
        angle = rng.uniform(-0.7, 0.7) + a * 0.9
        seed = blob(rng, spot, size, size * flat, angle=angle, wobble=0.05, count=9)
        sheet.paint(moved(seed, 0, 1.5), mix(bun[0], (40, 20, 8), 0.35))
        sheet.paint(seed, vary(rng, seed_color, 8), 2.2, 110)


def draw_burger_from_above(
    sheet: Sheet, rng: Random, center: tuple[float, float], radius: float, base: float
) -> None:
    """Draw a burger seen from the top: the bun, with its filling peeping out around it."""
    green = rng.choice(GREENS)
    for _ in range(26):
        turn = rng.uniform(0, 6.3)
        spot = (
            center[0] + math.cos(turn) * radius * 0.98,
            center[1] + math.sin(turn) * radius * 0.98,
        )
        leaf = blob(
            rng, spot, radius * 0.2, radius * 0.13, angle=turn + 1.57, wobble=0.16, count=20
        )
        sheet.paint(leaf, vary(rng, green, 24), 12 + rng.uniform(0, 4), 90, base=base)
    for turn in (rng.uniform(0, 6.3) for _ in range(rng.randint(0, 3))):
        spot = (
            center[0] + math.cos(turn) * radius * 0.6,
            center[1] + math.sin(turn) * radius * 0.6,
        )
        sheet.paint(blob(rng, spot, radius * 0.5), vary(rng, (202, 46, 36)), 20, 200, base=base)
    if rng.random() < 0.6:
        corner = (
            np.array(((-1.06, -1.0), (1.04, -1.03), (1.02, 1.05), (-1.0, 1.02))) * radius * 0.86
        )
        sheet.paint(corner + center, vary(rng, (250, 184, 50), 8), 24, 140, base=base)
    bun = rng.choices(BUNS, (5, 4, 3, 2, 1))[0]
    profile = ((0, 74), (0.3, 71), (0.6, 62), (0.82, 48), (0.94, 34), (1.0, 18), (1.5, 10))
    outline = blob(rng, center, radius, wobble=0.02, count=60)
    stops = ((0.0, mix(bun[0], bun[1], 0.2)), (0.5, bun[0]), (0.85, bun[1]), (1.0, bun[2]))
    sheet.part(
        rng,
        outline,
        stops,
        gradient=Image.radial_gradient("L"),
        weight=0.72,
        base=base,
        profile=profile,
        bump=3,
        gloss=110,
    )
    for _ in range(rng.choice((0, 60, 90))):
        turn, away = rng.uniform(0, 6.3), radius * 0.78 * math.sqrt(rng.random())
        spot = (center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away)
        seed = blob(rng, spot, radius * 0.036, radius * 0.022, angle=rng.uniform(0, 3), count=9)
        sheet.paint(seed, (248, 232, 194), 2.4, 90)


def draw_open_burger(
    sheet: Sheet, rng: Random, center: tuple[float, float], radius: float, base: float
) -> None:
    """Draw an open burger seen from the top: its lid lies beside the half with the filling."""
    bun = rng.choices(BUNS, (5, 4, 3, 2, 1))[0]
    turn, away = rng.uniform(0, 6.3), radius * rng.uniform(0.75, 0.95)
    half = np.array((math.cos(turn), math.sin(turn))) * away
    lid = (center[0] + half[0], center[1] + half[1])
    crumb = ((0.0, mix(bun[1], bun[2], 0.4)), (0.5, mix(bun[1], bun[2], 0.8)), (1.0, bun[2]))
    rim = ((0, 22), (0.8, 24), (0.93, 26), (1.0, 12), (1.5, 6))
    sheet.part(
        rng,
        blob(rng, lid, radius * 0.85, wobble=0.02, count=60),
        crumb,
        kind="grain",
        base=base,
        profile=rim,
        bump=2.5,
        gloss=20,
    )
    middle = (center[0] - half[0], center[1] - half[1])
    sheet.part(
        rng,
        blob(rng, middle, radius * 0.88, wobble=0.02, count=60),
        ((0.0, bun[0]), (1.0, bun[1])),
        base=base,
        profile=rim,
        gloss=30,
    )
    green = rng.choice(GREENS)
    for _ in range(rng.choice((0, 14, 22))):
        at = rng.uniform(0, 6.3)
        spot = (
            middle[0] + math.cos(at) * radius * 0.78,
            middle[1] + math.sin(at) * radius * 0.78,
        )
        leaf = blob(rng, spot, radius * 0.2, radius * 0.13, angle=at + 1.57, wobble=0.16, count=20)
        sheet.paint(leaf, vary(rng, green, 24), 26 + rng.uniform(0, 4), 90, base=base)
    meat = rng.choice(((98, 56, 34), (84, 46, 30), (122, 72, 42)))
    sheet.part(
        rng,
        blob(rng, middle, radius * 0.78, wobble=0.04, count=40),
        ((0.0, mix(meat, (20, 8, 4), 0.6)), (0.5, meat), (1.0, mix(meat, (206, 140, 84), 0.4))),
        kind="grain",
        base=base + 30,
        rise=14,
        round_px=14,
        bump=10,
        gloss=90,
    )
    if rng.random() < 0.7:
        square = np.array(((-1, -1), (1, -0.97), (0.98, 1), (-1, 0.98))) * radius * 0.56
        color = vary(rng, (250, 190, 62), 10)
        sheet.paint(turned(square, rng.uniform(0, 1.6), middle), color, 48, 140, base=base)
    for _ in range(rng.choice((0, 2, 3))):
        at, reach = rng.uniform(0, 6.3), radius * rng.uniform(0.1, 0.4)
        spot = (middle[0] + math.cos(at) * reach, middle[1] + math.sin(at) * reach)
        tone = vary(rng, (206, 48, 36), 12)
        slab = blob(rng, spot, radius * 0.36, wobble=0.03)
        sheet.paint(slab, mix(tone, (110, 10, 10), 0.3), 52, 200, base=base)
        sheet.paint(
            (slab - spot) * 0.86 + spot, mix(tone, (255, 150, 120), 0.25), 1, base=base + 52
        )
    for _ in range(rng.choice((0, 3, 5))):
        at, reach = rng.uniform(0, 6.3), radius * rng.uniform(0.1, 0.5)
        spot = (middle[0] + math.cos(at) * reach, middle[1] + math.sin(at) * reach)
        disc = blob(rng, spot, radius * 0.15, wobble=0.05, count=20)
        sheet.paint(disc, vary(rng, (112, 134, 48), 10), 56, 150, base=base)
