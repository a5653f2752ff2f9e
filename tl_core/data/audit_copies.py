"""Copies among the images: the same file or the same picture twice, and why it matters where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.findings import Finding, Severity

_PARTS = ("test", "val", "train")  # where a copy is kept first: the final figure stays comparable

Group = tuple[int, ...]


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
    suggested: np.ndarray | None = None,
) -> list[Finding]:
    """Return findings about groups of copies: in two classes, across parts, or merely double.

    Args:
        index: the dataset.
        groups: positions that show the same picture.
        is_exact: whether the copies are the same bytes.
        suggested: the most probable class of each image, where one was computed.
    """
    findings = []
    prefix = "" if is_exact else "near_"
    in_classes = [group for group in groups if len(_labels(index, group)) > 1]
    across = [group for group in groups if len(_parts(index, group)) > 1]
    spoken_for = {*in_classes, *across}
    plain = [group for group in groups if group not in spoken_for]
    if in_classes:
        removed = [_contradicting(index, group, suggested) for group in in_classes]
        findings.append(
            _finding(
                index,
                f"{prefix}two_classes",
                "error" if is_exact else "warning",
                _in_classes_message(index, in_classes, is_exact),
                in_classes,
                removed,
            )
        )
    if across:
        removed = [_in_lesser_part(index, group) for group in across]
        findings.append(
            _finding(
                index,
                f"{prefix}across_parts",
                "error" if is_exact else "warning",
                _across_message(index, across, is_exact),
                across,
                removed,
            )
        )
    if plain:
        removed = [_all_but_best(index, group) for group in plain]
        num = sum(map(len, removed))
        word = "duplicate" if is_exact else "near duplicate"
        what = "the same file again" if is_exact else "the same picture saved in another way"
        message = f"{num:,} {word}{'' if num == 1 else 's'}: {what}. One of each is enough."
        findings.append(_finding(index, f"{prefix}duplicate", "warning", message, plain, removed))
    return findings


def _finding(
    index: DatasetIndex,
    kind: str,
    severity: Severity,
    message: str,
    groups: Sequence[Group],
    removed: Sequence[Group],
) -> Finding:
    named = tuple(tuple(index.records[place].path for place in group) for group in groups)
    return Finding(
        kind,
        severity,
        message,
        tuple(path for group in named for path in group),
        action="exclude",
        action_paths=tuple(index.records[place].path for group in removed for place in group),
        groups=named,
    )


def _in_classes_message(index: DatasetIndex, groups: Sequence[Group], is_exact: bool) -> str:
    num = len(groups)
    nearly = "" if is_exact else "nearly unchanged "
    names = sorted({index.class_names[label] for label in _labels(index, groups[0])})
    where = " and ".join(f"'{name}'" for name in names) if num == 1 else "each"
    where = f": {where}" if num == 1 else ""
    what = (
        f"1 photo lies {nearly}in two classes"
        if num == 1
        else (f"{num:,} photos lie {nearly}in two classes each")
    )
    return f"{what}{where}. Keep it in the right one; else it teaches a contradiction."


def _across_message(index: DatasetIndex, groups: Sequence[Group], is_exact: bool) -> str:
    num = len(groups)
    nearly = "" if is_exact else "nearly unchanged "
    what = f"1 photo lies {nearly}in" if num == 1 else f"{num:,} photos lie {nearly}in"
    parts = {part for group in groups for part in _parts(index, group)}
    named = " and ".join(part for part in reversed(_PARTS) if part in parts)
    return f"{what} {named} at once. The figures on unseen photos would be too good."


def _labels(index: DatasetIndex, group: Group) -> set[int]:
    return {index.records[place].label for place in group}


def _parts(index: DatasetIndex, group: Group) -> set[str]:
    return {part for place in group if (part := index.records[place].part) is not None}


def _contradicting(index: DatasetIndex, group: Group, suggested: np.ndarray | None) -> Group:
    """Return those not in the most probable class; all, when there is none to go by."""
    if suggested is None:
        return group
    votes = np.bincount(suggested[list(group)])
    label = int(votes.argmax())
    right = tuple(place for place in group if index.records[place].label == label)
    return tuple(place for place in group if place not in right) if right else group


def _in_lesser_part(index: DatasetIndex, group: Group) -> Group:
    parts = _parts(index, group)
    kept = next(part for part in _PARTS if part in parts)
    return tuple(place for place in group if index.records[place].part != kept)


def _all_but_best(index: DatasetIndex, group: Group) -> Group:
    best = max(group, key=lambda place: (_quality(index.records[place]), -place))
    return tuple(place for place in group if place != best)


def _quality(record: ImageRecord) -> tuple[int, int]:
    return record.width * record.height, record.num_bytes
