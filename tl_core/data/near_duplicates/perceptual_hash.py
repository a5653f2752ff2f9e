"""Fingerprints of pictures of about a thousand bytes, to find copies.

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
_NUM_FREQUENCIES = 11  # along a side; the 64 lowest are among them

Span = tuple[float, float]


class Windows:
    """Parts of a picture that a copy may have been cropped to; the first is the whole.

    Attributes:
        boxes: ``(num_windows, 4)`` float32: top, bottom, left, right, from 0 to 1.
    """

    def __init__(self, spans: Sequence[Span], pairs: Sequence[tuple[int, int]]) -> None:
        self._pairs = pairs
        self._num_spans = len(spans)
        self._basis = np.concatenate([_cosines(*span) for span in spans])
        self.boxes = np.array([(*spans[row], *spans[column]) for row, column in pairs], np.float32)

    def __len__(self) -> int:
        return len(self._pairs)

    def frequencies(self, light: np.ndarray) -> np.ndarray:
        """Return the 64 lowest frequencies but the mean of each window, weighed and of length 1.

        Neither brightness nor contrast counts in them.

        Args:
            light: ``(n, 32, 32)``.

        Returns:
            ``(n, num_windows, 64)`` float32.
        """
        plane = self._basis @ light.astype(np.float32) @ self._basis.T
        sides = (self._num_spans, _NUM_FREQUENCIES)
        plane = plane.reshape(-1, *sides, *sides)
        values = np.stack(
            [plane[:, row, _ROWS, column, _COLUMNS] for row, column in self._pairs], axis=1
        )
        values *= _WEIGHTS
        return values / np.maximum(np.linalg.norm(values, axis=2, keepdims=True), 1e-6)


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


def perceptual_hashes(frequencies: np.ndarray) -> np.ndarray:
    """Return the signs of frequencies ``(..., 64)`` as uint64 ``(...)``."""
    bits = np.ascontiguousarray(np.packbits(frequencies > 0, axis=-1))
    return bits.view(">u8")[..., 0].astype(np.uint64)


def mirror_boxes(boxes: np.ndarray, is_mirrored: np.ndarray) -> np.ndarray:
    """Return boxes ``(n, 4)`` for the picture mirrored left-right."""
    mirrored = np.column_stack([boxes[:, :2], 1 - boxes[:, 3], 1 - boxes[:, 2]])
    return np.where(is_mirrored[:, None], mirrored, boxes)


def _cosines(start: float, end: float) -> np.ndarray:
    """Return cosines over a span, (frequencies, 32); a pixel counts by how much it overlaps."""
    edges = np.arange(SIDE + 1) / SIDE
    low, high = np.clip(edges[:-1], start, end), np.clip(edges[1:], start, end)
    place = ((low + high) / 2 - start) / (end - start)
    angles = np.arange(_NUM_FREQUENCIES)[:, None] * np.pi * place
    return (np.cos(angles) * (high - low)).astype(np.float32)


def _lowest() -> np.ndarray:
    """Return (64, 2): rows and columns of the lowest frequencies but the mean, in order."""
    sides = range(_NUM_FREQUENCIES)
    places = sorted(
        (row + column, abs(row - column), row, column) for row in sides for column in sides
    )
    return np.array([place[2:] for place in places[1 : NUM_BITS + 1]])


def _evenly(size: float, num: int) -> list[Span]:
    """Return ``num`` spans of a size, from the first end of a side to the other."""
    starts = [(1 - size) * number / (num - 1) for number in range(num)]
    return [(start, start + size) for start in starts]


def _square(first: int, num: int) -> list[tuple[int, int]]:
    """Return pairs of any two of ``num`` spans from the ``first`` on."""
    spans = range(first, first + num)
    return [(row, column) for row in spans for column in spans]


_ROWS, _COLUMNS = _lowest().T
_WEIGHTS = np.sqrt(_ROWS + _COLUMNS).astype(np.float32)  # else the lowest few outweigh all others
MIRROR_SIGNS = np.where(_COLUMNS % 2 == 1, -1, 1).astype(np.float32)
"""Signs by which mirroring left-right multiplies the frequencies: (64,)."""
MIRROR_BITS = perceptual_hashes(-MIRROR_SIGNS)
"""Bits of the hash that mirroring flips: uint64."""

SLIGHT_CROPS = Windows(
    [(0, 1), (0, 0.95), (0.025, 0.975), (0.05, 1), *_evenly(0.9, 3)],
    [*_square(0, 4), *_square(4, 3)],
)
"""Up to a twentieth off any side, or a tenth of each side off both ends together."""

STRONG_CROPS = Windows(
    [(0, 1), *_evenly(0.9, 3), *_evenly(0.8, 5), *_evenly(0.7, 7)],
    [(0, 0), *_square(1, 3), *_square(4, 5), *_square(9, 7)],
)
"""Down to half of the area."""
