"""Tiles set on one sheet of the page's colour: one image answers a moved control at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw, ImageFont

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation.augment import SWITCHES, TWO_SIDED
from tl_core.data.augmentation.preview import strength_strip
from tl_core.data.images.images import encode_jpeg
from ui.augment.state import say_strength

NUM_STEPS = 6
NUM_SWITCH_COLUMNS = 4  # a switch has two tiles a photo: two photos stand side by side
NUM_PHOTOS = 3
NUM_SWITCH_PHOTOS = 4


@dataclass(frozen=True)
class Strip:
    """Tiles of a sheet, in rows, with their labels; ``marked`` are the numbers of those set."""

    tiles: list[np.ndarray]
    labels: list[str]
    marked: set[int]
    columns: int


def num_photos(transform: str) -> int:
    """Return how many photos a strip of that transform shows."""
    return NUM_SWITCH_PHOTOS if transform in SWITCHES else NUM_PHOTOS


def make_strip(photos: Sequence[np.ndarray], transform: str, config: AugmentConfig) -> Strip:
    """Lay out a transform's strengths: the first photo to both sides, the others to one.

    Args:
        photos: (height, width, 3) uint8 RGB each, as the network takes them.
        transform: a field of the configuration.
        config: the setting to mark; its fill is used.
    """
    value = getattr(config, transform)
    sides = (1, -1) if transform in TWO_SIDED else (1,)
    strip = Strip([], [], set(), NUM_SWITCH_COLUMNS if transform in SWITCHES else NUM_STEPS)
    rows = [(photos[0], side) for side in sides] + [(photo, 1) for photo in photos[1:]]
    for photo, side in rows:
        steps = strength_strip(
            photo,
            transform,
            NUM_STEPS,
            also=None if transform in SWITCHES else value,
            direction=1 if side > 0 else -1,
            fill=config.fill,
        )
        for strength, tile in steps:
            label = say_strength(transform, strength)
            if transform in TWO_SIDED and strength:
                label = f"{'+' if side > 0 else '-'}{label}"
            if math.isclose(strength, value, abs_tol=1e-9):
                strip.marked.add(len(strip.tiles))
            strip.tiles.append(tile)
            strip.labels.append(label)
    return strip


GAP = 10
RADIUS = 12
LABEL_SIZE = 19  # sheets of labelled tiles are shown at about two thirds
LABEL_HEIGHT = 30
FRAME = 5


@dataclass(frozen=True)
class Palette:
    """Colours of the page, as ``.streamlit/config.toml`` has them."""

    background: str
    text: str
    mark: str


PALETTES = {
    "light": Palette("#FDFCFA", "#6B706C", "#0B766B"),
    "dark": Palette("#121615", "#98A09B", "#129083"),
}


def current_palette() -> Palette:
    """Return the colours of the theme that the page is shown in."""
    return PALETTES["dark" if st.context.theme.type == "dark" else "light"]


def contact_sheet(
    tiles: Sequence[np.ndarray],
    columns: int,
    side: int,
    palette: Palette,
    labels: Sequence[str] = (),
    marked: Collection[int] = (),
) -> bytes:
    """Set tiles with round corners on a sheet of the page's colour, as JPEG.

    Args:
        tiles: ``(height, width, 3)`` uint8 RGB each, all of one size.
        columns: how many stand side by side.
        side: the longer side of a tile on the sheet in pixels, at most its own.
        palette: the page's colours; the background shows between the tiles.
        labels: a word below each tile.
        marked: numbers of the tiles that get a frame, and their label its colour.
    """
    height, width = tiles[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = rounded_mask(size)
    rows = -(-len(tiles) // columns)
    label_height = LABEL_HEIGHT if labels else 0
    pitch = (size[0] + GAP, size[1] + GAP + label_height)
    sheet = Image.new("RGB", (columns * pitch[0] - GAP, rows * pitch[1] - GAP), palette.background)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LABEL_SIZE) if labels else None
    for number, tile in enumerate(tiles):
        image = Image.fromarray(tile)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        left, top = number % columns * pitch[0], number // columns * pitch[1]
        sheet.paste(image, (left, top), mask)
        if number in marked:
            box = (left, top, left + size[0] - 1, top + size[1] - 1)
            draw.rounded_rectangle(box, RADIUS, outline=palette.mark, width=FRAME)
        if labels:
            place = (left + size[0] // 2, top + size[1] + label_height // 2)
            color = palette.mark if number in marked else palette.text
            draw.text(place, labels[number], color, font, anchor="mm")
    return encode_jpeg(sheet)


def rounded_mask(size: tuple[int, int]) -> Image.Image:
    """Return a mask of that (width, height) that rounds the corners of what is pasted with it."""
    mask = Image.new("L", size)
    box = (0, 0, size[0] - 1, size[1] - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, RADIUS, fill=255)
    return mask
