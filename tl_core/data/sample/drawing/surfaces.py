"""Surfaces of the sample set: table tops, and the room behind a table."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tl_core.data.sample.drawing.light import leaned
from tl_core.data.sample.drawing.shapes import Color, blob, mix, vary
from tl_core.data.sample.drawing.sheet import Stops, colorize, noise_patch

WOODS: tuple[Stops, ...] = (
    ((0.0, (92, 56, 32)), (0.5, (139, 90, 54)), (1.0, (176, 122, 78))),
    ((0.0, (58, 36, 24)), (0.5, (86, 56, 38)), (1.0, (118, 80, 54))),
    ((0.0, (176, 134, 90)), (0.5, (208, 168, 122)), (1.0, (228, 194, 152))),
    ((0.0, (150, 146, 138)), (0.5, (184, 180, 172)), (1.0, (214, 210, 202))),
    ((0.0, (44, 62, 74)), (0.5, (62, 86, 100)), (1.0, (88, 114, 126))),
)
PLAINS: tuple[Color, ...] = (
    (238, 196, 92),
    (226, 122, 98),
    (112, 164, 160),
    (64, 92, 108),
    (238, 228, 212),
    (150, 172, 132),
    (214, 164, 164),
    (52, 54, 62),
    (176, 196, 214),
    (120, 72, 82),
)
CLOTHS: tuple[Color, ...] = ((196, 48, 44), (52, 96, 150), (64, 128, 92), (214, 160, 60))


def wood(size: tuple[int, int], rng: Random, *, upright: bool | None = None) -> Image.Image:
    """Return planks with grain and dark joints."""
    upright = rng.random() < 0.5 if upright is None else upright
    width, height = (size[1], size[0]) if upright else size
    stops = rng.choice(WOODS)
    image = Image.new("RGB", (width, height))
    plank = rng.randint(height // 6, height // 3)
    top = -rng.randrange(plank)
    pen = ImageDraw.Draw(image)
    while top < height:
        grain = noise_patch(rng, (width, plank), "fibre")
        shift = rng.uniform(-0.12, 0.12)
        shifted = tuple((min(1.0, max(0.0, at + shift)), color) for at, color in stops)
        image.paste(colorize(grain, shifted), (0, top))
        dark = mix(stops[0][1], (0, 0, 0), 0.55)
        pen.line((0, top, width, top), fill=dark, width=3)
        pen.line((0, top + 2, width, top + 2), fill=stops[2][1], width=1)
        top += plank
    return image.transpose(Image.Transpose.ROTATE_90) if upright else image


def marble(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return pale or dark stone with veins."""
    field = np.asarray(noise_patch(rng, size, "broad"), np.float32) / 255
    slant = np.linspace(0, rng.uniform(1.5, 4), size[0], dtype=np.float32)[None, :]
    veins = np.abs(np.sin((field * 2.4 + slant) * 3.1)) ** 0.35
    veins = 0.75 * veins + 0.25 * field
    grey = Image.fromarray((np.clip(veins, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.7:
        return colorize(
            grey, ((0.0, (150, 148, 150)), (0.55, (222, 220, 218)), (1, (244, 242, 238)))
        )
    return colorize(grey, ((0.0, (150, 142, 120)), (0.4, (58, 62, 64)), (1, (30, 33, 36))))


def slate(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return dark or sandy stone."""
    rough = Image.blend(noise_patch(rng, size, "cloud"), noise_patch(rng, size, "grain"), 0.35)
    dark, light = rng.choice(
        (
            ((38, 42, 46), (84, 88, 92)),
            ((120, 116, 108), (172, 166, 154)),
            ((66, 52, 46), (110, 92, 82)),
        )
    )
    return colorize(rough, ((0.0, dark), (1.0, light)))


def cloth(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return a checked or striped cloth with a weave and soft folds."""
    side = max(size) * 3 // 2
    white = (242, 238, 230)
    color = rng.choice(CLOTHS)
    cell = rng.choice((14, 18, 24))
    striped = rng.random() < 0.3
    period = cell * 2 if not striped else cell * 2 + cell // 2
    across = np.where(np.arange(side) % period < cell, 1.0, 0.0).astype(np.float32)
    down = np.zeros(side, np.float32) if striped else across
    grey = Image.fromarray(((across[None, :] + down[:, None]) * 127).astype(np.uint8))
    turn = rng.choice((0, 0, 45, rng.uniform(-30, 30)))
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    grey = grey.rotate(turn, Image.Resampling.BILINEAR)
    grey = grey.crop((left, top, left + size[0], top + size[1]))
    stops = ((0.0, white), (0.5, color if striped else mix(white, color, 0.5)), (1.0, color))
    folds = Image.blend(noise_patch(rng, size, "broad"), noise_patch(rng, size, "grain"), 0.4)
    return _shaded(colorize(grey, stops), folds, 0.3)


def linen(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return plain cloth: a weave of threads in one colour."""
    across = noise_patch(rng, size, "fibre")
    down = noise_patch(rng, (size[1], size[0]), "fibre").transpose(Image.Transpose.ROTATE_90)
    color = rng.choice(((212, 200, 180), (164, 156, 148), (122, 138, 148), (196, 170, 150)))
    weave = Image.blend(across, down, 0.5)
    return colorize(
        weave, ((0.2, mix(color, (0, 0, 0), 0.2)), (0.8, mix(color, (255, 255, 255), 0.2)))
    )


def plain(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return a painted table top in one colour, sometimes fading into another."""
    color = rng.choice(PLAINS)
    other = vary(rng, mix(color, rng.choice(PLAINS), rng.choice((0.0, 0.0, 0.45))), 8)
    fade = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    grey = Image.blend(fade, noise_patch(rng, size, "broad"), 0.12)
    return colorize(grey, ((0.0, color), (1.0, other)))


def terrazzo(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return a pale composite with coloured chips."""
    image = Image.new("RGB", size, rng.choice(((236, 230, 222), (220, 222, 222), (60, 62, 66))))
    pen = ImageDraw.Draw(image)
    chips = ((196, 120, 92), (120, 140, 130), (84, 92, 104), (214, 176, 110), (240, 236, 228))
    for _ in range(size[0] * size[1] // 650):
        center = (rng.randrange(size[0]), rng.randrange(size[1]))
        chip = blob(rng, center, rng.uniform(2, 6.5), rng.uniform(1.5, 4.5), wobble=0.3, count=7)
        pen.polygon(chip.ravel().tolist(), fill=vary(rng, rng.choice(chips)))
    return image


SURFACES = (wood, wood, wood, marble, slate, cloth, cloth, linen, plain, plain, terrazzo)


def table_top(size: tuple[int, int], rng: Random) -> Image.Image:
    """Return a random table top seen from above, ``size`` (width, height) in final pixels."""
    return rng.choice(SURFACES)(size, rng)


def _shaded(image: Image.Image, grey: Image.Image, depth: float) -> Image.Image:
    """Darken an image by up to ``depth`` where ``grey`` is dark."""
    dark = grey.point([round(255 * depth * (1 - level / 255)) for level in range(256)])
    shaded = image.copy()
    shaded.paste((24, 18, 16), (0, 0), dark)
    return shaded


def backdrop(size: tuple[int, int], rng: Random, horizon: float) -> Image.Image:
    """Return a side view: a blurred room above ``horizon`` and a table top in perspective below.

    ``size`` is (width, height) in final pixels.
    """
    width, height = size
    line = round(height * horizon)
    image = _room((width // 2, height // 2), rng, line / 2).resize(size, Image.Resampling.BICUBIC)
    flat = table_top((width * 3 // 2, height * 9 // 8), rng)
    table = leaned(flat, (width, height - line), 0.28)
    far = table.reduce(4).resize(table.size, Image.Resampling.BICUBIC)
    focus = Image.linear_gradient("L").point([min(255, 3 * level) for level in range(256)])
    image.paste(Image.composite(table, far, focus.resize(table.size)), (0, line))
    edge = image.crop((0, line - 6, width, line + 6)).filter(ImageFilter.GaussianBlur(2))
    image.paste(edge, (0, line - 6))
    return image


def _room(size: tuple[int, int], rng: Random, line: float) -> Image.Image:
    """Return the blurred background behind the table, whose far edge is at height ``line``."""
    tone = rng.choice(((36, 30, 32), (244, 238, 228), (244, 238, 228), (150, 110, 80)))
    color = mix(rng.choice(PLAINS), tone, 0.4)
    glow = rng.choice(((255, 214, 140), (255, 240, 214), (150, 196, 240), (200, 230, 160)))
    # A pool of light on the wall behind, dimmer towards the corners.
    pool = Image.radial_gradient("L").resize((size[0] * 2, size[0] * 2))
    left, top = rng.randrange(size[0]), rng.randrange(size[0] // 2, size[0])
    pool = pool.crop((left, top, left + size[0], top + size[1]))
    stops = ((0.0, mix(color, glow, 0.4)), (0.5, color), (1.0, mix(color, (0, 0, 0), 0.45)))
    room = colorize(pool, stops)
    pen = ImageDraw.Draw(room, "RGBA")
    kind = rng.choice(("bokeh", "bokeh", "shelf", "shelf", "window", "bare"))
    if kind == "window":
        across, edge = rng.uniform(30, 60), rng.uniform(-20, size[0] - 20)
        for column in range(2):
            for row in range(2):
                x, y = edge + column * (across + 5), row * (line * 0.44 + 4) - 6
                pen.rectangle(
                    (x, y, x + across, y + line * 0.44), fill=(*mix(glow, color, 0.1), 210)
                )
    if kind == "shelf":
        x = rng.uniform(-10, 10)
        while x < size[0]:
            wide, tall = rng.uniform(8, 26), rng.uniform(0.25, 0.85) * line
            ink = vary(rng, mix(color, rng.choice(PLAINS), 0.55), 20)
            pen.rounded_rectangle((x, line - tall, x + wide, line + 4), 4, fill=(*ink, 230))
            x += wide + rng.uniform(2, 40)
    if kind in ("window", "shelf"):
        room = room.filter(ImageFilter.GaussianBlur(4.0))
    if kind == "bokeh" or rng.random() < 0.3:
        pen = ImageDraw.Draw(room, "RGBA")
        for _ in range(rng.randint(9, 26)):
            x, y, r = rng.uniform(0, size[0]), rng.uniform(0, line), rng.uniform(3, 11)
            disc = (x - r, y - r, x + r, y + r)
            pen.ellipse(disc, fill=(*vary(rng, glow, 24), rng.randint(40, 130)))
        room = room.filter(ImageFilter.GaussianBlur(1.1))
    return room
