"""Find copies of pictures: recompressed, resized, cropped, mirrored, lighter or darker.

Candidates are pictures whose hashes differ in few bits and, if features are given, whose features
are close. Each candidate is confirmed by registration of the two pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tl_core.data.near_duplicates.hamming_index import HashTable
from tl_core.data.near_duplicates.perceptual_hash import (
    MIRROR_BITS,
    MIRROR_SIGNS,
    SLIGHT_CROPS,
    STRONG_CROPS,
    mirror_boxes,
    perceptual_hashes,
    read_fingerprints,
)
from tl_core.data.near_duplicates.registration import (
    align,
    contrast_ratio,
    cut_out,
    detail_similarity,
    worst_difference,
)
from tl_core.metrics.nearest import nearest_pairs
from tl_core.progress import SILENT, Monitor, Stage

Group = tuple[int, ...]
STAGE = "copies"

# Measured on recompressed, resized, cropped, mirrored, lighter and darker copies of 500 photos,
# against all pairs of 3,300 others, hands before one background among them.
SIMILARITY = 0.98  # of detail; copies 0.982 and more, others 0.956 and less
_MIN_CORRELATION = 0.95  # of frequencies, hashes being close; copies 0.975 and more
_MAX_DIFFERENCE = 0.75  # of one spot; copies 0.66 and less
_CONTRASTS = (0.7, 1.4)  # copies 0.83 to 1.17
_MAX_COLOUR_DIFFERENCE = 5  # of 255; copies 4.1 and less
_TINT_STRENGTHS = (0.8, 1.25)
_GREY = 2  # of 128: mean tint below which there is no colour to compare

_MIN_COSINE = 0.7  # of features; a third cropped off, copies reach about 0.8
_NUM_NEIGHBOURS = 5
_MIN_CORRELATION_OF_NEIGHBOURS = 0.85  # of frequencies

_CHUNK = 256  # pictures looked up at once
_MAX_LOOKUPS = 20_000  # per picture; where many are similar, a sample is enough to join them
_MAX_CANDIDATES = 32  # a picture
_CONFIRM_BATCH = 256


@dataclass(frozen=True)
class _Candidates:
    """Pairs that may be copies; the second may be a box of the first, possibly mirrored."""

    first: np.ndarray
    second: np.ndarray
    box: np.ndarray
    is_mirrored: np.ndarray
    correlation: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> _Candidates:
        return _Candidates(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[_Candidates]) -> _Candidates:
        """Return the best pairs of each first picture, best first, each with one box."""
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


class _Groups:
    """Positions joined pair by pair."""

    def __init__(self, num: int) -> None:
        self._roots = np.arange(num)  # the first position of each one's group

    def join(self, first: int, second: int) -> None:
        """Merge the groups of two positions."""
        low, high = sorted((self._roots[first], self._roots[second]))
        self._roots[self._roots == high] = low

    def are_apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return whether positions are in different groups: (n,) bool."""
        return self._roots[first] != self._roots[second]

    def found(self) -> list[Group]:
        """Return groups of at least two, each sorted, ordered by first position."""
        members: dict[int, list[int]] = {}
        for place, root in enumerate(self._roots.tolist()):
            members.setdefault(root, []).append(place)
        return [tuple(group) for group in members.values() if len(group) > 1]


