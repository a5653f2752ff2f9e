"""Copies of one picture among many: recompressed, resized, cropped or brightened.

Hashes that differ in few bits make candidates, found through shared bands of bits instead of
comparing all with all; a comparison of the pictures' detail confirms each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tl_core.data.fingerprints import THUMBNAIL_SIDE
from tl_core.data.progress import ShouldStop
from tl_core.errors import Stopped

_MAX_BITS = 11
_NUM_BANDS = 4
_BAND_BITS = 16


def find_near_duplicates(
    phashes: Sequence[int],
    thumbnails: Sequence[bytes],
    similarity: float = 0.9,
    should_stop: ShouldStop | None = None,
) -> list[tuple[int, ...]]:
    """Return groups of positions whose pictures are copies of one.

    Args:
        phashes: 64 bits an image.
        thumbnails: 32 x 32 bytes of luminance an image.
        similarity: least correlation of the pictures' detail, up to 1.
        should_stop: asked between batches.

    Raises:
        Stopped: ``should_stop`` said so.
    """
    pairs: list[np.ndarray] = []
    for candidates in _candidates(np.array(phashes, np.uint64)):
        if should_stop is not None and should_stop():
            raise Stopped
        pairs.append(candidates[_similarities(candidates, thumbnails) >= similarity])
    return group_pairs(len(phashes), np.concatenate(pairs) if pairs else np.empty((0, 2), int))


def group_pairs(num: int, pairs: Iterable[Sequence[int]] | np.ndarray) -> list[tuple[int, ...]]:
    """Return the groups that pairs of positions join, each ascending, in order of their first."""
    parent = list(range(num))

    def root_of(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in pairs:
        one, other = sorted((root_of(int(first)), root_of(int(second))))
        parent[other] = one
    groups: dict[int, list[int]] = {}
    for place in range(num):
        groups.setdefault(root_of(place), []).append(place)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _candidates(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (n, 2) pairs of positions whose hashes differ in at most ``_MAX_BITS`` bits."""
    shift = np.uint64(_BAND_BITS)
    rest = hashes.copy()
    for _ in range(_NUM_BANDS):
        band = rest & np.uint64(2**_BAND_BITS - 1)
        rest >>= shift
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for members in np.split(order, edges):
            if len(members) < 2:
                continue
            first, second = np.triu_indices(len(members), 1)
            pairs = np.stack([members[first], members[second]], axis=1)
            bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
            yield pairs[bits <= _MAX_BITS]


def _similarities(pairs: np.ndarray, thumbnails: Sequence[bytes]) -> np.ndarray:
    first, second = (
        _normalised([thumbnails[place] for place in pairs[:, column]]) for column in (0, 1)
    )
    return (first * second).sum(axis=1)


def _normalised(thumbnails: Sequence[bytes]) -> np.ndarray:
    values = np.frombuffer(b"".join(thumbnails), np.uint8).astype(np.float32)
    values = values.reshape(len(thumbnails), THUMBNAIL_SIDE**2)
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
