"""What the network sees: a photo as it is, beside what resizing makes of it."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw

from tl_core.config.training import Resize
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import crop_box, encode_jpeg, open_image
from ui.augment.contact_sheet import Palette, current_palette, rounded_mask
from ui.shared.caches import cache_data

HEIGHT = 120  # pixels of both pictures
MAX_WIDTH = 160
ARROW = 36  # pixels between them
LOST = 0.3  # brightness of what a crop cuts off
UNSEEN = 0.01  # smaller changes of shape are not mentioned


def draw_seen(
    index: DatasetIndex,
    record: ImageRecord,
    pixels: np.ndarray,
    resize: Resize,
) -> None:
    """Draw a photo and the pixels that were made of it, with their sizes.

    Args:
        index: whose photo.
        record: which.
        pixels: (height, width, 3) uint8 RGB as the network takes them.
        resize: how they were made.
    """
    height, width = pixels.shape[:2]
    summary = seen_words(record.width, record.height, (height, width), resize)
    original = _open(str(index.path_of(record)), record.sha256, index.scale_of(record))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        sheet = seen_sheet(original, pixels, resize, current_palette())
        st.image(sheet, width="content", alt=f"The photo, and what the network sees. {summary}")
        with st.container(gap="xxsmall"):
            st.markdown("**What the network sees**")
            st.caption(summary)


def seen_words(width: int, height: int, image_size: tuple[int, int], resize: Resize) -> str:
    """Say what resizing does to a photo of that many pixels; ``image_size`` is (height, width)."""
    out_height, out_width = image_size
    summary = f"{width:,} × {height:,} pixels become {out_width} × {out_height}: "
    narrow = (out_width / width) / (out_height / height)  # below 1 when things get narrower
    lost = 1 - min(narrow, 1 / narrow)
    if lost < UNSEEN:
        summary += "the aspect ratio stays the same."
    elif resize == "crop":
        sides = "left and right" if narrow < 1 else "above and below"
        summary += f"{100 * lost:.0f} % of it is cut off, {sides}."
    elif resize == "pad":
        sides = "above and below" if narrow < 1 else "left and right"
        summary += f"{100 * lost:.0f} % of that is black, {sides}."
    else:
        summary += (
            f"squashed, things look {100 * lost:.0f} % {'narrower' if narrow < 1 else 'flatter'}."
        )
    scales = out_width / width, out_height / height
    growth = math.sqrt(scales[0] * scales[1])
    if resize != "squash":
        growth = max(scales) if resize == "crop" else min(scales)
    if growth >= 1.5:
        summary += f" It is enlarged {growth:.1f} times, which makes it blurred."
    return summary


def seen_sheet(
    original: Image.Image, pixels: np.ndarray, resize: Resize, palette: Palette
) -> bytes:
    """Set a photo, an arrow and the network's pixels side by side, as JPEG.

    What a crop cuts off is dark in the photo.
    """
    before = _fit(original)
    if resize == "crop":
        box = crop_box(before.size, (pixels.shape[0], pixels.shape[1]))
        kept = Image.new("L", before.size, round(255 * LOST))
        ImageDraw.Draw(kept).rectangle(tuple(map(round, box)), fill=255)
        before = Image.composite(before, Image.new("RGB", before.size), kept)
    after = _fit(Image.fromarray(pixels))
    width = before.width + ARROW + after.width
    sheet = Image.new("RGB", (width, HEIGHT), palette.background)
    for picture, left in ((before, 0), (after, before.width + ARROW)):
        top = (HEIGHT - picture.height) // 2
        sheet.paste(picture, (left, top), rounded_mask(picture.size))
    _draw_arrow(ImageDraw.Draw(sheet), before.width, palette.text)
    return encode_jpeg(sheet)


def _fit(picture: Image.Image) -> Image.Image:
    """Return a picture at the height of the sheet, or lower when it would be too wide."""
    scale = min(HEIGHT / picture.height, MAX_WIDTH / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _draw_arrow(draw: ImageDraw.ImageDraw, left: int, color: str) -> None:
    start, end, middle = left + 8, left + ARROW - 8, HEIGHT // 2
    draw.line((start, middle, end, middle), color, 2)
    draw.line((end - 7, middle - 6, end, middle, end - 7, middle + 6), color, 2, joint="curve")


@cache_data(max_entries=64)
def _open(path: str, sha256: str, scale: PixelScale | None) -> Image.Image:
    """Open a photo upright; ``sha256`` keys the cache on content, not on the path."""
    return open_image(path, max_side=2 * MAX_WIDTH, scale=scale)
