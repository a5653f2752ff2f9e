"""What a picture looks like in about a thousand bytes, so that copies of it can be found.

A fingerprint is the picture squashed to a small square of light and a smaller one of colour. From
the light come 64 low frequencies and their signs, the perceptual hash, of the whole picture and of
windows in it: the hash of a cropped copy is that of a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 32
COLOUR_SIDE = 8
NUM_BITS = 64
_NUM_LIGHT = SIDE * SIDE
_NUM_FREQUENCIES = 11

# Parts of a side, from 0 to 1, that a copy may have been cropped to.
_SPANS = (
    *((0.0, 1.0), (0.0, 0.95), (0.05, 1.0), (0.025, 0.975)),
    *((0.05, 0.95), (0.0, 0.9), (0.1, 1.0)),
)
# Rows' and columns' spans of each window; the first one is the whole picture.
_PAIRS = (
    *((row, column) for row in range(4) for column in range(4)),
    *((row, column) for row in range(4, 7) for column in range(4, 7)),
)
WINDOWS = np.array([(*_SPANS[row], *_SPANS[column]) for row, column in _PAIRS], np.float32)
"""(num_windows, 4): top, bottom, left, right, from 0 to 1."""


def make_fingerprint(picture: Image.Image) -> bytes:
    """Return the fingerprint of an upright RGB picture."""
    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    light, *colours = small.convert("YCbCr").split()
    colour_size = (COLOUR_SIDE, COLOUR_SIDE)
    tints = [colour.resize(colour_size, Image.Resampling.BOX).tobytes() for colour in colours]
    return light.tobytes() + b"".join(tints)


def read_fingerprints(fingerprints: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Return light (n, 32, 32) and colour (n, 2, 8, 8), both uint8."""
    values = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(len(fingerprints), -1)
    light = values[:, :_NUM_LIGHT].reshape(-1, SIDE, SIDE)
    return light, values[:, _NUM_LIGHT:].reshape(-1, 2, COLOUR_SIDE, COLOUR_SIDE)


def window_frequencies(light: np.ndarray) -> np.ndarray:
    """Return the 64 lowest frequencies but the mean of each window, weighed and of length 1.

    Neither brightness nor contrast counts in them.

    Args:
        light: ``(n, 32, 32)``.

    Returns:
        ``(n, num_windows, 64)`` float32.
    """
    plane = _BASIS @ light.astype(np.float32) @ _BASIS.T
    num = len(_SPANS)
    plane = plane.reshape(-1, num, _NUM_FREQUENCIES, num, _NUM_FREQUENCIES)
    values = np.stack([plane[:, row, _ROWS, column, _COLUMNS] for row, column in _PAIRS], axis=1)
    values *= _WEIGHTS
    lengths = np.linalg.norm(values, axis=2, keepdims=True)
    return values / np.maximum(lengths, 1e-6)


def perceptual_hashes(frequencies: np.ndarray) -> np.ndarray:
    """Return the signs of frequencies ``(..., 64)`` as uint64 ``(...)``."""
    bits = np.ascontiguousarray(np.packbits(frequencies > 0, axis=-1))
    return bits.view(">u8")[..., 0].astype(np.uint64)


def _basis() -> np.ndarray:
    """Return cosines over each span, (spans * frequencies, 32); a pixel counts by its overlap."""
    edges = np.arange(SIDE + 1) / SIDE
    rows = []
    for start, end in _SPANS:
        low, high = np.clip(edges[:-1], start, end), np.clip(edges[1:], start, end)
        place = ((low + high) / 2 - start) / (end - start)
        angles = np.arange(_NUM_FREQUENCIES)[:, None] * np.pi * place
        rows.append(np.cos(angles) * (high - low))
    return np.concatenate(rows).astype(np.float32)


def _lowest() -> np.ndarray:
    """Return (64, 2): rows and columns of the lowest frequencies but the mean, in order."""
    numbers = range(_NUM_FREQUENCIES)
    places = sorted(
        (row + column, abs(row - column), row, column) for row in numbers for column in numbers
    )
    return np.array([place[2:] for place in places[1 : NUM_BITS + 1]])


_BASIS = _basis()
_ROWS, _COLUMNS = _lowest().T
_WEIGHTS = np.sqrt(_ROWS + _COLUMNS).astype(np.float32)  # else the lowest few outweigh all others
MIRROR_SIGNS = np.where(_COLUMNS % 2 == 1, -1.0, 1.0).astype(np.float32)
"""What mirroring left-right does to the frequencies: (64,)."""
MIRROR_BITS = int(perceptual_hashes(-MIRROR_SIGNS))
"""Bits of the hash that mirroring turns."""
