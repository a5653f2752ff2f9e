"""How well one small picture is a cropped copy of another, after laying one over the other.

The window is refined by least squares; what counts at the end is fine detail. Other photos of the
same scene or of the same kind of thing share the coarse shapes, only copies share the detail.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 6
_MAX_STEP = 0.02
_SLACK = 0.05  # how far a window may come to lie outside of the picture
_MAX_CROP = 0.15
_SPOT = 4
_SMOOTHING = np.array([1, 4, 6, 4, 1], np.float32) / 16


def align(first: np.ndarray, second: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the windows of the first pictures that the second ones show.

    Args:
        first: ``(n, side, side)`` float32.
        second: ``(n, side, side)`` float32.
        windows: ``(n, 4)`` to begin from: top, bottom, left, right, from 0 to 1.

    References:
        Lucas and Kanade 1981, "An Iterative Image Registration Technique".
    """
    side = first.shape[1]
    place = ((np.arange(side, dtype=np.float32) + 0.5) / side)[1:-1]
    target = second[:, 1:-1, 1:-1].reshape(len(second), -1, 1)
    windows = windows.astype(np.float32)
    for _ in range(_ROUNDS):
        shown = cut_out(first, windows)
        height = (windows[:, 1] - windows[:, 0])[:, None, None]
        width = (windows[:, 3] - windows[:, 2])[:, None, None]
        down = (shown[:, 2:, 1:-1] - shown[:, :-2, 1:-1]) * (side / 2) / height
        right = (shown[:, 1:-1, 2:] - shown[:, 1:-1, :-2]) * (side / 2) / width
        inner = shown[:, 1:-1, 1:-1]
        slopes = np.stack(
            [
                down * (1 - place)[:, None],
                down * place[:, None],
                right * (1 - place),
                right * place,
                inner,
                np.ones_like(inner),
            ],
            axis=1,
        ).reshape(len(first), 6, -1)
        products = slopes @ slopes.transpose(0, 2, 1)
        damping = np.trace(products, axis1=1, axis2=2) * 1e-7 + 1e-6
        products += damping[:, None, None] * np.eye(6, dtype=np.float32)
        solution = np.linalg.solve(products, slopes @ target)[..., 0]
        gain = solution[:, 4:5]
        steps = solution[:, :4] / np.where(np.abs(gain) < 0.2, 1, gain)
        windows = windows + np.clip(steps, -_MAX_STEP, _MAX_STEP)
        windows[:, 0::2] = windows[:, 0::2].clip(-_SLACK, _MAX_CROP)
        windows[:, 1::2] = windows[:, 1::2].clip(1 - _MAX_CROP, 1 + _SLACK)
    return windows


def cut_out(pictures: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return windows of pictures ``(n, side, side)``, resampled to the same side."""
    rows = _interpolation(windows[:, 0], windows[:, 1], pictures.shape[1])
    columns = _interpolation(windows[:, 2], windows[:, 3], pictures.shape[2])
    return rows @ pictures @ columns.transpose(0, 2, 1)


def detail_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of fine detail of pictures ``(n, side, side)``, -1 to 1: ``(n,)``."""
    one, other = _unit_detail(first), _unit_detail(second)
    return np.einsum("nij,nij->n", one, other)


def worst_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how much the most different spot of pictures ``(n, side, side)`` differs: ``(n,)``.

    In deviations of the second picture's light, after fitting brightness and contrast. Copies
    differ little everywhere; photos by a fixed camera differ much where something moved.
    """
    shown, target = (_centred(pictures[:, 2:-2, 2:-2]) for pictures in (first, second))
    fitted = np.einsum("nij,nij->n", shown, target) / np.maximum(
        np.einsum("nij,nij->n", shown, shown), 1e-6
    )
    squares = (fitted[:, None, None] * shown - target) ** 2
    num_spots = squares.shape[1] // _SPOT
    spots = squares.reshape(-1, num_spots, _SPOT, num_spots, _SPOT).mean(axis=(2, 4))
    return np.sqrt(spots.max(axis=(1, 2))) / np.maximum(target.std(axis=(1, 2)), 1e-6)


def _centred(pictures: np.ndarray) -> np.ndarray:
    return pictures - pictures.mean(axis=(1, 2), keepdims=True)


def _interpolation(start: np.ndarray, end: np.ndarray, side: int) -> np.ndarray:
    """Return (n, side, side) float32 matrices that sample a span of a side by cubics."""
    place = (np.arange(side, dtype=np.float32) + 0.5) / side
    samples = (start[:, None] + place * (end - start)[:, None]) * side - 0.5
    distance = np.abs(samples.clip(0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return (weights / weights.sum(axis=2, keepdims=True)).astype(np.float32)


def _unit_detail(pictures: np.ndarray) -> np.ndarray:
    detail = _centred((pictures - _smooth(_smooth(pictures, 1), 2))[:, 1:-1, 1:-1])
    return detail / np.maximum(np.linalg.norm(detail, axis=(1, 2), keepdims=True), 1e-6)


def _smooth(pictures: np.ndarray, axis: int) -> np.ndarray:
    widths = [(0, 0), (0, 0), (0, 0)]
    widths[axis] = (2, 2)
    padded = np.pad(pictures, widths, mode="edge")
    num = pictures.shape[axis]
    parts = [np.take(padded, range(first, first + num), axis) for first in range(5)]
    return sum(weight * part for weight, part in zip(_SMOOTHING, parts, strict=True))
