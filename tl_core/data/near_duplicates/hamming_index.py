"""Find 64-bit hashes that differ in few bits, without comparing all pairs.

Hashes that differ in at most seven bits differ in at most one bit in one of four bands of 16 bits:
a table for each band finds them by 17 keys. The work grows with the number of hashes as long as
they are spread; where many are alike, a bounded sample of them is looked at.

References:
    Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MAX_BITS = 7
_NUM_BANDS = 4
_BAND_BITS = 16
_FLIPS = np.array([0, *(1 << bit for bit in range(_BAND_BITS))])
_SLICE = 250_000  # comparisons at once
_MAX_NEAR = 20_000  # maximum results of a slice; usually there are a few


class HashTable:
    """Hashes (n,) uint64, indexed by each of their bands."""

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = hashes
        self._orders: list[np.ndarray] = []
        self._edges: list[np.ndarray] = []
        for number in range(_NUM_BANDS):
            band = _band(hashes, number)
            self._orders.append(np.argsort(band, kind="stable"))
            counts = np.bincount(band, minlength=1 << _BAND_BITS)
            self._edges.append(np.concatenate([[0], np.cumsum(counts)]))

    def near(self, queries: np.ndarray, budget: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (number of query, position) of hashes within ``MAX_BITS`` bits, some repeatedly.

        Args:
            queries: ``(n,)`` uint64.
            budget: how many comparisons may be made at most.
        """
        for order, edges, number in zip(self._orders, self._edges, range(_NUM_BANDS), strict=True):
            keys = (_band(queries, number)[:, None] ^ _FLIPS).ravel()
            starts = edges[keys]
            counts = _limit(edges[keys + 1] - starts, budget // _NUM_BANDS)
            ends = np.cumsum(counts)
            done = 0
            while done < len(keys):
                before = ends[done - 1] if done else 0
                stop = max(done + 1, int(np.searchsorted(ends, before + _SLICE, "right")))
                part = slice(done, stop)
                shift = starts[part] + before + counts[part] - ends[part]
                places = np.arange(ends[stop - 1] - before) + np.repeat(shift, counts[part])
                position = order[places]
                query = np.repeat(np.arange(done, stop), counts[part]) // len(_FLIPS)
                num_bits = np.bitwise_count(queries[query] ^ self._hashes[position])
                near = np.flatnonzero(num_bits <= MAX_BITS)
                near = near[:: 1 + len(near) // _MAX_NEAR]
                yield query[near], position[near]
                done = stop


def _band(hashes: np.ndarray, number: int) -> np.ndarray:
    shifted = hashes >> np.uint64(number * _BAND_BITS)
    return (shifted & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)


def _limit(counts: np.ndarray, budget: int) -> np.ndarray:
    """Reduce the largest counts until their sum is within the budget."""
    if counts.sum() <= budget:
        return counts
    low, high = 0, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(counts, middle).sum() <= budget:
            low = middle
        else:
            high = middle - 1
    return np.minimum(counts, low)
