"""What a picture looks like in a few bytes, so that copies of it can be found.

A hash finds candidates among many, a small luminance picture confirms them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL_SIDE = 32
_HASH_BITS = 64


def perceptual_hash(thumbnail: np.ndarray) -> int:
    """Return 64 signs of the lowest frequencies of a picture's light.

    The mean is left out, so that neither brightness nor contrast counts.

    Args:
        thumbnail: ``(32, 32)`` luminance.
    """
    frequencies = _BASIS @ thumbnail.astype(np.float32) @ _BASIS.T
    bits = frequencies[_ROWS, _COLUMNS] > 0
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def make_luminance_thumbnail(grey: Image.Image) -> np.ndarray:
    """Return a grey picture squashed to ``(32, 32)`` uint8."""
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(grey.resize(size, Image.Resampling.BOX if _covers(grey) else _SMOOTH))


_SMOOTH = Image.Resampling.BILINEAR


def _covers(grey: Image.Image) -> bool:
    return min(grey.size) >= 2 * THUMBNAIL_SIDE


def _cosines(num: int) -> np.ndarray:
    """Return the first ``num`` rows of the DCT-II: ``(num, 32)`` float32."""
    places = (np.arange(THUMBNAIL_SIDE) + 0.5) * np.pi / THUMBNAIL_SIDE
    return np.cos(np.arange(num)[:, None] * places).astype(np.float32)


def _lowest(num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the lowest frequencies but the mean."""
    places = [
        (row + column, abs(row - column), row, column) for row in range(11) for column in range(11)
    ]
    chosen = sorted(places)[1 : num_bits + 1]
    return np.array([place[2] for place in chosen]), np.array([place[3] for place in chosen])


_BASIS = _cosines(11)
_ROWS, _COLUMNS = _lowest(_HASH_BITS)
