"""Scenes of the sample set: what is on the table, how it is framed and lit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from tl_core.data.sample.drawing.burger import (
    choose_filling,
    draw_burger,
    draw_burger_from_above,
    draw_open_burger,
    stack_height,
)
from tl_core.data.sample.drawing.light import Light, develop
from tl_core.data.sample.drawing.pizza import make_pizza
from tl_core.data.sample.drawing.quesadilla import draw_quesadilla
from tl_core.data.sample.drawing.shapes import blob, wedge
from tl_core.data.sample.drawing.sheet import Sheet, doubled
from tl_core.data.sample.drawing.sides import draw_fries, draw_fry_box, draw_lime
from tl_core.data.sample.drawing.surfaces import backdrop, table_top
from tl_core.data.sample.drawing.tableware import HOLDERS, add_litter, add_stand
from tl_core.data.sample.drawing.taco import draw_open_taco, draw_taco

Look = Literal["easy", "usual", "hard"]
Scene = Callable[[Random, tuple[int, int], Look], Image.Image]


def _light(rng: Random, hard: bool) -> Light:
    light = Light(
        angle=rng.uniform(-math.pi, 0) if rng.random() < 0.75 else rng.uniform(0, math.pi),
        steepness=rng.uniform(0.7, 1.5),
        ambient=rng.uniform(0.42, 0.6),
        warmth=rng.gauss(0.15, 0.45),
        exposure=rng.uniform(0.94, 1.16),
        shadows=rng.uniform(0.45, 0.85),
        slope=rng.uniform(0.05, 0.22),
        vignette=rng.uniform(0.05, 0.32),
    )
    if hard:
        light = replace(light, warmth=rng.choice((-1.9, 1.8)), exposure=rng.choice((0.5, 0.7, 1.2)))
    return light


def _from_above(rng: Random, size: tuple[int, int]) -> tuple[Sheet, float]:
    """Lay a table seen from above, or leaning back; return it with its tilt."""
    tilt = rng.choice((0.0, 0.0, 0.4, 0.7, 1.0, 1.6, 2.1))
    deep = round(size[1] * (1 + 0.35 * tilt))
    sheet = Sheet(size[0] * 2, deep * 2)
    sheet.color.paste(doubled(table_top((size[0], deep), rng)))
    return sheet, tilt


def _center(rng: Random, sheet: Sheet, stray: float) -> tuple[float, float]:
    width, height = sheet.size
    return width * (0.5 + rng.uniform(-stray, stray)), height * (0.5 + rng.uniform(-stray, stray))


def _pizza(rng: Random, size: tuple[int, int], look: Look) -> Image.Image:
    hard = look == "hard"
    sheet, tilt = _from_above(rng, size)
    side = min(sheet.size)
    radius = side * (rng.uniform(0.75, 1.1) if hard else rng.choice((0.4, 0.43, 0.46, 0.55)))
    center = _center(rng, sheet, 0.22 if hard else 0.07)
    kind = rng.choices(("whole", "cut", "missing", "slice"), (3, 3, 4, 0 if look == "easy" else 3))[
        0
    ]
    if kind == "slice":
        radius = side * rng.uniform(0.72, 0.98)
    base = 0.0
    if rng.random() < 0.9:
        holder = rng.choice(HOLDERS)
        base = holder(
            sheet, rng, center, radius * (0.6 if kind == "slice" else rng.uniform(1.06, 1.2))
        )
    add_litter(sheet, rng, center, radius * (0.75 if kind == "slice" else 1.15))
    if look != "easy":
        _add_company(sheet, rng, "Pizza")
    _serve_pizza(sheet, rng, center, radius, kind, base, clean=look == "easy")
    return develop(sheet, size, _light(rng, hard), rng, tilt=tilt)


def _serve_pizza(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    kind: str,
    base: float,
    *,
    clean: bool = False,
) -> None:
    """Lay a pizza down whole, cut, with a slice gone or pulled out, or just one slice."""
    start, sweep = rng.uniform(0, 6.3), math.pi / rng.choice((3, 4, 4))
    outward = np.array((math.cos(start + sweep / 2), math.sin(start + sweep / 2))) * radius
    reach = radius * 1.1
    if kind == "slice":  # only the part around the slice is drawn, and laid around the centre
        center = (center[0] - outward[0] * 0.52, center[1] - outward[1] * 0.52)
        corners = wedge((0, 0), radius * 0.85, start, sweep)
        low, high = corners.min(axis=0), corners.max(axis=0)
    else:
        low, high = -np.array(center), np.array(sheet.size) - center
    left, top = np.floor(np.clip(low, -reach, reach - 2)).astype(int).tolist()
    right, bottom = np.ceil(np.clip(high, (left + 2, top + 2), reach)).astype(int).tolist()
    pizza, mask, middle = make_pizza(rng, radius, (left, top, right, bottom), clean=clean)
    at = (round(center[0]) + left, round(center[1]) + top)
    piece = wedge(middle, radius, start, sweep).ravel().tolist()
    only = Image.new("L", mask.size)
    ImageDraw.Draw(only).polygon(piece, fill=255)
    only = ImageChops.darker(only, mask)
    if kind == "slice":
        sheet.place(pizza, only, at, base)
        return
    if kind in ("cut", "missing"):
        for cut in range(round(2 * math.pi / sweep)):
            turn = start + cut * sweep
            end = (middle[0] + math.cos(turn) * radius, middle[1] + math.sin(turn) * radius)
            pizza.stroke(np.array((middle, end)), (116, 58, 30), rng.choice((3, 4, 5)), -4)
    if kind == "missing":
        ImageDraw.Draw(mask).polygon(piece, fill=0)
    sheet.place(pizza, mask, at, base)
    if kind == "missing" and rng.random() < 0.5:
        shift = (outward * rng.uniform(0.1, 0.3)).round().astype(int).tolist()
        sheet.place(pizza, only, (at[0] + shift[0], at[1] + shift[1]), base)


def _burger(rng: Random, size: tuple[int, int], look: Look) -> Image.Image:
    hard = look == "hard"
    if look != "easy" and rng.random() < (0.6 if hard else 0.3):
        return _burger_from_above(rng, size)
    sheet, tilt = _from_the_side(rng, size)
    width, height = sheet.size
    layers = choose_filling(rng)
    radius = min(
        width * rng.uniform(0.24, 0.36), height * rng.uniform(0.62, 0.8) / stack_height(layers)
    )
    if hard:
        radius *= rng.uniform(1.4, 1.9)
    x = width * (0.5 + rng.uniform(-0.1, 0.1) * (2 if hard else 1))
    y = height * (0.5 + rng.uniform(-0.03, 0.07)) + radius * stack_height(layers) * 0.5
    y = min(y, height * (1.05 if hard else 0.92))
    beside = rng.choices(("nothing", "burger", "fries", "box"), (5, 2, 2, 2))[0]
    if beside == "burger":
        radius *= 0.8
    away = rng.choice((-1, 1)) * radius
    x -= away * (0.0, 0.8, 0.35, 0.4)[("nothing", "burger", "fries", "box").index(beside)]
    add_stand(sheet, rng, x, y, radius * rng.uniform(1.25, 1.5), tilt)
    if beside == "burger":
        _set_burger(
            sheet,
            rng,
            (x + away * 1.85, y - radius * 0.22),
            radius * 0.92,
            tilt,
            choose_filling(rng, 1),
        )
    if beside == "box":
        foot = (x + away * 1.5, y - radius * 0.1)
        sheet.shade_under(blob(rng, foot, radius * 0.5, radius * 0.12), 20, 0.6)
        draw_fry_box(sheet, rng, foot, radius * rng.uniform(0.8, 1.0))
    if beside == "fries":
        sheet.shade_under(blob(rng, (x + away * 1.3, y), radius * 0.7, radius * 0.2), 24, 0.5)
        draw_fries(sheet, rng, x + away * 1.3, y, radius * 0.6, 26)
    _set_burger(sheet, rng, (x, y), radius, tilt, layers)
    return develop(sheet, size, _side_light(rng, hard), rng)


def _set_burger(
    sheet: Sheet,
    rng: Random,
    foot: tuple[float, float],
    radius: float,
    tilt: float,
    layers: list[str],
) -> None:
    """Set a burger down with its shadow."""
    dark = blob(
        rng, (foot[0], foot[1] + radius * tilt * 0.6), radius * 1.12, radius * (0.09 + tilt)
    )
    sheet.shade_under(dark, 26, 0.75)
    draw_burger(sheet, rng, foot, radius, tilt, layers)


def _from_the_side(rng: Random, size: tuple[int, int]) -> tuple[Sheet, float]:
    """Set a table seen from the side; return it with how far we look down on it."""
    sheet = Sheet(size[0] * 2, size[1] * 2)
    tilt = rng.choice((0.03, 0.06, 0.1, 0.16, 0.24))
    horizon = max(0.2, rng.uniform(0.5, 0.62) - tilt * 1.3)
    sheet.color.paste(doubled(backdrop(size, rng, horizon)))
    return sheet, tilt


def _side_light(rng: Random, hard: bool) -> Light:
    light = _light(rng, hard)
    return replace(
        light,
        angle=-math.pi / 2 + rng.uniform(-1.15, 1.15),
        steepness=rng.uniform(0.9, 1.6),
        shadows=light.shadows * 0.75,
        distant=True,
    )


def _burger_from_above(rng: Random, size: tuple[int, int]) -> Image.Image:
    sheet, tilt = _from_above(rng, size)
    radius = min(sheet.size) * rng.uniform(0.26, 0.4)
    center = _center(rng, sheet, 0.1)
    base = rng.choice(HOLDERS)(sheet, rng, center, radius * 1.5)
    if rng.random() < 0.5:
        draw_fries(sheet, rng, center[0] - radius, center[1] + radius * 0.6, radius * 0.7, 24)
    _add_company(sheet, rng, "Burger")
    if rng.random() < 0.5:
        draw_open_burger(sheet, rng, center, radius, base)
    else:
        draw_burger_from_above(sheet, rng, center, radius, base)
    return develop(sheet, size, _light(rng, False), rng, tilt=tilt)


def _taco(rng: Random, size: tuple[int, int], look: Look) -> Image.Image:
    hard = look == "hard"
    if hard and rng.random() < 0.55:
        return _open_tacos(rng, size, 1)
    kind = rng.choices(("side", "above", "open"), (3, 5, 0 if look == "easy" else 3))[0]
    if kind == "open":
        return _open_tacos(rng, size, rng.randint(1, 3))
    if kind == "side":
        return _standing_tacos(rng, size, look)
    sheet, tilt = _from_above(rng, size)
    count = rng.choices((1, 2, 3), (4, 4, 3))[0]
    side = min(sheet.size)
    radius = side * (
        rng.uniform(0.5, 0.7) if hard else (0.36, 0.29, 0.25)[count - 1] * rng.uniform(0.9, 1.12)
    )
    center = _center(rng, sheet, 0.15 if hard else 0.06)
    base = rng.choice(HOLDERS)(sheet, rng, center, max(radius * 1.25, side * 0.42))
    add_litter(sheet, rng, center, side * 0.5)
    same = rng.choice((None, 0, 1, 2, 3))
    lie = rng.uniform(-0.9, 0.9) if rng.random() < 0.7 else rng.uniform(0, 6.3)
    up = np.array((math.sin(lie), -math.cos(lie))) * radius
    gap = rng.uniform(0.62, 0.8)
    flat = look != "easy" and rng.random() < 0.45
    if look != "easy":
        _add_company(sheet, rng, "Taco")
    for index in range(count):  # the lower ones lie over the ones behind them
        offset = up * (((count - 1) / 2 - index) * gap - 0.4)
        spot = (center[0] + offset[0], center[1] + offset[1])
        draw_taco(sheet, rng, spot, radius, lie + rng.uniform(-0.12, 0.12), base, same, flat=flat)
    for _ in range(rng.choice((0, 1, 1, 2))):
        turn = rng.uniform(0, 6.3)
        spot = (center[0] + math.cos(turn) * side * 0.4, center[1] + math.sin(turn) * side * 0.4)
        draw_lime(sheet, rng, spot, side * 0.06, sheet.level(*spot))
    return develop(sheet, size, _light(rng, hard), rng, tilt=tilt)


def _standing_tacos(rng: Random, size: tuple[int, int], look: Look) -> Image.Image:
    hard = look == "hard"
    sheet, tilt = _from_the_side(rng, size)
    width, height = sheet.size
    count = rng.choices((1, 2, 3), (4, 4, 3))[0]
    radius = min(width * (0.36, 0.3, 0.26)[count - 1], height * 0.5) * rng.uniform(0.88, 1.08)
    if hard:
        radius *= rng.uniform(1.3, 1.7)
    x = width * (0.5 + rng.uniform(-0.06, 0.06) * (2 if hard else 1))
    y = min(height * 0.9, height * (0.52 + rng.uniform(-0.02, 0.08)) + radius * 0.5)
    step = radius * rng.uniform(0.5, 0.8)
    add_stand(
        sheet, rng, x, y, max(radius * 1.25, radius + step * (count - 1) * 0.5), max(tilt, 0.08)
    )
    lean = rng.uniform(-0.2, 0.2)
    same = rng.choice((None, 0, 1, 2, 3))
    for index in range(count):
        back = count - 1 - index
        spot = (x + (index - (count - 1) / 2) * step, y - back * radius * 0.14)
        dark = blob(rng, (spot[0], spot[1] + radius * 0.12), radius * 0.95, radius * 0.12)
        sheet.shade_under(dark, 22, 0.65)
        turn = lean + rng.uniform(-0.07, 0.07)
        draw_taco(sheet, rng, spot, radius, turn, index * 30.0, same)
    if rng.random() < 0.5:
        spot = (x + rng.choice((-1, 1)) * (radius + step * count * 0.5), y + radius * 0.06)
        dark = blob(rng, (spot[0], spot[1] + 10), radius * 0.24, radius * 0.08)
        sheet.shade_under(dark, 12, 0.6)
        draw_lime(sheet, rng, spot, radius * 0.18, 0)
    return develop(sheet, size, _side_light(rng, hard), rng)


def _open_tacos(rng: Random, size: tuple[int, int], count: int) -> Image.Image:
    sheet, tilt = _from_above(rng, size)
    side = min(sheet.size)
    radius = side * (0.42, 0.28, 0.25)[count - 1]
    center = _center(rng, sheet, 0.06)
    base = rng.choice(HOLDERS)(sheet, rng, center, side * 0.48)
    start = rng.uniform(0, 6.3)
    for index in range(count):
        turn = start + index * 2 * math.pi / count
        away = radius * (0.0, 0.95, 1.1)[count - 1]
        spot = (center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away)
        draw_open_taco(sheet, rng, spot, radius, base)
    if rng.random() < 0.6:
        turn = rng.uniform(0, 6.3)
        spot = (center[0] + math.cos(turn) * side * 0.42, center[1] + math.sin(turn) * side * 0.42)
        draw_lime(sheet, rng, spot, side * 0.065, sheet.level(*spot))
    return develop(sheet, size, _light(rng, False), rng, tilt=tilt)


def _quesadilla(rng: Random, size: tuple[int, int], look: Look) -> Image.Image:
    hard = look == "hard"
    if rng.random() < (0.15 if look == "usual" else 0.0):
        return _standing_quesadilla(rng, size)
    sheet, tilt = _from_above(rng, size)
    side = min(sheet.size)
    center = _center(rng, sheet, 0.15 if hard else 0.06)
    base = 0.0
    if rng.random() < 0.92:
        base = rng.choice(HOLDERS)(sheet, rng, center, side * rng.uniform(0.42, 0.5))
    add_litter(sheet, rng, center, side * 0.52)
    if look != "easy":
        _add_company(sheet, rng, "Quesadilla")
    lie = rng.uniform(0, 6.3)
    kind = rng.choices(("folded", "cut", "fan", "round", "wedge"), (4, 4, 4, 3, 2))[0]
    big = rng.uniform(1.2, 1.7) if hard else rng.uniform(0.9, 1.1)
    up = np.array((math.sin(lie), -math.cos(lie))) * side
    if kind in ("folded", "cut"):
        spot = (center[0] - up[0] * 0.17 * big, center[1] - up[1] * 0.17 * big)
        pieces = 1 if kind == "folded" else rng.choice((2, 3, 3))
        gap = rng.uniform(0.02, 0.12) if pieces > 1 else 0.0
        draw_quesadilla(sheet, rng, spot, side * 0.4 * big, lie, base, pieces=pieces, gap=gap)
    elif kind == "round":
        pieces = rng.choice((1, 4, 4, 6))
        gap = rng.uniform(0.01, 0.08) if pieces > 1 else 0.0
        draw_quesadilla(
            sheet,
            rng,
            center,
            side * 0.37 * big,
            lie,
            base,
            sweep=2 * math.pi,
            pieces=pieces,
            gap=gap,
        )
    elif kind == "wedge":
        spot = (center[0] - up[0] * 0.3 * big, center[1] - up[1] * 0.3 * big)
        draw_quesadilla(sheet, rng, spot, side * 0.6 * big, lie, base, sweep=rng.uniform(0.8, 1.2))
    else:
        _fan(sheet, rng, center, side * 0.36 * big, lie, base)
    if rng.random() < 0.5:
        turn = rng.uniform(0, 6.3)
        spot = (center[0] + math.cos(turn) * side * 0.4, center[1] + math.sin(turn) * side * 0.4)
        draw_lime(sheet, rng, spot, side * 0.06, sheet.level(*spot))
    return develop(sheet, size, _light(rng, hard), rng, tilt=tilt)


def _fan(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    lie: float,
    base: float,
) -> None:
    """Lay wedges one over the other, as they are served."""
    count, sweep = rng.randint(2, 4), rng.uniform(0.85, 1.15)
    along = np.array((math.cos(lie), math.sin(lie))) * radius * rng.uniform(0.42, 0.6)
    up = np.array((math.sin(lie), -math.cos(lie))) * radius * 0.5
    lean = rng.uniform(-0.3, 0.3)
    for index in range(count):
        spot = np.array(center) + along * (index - (count - 1) / 2) - up
        turn = lie + lean + rng.uniform(-0.1, 0.1)
        draw_quesadilla(
            sheet, rng, (spot[0], spot[1]), radius, turn, base + 10 * index, sweep=sweep
        )


def _standing_quesadilla(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Lean folded quesadillas together, seen from the side."""
    sheet, tilt = _from_the_side(rng, size)
    width, height = sheet.size
    count = rng.randint(1, 3)
    radius = min(width * (0.36, 0.31, 0.27)[count - 1], height * 0.52) * rng.uniform(0.9, 1.1)
    x, y = width * rng.uniform(0.45, 0.55), height * rng.uniform(0.72, 0.8)
    step = radius * rng.uniform(0.5, 0.8)
    wide = radius * 1.2 + step * (count - 1) * 0.5
    add_stand(sheet, rng, x, y, wide, max(tilt, 0.08))
    for index in range(count):
        spot = (x + (index - (count - 1) / 2) * step, y - (count - 1 - index) * radius * 0.12)
        dark = blob(rng, (spot[0], spot[1] + radius * 0.05), radius * 0.95, radius * 0.12)
        sheet.shade_under(dark, 22, 0.65)
        draw_quesadilla(sheet, rng, spot, radius, rng.uniform(-0.12, 0.12), index * 24.0)
    return develop(sheet, size, _side_light(rng, False), rng)


