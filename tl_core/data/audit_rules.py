"""What the audit looks at in each image and each class, and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tl_core.audit_config import AuditConfig
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.findings import Action, Finding, Severity
from tl_core.data.stats import ImageStats

_GREY = 0.02  # colourfulness below which a picture has no colour to see
_MIN_TO_SPLIT = 3


@dataclass(frozen=True)
class _Rule:
    """One fault that an image may have by itself, and what is said when one or several do."""

    kind: str
    severity: Severity
    action: Action
    applies: Callable[[ImageRecord, ImageStats, AuditConfig], bool]
    one: str
    several: str
    advice: str


def _is_uniform(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return stats.contrast < config.contrast


def _is_dark(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return stats.highlights < config.dark


def _is_bright(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return stats.shadows > config.bright


def _is_blurry(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return stats.sharpness < config.sharpness


def _is_tiny(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return min(record.width, record.height) < config.min_side


def _is_long(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    sides = sorted((record.width, record.height))
    return sides[1] > config.max_aspect * sides[0]


def _is_rotated(record: ImageRecord, stats: ImageStats, config: AuditConfig) -> bool:
    return record.exif_orientation != 1


# An image has the first of these only: what is dark is often uniform or blurry too.
_LIGHT_RULES = (
    _Rule(
        "dark",
        "warning",
        "exclude",
        _is_dark,
        "photo is very dark",
        "photos are very dark",
        "Hardly anything can be seen in it.",
    ),
    _Rule(
        "bright",
        "warning",
        "exclude",
        _is_bright,
        "photo is very bright",
        "photos are very bright",
        "Hardly anything can be seen in it.",
    ),
    _Rule(
        "uniform",
        "warning",
        "exclude",
        _is_uniform,
        "photo is nearly one even surface",
        "photos are nearly one even surface",
        "There is nothing in it to learn from.",
    ),
    _Rule(
        "blurry",
        "warning",
        "exclude",
        _is_blurry,
        "photo is blurry",
        "photos are blurry",
        "Keep it if the photos to classify later are like it.",
    ),
)
_SHAPE_RULES = (
    _Rule(
        "tiny",
        "warning",
        "exclude",
        _is_tiny,
        "photo is tiny",
        "photos are tiny",
        "Enlarged for the network, it has little detail.",
    ),
    _Rule(
        "extreme_aspect",
        "info",
        "ignore",
        _is_long,
        "photo is far longer than wide",
        "photos are far longer than wide",
        "Squashed into the network's square, it is distorted; resize by 'pad' keeps its shape.",
    ),
    _Rule(
        "exif_rotated",
        "info",
        "ignore",
        _is_rotated,
        "photo is stored turned and shown upright",
        "photos are stored turned and shown upright",
        "Nothing to do here; other programs may show it lying.",
    ),
)
IMAGE_KINDS = tuple(rule.kind for rule in (*_LIGHT_RULES, *_SHAPE_RULES))


def find_image_faults(
    index: DatasetIndex, stats: Sequence[ImageStats], config: AuditConfig
) -> list[Finding]:
    """Return what is wrong with images taken one by one: light, sharpness, shape."""
    named: dict[str, list[str]] = {}
    for record, measured in zip(index.records, stats, strict=True):
        light = next((r for r in _LIGHT_RULES if r.applies(record, measured, config)), None)
        shape = [rule for rule in _SHAPE_RULES if rule.applies(record, measured, config)]
        for rule in ([light] if light else []) + shape:
            named.setdefault(rule.kind, []).append(record.path)
    return [
        _finding(rule, named[rule.kind], len(index.records), config)
        for rule in (*_LIGHT_RULES, *_SHAPE_RULES)
        if rule.kind in named
    ]


def find_grey(
    index: DatasetIndex, stats: Sequence[ImageStats], config: AuditConfig
) -> list[Finding]:
    """Return the finding that few photos are grey among colour ones."""
    grey = [
        record.path
        for record, measured in zip(index.records, stats, strict=True)
        if measured.colourfulness < _GREY and measured.contrast >= config.contrast
    ]
    if not grey or len(grey) > config.greyscale_share * len(index.records):
        return []
    message = (
        f"{len(grey)} {'photo is' if len(grey) == 1 else 'photos are'} grey among colour ones. "
        "Harmless, unless one class has them all."
    )
    return [Finding("greyscale", "info", message, tuple(grey))]


def find_class_sizes(index: DatasetIndex, config: AuditConfig) -> list[Finding]:
    """Return what is wrong with the numbers of images in the classes."""
    findings = []
    contents: list[set[str]] = [set() for _ in index.class_names]
    for record in index.records:
        contents[record.label].add(record.sha256)
    sizes = dict(zip(index.class_names, map(len, contents), strict=True))
    too_few = [name for name, size in sizes.items() if size < _MIN_TO_SPLIT]
    small = [
        name for name, size in sizes.items() if _MIN_TO_SPLIT <= size < config.min_class_images
    ]
    complaints: tuple[tuple[list[str], Severity, str], ...] = (
        (too_few, "error", "Too few for train, val and test"),
        (small, "warning", "Too few for a figure that can be trusted"),
    )
    for names, severity, advice in complaints:
        if names:
            counted = ", ".join(f"'{name}' {sizes[name]}" for name in names[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            classes = "1 class has" if len(names) == 1 else f"{len(names)} classes have"
            findings.append(
                Finding(
                    "small_class",
                    severity,
                    f"{classes} very few different photos: {counted}{more}. {advice}: add more.",
                    tuple(_class_folders(index, names)),
                )
            )
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[most] > config.imbalance * sizes[least]:
        message = (
            f"'{most}' has {sizes[most]:,} photos and '{least}' only {sizes[least]:,}. "
            f"Add photos to the small class, or train with balanced class weights."
        )
        paths = tuple(_class_folders(index, [most, least]))
        findings.append(Finding("imbalance", "warning", message, paths))
    return findings


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


def _class_folders(index: DatasetIndex, names: Sequence[str]) -> list[str]:
    """Return the folders of classes, each ending in a slash."""
    folders: dict[str, None] = {}
    for record in index.records:
        name = index.class_names[record.label]
        parts = record.path.split("/")[:-1]
        if name in names and name in parts:
            folders["/".join(parts[: parts.index(name) + 1]) + "/"] = None
    return list(folders)
