"""Folds for cross-validation: classes spread evenly, copies of one picture on one side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tl_core.data.dataset import DatasetIndex
from tl_core.data.units import unit_names
from tl_core.errors import DatasetError


def assign_folds(
    labels: np.ndarray, groups: np.ndarray, num_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of each image, (n,) integer: classes spread evenly, copies together.

    Args:
        labels: (n,) integer.
        groups: (n,) integer; images of equal number are copies.
        num_folds: how many there are.
        rng: the random generator.
    """
    fold_of: dict[int, int] = {}
    for label in np.unique(labels):
        members = rng.permutation(np.unique(groups[labels == label]))
        new = [int(group) for group in members if int(group) not in fold_of]
        first = int(rng.integers(num_folds))
        fold_of |= {group: (first + number) % num_folds for number, group in enumerate(new)}
    return np.array([fold_of[int(group)] for group in groups])


def units_of(
    index: DatasetIndex, positions: np.ndarray, groups: Mapping[str, str] | None = None
) -> np.ndarray:
    """Return a number for each position, (n,) integer, equal for images that stay together.

    Numbered by content, so that names and order of the files do not matter.

    Args:
        index: the dataset.
        positions: (n,) which of its records.
        groups: as for :func:`folds_of`.
    """
    named = unit_names(index, positions, groups)
    numbers = {name: number for number, name in enumerate(sorted(set(named)))}
    return np.array([numbers[name] for name in named])


def folds_of(
    index: DatasetIndex,
    positions: np.ndarray,
    num_folds: int,
    seed: int,
    *,
    groups: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Divide some of a dataset's images into folds.

    Args:
        index: the dataset.
        positions: (n,) which of its records.
        num_folds: how many folds.
        seed: the same seed gives the same folds.
        groups: group name by sha256 of images that are near copies of each other; identical
            images are together anyway.

    Returns:
        (n,) integer, the fold of each position.

    Raises:
        DatasetError: a class has fewer than two different images among them, so that it cannot
            be in both training and validation; or a fold would be empty.
    """
    units = units_of(index, positions, groups)
    labels = index.labels[positions]
    most = 0
    for label, class_name in enumerate(index.class_names):
        num_units = len(np.unique(units[labels == label]))
        most = max(most, num_units)
        if num_units < 2:
            images = "image" if num_units == 1 else "images"
            raise DatasetError(
                f"Class '{class_name}' has {num_units} different {images} outside of the test "
                f"part; at least 2 are needed to cross-validate: add {2 - num_units}."
            )
    folds = assign_folds(labels, units, num_folds, np.random.default_rng(seed))
    if len(np.unique(folds)) < num_folds:
        raise DatasetError(
            f"Expected images to validate on in each of {num_folds} folds, but the "
            f"{len(np.unique(units))} different ones outside of the test part leave a fold empty. "
            f"Choose at most {min(most, num_folds - 1)} folds, or add images."
        )
    return folds