def find_near_duplicates(
    fingerprints: Sequence[bytes],
    *,
    features: np.ndarray | None = None,
    similarity: float = SIMILARITY,
    monitor: Monitor = SILENT,
) -> list[Group]:
    """Return groups of positions whose pictures are copies, ordered by first position.

    Args:
        fingerprints: one per picture, from :func:`.perceptual_hash.make_fingerprint`.
        features: ``(n, dim)`` in the same order; with them strongly cropped copies are found too.
        similarity: minimum correlation of the pictures' detail, up to 1.
        monitor: checked between batches; counts the pictures compared in stage ``"copies"``, each
            of them twice with features.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    if len(fingerprints) < 2:
        return []
    groups = _Groups(len(fingerprints))
    stage = monitor.stage(STAGE, len(fingerprints) * (1 if features is None else 2))
    stage.report()
    light, colour = read_fingerprints(fingerprints)
    for candidates in _candidates(light, features, groups, stage):
        while len(candidates.first):
            monitor.check()
            batch = candidates[:_CONFIRM_BATCH]
            copies = batch[_are_copies(light, colour, batch, similarity)]
            for first, second in zip(copies.first, copies.second, strict=True):
                groups.join(first, second)
            candidates = candidates[_CONFIRM_BATCH:]
            candidates = candidates[groups.are_apart(candidates.first, candidates.second)]
        monitor.check()
    return groups.found()


def _candidates(
    light: np.ndarray, features: np.ndarray | None, groups: _Groups, stage: Stage
) -> Iterator[_Candidates]:
    yield from _of_hashes(light, groups, stage)
    if features is not None:
        yield from _of_features(light, features, groups, stage)


def _of_hashes(light: np.ndarray, groups: _Groups, stage: Stage) -> Iterator[_Candidates]:
    """Yield pairs where the hash of a window of the first, or its mirror, matches the second."""
    starts = range(0, len(light), _CHUNK)
    whole = np.concatenate(
        [SLIGHT_CROPS.frequencies(light[start : start + _CHUNK])[:, 0] for start in starts]
    )
    table = HashTable(perceptual_hashes(whole))
    num_windows = len(SLIGHT_CROPS)
    for start in starts:
        frequencies = SLIGHT_CROPS.frequencies(light[start : start + _CHUNK])
        hashes = perceptual_hashes(frequencies)
        queries = np.concatenate([hashes, hashes ^ MIRROR_BITS], axis=1)
        parts = []
        for query, second in table.near(queries.ravel(), _MAX_LOOKUPS * len(queries)):
            row, column = np.divmod(query, 2 * num_windows)
            apart = groups.are_apart(row + start, second)
            row, column, second = row[apart], column[apart], second[apart]
            is_mirrored, window = np.divmod(column, num_windows)
            is_mirrored = is_mirrored.astype(bool)
            signs = np.where(is_mirrored[:, None], MIRROR_SIGNS, np.float32(1))
            correlation = (frequencies[row, window] * signs * whole[second]).sum(axis=1)
            boxes = SLIGHT_CROPS.boxes[window]
            part = _Candidates(row + start, second, boxes, is_mirrored, correlation)
            parts.append(part[correlation >= _MIN_CORRELATION])
        yield _Candidates.joined(parts)
        stage.update(min(start + _CHUNK, len(light)))


def _of_features(
    light: np.ndarray, features: np.ndarray, groups: _Groups, stage: Stage
) -> Iterator[_Candidates]:
    """Yield pairs of nearest neighbours, each with the best matching windows."""
    pairs = nearest_pairs(features, _NUM_NEIGHBOURS, _MIN_COSINE)
    for start in range(0, len(pairs), _CHUNK):
        some = pairs[start : start + _CHUNK]
        some = some[groups.are_apart(some[:, 0], some[:, 1])]
        frequencies = [STRONG_CROPS.frequencies(light[some[:, side]]) for side in (0, 1)]
        parts = []
        for first, second in ((0, 1), (1, 0)):
            for is_mirrored in (False, True):
                signs = MIRROR_SIGNS if is_mirrored else 1
                whole = frequencies[second][:, :1] * signs
                correlations = (frequencies[first] * whole).sum(axis=2)
                window = correlations.argmax(axis=1)
                part = _Candidates(
                    some[:, first],
                    some[:, second],
                    STRONG_CROPS.boxes[window],
                    np.full(len(some), is_mirrored),
                    np.take_along_axis(correlations, window[:, None], axis=1)[:, 0],
                )
                parts.append(part[part.correlation >= _MIN_CORRELATION_OF_NEIGHBOURS])
        yield _Candidates.joined(parts)
        share = min(start + _CHUNK, len(pairs)) / len(pairs)
        stage.update(len(light) + round(share * len(light)))


def _are_copies(
    light: np.ndarray, colour: np.ndarray, pairs: _Candidates, similarity: float
) -> np.ndarray:
    """Register the first of each pair with the second and compare: (n,) bool."""
    first = _mirror(light[pairs.first].astype(np.float32), pairs.is_mirrored)
    second = light[pairs.second].astype(np.float32)
    boxes = align(first, second, mirror_boxes(pairs.box, pairs.is_mirrored))
    shown = cut_out(first, boxes)
    contrast = contrast_ratio(shown, second)
    tints, others = (
        colour[places].astype(np.float32) - 128 for places in (pairs.first, pairs.second)
    )
    tints = _mirror(tints, pairs.is_mirrored)
    return (
        (detail_similarity(shown, second) >= similarity)
        & (worst_difference(shown, second) <= _MAX_DIFFERENCE)
        & (contrast >= _CONTRASTS[0])
        & (contrast <= _CONTRASTS[1])
        & (_colour_difference(tints, others, boxes) <= _MAX_COLOUR_DIFFERENCE)
    )


def _mirror(pictures: np.ndarray, is_mirrored: np.ndarray) -> np.ndarray:
    pictures[is_mirrored] = pictures[is_mirrored][..., ::-1]
    return pictures


def _colour_difference(first: np.ndarray, second: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the mean difference of tints (n, 2, side, side); 0 where one picture is grey.

    Brightness scales tints, which is compensated.
    """
    shown = np.stack([cut_out(first[:, tint], boxes) for tint in range(2)], axis=1)
    products = [np.einsum("ntij,ntij->n", shown, tints) for tints in (second, shown)]
    strength = (products[0] / np.maximum(products[1], 1e-6)).clip(*_TINT_STRENGTHS)
    differences = strength[:, None, None, None] * shown - second
    side = second.shape[2] // 2  # neighbours are averaged, since edges are not aligned exactly
    differences = differences.reshape(-1, 2, side, 2, side, 2).mean(axis=(3, 5))
    colours = [np.abs(tints).mean(axis=(1, 2, 3)) for tints in (first, second)]
    return np.where(np.minimum(*colours) < _GREY, 0, np.abs(differences).mean(axis=(1, 2, 3)))
