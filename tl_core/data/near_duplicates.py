"""Copies of one picture among many: recompressed, resized, cropped, mirrored, lighter or darker.

Hashes that differ in few bits make candidates. They are found through shared bands of bits, not by
comparing all with all: the work grows with the number of images, not with its square. Each
candidate is then confirmed by laying one picture over the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tl_core.data.alignment import align, cut_out, detail_similarity, worst_difference
from tl_core.data.fingerprints import (
    MIRROR_BITS,
    MIRROR_SIGNS,
    NUM_BITS,
    WINDOWS,
    perceptual_hashes,
    read_fingerprints,
    window_frequencies,
)
from tl_core.data.progress import ShouldStop
from tl_core.errors import Stopped

Group = tuple[int, ...]

# Hashes of copies differ in at most so many bits, so that of four bands one differs in one at most.
_MAX_BITS = 7
_NUM_BANDS = 4
_BAND_BITS = NUM_BITS // _NUM_BANDS
_FLIPS = np.array([0, *(1 << bit for bit in range(_BAND_BITS))], np.uint64)
_MIN_CORRELATION = 0.95  # of a window's frequencies; of measured copies the least was 0.975

_MAX_DIFFERENCE = 0.7  # of one spot, in deviations of the light; of measured copies 0.66
_MAX_COLOUR_DIFFERENCE = 12.0  # of 255; of measured copies 9
_GREY = 2.0  # mean colour of 128 below which a picture has none to compare

_CHUNK = 256  # pictures looked up at once
_MAX_LOOKUPS = 20_000  # a picture; where crowds look alike, a sample of them is enough to join them
_MAX_CANDIDATES = 32  # a picture
_SLICE = 250_000  # lookups at once
_MAX_NEAR = 20_000  # of a slice; usually a few are near
_CONFIRM_BATCH = 256


@dataclass(frozen=True)
class _Candidates:
    """Pairs that may be copies; the second shows a window of the first, perhaps mirrored."""

    first: np.ndarray
    second: np.ndarray
    window: np.ndarray
    is_mirrored: np.ndarray
    correlation: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> _Candidates:
        return _Candidates(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[_Candidates]) -> _Candidates:
        """Return the best pairs of each first picture, the best first, each with one window."""
        names = [field.name for field in fields(cls)]
        every = cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
        every = every[np.argsort(-every.correlation, kind="stable")]
        low, high = np.minimum(every.first, every.second), np.maximum(every.first, every.second)
        _, places = np.unique(low.astype(np.int64) << 32 | high, return_index=True)
        every = every[np.sort(places)]
        by_first = np.argsort(every.first, kind="stable")
        ordered = every.first[by_first]
        rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        return every[np.sort(by_first[rank < _MAX_CANDIDATES])]


def find_near_duplicates(
    fingerprints: Sequence[bytes],
    *,
    similarity: float = 0.88,
    should_stop: ShouldStop | None = None,
) -> list[Group]:
    """Return groups of positions whose pictures are copies of one, in order of their first.

    Args:
        fingerprints: one for each picture, as :func:`~tl_core.data.fingerprints.make_fingerprint`
            makes it.
        similarity: least correlation of the pictures' fine detail, up to 1.
        should_stop: asked between batches.

    Raises:
        Stopped: ``should_stop`` said so.
    """
    groups = Groups(len(fingerprints))
    if len(fingerprints) < 2:
        return []
    light, colour = read_fingerprints(fingerprints)
    for candidates in _look_up(light, groups):
        while len(candidates.first):
            if should_stop is not None and should_stop():
                raise Stopped
            batch = candidates[:_CONFIRM_BATCH]
            copies = batch[_are_copies(light, colour, batch, similarity)]
            for first, second in zip(copies.first, copies.second, strict=True):
                groups.join(first, second)
            candidates = candidates[_CONFIRM_BATCH:]
            candidates = candidates[groups.are_apart(candidates.first, candidates.second)]
    return groups.found()


class Groups:
    """Positions joined pair by pair."""

    def __init__(self, num: int) -> None:
        self._roots = np.arange(num)  # the first position of each one's group

    def join(self, first: int, second: int) -> None:
        """Have two positions, and all that they were joined with, in one group."""
        low, high = sorted((self._roots[first], self._roots[second]))
        if low != high:
            self._roots[self._roots == high] = low

    def are_apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return whether positions are in different groups: (n,) bool."""
        return self._roots[first] != self._roots[second]

    def found(self) -> list[Group]:
        """Return groups of two and more, each ascending, in order of their first."""
        members: dict[int, list[int]] = {}
        for place, root in enumerate(self._roots.tolist()):
            members.setdefault(root, []).append(place)
        return [tuple(group) for group in members.values() if len(group) > 1]


