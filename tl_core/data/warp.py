"""One affine map of a picture about its centre, with something to show beyond its edges."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image

Fill = Literal["reflect", "edge", "black"]


def warp(
    picture: Image.Image, linear: np.ndarray, shift: tuple[float, float], fill: Fill
) -> Image.Image:
    """Map the content about the centre with one bilinear resample, at the same size.

    Bilinear sampling reads 2 x 2 pixels and would jump over some where the content shrinks to
    half or less; there, pixels are averaged to nearly the final scale first.

    Args:
        picture: RGB.
        linear: (2, 2) matrix from a place in the picture to its place in the result, (x, y) in
            pixels from the centre, y down.
        shift: (x, y) in pixels, added after it.
        fill: What lies outside: the picture mirrored at its edges, its edge pixels, or black.
    """
    width, height = picture.size
    matrix = _source_matrix(width, height, linear, shift)
    reduction = int(1 / math.sqrt(abs(np.linalg.det(linear))) + 1e-9)
    if reduction > 1:
        reduced = (max(1, round(width / reduction)), max(1, round(height / reduction)))
        picture = picture.resize(reduced, Image.Resampling.BOX)
        matrix = np.diag([reduced[0] / width, reduced[1] / height, 1.0]) @ matrix
    if fill != "black":
        corners = matrix @ [[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]
        left, top = (max(0, math.ceil(-low)) for low in corners[:2].min(axis=1))
        right, bottom = (
            max(0, math.ceil(high - side))
            for high, side in zip(corners[:2].max(axis=1), picture.size, strict=True)
        )
        picture = _extend(picture, left, top, right, bottom, fill)
        matrix[:2, 2] += left, top
    return picture.transform(
        (width, height),
        Image.Transform.AFFINE,
        matrix[:2].ravel().tolist(),
        Image.Resampling.BILINEAR,
    )


def _source_matrix(
    width: int, height: int, linear: np.ndarray, shift: tuple[float, float]
) -> np.ndarray:
    """Return the (3, 3) matrix from a place (x, y, 1) in the result to its source."""
    inverse = np.linalg.inv(linear)
    centre = np.array([width / 2, height / 2])
    matrix = np.eye(3)
    matrix[:2, :2] = inverse
    matrix[:2, 2] = centre - inverse @ (centre + shift)
    return matrix


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
        # is extended again, which goes on with the pattern as its edge is the picture's then.
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
