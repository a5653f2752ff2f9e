"""Measure how well one small picture matches a window of another, after registration.

The window is refined by least squares, and the detail is compared. Other photos of the same scene
or the same kind of object share coarse shapes; only copies share the detail everywhere.
"""

from __future__ import annotations

import numpy as np

_ROUNDS = 6
_MAX_STEP = 0.02
_MAX_OUTSIDE = 0.05
_MAX_CROP = 0.35  # of one end of a side
_SPOT = 4
_SMOOTHING = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def align(first: np.ndarray, second: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the boxes of the first pictures that match the second ones.

    Args:
        first: ``(n, side, side)`` float32.
        second: ``(n, side, side)`` float32.
        boxes: ``(n, 4)`` initial boxes: top, bottom, left, right, from 0 to 1.

    References:
        Lucas and Kanade 1981, "An Iterative Image Registration Technique".
    """
    side = first.shape[1]
    place = ((np.arange(side, dtype=np.float32) + 0.5) / side)[1:-1]
    target = second[:, 1:-1, 1:-1].reshape(len(second), -1, 1)
    boxes = boxes.astype(np.float32)
    for _ in range(_ROUNDS):
        shown = cut_out(first, boxes)
        height, width = (
            (boxes[:, end] - boxes[:, start])[:, None, None] for start, end in ((0, 1), (2, 3))
        )
        inner = shown[:, 1:-1, 1:-1]
        down = (shown[:, 2:, 1:-1] - shown[:, :-2, 1:-1]) * (side / 2) / height
        right = (shown[:, 1:-1, 2:] - shown[:, 1:-1, :-2]) * (side / 2) / width
        slopes = np.stack(
            [
                *(down * (1 - place)[:, None], down * place[:, None]),
                *(right * (1 - place), right * place),
                *(inner, np.ones_like(inner)),  # contrast and brightness
            ],
            axis=1,
        ).reshape(len(first), 6, -1)
        products = slopes @ slopes.transpose(0, 2, 1)
        damping = np.trace(products, axis1=1, axis2=2) * 1e-7 + 1e-6
        products += damping[:, None, None] * np.eye(6, dtype=np.float32)
        solution = np.linalg.solve(products, slopes @ target)[..., 0]
        contrast = solution[:, 4:5]
        steps = solution[:, :4] / np.where(np.abs(contrast) < 0.2, 1, contrast)
        boxes = boxes + np.clip(steps, -_MAX_STEP, _MAX_STEP)
        boxes[:, 0::2] = boxes[:, 0::2].clip(-_MAX_OUTSIDE, _MAX_CROP)
        boxes[:, 1::2] = boxes[:, 1::2].clip(1 - _MAX_CROP, 1 + _MAX_OUTSIDE)
    return boxes


def cut_out(pictures: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return boxes of pictures ``(n, side, side)``, resampled to the same side."""
    rows = _interpolation(boxes[:, 0], boxes[:, 1], pictures.shape[1])
    columns = _interpolation(boxes[:, 2], boxes[:, 3], pictures.shape[2])
    return rows @ pictures @ columns.transpose(0, 2, 1)


def detail_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of the detail of pictures ``(n, side, side)``, -1 to 1: ``(n,)``.

    Coarse shapes, which other photos share, and the finest grain, which resampling and compression
    remove, are excluded.
    """
    one, other = _detail(first), _detail(second)
    lengths = np.sqrt(_dot(one, one) * _dot(other, other))
    return _dot(one, other) / np.maximum(lengths, 1e-6)


def contrast_ratio(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return by how much the second pictures ``(n, side, side)`` have more contrast: ``(n,)``."""
    shown, target = _centred(first), _centred(second)
    return _dot(shown, target) / np.maximum(_dot(shown, shown), 1e-6)


def worst_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the largest local difference of pictures ``(n, side, side)``: ``(n,)``.

    In standard deviations of the second picture, after fitting brightness and contrast. Copies
    differ little everywhere; photos by a fixed camera differ much where something moved.
    """
    shown, target = (_centred(pictures[:, 2:-2, 2:-2]) for pictures in (first, second))
    squares = (contrast_ratio(shown, target)[:, None, None] * shown - target) ** 2
    num_spots = squares.shape[1] // _SPOT
    spots = squares.reshape(-1, num_spots, _SPOT, num_spots, _SPOT).mean(axis=(2, 4))
    return np.sqrt(spots.max(axis=(1, 2))) / np.maximum(target.std(axis=(1, 2)), 1e-6)


def _interpolation(start: np.ndarray, end: np.ndarray, side: int) -> np.ndarray:
    """Return (n, side, side) float32 matrices that sample a span of a side by cubics."""
    place = (np.arange(side, dtype=np.float32) + 0.5) / side
    samples = (start[:, None] + place * (end - start)[:, None]) * side - 0.5
    distance = np.abs(samples.clip(0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=2, keepdims=True)


def _detail(pictures: np.ndarray) -> np.ndarray:
    fine = _smooth(pictures)
    return _centred((fine - _smooth(_smooth(fine)))[:, 2:-2, 2:-2])


def _smooth(pictures: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        widths = [(0, 0), (0, 0), (0, 0)]
        widths[axis] = (2, 2)
        padded = np.pad(pictures, widths, mode="edge")
        parts = np.lib.stride_tricks.sliding_window_view(padded, len(_SMOOTHING), axis)
        pictures = parts @ np.array(_SMOOTHING, np.float32)
    return pictures


def _centred(pictures: np.ndarray) -> np.ndarray:
    return pictures - pictures.mean(axis=(1, 2), keepdims=True)


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nij->n", first, second)
