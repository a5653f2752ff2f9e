"""Tableware of the sample photos: plates, boards, papers, pans, bowls, forks."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from tl_core.data.sample.drawing.pizza import basil, olive, tomato
from tl_core.data.sample.drawing.shapes import Color, blob, mix, moved, rounded_box, turned, vary
from tl_core.data.sample.drawing.sheet import Sheet, doubled
from tl_core.data.sample.drawing.surfaces import WOODS, wood

PLATES: tuple[Color, ...] = (
    (244, 242, 236),
    (244, 242, 236),
    (226, 218, 200),
    (96, 128, 142),
    (58, 60, 66),
    (206, 220, 216),
    (190, 112, 84),
)


def add_plate(sheet: Sheet, rng: Random, center: tuple[float, float], radius: float) -> float:
    """Draw a round plate and return the height of its middle."""
    color = rng.choice(PLATES)
    rim = rng.uniform(0.66, 0.78)
    outline = blob(rng, center, radius, wobble=0.0, count=72)
    fade = Image.radial_gradient("L")
    sheet.part(
        rng,
        outline,
        ((0.0, color), (1.0, mix(color, (255, 255, 255), 0.2))),
        gradient=fade,
        weight=0.7,
        profile=((0, 5), (rim, 5), (rim + 0.06, 9), (0.96, 15), (0.985, 15), (1.0, 10), (1.5, 8)),
        gloss=150,
    )
    if rng.random() < 0.35:
        ink = rng.choice(((52, 84, 140), (150, 52, 46), (60, 100, 80), (180, 140, 70)))
        for share in rng.choice(((0.95,), (0.93, 0.89))):
            ring = blob(rng, center, radius * share, wobble=0.0, count=72)
            sheet.stroke(np.concatenate((ring, ring[:1])), mix(color, ink, 0.8), radius * 0.018)
    return 5.0


def add_board(sheet: Sheet, rng: Random, center: tuple[float, float], radius: float) -> float:
    """Draw a round or square wooden board, sometimes with a handle; return its height."""
    angle = rng.uniform(0, 2 * math.pi)
    grain = wood((300, 300), rng).rotate(math.degrees(-angle), Image.Resampling.BILINEAR)
    grain = grain.crop((44, 44, 256, 256))
    thick = rng.uniform(9, 14)
    shapes = []
    if rng.random() < 0.6:
        grip = np.array(((0.7, -0.14), (1.42, -0.11), (1.5, 0), (1.42, 0.11), (0.7, 0.14))) * radius
        shapes.append(turned(grip, angle, center))
    if rng.random() < 0.7:
        shapes.append(blob(rng, center, radius, wobble=0.0, count=72))
    else:
        shapes.append(rounded_box(center, radius, radius * 0.92, radius * 0.12, angle))
    mask = Image.new("L", sheet.size)
    pen = ImageDraw.Draw(mask)
    for shape in shapes:
        pen.polygon(shape.ravel().tolist(), fill=255)
        sheet.paint(shape, (0, 0, 0), thick, 35, base=0)
    left, top, right, bottom = mask.getbbox() or (0, 0, 1, 1)
    box = (left, top, right, bottom)
    half = ((right - left + 1) // 2, (bottom - top + 1) // 2)
    texture = doubled(grain.resize(half, Image.Resampling.BILINEAR))
    sheet.color.paste(texture.crop((0, 0, right - left, bottom - top)), (left, top), mask.crop(box))
    return thick


def add_paper(sheet: Sheet, rng: Random, center: tuple[float, float], radius: float) -> float:
    """Draw a sheet of baking paper, plain or checked, a little crumpled; return its height."""
    angle = rng.uniform(0, 2 * math.pi)
    color = rng.choice(((236, 226, 206), (214, 184, 140), (244, 242, 238)))
    points = rounded_box(center, radius * 1.08, radius * rng.uniform(0.85, 1.05), 6, angle)
    stops = ((0.0, mix(color, (90, 70, 50), 0.12)), (1.0, color))
    sheet.part(rng, points, stops, kind="broad", base=1.5, bump=12, gloss=15)
    return 6.0


def add_pan(sheet: Sheet, rng: Random, center: tuple[float, float], radius: float) -> float:
    """Draw an iron pan or a steel tray seen from above; return its height."""
    steel = rng.random() < 0.5
    color: Color = (168, 170, 172) if steel else (44, 44, 46)
    if not steel:
        angle = rng.uniform(0, 2 * math.pi)
        grip = np.array(((0.9, -0.11), (1.7, -0.08), (1.7, 0.08), (0.9, 0.11))) * radius
        sheet.paint(turned(grip, angle, center), mix(color, (0, 0, 0), 0.2), 10, 70, base=0)
    sheet.part(
        rng,
        blob(rng, center, radius, wobble=0.0, count=72),
        ((0.0, mix(color, (0, 0, 0), 0.2)), (1.0, mix(color, (255, 255, 255), 0.12))),
        kind="grain",
        profile=((0, 4), (0.9, 4), (0.95, 15), (0.99, 16), (1.02, 8), (1.5, 8)),
        gloss=90,
    )
    return 4.0


HOLDERS = (
    add_plate,
    add_plate,
    add_board,
    add_paper,
    add_pan,
)


def add_stand(sheet: Sheet, rng: Random, x: float, y: float, radius: float, tilt: float) -> None:
    """Put a plate, a board or a paper under what stands at (x, y), seen at ``tilt``."""
    flat = radius * (tilt + 0.05)
    thick = radius * 0.05
    kind = rng.choice(("plate", "plate", "board", "board", "slate", "none"))
    if kind == "none":
        return
    sheet.shade_under(
        blob(rng, (x, y + thick + flat * 0.2), radius * 1.08, flat * 1.15 + 8), 22, 0.6
    )
    wide = radius * (1.15 if kind == "board" else 1.0)
    if kind == "board":
        stops = rng.choice(WOODS[:3])
    else:
        color = (52, 54, 58) if kind == "slate" else rng.choice(PLATES)
        stops = (
            (0.0, mix(color, (0, 0, 0), 0.12)),
            (0.5, color),
            (1.0, mix(color, (255, 255, 255), 0.15)),
        )
    top = blob(rng, (x, y), wide, flat, wobble=0, count=64)
    under = mix(stops[0][1], (0, 0, 0), 0.3)
    sheet.paint(np.concatenate((top[:33], moved(top[:33], 0, thick)[::-1])), under, 0, 60, base=0)
    texture = "fibre" if kind == "board" else "cloud"
    sheet.part(
        rng, top, stops, kind=texture, rise=4, round_px=6, gloss=40 if kind == "board" else 150
    )
    if kind == "plate":
        sheet.paint(
            (top - (x, y)) * (0.74, 0.7) + (x, y), mix(stops[1][1], (0, 0, 0), 0.05), -2, 150
        )


def _bowl(
    sheet: Sheet, rng: Random, center: tuple[float, float], clear: float, unit: float
) -> None:
    turn = rng.uniform(0, 6.3)
    size = unit * rng.uniform(1.8, 2.8)
    away = clear + size * 0.8
    spot = (center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away)
    color = rng.choice(PLATES)
    profile = ((0, 8), (0.78, 8), (0.86, 30), (0.95, 34), (1.02, 14), (1.5, 0))
    sheet.part(
        rng,
        blob(rng, spot, size, wobble=0, count=48),
        ((0, color), (1, mix(color, (255, 255, 255), 0.2))),
        profile=profile,
        gloss=160,
    )
    sauce = vary(
        rng, rng.choice(((176, 40, 26), (242, 234, 214), (110, 150, 60), (222, 160, 50))), 10
    )
    sheet.part(
        rng,
        blob(rng, spot, size * 0.82, wobble=0.01, count=40),
        ((0, mix(sauce, (40, 10, 0), 0.2)), (1, sauce)),
        base=18,
        bump=5,
        gloss=190,
    )


def _fork(sheet: Sheet, rng: Random, spot: tuple[float, float], unit: float) -> None:
    angle = rng.uniform(-0.25, 0.25)
    steel = rng.choice(((188, 190, 194), (204, 178, 120), (70, 70, 74)))
    handle = np.array(((-0.16, -1), (0.16, -1), (0.3, 5.5), (0, 6), (-0.3, 5.5))) * unit
    head = (
        np.array(
            ((-0.55, -2.6), (0.55, -2.6), (0.5, -1.4), (0.16, -0.8), (-0.16, -0.8), (-0.5, -1.4))
        )
        * unit
    )
    for shape in (handle, head):
        sheet.paint(turned(shape, angle, spot), steel, 5, 240)
    for tine in (-0.46, -0.15, 0.15, 0.46):
        prong = (
            np.array(
                ((tine - 0.09, -4.2), (tine + 0.09, -4.2), (tine + 0.09, -2.5), (tine - 0.09, -2.5))
            )
            * unit
        )
        sheet.paint(turned(prong, angle, spot), steel, 5, 240)


def add_litter(sheet: Sheet, rng: Random, center: tuple[float, float], clear: float) -> None:
    """Strew a few small things over the table, clear of the middle."""
    if rng.random() < 0.35:
        return
    unit = min(sheet.size) * 0.05
    for _ in range(rng.randint(1, 5)):
        turn, away = rng.uniform(0, 6.3), clear * rng.uniform(1.05, 1.5)
        x, y = center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away
        rng.choice((basil, basil, tomato, olive))(sheet, rng, x, y, unit * rng.uniform(0.8, 1.2))
    if rng.random() < 0.4:
        _bowl(sheet, rng, center, clear, unit)
    if rng.random() < 0.35:
        _fork(sheet, rng, (center[0] + rng.choice((-1, 1)) * clear * 1.12, center[1]), unit)