def _look_up(light: np.ndarray, groups: Groups) -> Iterator[_Candidates]:
    """Yield candidates: windows of some pictures, also mirrored, that hash like a whole one."""
    starts = range(0, len(light), _CHUNK)
    whole = np.concatenate(
        [window_frequencies(light[start : start + _CHUNK])[:, 0] for start in starts]
    )
    table = _Table(perceptual_hashes(whole))
    num_windows = len(WINDOWS)
    for start in starts:
        frequencies = window_frequencies(light[start : start + _CHUNK])
        hashes = perceptual_hashes(frequencies)
        queries = np.concatenate([hashes, hashes ^ np.uint64(MIRROR_BITS)], axis=1)
        parts = []
        for query, second in table.near(queries.ravel(), _MAX_LOOKUPS * len(queries)):
            row, column = np.divmod(query, 2 * num_windows)
            apart = groups.are_apart(row + start, second)
            row, column, second = row[apart], column[apart], second[apart]
            is_mirrored = column >= num_windows
            window = column % num_windows
            signs = np.where(is_mirrored[:, None], MIRROR_SIGNS, np.float32(1))
            correlation = (frequencies[row, window] * signs * whole[second]).sum(axis=1)
            part = _Candidates(row + start, second, window, is_mirrored, correlation)
            parts.append(part[correlation >= _MIN_CORRELATION])
        yield _Candidates.joined(parts)


class _Table:
    """Hashes that can be looked up by any of their bands."""

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
        """Yield (number of query, position) of hashes within ``_MAX_BITS`` bits of queries."""
        for number in range(_NUM_BANDS):
            keys = (_band(queries, number)[:, None] ^ _FLIPS.astype(np.int64)).ravel()
            starts = self._edges[number][keys]
            counts = self._edges[number][keys + 1] - starts
            counts = _limit(counts, budget // _NUM_BANDS)
            ends = np.cumsum(counts)
            done = 0
            while done < len(keys):
                offset = ends[done - 1] if done else 0
                end = max(done + 1, int(np.searchsorted(ends, offset + _SLICE, "right")))
                part = slice(done, end)
                places = np.arange(int(ends[end - 1] - offset))
                places += np.repeat(
                    starts[part] - (ends[part] - counts[part] - offset), counts[part]
                )
                second = self._orders[number][places]
                query = np.repeat(np.arange(done, end), counts[part]) // len(_FLIPS)
                bits = np.bitwise_count(queries[query] ^ self._hashes[second])
                near = np.flatnonzero(bits <= _MAX_BITS)
                near = near[:: 1 + len(near) // _MAX_NEAR]
                yield query[near], second[near]
                done = end


def _band(hashes: np.ndarray, number: int) -> np.ndarray:
    shifted = hashes >> np.uint64(number * _BAND_BITS)
    return (shifted & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)


def _limit(counts: np.ndarray, budget: int) -> np.ndarray:
    """Cut the largest counts down until they add up to no more than the budget."""
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


def _are_copies(
    light: np.ndarray, colour: np.ndarray, pairs: _Candidates, similarity: float
) -> np.ndarray:
    """Lay the first of each pair over the second and compare: (n,) bool."""
    mirrored = pairs.is_mirrored
    first = _mirror(light[pairs.first].astype(np.float32), mirrored)
    second = light[pairs.second].astype(np.float32)
    windows = WINDOWS[pairs.window]
    windows[mirrored, 2:] = 1 - windows[mirrored, :1:-1]
    windows = align(first, second, windows)
    shown = cut_out(first, windows)
    is_copy = detail_similarity(shown, second) >= similarity
    is_copy &= worst_difference(shown, second) <= _MAX_DIFFERENCE
    tints = colour.astype(np.float32) - 128
    return is_copy & (
        _colour_difference(_mirror(tints[pairs.first], mirrored), tints[pairs.second], windows)
        <= _MAX_COLOUR_DIFFERENCE
    )


def _mirror(pictures: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    pictures[mirrored] = pictures[mirrored][..., ::-1]
    return pictures


def _colour_difference(first: np.ndarray, second: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the mean difference of tints (n, 2, side, side); 0 where one picture is grey."""
    shown = np.stack([cut_out(first[:, tint], windows) for tint in range(2)], axis=1)
    differences = np.abs(shown - second).mean(axis=(1, 2, 3))
    strengths = [np.abs(tints).mean(axis=(1, 2, 3)) for tints in (first, second)]
    return np.where(np.minimum(*strengths) < _GREY, 0, differences)
