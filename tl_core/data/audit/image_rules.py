"""The audit's rules for single images and for class sizes, with their messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.findings import Action, Finding, Severity
from tl_core.data.audit.image_stats import ImageStats
from tl_core.data.dataset import DatasetIndex, ImageRecord

_GREY = 0.01  # colourfulness; photos of colourless objects have at least twice that
_FLAT = 0.1  # contrast; so that black drawings on white, or the reverse, are not reported
_SHARP_ENOUGH = 0.4
_MIN_TO_SPLIT = 3
_MAX_NAMED = 5
_FEW = 0.05  # share of the photos up to which another size is an exception


@dataclass(frozen=True)
class _Rule:
    """A problem that a single image can have, and its message in singular and plural."""

    kind: str
    severity: Severity
    action: Action
    applies: Callable[[ImageRecord, ImageStats], bool]
    one: str
    several: str
    advice: str


def find_image_faults(
    index: DatasetIndex, stats: Sequence[ImageStats], config: AuditConfig
) -> list[Finding]:
    """Return findings about single images: brightness, sharpness, shape."""
    light, shape = _light_rules(stats, config), _shape_rules(config)
    named: dict[str, list[str]] = {rule.kind: [] for rule in (*light, *shape)}
    for record, measured in zip(index.records, stats, strict=True):
        # Only the first of these is reported: a dark photo is often blurry or uniform too.
        first = [rule for rule in light if rule.applies(record, measured)][:1]
        for rule in (*first, *(rule for rule in shape if rule.applies(record, measured))):
            named[rule.kind].append(record.path)
    return [
        _finding(rule, named[rule.kind], len(index.records), config)
        for rule in (*light, *shape)
        if named[rule.kind]
    ]


def find_grey(
    index: DatasetIndex, stats: Sequence[ImageStats], config: AuditConfig
) -> list[Finding]:
    """Return the finding that a few photos are grey while most are in colour."""
    grey = [
        record.path
        for record, measured in zip(index.records, stats, strict=True)
        if measured.colourfulness < _GREY and measured.contrast >= config.contrast
    ]
    if not grey or len(grey) > config.greyscale_share * len(index.records):
        return []
    message = (
        f"{len(grey):,} {'photo is' if len(grey) == 1 else 'photos are'} grey among colour ones. "
        "Harmless, unless one class has most of them."
    )
    return [Finding("greyscale", "info", message, tuple(grey))]


def find_odd_sizes(index: DatasetIndex, config: AuditConfig) -> list[Finding]:
    """Return the finding that a few photos are far larger or smaller than the others.

    They often come from another source, which a class can be recognised by.
    """
    if not index.records:
        return []
    sides = np.sqrt([float(record.width * record.height) for record in index.records])
    ratios = sides / np.median(sides)
    odd = (ratios >= config.odd_size) | (ratios <= 1 / config.odd_size)
    paths = tuple(index.records[place].path for place in np.flatnonzero(odd))
    if not paths or len(paths) > max(1, _FEW * len(index.records)):
        return []
    first = index.records[int(np.flatnonzero(odd)[0])]
    message = (
        f"{len(paths):,} {'photo has' if len(paths) == 1 else 'photos have'} a very different size "
        f"from the others, such as {first.width:,} × {first.height:,} pixels. See whether "
        f"{'it comes' if len(paths) == 1 else 'they come'} from another source."
    )
    return [Finding("odd_size", "info", message, paths)]


def find_class_sizes(index: DatasetIndex, config: AuditConfig) -> list[Finding]:
    """Return findings about small and unbalanced classes."""
    contents: list[set[str]] = [set() for _ in index.class_names]
    for record in index.records:
        contents[record.label].add(record.sha256)
    sizes = dict(zip(index.class_names, map(len, contents), strict=True))
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    too_few = [name for name, size in sizes.items() if size < _MIN_TO_SPLIT]
    few = [name for name, size in sizes.items() if _MIN_TO_SPLIT <= size < config.min_class_images]
    findings = []
    if too_few:
        advice = "Too few for train, val and test: add more."
        findings.append(_small_class(index, too_few, sizes, "error", advice))
    if few:
        advice = "Too few for a figure that can be trusted: add more."
        findings.append(_small_class(index, few, sizes, "warning", advice))
    if sizes[most] > config.imbalance * sizes[least]:
        message = (
            f"'{most}' has {_photos(sizes[most])} and '{least}' only {sizes[least]:,}. "
            "Add photos to the small class, or train with balanced class weights."
        )
        paths = _class_folders(index, [most, least])
        findings.append(Finding("imbalance", "warning", message, paths))
    return findings


def _light_rules(stats: Sequence[ImageStats], config: AuditConfig) -> tuple[_Rule, ...]:
    usual = float(np.median([measured.sharpness for measured in stats])) if stats else 0.0
    least_sharpness = min(_SHARP_ENOUGH, config.sharpness * usual)
    return (
        _Rule(
            "dark",
            "warning",
            "exclude",
            lambda _, stats: stats.highlights < config.dark and stats.contrast < _FLAT,
            "photo is very dark",
            "photos are very dark",
            "Hardly anything can be seen.",
        ),
        _Rule(
            "bright",
            "warning",
            "exclude",
            lambda _, stats: (
                stats.shadows > config.bright and config.contrast <= stats.contrast < _FLAT
            ),
            "photo is very bright",
            "photos are very bright",
            "Hardly anything can be seen.",
        ),
        _Rule(
            "uniform",
            "warning",
            "exclude",
            lambda _, stats: stats.contrast < config.contrast,
            "photo is nearly uniform",
            "photos are nearly uniform",
            "There is nothing to learn from.",
        ),
        _Rule(
            "blurry",
            "warning",
            "exclude",
            lambda _, stats: stats.sharpness < least_sharpness,
            "photo is blurry",
            "photos are blurry",
            "Keep them if the photos to classify later are as blurry.",
        ),
    )


def _shape_rules(config: AuditConfig) -> tuple[_Rule, ...]:
    return (
        _Rule(
            "tiny",
            "warning",
            "exclude",
            lambda record, _: min(record.width, record.height) < config.min_side,
            "photo is tiny",
            "photos are tiny",
            "Enlarged for the network, there is little to see.",
        ),
        _Rule(
            "extreme_aspect",
            "info",
            "ignore",
            lambda record, _: (
                max(record.width, record.height)
                > config.max_aspect * min(record.width, record.height)
            ),
            "photo is far from square",
            "photos are far from square",
            "Squashing distorts such shapes; training with resize 'pad' keeps them.",
        ),
        _Rule(
            "exif_rotated",
            "info",
            "ignore",
            lambda record, _: record.exif_orientation != 1,
            "photo is stored rotated and shown upright",
            "photos are stored rotated and shown upright",
            "Nothing to do here; other programs may show them rotated.",
        ),
    )


def _finding(rule: _Rule, paths: Sequence[str], num_images: int, config: AuditConfig) -> Finding:
    is_common = len(paths) > config.common_share * num_images
    does_exclude = rule.action == "exclude" and not is_common
    return Finding(
        rule.kind,
        "info" if is_common else rule.severity,
        f"{len(paths):,} {rule.one if len(paths) == 1 else rule.several}. {rule.advice}",
        tuple(paths),
        action="exclude" if does_exclude else "ignore",
        action_paths=tuple(paths) if does_exclude else (),
    )


def _small_class(
    index: DatasetIndex,
    names: Sequence[str],
    sizes: dict[str, int],
    severity: Severity,
    advice: str,
) -> Finding:
    counted = ", ".join(f"'{name}' {sizes[name]}" for name in names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    classes = "1 class has" if len(names) == 1 else f"{len(names)} classes have"
    message = f"{classes} very few different photos: {counted}{more}. {advice}"
    return Finding("small_class", severity, message, _class_folders(index, names))


def _photos(number: int) -> str:
    return f"{number:,} {'photo' if number == 1 else 'photos'}"


def _class_folders(index: DatasetIndex, names: Sequence[str]) -> tuple[str, ...]:
    """Return the folders of classes, each ending in a slash."""
    folders: dict[str, None] = {}
    for record in index.records:
        name = index.class_names[record.label]
        parts = record.path.split("/")[:-1]
        if name in names and name in parts:
            folders["/".join(parts[: parts.index(name) + 1]) + "/"] = None
    return tuple(folders)