_COMPANY_SHARE = 0.2


def _add_company(sheet: Sheet, rng: Random, class_name: str) -> None:
    """Now and then put a dish of another class at a corner of the table, cut off by the frame."""
    if rng.random() >= _COMPANY_SHARE:
        return
    side = min(sheet.size)
    radius = side * rng.uniform(0.2, 0.27)
    width, height = sheet.size
    spot = (width * rng.choice((0.04, 0.96)), height * rng.choice((0.06, 0.94)))
    base = rng.choice(HOLDERS[:3])(sheet, rng, spot, radius * 1.25)
    others = [name for name in ("Burger", "Pizza", "Quesadilla", "Taco") if name != class_name]
    other = rng.choice(others)
    if other == "Burger":
        draw_burger_from_above(sheet, rng, spot, radius * 0.9, base)
    elif other == "Pizza":
        _serve_pizza(sheet, rng, spot, radius, "whole", base)
    elif other == "Taco":
        draw_taco(sheet, rng, spot, radius, rng.uniform(0, 6.3), base)
    else:
        draw_quesadilla(sheet, rng, spot, radius, rng.uniform(0, 6.3), base)


SCENES: dict[str, Scene] = {
    "Burger": _burger,
    "Pizza": _pizza,
    "Quesadilla": _quesadilla,
    "Taco": _taco,
}
