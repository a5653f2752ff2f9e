"""Which images lie close to each other in feature space."""

from __future__ import annotations

import numpy as np

_MIN_CELL = 1000  # images for which all are compared with all
_CELLS_EACH = 2  # cells that an image lies in, so that borders divide few neighbours
_ROWS = 512


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Return features ``(n, dim)`` as float32 rows of length 1."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def nearest_pairs(features: np.ndarray, num_neighbours: int, min_cosine: float) -> np.ndarray:
    """Return pairs of each image and its nearest ones, lower position first, each pair once.

    Large sets are divided into cells around some of their images and compared within cells, so
    the work grows with n to the power of 1.5; a neighbour across a border may be missed.

    Args:
        features: ``(n, dim)``.
        num_neighbours: how many to look for of each.
        min_cosine: least cosine of a pair's features.

    Returns:
        ``(num_pairs, 2)`` int64, sorted.
    """
    rows = unit_rows(features)
    found = [np.empty((0, 2), np.int64)]
    for members in _cells(rows):
        own = rows[members]
        num = min(num_neighbours, len(members) - 1)
        for start in range(0, len(members) if num > 0 else 0, _ROWS):
            cosines = own[start : start + _ROWS] @ own.T
            places = np.arange(len(cosines))
            cosines[places, places + start] = -2
            best = np.argpartition(-cosines, num - 1, axis=1)[:, :num]
            row, column = np.nonzero(np.take_along_axis(cosines, best, axis=1) >= min_cosine)
            pairs = np.stack([members[row + start], members[best[row, column]]], axis=1)
            found.append(np.sort(pairs, axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _cells(rows: np.ndarray) -> list[np.ndarray]:
    num = len(rows)
    num_cells = max(1, round(np.sqrt(num) / 2))
    if num <= _MIN_CELL:
        return [np.arange(num)]
    seeds = rows[np.linspace(0, num - 1, num_cells).astype(int)]
    near = [
        np.argpartition(-(rows[start : start + _ROWS] @ seeds.T), _CELLS_EACH - 1, axis=1)
        for start in range(0, num, _ROWS)
    ]
    cell_of = np.concatenate(near)[:, :_CELLS_EACH]
    return [np.flatnonzero((cell_of == cell).any(axis=1)) for cell in range(num_cells)]
