"""Quesadillas for the sample set: toasted tortillas around melted cheese, folded, cut, fanned."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image

from tl_core.data.sample.drawing.shapes import Color, Points, blob, mix, turned, vary
from tl_core.data.sample.drawing.sheet import Sheet, Stops
from tl_core.data.sample.drawing.taco import SHELLS, crumb, dice, leaf

_CHEESES: tuple[Color, ...] = ((250, 196, 74), (252, 222, 138), (246, 234, 200))
_FILLINGS: tuple[Color, ...] = ((92, 52, 34), (206, 160, 106), (60, 46, 50), (176, 62, 42))
_THICK = 12.0


def draw_quesadilla(
    sheet: Sheet,
    rng: Random,
    center: tuple[float, float],
    radius: float,
    angle: float,
    base: float,
    *,
    sweep: float = math.pi,
    pieces: int = 1,
    gap: float = 0.0,
) -> None:
    """Draw a quesadilla, or a part of it, around ``center``.

    ``sweep`` is pi for a folded one, 2 pi for a round one, less for a wedge; its middle points up,
    turned by ``angle``. It is cut into ``pieces``, which lie ``gap`` radii apart.
    """
    look = _Look(rng)
    start = angle - math.pi / 2 - sweep / 2
    for piece in range(pieces):
        turn = start + (piece + 0.5) * sweep / pieces
        away = gap * radius * rng.uniform(0.8, 1.3)
        spot = (center[0] + math.cos(turn) * away, center[1] + math.sin(turn) * away)
        loose = rng.uniform(-0.06, 0.06) if gap else 0.0
        _draw_piece(_Piece(sheet, rng, look, spot, radius, turn + loose, sweep / pieces, base))


class _Look:
    """What all pieces of one quesadilla share: its tortilla, cheese and filling."""

    def __init__(self, rng: Random) -> None:
        stops, _ = SHELLS[rng.choice((2, 2, 3, 3, 0))]
        self.brown = rng.uniform(0.1, 0.7)
        self.stops: Stops = tuple(
            (at, mix(color, (170, 104, 52), self.brown * 0.35)) for at, color in stops
        )
        self.cheese = vary(rng, rng.choice(_CHEESES), 8)
        self.filling = vary(rng, rng.choice(_FILLINGS), 10)
        self.salad = rng.choice((0.0, 0.0, 0.3, 0.6))
        self.grilled = rng.random() < 0.3
        self.stripe = rng.uniform(0, math.pi)


@dataclass(frozen=True)
class _Piece:
    """One piece: a slice of a disc with its tip at ``center``, ``sweep`` wide, along ``turn``.

    It lies at the height ``base`` of ``sheet``; ``rng`` draws what differs between pieces.
    """

    sheet: Sheet
    rng: Random
    look: _Look
    center: tuple[float, float]
    radius: float
    turn: float
    sweep: float
    base: float

    def outline(self, share: float = 1.0) -> Points:
        """Return its wavy outline with a share of its radius."""
        along = np.linspace(-0.5, 0.5, 9 + round(self.sweep * 10)) * self.sweep
        waves = 1 + 0.012 * np.sin(along * self.rng.uniform(5, 9) + self.rng.uniform(0, 6))
        arc = np.column_stack((np.cos(along), np.sin(along)))
        arc = arc * (self.radius * share * waves)[:, None]
        if self.sweep < 6:
            arc = np.concatenate((np.zeros((1, 2)), arc))
        return turned(arc, self.turn, self.center)

    def spot(self, side: float, reach: float) -> tuple[float, float]:
        """Return the point at an angle from its middle and a share of the radius from its tip."""
        at, away = self.turn + side, self.radius * reach
        return self.center[0] + math.cos(at) * away, self.center[1] + math.sin(at) * away


def _draw_piece(piece: _Piece) -> None:
    """Draw one piece: lower tortilla, what shows of the filling, upper tortilla and its toast."""
    sheet, rng, look, base = piece.sheet, piece.rng, piece.look, piece.base
    shift = piece.radius * rng.uniform(0.015, 0.04)
    x, y = piece.center
    low = replace(
        piece, center=(x + math.cos(piece.turn) * shift, y + math.sin(piece.turn) * shift)
    )
    dark = tuple((at, mix(color, (90, 50, 20), 0.25)) for at, color in look.stops)
    lower = low.outline(1.01)
    sheet.part(rng, lower, dark, kind="close", base=base + 3, rise=5, round_px=8, bump=2, gloss=25)
    _ooze(low)
    upper = piece.outline(rng.uniform(0.95, 0.99))
    sheet.part(
        rng,
        upper,
        look.stops,
        kind="cloud",
        gradient=Image.radial_gradient("L"),
        weight=0.12,
        base=base + 14,
        rise=_THICK,
        round_px=16,
        bump=5,
        gloss=35,
    )
    _toast(piece)


def _ooze(piece: _Piece) -> None:
    """Let cheese and filling show between the tortillas, along the arc and the cut edges."""
    sheet, rng, look, radius, base = piece.sheet, piece.rng, piece.look, piece.radius, piece.base

    def edge(low: float, high: float) -> tuple[float, float]:
        if piece.sweep < 3 and rng.random() < 0.5:
            side, reach = rng.choice((-0.5, 0.5)) * piece.sweep * 1.02, rng.uniform(0.15, 1.0)
        else:
            side, reach = rng.uniform(-0.49, 0.49) * piece.sweep, rng.uniform(low, high)
        return piece.spot(side, reach)

    share = piece.sweep / math.pi
    for _ in range(round(26 * share)):
        spot, size = edge(0.95, 1.03), radius * rng.uniform(0.025, 0.06)
        tone = mix(look.cheese, (214, 140, 50), rng.uniform(0, 0.4))
        melt = blob(rng, spot, size * 1.4, size, angle=rng.uniform(0, 3), wobble=0.15, count=16)
        sheet.paint(melt, tone, 12 + rng.uniform(0, 5), 170, base=base)
    for _ in range(round(20 * share)):
        crumb(sheet, rng, edge(0.94, 1.02), radius * 0.034, look.filling, base + 12)
    for _ in range(round(34 * share * look.salad)):
        leaf(sheet, rng, edge(0.94, 1.06), radius * 0.05, base + 14)
        if rng.random() < 0.5:
            dice(sheet, rng, edge(0.95, 1.05), radius * 0.03, (206, 46, 34), base + 15)


def _toast(piece: _Piece) -> None:
    """Brown the upper tortilla: spots of the pan, or the stripes of a grill."""
    sheet, rng, look, radius = piece.sheet, piece.rng, piece.look, piece.radius
    tone = mix(look.stops[0][1], (70, 36, 18), look.brown * 0.6)

    def inside(reach: float) -> tuple[float, float]:
        return piece.spot(rng.uniform(-0.46, 0.46) * piece.sweep, reach)

    if look.grilled:
        line = np.array((math.cos(look.stripe), math.sin(look.stripe)))
        for _ in range(round(9 * piece.sweep / math.pi) + 2):
            half = line * radius * rng.uniform(0.08, 0.16)
            middle = np.array(inside(0.85 * math.sqrt(rng.random())))
            sheet.stroke(np.array((middle - half, middle + half)), tone, radius * 0.03, -0.6)
    for _ in range(round((14 + 40 * look.brown) * piece.sweep / math.pi)):
        spot = inside(0.92 * math.sqrt(rng.random()))
        size = radius * rng.choice((0.012, 0.02, 0.03, 0.05)) * rng.uniform(0.7, 1.3)
        spot_tone = mix(look.stops[1][1], tone, rng.uniform(0.2, 0.85))
        shape = blob(rng, spot, size * 1.3, size, angle=rng.uniform(0, 3), wobble=0.25, count=12)
        sheet.paint(shape, spot_tone, 0.5)
