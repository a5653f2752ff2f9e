"""Split a dataset into train, val and test: stratified, seeded, with copies kept together.

Uses only the index and reads no image.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.group_split import split_groups
from tl_core.data.units import unit_names
from tl_core.errors import ConfigError, DatasetError, RunError
from tl_core.files import is_contained, write_text

_COLUMNS = ["path", "sha256", "class", "part"]
_WITH_GROUP = [*_COLUMNS, "group"]


@dataclass(frozen=True)
class SplitRow:
    """One line of ``split.csv``."""

    path: str
    sha256: str
    class_name: str
    part: str
    group: str = ""


def write_split(path: Path, index: DatasetIndex, split: Split) -> None:
    """Write the split as CSV with the columns path, sha256, class and part, atomically.

    If the dataset has groups, a column ``group`` follows.
    """
    has_groups = any(record.group is not None for record in index.records)
    part_of = {int(i): part for part, positions in split.items() for i in positions}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_WITH_GROUP if has_groups else _COLUMNS)
    for position in sorted(part_of):
        record = index.records[position]
        class_name = index.class_names[record.label]
        row = [record.path, record.sha256, class_name, part_of[position]]
        writer.writerow([*row, record.group or ""] if has_groups else row)
    write_text(path, text.getvalue())


def read_split(path: Path) -> list[SplitRow]:
    """Read a split written by :func:`write_split`.

    Raises:
        RunError: the file is missing or is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"Cannot read the split from '{path}': {error}.") from error
    if not rows or rows[0] not in (_COLUMNS, _WITH_GROUP):
        received = ",".join(rows[0]) if rows else "nothing"
        raise RunError(f"Expected the columns {','.join(_COLUMNS)} in '{path}', found {received}.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]) or row[3] not in PARTS:
            raise RunError(
                f"Expected a path, sha256, class and one of {', '.join(PARTS)} in line {number} "
                f"of '{path}', found {','.join(row)!r}."
            )
        if not is_contained(row[0]):
            raise RunError(
                f"Expected a path inside the data folder in line {number} of '{path}', found "
                f"{row[0]!r}."
            )
    return [SplitRow(*row) for row in rows[1:]]


PARTS = ("train", "val", "test")
Fractions = tuple[float, float, float]

_MAX_NAMED_CLASSES = 5


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in ``index.records`` by part: (n,) int64, ascending, each in one part.

    Examples:
        >>> from tl_core import scan_dataset, stratified_split
        >>> index = scan_dataset("photos")
        >>> split = stratified_split(index, (0.5, 0.25, 0.25), seed=0)
        >>> sorted({index.class_names[index.records[place].label] for place in split.test})
        ['cat', 'dog']
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def items(self) -> tuple[tuple[str, np.ndarray], ...]:
        """Return (part, positions) pairs in the order train, val, test."""
        return (("train", self.train), ("val", self.val), ("test", self.test))


@dataclass(frozen=True)
class _Unit:
    """Images that must stay together: copies of one content, or a group."""

    rank: bytes  # rank in the seeded order
    positions: tuple[int, ...]


def stratified_split(
    index: DatasetIndex,
    fractions: Fractions,
    seed: int,
    *,
    groups: Mapping[str, str] | None = None,
) -> Split:
    """Divide the images so that every class is in every part in the same proportion.

    Identical images stay in one part; those in more than one class go to train. The assignment
    depends on content and seed alone, so names and order of the files do not matter, and adding
    images moves few others. Images of one group in the index stay in one part as well, whatever
    their classes.

    Photos in ``index.added`` go to train and leave val and test as they are: a model has answered
    for them, and they were chosen for that. Those that must stay with another image go where it
    goes, and in a class that would be too small without them they count like all others.

    Args:
        index: The dataset; its given split, if any, is ignored.
        fractions: Shares of (train, val, test), adding up to 1; 0 leaves val or test empty.
        seed: The same seed gives the same split.
        groups: Optional group name by sha256; images of one group stay in one part too.

    Raises:
        ConfigError: the fractions are not shares of a whole.
        DatasetError: a class has too few distinct images to be in each part.

    Examples:
        >>> from tl_core import scan_dataset, stratified_split
        >>> index = scan_dataset("photos")
        >>> split = stratified_split(index, (0.5, 0.25, 0.25), seed=0)
        >>> len(split.train), len(split.val), len(split.test)
        (13, 6, 6)
    """
    return _split(index, range(len(index.records)), fractions, seed, groups or {})


def split_dataset(
    index: DatasetIndex, config: TrainConfig, *, groups: Mapping[str, str] | None = None
) -> Split:
    """Return the split given by the folder, else a stratified one.

    A given split is used unchanged. If it has no validation images, a share of
    ``config.val_fraction`` of the train images is used, and likewise for test images with
    ``config.test_fraction``, where 0 leaves the test part empty. Classes missing from a given val
    or test part, and copies across parts, are not corrected: the audit reports them.

    Raises:
        DatasetError: a class has no images in train, or too few to divide.

    Examples:
        >>> from tl_core import TrainConfig, scan_dataset, split_dataset
        >>> index = scan_dataset("photos")
        >>> split = split_dataset(index, TrainConfig(val_fraction=0.25, test_fraction=0.25))
        >>> len(split.train), len(split.val), len(split.test)
        (13, 6, 6)
    """
    if not index.has_given_split:
        val_fraction, test_fraction = config.val_fraction, config.test_fraction
        fractions = (1 - val_fraction - test_fraction, val_fraction, test_fraction)
        return stratified_split(index, fractions, config.seed, groups=groups)
    given: dict[str, list[int]] = {part: [] for part in PARTS}
    for position, record in enumerate(index.records):
        given[record.part or "train"].append(position)
    _check_given_train(index, given["train"])
    val_fraction = 0.0 if given["val"] else config.val_fraction
    test_fraction = 0.0 if given["test"] else config.test_fraction
    fractions = (1 - val_fraction - test_fraction, val_fraction, test_fraction)
    carved = _split(index, given["train"], fractions, config.seed, groups or {})
    return Split(
        carved.train,
        np.array(given["val"], np.int64) if given["val"] else carved.val,
        np.array(given["test"], np.int64) if given["test"] else carved.test,
    )


def groups_apart(
    index: DatasetIndex, split: Split, groups: Iterable[Sequence[str]]
) -> list[tuple[str, ...]]:
    """Return the groups of paths, such as near copies, that are in more than one part.

    Paths that are not in the index are ignored and left out.
    """
    part_of = {
        index.records[int(position)].path: part
        for part, positions in split.items()
        for position in positions
    }
    present = [tuple(path for path in group if path in part_of) for group in groups]
    return [group for group in present if len({part_of[path] for path in group}) > 1]


def _split(
    index: DatasetIndex,
    positions: Sequence[int],
    fractions: Fractions,
    seed: int,
    groups: Mapping[str, str],
) -> Split:
    _check_fractions(fractions)
    added = _only_for_train(index, positions, fractions, groups)
    positions = [position for position in positions if position not in added]
    if any(index.records[position].group is not None for position in positions):
        names = unit_names(index, positions, groups)
        parts = split_groups(index, positions, names, fractions, seed)
        return Split(_sorted({*parts[0], *added}), _sorted(parts[1]), _sorted(parts[2]))
    pure, mixed = _units_by_class(index, positions, seed, groups)
    _check_sizes(index, pure, mixed, fractions)
    num_val_parts = int(fractions[1] > 0)
    val: list[int] = []
    test: list[int] = []
    for label in range(len(index.class_names)):
        units = pure[label]
        num_images = sum(len(unit.positions) for unit in units) + mixed[label]
        _, num_val, num_test = _shares(num_images, fractions)
        # Test is taken from one end of the order and val from the other, so that adding an image
        # moves another from a part to train, not to the other part.
        for_test, units = _take(units, num_test, num_val_parts + 1)
        for_val, _ = _take(units[::-1], num_val, 1)
        test += [position for unit in for_test for position in unit.positions]
        val += [position for unit in for_val for position in unit.positions]
    train = {*positions, *added} - {*val, *test}
    return Split(_sorted(train), _sorted(val), _sorted(test))


def _only_for_train(
    index: DatasetIndex,
    positions: Sequence[int],
    fractions: Fractions,
    groups: Mapping[str, str],
) -> set[int]:
    """Return the positions of added photos that take no part in the division."""
    if not index.added:
        return set()
    names = unit_names(index, positions, groups)
    is_added = [index.records[position].path in index.added for position in positions]
    others = {name for name, one in zip(names, is_added, strict=True) if not one}
    own: dict[int, set[str]] = defaultdict(set)  # the units of a class without added photos
    for position, name in zip(positions, names, strict=True):
        if name in others:
            own[index.records[position].label].add(name)
    num_parts = sum(fraction > 0 for fraction in fractions)
    return {
        position
        for position, name in zip(positions, names, strict=True)
        if name not in others and len(own[index.records[position].label]) >= num_parts
    }


def _units_by_class(
    index: DatasetIndex, positions: Iterable[int], seed: int, groups: Mapping[str, str]
) -> tuple[dict[int, list[_Unit]], dict[int, int]]:
    """Return by label the units in seeded order, and how many images are in mixed units."""
    members: dict[str, list[int]] = defaultdict(list)
    places = list(positions)
    for position, name in zip(places, unit_names(index, places, groups), strict=True):
        members[name].append(position)
    pure: dict[int, list[_Unit]] = defaultdict(list)
    mixed: dict[int, int] = defaultdict(int)
    for unit in members.values():
        labels = {index.records[position].label for position in unit}
        if len(labels) == 1:
            # Named by a content in it, since group numbers differ between audits.
            name = min(index.records[position].sha256 for position in unit)
            rank = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            pure[labels.pop()].append(_Unit(rank, tuple(unit)))
        else:
            for position in unit:
                mixed[index.records[position].label] += 1
    for units in pure.values():
        units.sort(key=lambda unit: unit.rank)
    return pure, mixed


def _take(units: list[_Unit], target: int, reserve: int) -> tuple[list[_Unit], list[_Unit]]:
    """Take units of ``target`` images in all, in order, and leave at least ``reserve`` units.

    At least one unit is taken when the target is above 0: the smallest if none fits.
    """
    if target == 0:
        return [], units
    taken: list[_Unit] = []
    left: list[_Unit] = []
    room = target
    for unit in units:
        fits = len(unit.positions) <= room and len(units) - len(taken) > reserve
        (taken if fits else left).append(unit)
        room -= len(unit.positions) if fits else 0
    if not taken:
        smallest = min(left, key=lambda unit: len(unit.positions))
        left.remove(smallest)
        taken.append(smallest)
    return taken, left


def _shares(total: int, fractions: Fractions) -> list[int]:
    """Divide a count by the largest remainder; a part with a share above 0 gets at least 1."""
    exact = [total * fraction for fraction in fractions]
    shares = [math.floor(share + 1e-9) for share in exact]
    by_remainder = sorted(range(3), key=lambda part: shares[part] - exact[part])
    for part in by_remainder[: total - sum(shares)]:
        shares[part] += 1
    for part, fraction in enumerate(fractions):
        if fraction > 0 and shares[part] == 0:
            shares[part] = 1
    return shares


def _check_fractions(fractions: Fractions) -> None:
    train, val, test = fractions
    if not math.isclose(train + val + test, 1, abs_tol=1e-6) or min(val, test) < 0:
        raise ConfigError(
            f"Expected shares of train, val and test that add up to 1, "
            f"received {train:g}, {val:g} and {test:g}."
        )
    if train < 1e-9:
        raise ConfigError(
            f"The validation part ({val:g}) and the test part ({test:g}) leave nothing to train "
            f"on: together they must be below 1."
        )


def _check_sizes(
    index: DatasetIndex,
    pure: Mapping[int, Sequence[_Unit]],
    mixed: Mapping[int, int],
    fractions: Fractions,
) -> None:
    parts = [part for part, fraction in zip(PARTS, fractions, strict=True) if fraction > 0]
    complaints = []
    for label, class_name in enumerate(index.class_names):
        # Units that are also in another class can only go to train.
        num_distinct = len(pure[label]) + min(1, mixed[label])
        num_missing = len(parts) - num_distinct
        if num_missing > 0:
            complaints.append(_complain(class_name, num_distinct, num_missing, parts))
    if complaints:
        named = complaints[:_MAX_NAMED_CLASSES]
        if len(complaints) > len(named):
            named.append(f"{len(complaints) - len(named)} more classes are too small.")
        raise DatasetError(" ".join(named))


def _complain(class_name: str, num_distinct: int, num_missing: int, parts: Sequence[str]) -> str:
    needed = " and ".join(", ".join(parts).rsplit(", ", 1))
    remedy = f"add {num_missing}"
    if "test" in parts and num_missing == 1:
        remedy += " or set the test part to 0"
    images = "image" if num_distinct == 1 else "images"
    are = "is" if len(parts) == 1 else "are"
    return (
        f"Class '{class_name}' has {num_distinct} distinct {images}; {len(parts)} {are} needed "
        f"for {needed}: {remedy}."
    )


def _check_given_train(index: DatasetIndex, train: Sequence[int]) -> None:
    present = {index.records[position].label for position in train}
    missing = [name for label, name in enumerate(index.class_names) if label not in present]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing[:_MAX_NAMED_CLASSES])
        more = len(missing) - _MAX_NAMED_CLASSES
        raise DatasetError(
            f"Expected images of every class in the train folder, found none of {names}"
            f"{f' and {more} more' if more > 0 else ''}. Add some, or take the class out of the "
            f"other folders."
        )


def _sorted(positions: Iterable[int]) -> np.ndarray:
    return np.array(sorted(positions), np.int64)
