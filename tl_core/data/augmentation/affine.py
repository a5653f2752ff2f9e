"""Affine transform of a picture about its centre, with a choice of edge padding."""

from __future__ import annotations

import math
from typing import Literal

from PIL import Image

Fill = Literal["reflect", "edge", "black"]
Linear = tuple[tuple[float, float], tuple[float, float]]


def warp(
    picture: Image.Image, linear: Linear, shift: tuple[float, float], fill: Fill
) -> Image.Image:
    """Map the content about the centre with one bilinear resample, at the same size.

    Bilinear sampling reads 2 x 2 pixels and would jump over some where the content shrinks to
    half or less; there, pixels are averaged to nearly the final scale first.

    Args:
        picture: RGB.
        linear: Rows of the (2, 2) matrix from a position in the picture to that in the result,
            (x, y) in pixels from the centre, y down.
        shift: (x, y) in pixels, added after it.
        fill: What to show outside: the picture mirrored at its edges, its edge pixels, or black.
    """
    width, height = picture.size
    (a, b), (c, d) = linear
    determinant = a * d - b * c
    # From a place in the result to its source: x = xx x' + xy y' + x0, y = yx x' + yy y' + y0.
    xx, xy, yx, yy = d / determinant, -b / determinant, -c / determinant, a / determinant
    moved_x, moved_y = width / 2 + shift[0], height / 2 + shift[1]
    x0 = width / 2 - xx * moved_x - xy * moved_y
    y0 = height / 2 - yx * moved_x - yy * moved_y
    reduction = int(1 / math.sqrt(abs(determinant)) + 1e-9)
    if reduction > 1:
        size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
        picture = picture.resize(size, Image.Resampling.BOX)
        by_x, by_y = size[0] / width, size[1] / height
        xx, xy, x0, yx, yy, y0 = xx * by_x, xy * by_x, x0 * by_x, yx * by_y, yy * by_y, y0 * by_y
    if fill != "black":
        # The corners of the result lie farthest out in the source, and bilinear sampling reads
        # half a pixel further.
        across_x, down_x, across_y, down_y = xx * width, xy * height, yx * width, yy * height
        left = math.ceil(0.5 - (x0 + min(0, across_x) + min(0, down_x)))
        top = math.ceil(0.5 - (y0 + min(0, across_y) + min(0, down_y)))
        right = math.ceil(0.5 + x0 + max(0, across_x) + max(0, down_x) - picture.width)
        bottom = math.ceil(0.5 + y0 + max(0, across_y) + max(0, down_y) - picture.height)
        left, top, right, bottom = (max(0, margin) for margin in (left, top, right, bottom))
        picture = _extend(picture, left, top, right, bottom, fill)
        x0, y0 = x0 + left, y0 + top
    return picture.transform(
        (width, height),
        Image.Transform.AFFINE,
        (xx, xy, x0, yx, yy, y0),
        Image.Resampling.BILINEAR,
    )


def _extend(
    picture: Image.Image, left: int, top: int, right: int, bottom: int, fill: Fill
) -> Image.Image:
    """Add margins in pixels: the picture mirrored at its edges, or its edges drawn out."""
    mirrored = fill == "reflect"
    side, rise = picture.size

    def depth(margin: int) -> int:
        return margin if mirrored else 1

    while left or top or right or bottom:
        # A mirrored margin is at most the picture itself; where more is asked for, the canvas
        # is extended again, which continues the pattern, as its edge is then the picture's.
        west, east = (min(left, side), min(right, side)) if mirrored else (left, right)
        north, south = (min(top, rise), min(bottom, rise)) if mirrored else (top, bottom)
        x0, y0 = west, north
        x1, y1 = x0 + picture.width, y0 + picture.height
        width, height = x1 + east, y1 + south
        canvas = Image.new("RGB", (width, height))
        canvas.paste(picture, (x0, y0))
        flip_x, flip_y = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM
        # Each margin as a box, and the box of the canvas that it shows.
        for margin, source, flip in (
            ((0, y0, x0, y1), (x0, y0, x0 + depth(west), y1), flip_x),
            ((x1, y0, width, y1), (x1 - depth(east), y0, x1, y1), flip_x),
            ((0, 0, width, y0), (0, y0, width, y0 + depth(north)), flip_y),
            ((0, y1, width, height), (0, y1 - depth(south), width, y1), flip_y),
        ):
            extent = (margin[2] - margin[0], margin[3] - margin[1])
            if 0 in extent:
                continue
            strip = canvas.crop(source).transpose(flip)
            if strip.size != extent:
                strip = strip.resize(extent, Image.Resampling.NEAREST)
            canvas.paste(strip, margin[:2])
        picture = canvas
        left, right, top, bottom = left - west, right - east, top - north, bottom - south
    return picture
