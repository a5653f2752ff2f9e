"""Pizza for the sample set, seen from above: crust, cheese, toppings, slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from tl_core.data.sample.drawing.shapes import Color, Points, band, blob, mix, turned, vary
from tl_core.data.sample.drawing.sheet import Sheet

Topping = Callable[[Sheet, Random, float, float, float], None]


def pepperoni(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A cupped slice of salami with flecks of fat."""
    r *= rng.uniform(0.9, 1.12)
    color = vary(rng, (182, 52, 34), 16)
    sheet.paint(blob(rng, (x, y), r, wobble=0.04), mix(color, (70, 12, 8), 0.45), 3.4, 90)
    sheet.paint(blob(rng, (x, y), r * 0.88, wobble=0.04), color, -0.9, 120)
    sheet.paint(blob(rng, (x, y), r * 0.6, wobble=0.1), mix(color, (232, 96, 60), 0.25), -0.7, 120)
    for _ in range(9):
        turn, away = rng.uniform(0, 6.3), r * 0.78 * math.sqrt(rng.random())
        spot = (x + math.cos(turn) * away, y + math.sin(turn) * away)
        fleck: Color = rng.choice(((226, 130, 96), (126, 24, 18), (236, 158, 120)))
        sheet.paint(blob(rng, spot, r * rng.uniform(0.05, 0.11), count=7), fleck)


