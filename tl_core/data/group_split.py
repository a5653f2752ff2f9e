"""A split that keeps groups of images together and spreads classes as evenly as possible."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tl_core.data.dataset import DatasetIndex
from tl_core.errors import DatasetError

_PARTS = ("train", "val", "test")


def split_groups(
    index: DatasetIndex,
    positions: Sequence[int],
    names: Sequence[str],
    fractions: tuple[float, float, float],
    seed: int,
) -> tuple[list[int], list[int], list[int]]:
    """Divide images into train, val and test, with all images of a group in one part.

    The largest groups are assigned first, each to the part whose class shares it improves most;
    ties are broken by content and seed. Every class is first assigned to train.

    Args:
        index: the dataset.
        positions: positions in its records.
        names: the group name of each position.
        fractions: shares of train, val and test; 0 leaves a part empty.
        seed: the same seed gives the same split.

    Returns:
        Positions of train, val and test.

    Raises:
        DatasetError: there are fewer groups than parts, or no group remains for a part once every
            class is in train.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for position, name in zip(positions, names, strict=True):
        members[name].append(int(position))
    wanted = [part for part, fraction in enumerate(fractions) if fraction > 0]
    units = sorted(members.values(), key=lambda unit: (-len(unit), _rank(index, unit, seed)))
    counts = [np.bincount(index.labels[unit], minlength=index.num_classes) for unit in units]
    totals = np.sum(counts, axis=0)
    weights = 1 / np.maximum(totals, 1)
    targets = np.outer(fractions, totals)
    have = np.zeros((3, index.num_classes))
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for number, (unit, count) in enumerate(zip(units, counts, strict=True)):
        empty = [part for part in wanted if not parts[part]]
        if np.any((count > 0) & (have[0] == 0)):
            choices = [0]
        elif len(units) - number <= len(empty):
            choices = empty
        else:
            choices = wanted
        gains = [
            float(
                np.sum(
                    weights * ((have[p] + count - targets[p]) ** 2 - (have[p] - targets[p]) ** 2)
                )
            )
            for p in choices
        ]
        chosen = choices[int(np.argmin(gains))]
        parts[chosen].extend(unit)
        have[chosen] += count
    lacking = [_PARTS[part] for part in wanted if not parts[part]]
    if lacking:
        raise DatasetError(
            f"The images come in {len(units)} {'group' if len(units) == 1 else 'groups'} that "
            f"must each stay in one part, and none is left for {' and '.join(lacking)}. Add images "
            "of other groups, set that part to 0, or do not keep groups together."
        )
    return parts


def _rank(index: DatasetIndex, unit: Sequence[int], seed: int) -> bytes:
    """Return a group's rank in the seeded order, which depends on its content, not its name."""
    name = min(index.records[position].sha256 for position in unit)
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
