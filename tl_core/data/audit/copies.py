"""Findings about copies: the same file or picture twice, in a class, two classes or two parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tl_core.data.audit.findings import Finding
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.near_duplicates.search import Group

_PARTS = ("train", "val", "test")
_SURE = 0.75  # least share of the probability for a class to be considered the right one


def exact_groups(index: DatasetIndex) -> list[Group]:
    """Return groups of positions that hold the same bytes."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(index.records):
        places[record.sha256].append(place)
    return [tuple(group) for group in places.values() if len(group) > 1]


def find_copies(
    index: DatasetIndex,
    groups: Sequence[Group],
    *,
    is_exact: bool,
    probabilities: np.ndarray | None = None,
) -> list[Finding]:
    """Return findings about groups of copies: in two classes, in two parts, or plain duplicates.

    A group in two classes and in two parts is reported as both.

    Args:
        index: the dataset.
        groups: positions that show the same picture.
        is_exact: whether the copies are the same bytes.
        probabilities: of the classes for each image, ``(num_images, num_classes)``, used to guess
            the right class of a picture in two classes.
    """
    in_classes = [group for group in groups if len(_labels(index, group)) > 1]
    across = [group for group in groups if len(_parts(index, group)) > 1]
    apart = {*in_classes, *across}
    plain = [group for group in groups if group not in apart]
    findings = []
    if in_classes:
        removed = [_in_wrong_class(index, group, probabilities) for group in in_classes]
        message = _message_in_classes(index, in_classes, is_exact)
        findings.append(_finding(index, "two_classes", is_exact, message, in_classes, removed))
    if across:
        removed = [_in_lesser_part(index, group) for group in across]
        message = _message_across(index, across, is_exact)
        findings.append(_finding(index, "across_parts", is_exact, message, across, removed))
    if plain:
        removed = [_all_but_best(index, group) for group in plain]
        message = _message_plain(sum(map(len, removed)), is_exact)
        findings.append(_finding(index, "duplicate", is_exact, message, plain, removed))
    return findings


def _finding(
    index: DatasetIndex,
    kind: str,
    is_exact: bool,
    message: str,
    groups: Sequence[Group],
    removed: Sequence[Group],
) -> Finding:
    named = tuple(tuple(index.records[place].path for place in group) for group in groups)
    return Finding(
        kind if is_exact else f"near_{kind}",
        "error" if is_exact and kind != "duplicate" else "warning",
        message,
        tuple(path for group in named for path in group),
        action="exclude",
        action_paths=tuple(index.records[place].path for group in removed for place in group),
        groups=named,
    )


def _message_in_classes(index: DatasetIndex, groups: Sequence[Group], is_exact: bool) -> str:
    nearly = "" if is_exact else "nearly unchanged "
    advice = "Keep each in the right class only: otherwise the model learns a contradiction."
    if len(groups) > 1:
        return f"{len(groups):,} photos lie {nearly}in more than one class. {advice}"
    names = [f"'{index.class_names[label]}'" for label in sorted(_labels(index, groups[0]))]
    number = "two" if len(names) == 2 else f"{len(names)}"
    return f"1 photo lies {nearly}in {number} classes: {_and(names)}. {advice}"


def _message_across(index: DatasetIndex, groups: Sequence[Group], is_exact: bool) -> str:
    found = {part for group in groups for part in _parts(index, group)}
    parts = _and([part for part in _PARTS if part in found])
    photos = "1 photo lies" if len(groups) == 1 else f"{len(groups):,} photos lie"
    nearly = "" if is_exact else "nearly unchanged "
    return (
        f"{photos} {nearly}in more than one of {parts}. Figures on unseen photos would be too good."
    )


def _message_plain(num: int, is_exact: bool) -> str:
    duplicates = f"{'' if is_exact else 'near '}duplicate{'' if num == 1 else 's'}"
    what = "the same file again" if is_exact else "nearly the same picture, saved or taken again"
    return f"{num:,} {duplicates}: {what}. One of each is enough."


def _and(names: Sequence[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _labels(index: DatasetIndex, group: Group) -> set[int]:
    return {index.records[place].label for place in group}


def _parts(index: DatasetIndex, group: Group) -> set[str]:
    return {part for place in group if (part := index.records[place].part) is not None}


def _in_wrong_class(index: DatasetIndex, group: Group, probabilities: np.ndarray | None) -> Group:
    """Return the copies that are not in the right class; all if the right class is uncertain."""
    labels = sorted(_labels(index, group))
    if probabilities is None:
        return group
    shares = probabilities[list(group)][:, labels].mean(axis=0)
    if shares.max() < _SURE * max(float(shares.sum()), 1e-9):
        return group
    right = labels[int(shares.argmax())]
    return tuple(place for place in group if index.records[place].label != right)


def _in_lesser_part(index: DatasetIndex, group: Group) -> Group:
    """Return all copies but those in the last part, so that the test set does not change."""
    parts = _parts(index, group)
    kept = next(part for part in reversed(_PARTS) if part in parts)
    return tuple(place for place in group if index.records[place].part != kept)


def _all_but_best(index: DatasetIndex, group: Group) -> Group:
    best = max(group, key=lambda place: (_quality(index.records[place]), -place))
    return tuple(place for place in group if place != best)


def _quality(record: ImageRecord) -> tuple[int, int]:
    return record.width * record.height, record.num_bytes