def olive(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A ring of black or green olive."""
    r *= rng.uniform(0.42, 0.55)
    color = vary(rng, (44, 38, 44), 8)
    flat = rng.uniform(0.75, 1)
    angle = rng.uniform(0, 3)
    sheet.paint(blob(rng, (x, y), r, r * flat, angle=angle, wobble=0.03), color, 4, 230)
    inside = blob(rng, (x, y), r * 0.45, r * 0.45 * flat, angle=angle, wobble=0.06, count=16)
    sheet.paint(inside, (146, 92, 50), -4, 40)


def mushroom(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A slice through a cap and its stem."""
    r *= rng.uniform(0.85, 1.1)
    outline = np.array(
        (
            (-1, 0.1),
            (-0.92, -0.4),
            (-0.6, -0.78),
            (0, -0.92),
            (0.6, -0.78),
            (0.92, -0.4),
            (1, 0.1),
            (0.8, 0.3),
            (0.45, 0.16),
            (0.26, 0.2),
            (0.3, 0.85),
            (0, 0.96),
            (-0.3, 0.85),
            (-0.26, 0.2),
            (-0.45, 0.16),
            (-0.8, 0.3),
        )
    )
    angle = rng.uniform(0, 6.3)
    flesh = vary(rng, (226, 206, 172), 10)
    sheet.paint(turned(outline * r, angle, (x, y)), mix(flesh, (112, 74, 44), 0.6), 3, 30)
    sheet.paint(turned(outline * r * 0.86, angle, (x, y)), flesh, 0.6, 50)
    gills = np.array(((-0.62, 0.06), (-0.3, -0.12), (0, -0.16), (0.3, -0.12), (0.62, 0.06)))
    sheet.stroke(turned(gills * r, angle, (x, y)), mix(flesh, (110, 74, 46), 0.6), r * 0.13)


def _pepper(color: Color) -> Topping:
    def pepper(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
        """A curved strip of bell pepper."""
        tone = vary(rng, color, 16)
        start, sweep = rng.uniform(0, 6.3), rng.uniform(1.4, 3.2)
        bend = r * rng.uniform(0.7, 1.2)
        sheet.paint(band((x, y), bend, r * 0.34, start, sweep), mix(tone, (0, 20, 0), 0.25), 3, 190)
        inner = band((x, y), bend - r * 0.05, r * 0.18, start + 0.06, sweep - 0.12)
        sheet.paint(inner, mix(tone, (240, 250, 190), 0.3), 0.8, 190)

    return pepper


def onion(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A few thin rings of red onion."""
    start = rng.uniform(0, 6.3)
    for share in (1.15, 0.92, 0.7)[: rng.randint(1, 3)]:
        sweep = rng.uniform(2, 4.6)
        ring = band((x, y), r * share, r * 0.15, start, sweep)
        sheet.paint(ring, vary(rng, (156, 74, 128), 14), 2, 120)
        inner = band((x, y), r * share - r * 0.025, r * 0.09, start + 0.05, sweep - 0.1)
        sheet.paint(inner, (238, 222, 234), 0.4, 120)
        start += rng.uniform(-0.4, 0.4)


def basil(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A basil leaf with a midrib, its halves lying at different slopes."""
    r *= rng.uniform(1.0, 1.45)
    angle = rng.uniform(0, 6.3)
    along = np.linspace(0, 1, 9)
    belly = np.sin(math.pi * along**0.8) * rng.uniform(0.42, 0.56)
    spine = np.column_stack((along * 2 - 1, 0.12 * np.sin(along * 3)))
    color = vary(rng, (62, 124, 48), 14)
    for side, tone, lift in ((1, color, 5.0), (-1, mix(color, (150, 196, 96), 0.28), 6.2)):
        edge = spine + np.column_stack((np.zeros(9), side * belly))
        leaf = np.concatenate((spine, edge[::-1])) * r
        sheet.paint(turned(leaf, angle, (x, y)), tone, lift, 80, base=sheet.level(x, y) * 0.5 + 7)
    sheet.stroke(turned(spine * r, angle, (x, y)), mix(color, (206, 226, 150), 0.55), r * 0.07)


def mozzarella(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A melted blob of fresh mozzarella, browned here and there."""
    r *= rng.uniform(0.85, 1.4)
    color = vary(rng, (236, 220, 186), 6)
    melt = blob(rng, (x, y), r, r * rng.uniform(0.75, 1), angle=rng.uniform(0, 3), wobble=0.1)
    stops = (
        (0.0, (214, 164, 98)),
        (0.16, mix(color, (226, 186, 122), 0.5)),
        (0.3, color),
        (1.0, (247, 237, 212)),
    )
    sheet.part(
        rng,
        melt,
        stops,
        kind="close",
        base=sheet.level(x, y) - 0.5,
        rise=5.5,
        round_px=r * 0.75,
        bump=1.5,
        gloss=110,
    )


def ham(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A square of cooked ham."""
    color = vary(rng, (232, 152, 142), 10)
    side = r * rng.uniform(0.55, 0.8)
    angle = rng.uniform(0, 3)
    square = np.array(((-1, -0.8), (1, -0.9), (0.9, 0.8), (-0.95, 0.85))) * side
    sheet.paint(turned(square, angle, (x, y)), mix(color, (150, 60, 56), 0.35), 3, 80)
    sheet.paint(turned(square * 0.86, angle, (x, y)), color, 0.5, 90)


def pineapple(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A wedge of pineapple."""
    color = vary(rng, (246, 206, 74), 10)
    angle = rng.uniform(0, 6.3)
    wedge = np.array(((0, -0.7), (0.75, 0.45), (0.3, 0.62), (-0.3, 0.62), (-0.75, 0.45))) * r
    sheet.paint(turned(wedge, angle, (x, y)), mix(color, (176, 110, 20), 0.4), 4, 150)
    sheet.paint(turned(wedge * 0.8, angle, (x, y)), color, 0.8, 170)
    for side in (-0.25, 0.0, 0.25):
        line = np.array(((side * 0.4, -0.25), (side * 1.5, 0.42))) * r
        sheet.stroke(turned(line, angle, (x, y)), mix(color, (200, 140, 30), 0.5), r * 0.05)


def tomato(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """Half a cherry tomato, cut side up."""
    r *= rng.uniform(0.7, 0.95)
    color = vary(rng, (208, 46, 30), 12)
    sheet.paint(blob(rng, (x, y), r, wobble=0.03), color, 4, 200)
    sheet.paint(
        blob(rng, (x, y), r * 0.82, wobble=0.04), mix(color, (250, 140, 100), 0.3), 0.8, 200
    )
    start = rng.uniform(0, 2)
    for chamber in range(3):
        turn = start + chamber * 2.1
        spot = (x + math.cos(turn) * r * 0.42, y + math.sin(turn) * r * 0.42)
        sheet.paint(
            blob(rng, spot, r * 0.26, r * 0.2, angle=turn + 1.57),
            mix(color, (120, 10, 10), 0.3),
            -0.6,
            240,
        )
        sheet.paint(blob(rng, spot, r * 0.06, count=6), (240, 214, 130))


def sausage(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A crumble of browned sausage."""
    color = vary(rng, (124, 78, 50), 14)
    for _ in range(3):
        spot = (x + rng.uniform(-0.4, 0.4) * r, y + rng.uniform(-0.4, 0.4) * r)
        size = r * rng.uniform(0.3, 0.5)
        sheet.paint(
            blob(rng, spot, size, wobble=0.2, count=14), mix(color, (50, 24, 12), 0.4), 3, 60
        )
        sheet.paint(blob(rng, spot, size * 0.7, wobble=0.2, count=12), color, 1.5, 70)


def herbs(sheet: Sheet, rng: Random, x: float, y: float, r: float) -> None:
    """A pinch of dried herbs."""
    for _ in range(7):
        spot = (x + rng.gauss(0, r), y + rng.gauss(0, r))
        leaf = blob(rng, spot, r * 0.11, r * 0.05, angle=rng.uniform(0, 3), count=6)
        sheet.paint(leaf, vary(rng, (70, 100, 44), 18), 1)


# What is on it: (sauce, cheese colours, [(topping, pieces, size as a share of the radius)]).
_RED: Color = (176, 46, 24)
_GOLD: tuple[Color, Color, Color] = ((228, 164, 72), (246, 206, 112), (252, 226, 158))
_PALE: tuple[Color, Color, Color] = ((218, 164, 92), (240, 208, 140), (248, 230, 182))
_RUSTIC_SHARE = 0.65
_SAUCES: tuple[Color, ...] = ((176, 46, 24), (196, 84, 34), (150, 40, 28), (206, 150, 92))
_MELTS: tuple[Color, ...] = ((240, 206, 132), (246, 226, 176), (236, 190, 100), (240, 214, 190))
_PIECES: tuple[tuple[Color, float], ...] = (  # colour, and how narrow: sausage, olive, pepper, ...
    ((118, 74, 48), 0.6),
    ((48, 42, 46), 0.7),
    ((76, 118, 50), 0.3),
    ((200, 48, 34), 0.5),
    ((222, 204, 170), 0.4),
    ((206, 128, 110), 0.5),
    ((150, 78, 124), 0.2),
    ((40, 72, 36), 0.5),
)
_GREEN, _YELLOW, _SCARLET = _pepper((70, 132, 52)), _pepper((236, 182, 44)), _pepper((206, 50, 34))
_STYLES: tuple[tuple[tuple[Color, Color, Color], tuple[tuple[Topping, int, float], ...]], ...] = (
    (_GOLD, ((pepperoni, 15, 0.125), (herbs, 6, 0.1))),
    (_GOLD, ((pepperoni, 22, 0.1), (olive, 10, 0.1))),
    (_GOLD, ((mozzarella, 13, 0.12), (basil, 7, 0.12))),
    (_PALE, ((mozzarella, 7, 0.13), (tomato, 8, 0.095), (basil, 5, 0.12))),
    (_GOLD, ((mushroom, 12, 0.105), (onion, 7, 0.12), (_GREEN, 9, 0.12), (olive, 9, 0.1))),
    (_GOLD, ((ham, 12, 0.1), (pineapple, 11, 0.1))),
    (_PALE, ((mushroom, 17, 0.11), (herbs, 9, 0.12))),
    (_GOLD, ((sausage, 15, 0.12), (_GREEN, 7, 0.12), (onion, 7, 0.12), (pepperoni, 7, 0.11))),
    (_GOLD, ((pepperoni, 9, 0.115), (mushroom, 7, 0.1), (_SCARLET, 7, 0.11), (olive, 8, 0.1))),
    (_PALE, ((mozzarella, 11, 0.11), (herbs, 12, 0.12))),
    (_GOLD, ((_YELLOW, 8, 0.12), (_SCARLET, 8, 0.12), (_GREEN, 8, 0.12), (onion, 6, 0.12))),
    (_GOLD, ((tomato, 11, 0.1), (olive, 9, 0.1), (basil, 5, 0.11))),
)


def make_pizza(
    rng: Random, radius: float, window: tuple[int, int, int, int], *, clean: bool = False
) -> tuple[Sheet, Image.Image, tuple[float, float]]:
    """Draw a pizza, or the part of it in ``window`` (left, top, right, bottom about its middle).

    A ``clean`` one has its toppings on smooth cheese; others are mostly molten together.

    Returns:
        Its own sheet, the mask of the pizza on it, and where on it the pizza's middle is.
    """
    left, top, right, bottom = window
    middle = (float(-left), float(-top))
    sheet = Sheet(right - left, bottom - top)
    rustic = not clean and rng.random() < _RUSTIC_SHARE
    wobble = 0.04 if rustic else 0.022
    outline = blob(rng, middle, radius, wobble=wobble, count=72, waves=(2, 3, 5, 8))
    _crust(sheet, rng, outline, middle, radius)
    if rustic:
        _bake(sheet, rng, middle, radius)
    else:
        _lay(sheet, rng, middle, radius)
    mask = Image.new("L", sheet.size)
    ImageDraw.Draw(mask).polygon(outline.ravel().tolist(), fill=255)
    return sheet, mask, middle


def _lay(sheet: Sheet, rng: Random, middle: tuple[float, float], radius: float) -> None:
    """Spread sauce and cheese smoothly and lay the toppings on it."""
    cheese, toppings = rng.choice(_STYLES)
    sauce = vary(rng, _RED, 14)
    inside = blob(rng, middle, radius * 0.87, wobble=0.02, count=60, waves=(3, 5, 9))
    sheet.part(
        rng,
        inside,
        ((0, mix(sauce, (90, 14, 6), 0.4)), (1, mix(sauce, (240, 110, 50), 0.25))),
        base=9,
        bump=2,
        gloss=130,
    )
    shade = rng.uniform(0.0, 0.5)
    stops = (
        (0.06, mix(cheese[0], (150, 84, 34), shade)),
        (0.34, cheese[0]),
        (0.6, cheese[1]),
        (1.0, cheese[2]),
    )
    if rng.random() < 0.3:  # cheese in islands, so that the sauce shows
        patches = []
        for _ in range(34):
            turn, away = rng.uniform(0, 6.3), radius * 0.74 * math.sqrt(rng.random())
            spot = (middle[0] + math.cos(turn) * away, middle[1] + math.sin(turn) * away)
            patches.append(blob(rng, spot, radius * rng.uniform(0.1, 0.19), wobble=0.12, count=24))
        melt, patches = patches[0], patches[1:]
    else:
        patches = []
        melt = blob(rng, middle, radius * 0.83, wobble=0.035, count=60, waves=(5, 8, 13))
    sheet.part(rng, melt, stops, base=10, rise=3, round_px=10, bump=4, gloss=120, more=patches)
    _scatter(sheet, rng, toppings, middle, radius)


def _bake(sheet: Sheet, rng: Random, middle: tuple[float, float], radius: float) -> None:
    """Melt sauce, cheese and small toppings together and brown them, as an oven does."""
    inside = blob(
        rng, middle, radius * rng.uniform(0.84, 0.92), wobble=0.03, count=60, waves=(3, 5, 9)
    )
    sauce = vary(rng, rng.choice(_SAUCES), 12)
    stops = (
        (0.0, mix(sauce, (60, 16, 8), 0.5)),
        (0.45, sauce),
        (1.0, mix(sauce, (246, 170, 84), 0.5)),
    )
    sheet.part(rng, inside, stops, kind="close", base=9, bump=5, gloss=90)
    pale = vary(rng, rng.choice(_MELTS), 8)
    melt = (
        (0.0, mix(pale, (132, 66, 24), 0.75)),
        (0.16, mix(pale, (204, 126, 52), 0.6)),
        (0.42, mix(pale, (232, 176, 90), 0.35)),
        (0.75, pale),
        (1.0, mix(pale, (255, 250, 232), 0.6)),
    )
    cover = rng.uniform(0.45, 0.95)
    sheet.part(rng, inside, melt, kind="close", base=10, bump=9, gloss=90, patchy=("close", cover))
    kinds = rng.sample(_PIECES, rng.choice((0, 1, 2, 3, 3, 4)))
    for color, flat in kinds:
        for _ in range(rng.randint(12, 46)):
            turn, away = rng.uniform(0, 6.3), radius * 0.84 * math.sqrt(rng.random())
            spot = (middle[0] + math.cos(turn) * away, middle[1] + math.sin(turn) * away)
            if not (0 <= spot[0] < sheet.size[0] and 0 <= spot[1] < sheet.size[1]):
                continue
            size = radius * rng.uniform(0.025, 0.075)
            tone = vary(rng, color, 18)
            piece = blob(
                rng,
                spot,
                size,
                size * rng.uniform(flat, 1),
                angle=rng.uniform(0, 3),
                wobble=0.22,
                count=14,
            )
            sheet.paint(piece, mix(tone, (30, 14, 8), 0.45), 3, 70)
            sheet.paint((piece - spot) * 0.74 + spot, tone, 1.6, 90)
    if kinds:  # some of the cheese is on top of them
        over = rng.uniform(0.1, 0.35)
        sheet.part(
            rng, inside, melt, kind="close", base=15, bump=7, gloss=100, patchy=("close", over)
        )
    brown = ((0.0, (96, 44, 20)), (1.0, (168, 92, 40)))
    share = rng.uniform(0.02, 0.09)
    sheet.part(rng, inside, brown, base=15, bump=4, gloss=40, patchy=("grain", share))
    for _ in range(rng.choice((0, 0, 1))):
        _scatter(sheet, rng, ((pepperoni, rng.randint(7, 20), 0.11),), middle, radius)
    for _ in range(rng.choice((0, 0, 1))):
        _scatter(sheet, rng, ((basil, rng.randint(3, 8), 0.1),), middle, radius)


def _crust(
    sheet: Sheet, rng: Random, outline: Points, middle: tuple[float, float], radius: float
) -> None:
    """Lay the dough: a golden rim, baked darker in places."""
    bake = rng.uniform(0, 0.45)
    pale, gold, brown = (238, 200, 140), (214, 148, 76), (150, 86, 38)
    stops = (
        (0.0, mix(brown, (60, 30, 16), bake)),
        (0.3, mix(gold, brown, bake)),
        (0.62, mix(pale, gold, 0.3 + bake * 0.6)),
        (1.0, mix(pale, gold, bake)),
    )
    rim = rng.uniform(13, 19)
    profile = (
        (0, 9),
        (0.84, 9),
        (0.88, 11),
        (0.93, rim),
        (0.965, rim - 1),
        (0.995, 5),
        (1.02, 1),
        (1.5, 0),
    )
    sheet.part(rng, outline, stops, kind="close", profile=profile, bump=7, gloss=45)
    for _ in range(rng.randint(3, 16)):  # bubbles and char on the rim
        turn, away = rng.uniform(0, 6.3), radius * rng.uniform(0.9, 0.975)
        spot = (middle[0] + math.cos(turn) * away, middle[1] + math.sin(turn) * away)
        size = radius * rng.uniform(0.02, 0.055)
        tone = mix((150, 86, 38), (40, 22, 14), rng.random())
        char = blob(rng, spot, size, size * 0.6, angle=turn + 1.57, wobble=0.25, count=14)
        sheet.paint(char, tone, 1.2, 20)


def _scatter(
    sheet: Sheet,
    rng: Random,
    toppings: tuple[tuple[Topping, int, float], ...],
    middle: tuple[float, float],
    radius: float,
) -> None:
    """Spread the toppings evenly but not in rows: along a sunflower's spiral, shaken."""
    plenty = rng.uniform(0.9, 1.35)
    pieces = [
        (topping, share) for topping, count, share in toppings for _ in range(round(count * plenty))
    ]
    rng.shuffle(pieces)
    start = rng.uniform(0, 6.3)
    for index, (topping, share) in enumerate(pieces):
        turn = start + index * 2.39996 + rng.gauss(0, 0.25)
        away = radius * (0.77 * math.sqrt((index + 0.5) / len(pieces)) + rng.gauss(0, 0.025))
        spot = (middle[0] + math.cos(turn) * away, middle[1] + math.sin(turn) * away)
        size = radius * share * 1.12
        inside = -2 * size < spot[0] < sheet.size[0] + 2 * size
        if inside and -2 * size < spot[1] < sheet.size[1] + 2 * size:
            topping(sheet, rng, *spot, size)
