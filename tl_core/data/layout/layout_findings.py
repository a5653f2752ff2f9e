"""Findings about the layout of a data folder: how it was read, what has no class, split gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from tl_core.data.audit.findings import Finding, Severity, list_some
from tl_core.data.images.decode import PixelScale
from tl_core.data.layout.folder_layout import Layout

_MAX_MISSING = 1_000  # named rows without an image: a label file may have millions
_MIN_JUDGED = 20  # images; the 95 % interval of an accuracy on fewer is wider than ±20 points


class _Record(Protocol):
    """What is needed here of an :class:`~tl_core.data.dataset.ImageRecord`."""

    @property
    def path(self) -> str: ...

    @property
    def label(self) -> int: ...

    @property
    def part(self) -> str | None: ...

    @property
    def group(self) -> str | None: ...


def find_layout(layout: Layout) -> list[Finding]:
    """Return the findings about how a folder was read."""
    findings = []
    if layout.alternatives:
        count = len(layout.alternatives)
        others = "one other way" if count == 1 else f"{count} other ways"
        findings.append(
            Finding(
                "layout",
                "warning",
                f"The folder can be read in {others} as well. Look at what each gives.",
                (),
            )
        )
    counted: tuple[tuple[str, Severity, Sequence[str], str, str, str], ...] = (
        (
            "joined",
            "info",
            layout.joined,
            "folder holds the classes",
            "folders hold the classes",
            "around it once more, with other images: these are counted to their classes.",
        ),
        (
            "unlabelled",
            "info",
            layout.unlabelled,
            "image has no class and is",
            "images have no class and are",
            "not trained on.",
        ),
        (
            "missing_files",
            "warning",
            layout.missing,
            "row of the label file names",
            "rows of the label file name",
            f"an image that is not there: {list_some(layout.missing)}.",
        ),
        (
            "odd_name",
            "info",
            layout.odd_names,
            "file has",
            "files have",
            "an odd ending or none, but hold images, and are used.",
        ),
    )
    for kind, severity, paths, one, many, rest in counted:
        if paths:
            words = one if len(paths) == 1 else many
            message = f"{len(paths):,} {words} {rest}"
            named = paths[:_MAX_MISSING] if kind == "missing_files" else paths
            findings.append(Finding(kind, severity, message, tuple(named)))
    return findings


def find_pixel_scale(scale: PixelScale | None, paths: Sequence[str]) -> list[Finding]:
    """Return the finding which values of 16-bit images become black and white."""
    if scale is None:
        return []
    count = len(paths)
    images = "image has" if count == 1 else "images have"
    message = (
        f"{count:,} {images} more than 8 bits: values from {scale.low:,.0f} to {scale.high:,.0f} "
        "become black to white, in all of them and in every model trained on them."
    )
    return [Finding("pixel_scale", "info", message, tuple(paths))]


def find_split_gaps(class_names: Sequence[str], records: Sequence[_Record]) -> list[Finding]:
    """Return what a given split lacks: classes missing from a part, parts too small to measure on.

    Args:
        class_names: by label.
        records: with ``part`` set where the split is given; without one nothing is found.
    """
    labels: dict[str, set[int]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for record in records:
        part = record.part or "train"
        labels[part].add(record.label)
        counts[part] += 1
    if len(counts) < 2:
        return []
    findings = []
    held_out = [part for part in ("val", "test") if counts[part]]
    untrained = set(range(len(class_names))) - labels["train"]
    if untrained:
        names = [class_names[label] for label in sorted(untrained)]
        findings.append(
            Finding(
                "class_not_in_train",
                "error",
                f"No image to train on, only images to test with: {list_some(names)}. Add some to "
                "the train part, or take the class out of the others.",
                _paths(records, untrained),
            )
        )
    findings += _find_groups_apart(records)
    for part in held_out:
        absent = set(range(len(class_names))) - labels[part] - untrained
        if absent:
            names = [class_names[label] for label in sorted(absent)]
            findings.append(
                Finding(
                    f"class_not_in_{part}",
                    "warning",
                    f"The {part} part has no image of {list_some(names)}: nothing will be known "
                    f"about {'it' if len(names) == 1 else 'them'} from {part} figures.",
                    (),
                )
            )
        if counts[part] < _MIN_JUDGED:
            findings.append(
                Finding(
                    f"small_{part}",
                    "warning",
                    f"The {part} part has {counts[part]} images: an accuracy on so few says little "
                    "(its 95 % interval is wider than ±20 points).",
                    (),
                )
            )
    return findings


def _find_groups_apart(records: Sequence[_Record]) -> list[Finding]:
    members: dict[str, list[_Record]] = defaultdict(list)
    for record in records:
        if record.group is not None:
            members[record.group].append(record)
    apart = [own for own in members.values() if len({one.part or "train" for one in own}) > 1]
    if not apart:
        return []
    return [
        Finding(
            "group_across_parts",
            "warning",
            f"{len(apart):,} of {len(members):,} groups have images in more than one part of the "
            "given split, so the figures will be too good.",
            tuple(record.path for own in apart for record in own),
            groups=tuple(tuple(record.path for record in own) for own in apart),
        )
    ]


def _paths(records: Sequence[_Record], labels: set[int]) -> tuple[str, ...]:
    return tuple(record.path for record in records if record.label in labels)
