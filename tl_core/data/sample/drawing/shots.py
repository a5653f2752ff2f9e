"""What goes wrong when a photo is taken: each function returns a spoiled one of the same size.

Some are styles rather than faults: the class stays the same in a sketch, a print or an old photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from tl_core.data.sample.drawing.shapes import Color, blob, mix, vary
from tl_core.data.sample.drawing.sheet import noise_patch

_OBJECTS: tuple[Color, ...] = (
    (66, 96, 48),
    (226, 220, 210),
    (150, 40, 34),
    (60, 52, 48),
    (196, 160, 110),
)
_TONES: tuple[tuple[float, float, float], ...] = (  # lamps: sodium, tungsten, neon, shade, screen
    (1.12, 0.86, 0.5),
    (1.1, 0.92, 0.7),
    (0.8, 1.06, 0.82),
    (0.74, 0.92, 1.16),
    (1.02, 0.78, 1.08),
)


def out_of_focus(photo: Image.Image, rng: Random) -> Image.Image:
    """Blur all of it."""
    return photo.filter(ImageFilter.GaussianBlur(rng.uniform(1.6, 4.2)))


def shaken(photo: Image.Image, rng: Random) -> Image.Image:
    """Smear it in one direction."""
    reach, turn = rng.uniform(5, 14), rng.uniform(0, math.pi)
    across, down = math.cos(turn) * reach, math.sin(turn) * reach
    total = photo
    for step, share in ((0.5, 1 / 2), (-0.5, 1 / 3), (0.25, 1 / 4), (-0.25, 1 / 5)):
        moved = ImageChops.offset(photo, round(across * step), round(down * step))
        total = Image.blend(total, moved, share)
    return total


def dim(photo: Image.Image, rng: Random) -> Image.Image:
    """Take it in the evening: dark, coloured and noisy."""
    light, tone = rng.uniform(0.4, 0.62), rng.choice(_TONES)
    noise = np.asarray(noise_patch(rng, photo.size, "grain"), np.float32) - 127
    level = np.asarray(photo, np.float32) * np.float32(light) * np.array(tone, np.float32)
    level += noise[:, :, None] * np.float32(rng.uniform(0.05, 0.12))
    return Image.fromarray(np.clip(level, 0, 255).astype(np.uint8))


def cast(photo: Image.Image, rng: Random) -> Image.Image:
    """Take it under a coloured lamp."""
    tone = rng.choice(_TONES)
    tables = [min(255, round(level * share)) for share in tone for level in range(256)]
    return photo.point(tables)


def glaring(photo: Image.Image, rng: Random) -> Image.Image:
    """Let a lamp shine into the lens: pale all over, white on one side."""
    width, height = photo.size
    pool = ImageOps.invert(Image.radial_gradient("L")).resize((width * 2, height * 2))
    left, top = rng.randrange(width), rng.randrange(height)
    glow = pool.crop((left, top, left + width, top + height))
    strong = rng.uniform(0.6, 1.0)
    mask = glow.point([round(level * strong) for level in range(256)])
    spoiled = Image.blend(
        photo, Image.new("RGB", photo.size, (236, 230, 220)), rng.uniform(0.1, 0.3)
    )
    spoiled.paste((255, 252, 244), (0, 0), mask)
    return spoiled


def shaded(photo: Image.Image, rng: Random) -> Image.Image:
    """Throw the shadows of a blind, or of who takes the photo, across it."""
    width, height = photo.size
    side = width + height
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.5:
        step = side * rng.uniform(0.05, 0.12)
        for row in range(round(side / step)):
            pen.rectangle(
                (0, row * step, side, row * step + step * rng.uniform(0.4, 0.6)), fill=255
            )
    else:
        pen.rectangle((0, side * rng.uniform(0.42, 0.58), side, side), fill=255)
    mask = mask.rotate(rng.uniform(0, 360)).filter(ImageFilter.GaussianBlur(2.5))
    left, top = (side - width) // 2, (side - height) // 2
    mask = mask.crop((left, top, left + width, top + height))
    depth = rng.uniform(0.55, 0.8)
    dark = photo.point([round(level * (1 - depth)) for level in range(256)] * 3)
    return Image.composite(dark, photo, mask)


def close(photo: Image.Image, rng: Random) -> Image.Image:
    """Show only a part of it."""
    width, height = photo.size
    share = rng.uniform(0.36, 0.6)
    left = width * (1 - share) * rng.uniform(0.2, 0.8)
    top = height * (1 - share) * rng.uniform(0.25, 0.75)
    box = (left, top, left + width * share, top + height * share)
    return photo.resize(photo.size, Image.Resampling.BICUBIC, box=box)


def turned_round(photo: Image.Image, rng: Random) -> Image.Image:
    """Hold the camera crooked, or upside down."""
    turn = (
        rng.choice((90, 180, 270))
        if rng.random() < 0.4
        else rng.choice((-1, 1)) * rng.uniform(20, 50)
    )
    if turn in (90, 270):
        return photo.transpose(Image.Transpose.ROTATE_90).resize(photo.size)
    whole = photo.rotate(turn, Image.Resampling.BILINEAR)
    if turn == 180:
        return whole
    share = 0.7
    width, height = photo.size
    left, top = width * (1 - share) / 2, height * (1 - share) / 2
    box = (left, top, width - left, height - top)
    return whole.resize(photo.size, Image.Resampling.BICUBIC, box=box)


def covered(photo: Image.Image, rng: Random) -> Image.Image:
    """Hold something out of focus in front of it: a glass, a napkin, a sleeve."""
    spoiled = photo.copy()
    width, height = photo.size
    for _ in range(rng.choice((1, 1, 2))):
        turn = rng.uniform(0, 2 * math.pi)
        spot = (
            width * (0.5 + 0.46 * math.cos(turn)),
            height * (0.5 + 0.46 * math.sin(turn)),
        )
        _hold(spoiled, rng, spot, min(width, height) * rng.uniform(0.28, 0.42))
    return spoiled


def beside(photo: Image.Image, rng: Random) -> Image.Image:
    """Let something out of focus stand at the edge of the frame."""
    spoiled = photo.copy()
    width, height = photo.size
    spot = (rng.choice((-0.02, 1.02)) * width, height * rng.uniform(0.2, 1.0))
    _hold(spoiled, rng, spot, width * rng.uniform(0.14, 0.24))
    return spoiled


def _hold(photo: Image.Image, rng: Random, spot: tuple[float, float], reach: float) -> None:
    mask = Image.new("L", photo.size)
    shape = blob(rng, spot, reach, reach * rng.uniform(0.7, 1.6), wobble=0.12)
    ImageDraw.Draw(mask).polygon(shape.ravel().tolist(), fill=rng.randint(200, 250))
    color = vary(rng, rng.choice(_OBJECTS))
    mask = mask.filter(ImageFilter.GaussianBlur(photo.width * 0.022))
    fade = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(photo.size)
    front = ImageOps.colorize(fade, mix(color, (0, 0, 0), 0.4), mix(color, (255, 255, 255), 0.2))
    photo.paste(front, (0, 0), mask)


def coarse(photo: Image.Image, rng: Random) -> Image.Image:
    """Send it through a chat: few pixels, enlarged again."""
    share = rng.uniform(0.16, 0.28)
    size = (round(photo.width * share), round(photo.height * share))
    return photo.resize(size, Image.Resampling.BOX).resize(photo.size, Image.Resampling.BILINEAR)


def faded(photo: Image.Image, rng: Random) -> Image.Image:
    """Find it in an album: grey or brown, with little contrast."""
    dark, light = rng.choice((((20, 20, 22), (240, 240, 240)), ((62, 42, 28), (238, 222, 190))))
    return ImageOps.colorize(photo.convert("L"), dark, light)


def sketched(photo: Image.Image, rng: Random) -> Image.Image:
    """Draw it with a pencil, some with a wash of colour."""
    grey = photo.convert("L").filter(ImageFilter.GaussianBlur(0.8))
    soft = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(rng.uniform(3, 7)))
    base = np.asarray(grey, np.float32)
    light = np.clip(base / (256 - np.asarray(soft, np.float32)), 0, 1)
    lines = (255 * light ** np.float32(rng.uniform(2.5, 4))).astype(np.uint8)
    paper = rng.choice(((250, 248, 242), (238, 228, 206)))
    drawn = ImageOps.colorize(Image.fromarray(lines), (50, 46, 48), paper)
    wash = photo.filter(ImageFilter.GaussianBlur(4))
    return Image.blend(drawn, ImageChops.multiply(drawn, wash), rng.choice((0.0, 0.0, 0.5)))


def painted(photo: Image.Image, rng: Random) -> Image.Image:
    """Paint it with a broad brush and few colours."""
    small = photo.reduce(2).filter(ImageFilter.MedianFilter(rng.choice((5, 7))))
    flat = small.quantize(rng.choice((6, 8, 12)), dither=Image.Dither.NONE).convert("RGB")
    return flat.resize(photo.size, Image.Resampling.BICUBIC)


Shot = Callable[[Image.Image, Random], Image.Image]
FAULTS: tuple[tuple[Shot, int], ...] = (  # how often each is
    (out_of_focus, 3),
    (shaken, 2),
    (dim, 3),
    (cast, 3),
    (glaring, 2),
    (shaded, 3),
    (close, 5),
    (turned_round, 5),
    (covered, 5),
    (coarse, 2),
    (faded, 2),
    (sketched, 3),
    (painted, 3),
)
_AS_WELL: tuple[Shot, ...] = (cast, shaded, turned_round, beside)


def spoil(photo: Image.Image, rng: Random, *, twice: bool = False) -> Image.Image:
    """Return a photo with a fault; one spoiled ``twice`` has a slighter one before it."""
    shots, often = zip(*FAULTS, strict=True)
    if twice:
        photo = rng.choice(_AS_WELL)(photo, rng)
    return rng.choices(shots, often)[0](photo, rng)
