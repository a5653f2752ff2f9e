"""What folders of images say by their names alone: parts, classes, levels, variants."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from tl_core.data.layout.split_names import UNLABELLED, parts_of_folders
from tl_core.data.layout.tree import Folder

# Names of folders that say how images were made or sorted, never what they show.
_GENERIC = re.compile(
    r"(?:img|imgs|image|images|jpegimages|pic|pics|picture|pictures|photo|photos|frame|frames|"
    r"session|day|date|batch|part|set|seq|sequence|video|vid|clip|take|shot|scene|camera|cam|"
    r"subject|person|patient|user|id|fold|folder|group|dir|new folder|untitled|burst|jpg|jpeg|"
    r"png|raw|original|originals|upload|uploads|dcim|data|dataset|files|all|s|p|v|f)?"
    r"[ _.\-()]*(?:images|photos|part|fold|batch)?[ _.\-()]*\d*[\d _.\-():]*",
    re.IGNORECASE,
)
# Renderings of the same pictures, the first ones preferred.
_VARIANTS = (
    *("color", "colour", "colored", "coloured", "rgb", "original", "originals", "orig", "raw"),
    *("full", "images", "clean", "gray", "grey", "grayscale", "greyscale", "bw", "mono"),
    *("segmented", "segmentation", "seg", "mask", "masks", "masked", "edges", "edge", "depth"),
    *("thermal", "ir", "infrared", "nir", "augmented", "aug", "processed", "preprocessed"),
    *("resized", "cropped", "crop", "crops", "small", "large", "hd", "thumbnails", "thumbs"),
    *("normalized", "normalised", "denoised", "enhanced", "blurred", "noisy", "binary"),
)
_LEAF_SHARE = 0.05  # of a folder's images that may lie right in it while its folders are classes


@dataclass(frozen=True)
class Parts:
    """The folders that are train, val and test, and where the classes of each begin."""

    part_of: dict[str, str]
    bases: dict[str, Folder]  # by folder name; only those that hold class folders


@dataclass(frozen=True)
class Structure:
    """What the folders below ``base`` are.

    Attributes:
        base: the folder whose folders are classes or parts; the root, or one that it only wraps.
        parts: of the folders, where they are train, val and test.
        has_classes: whether the names of at least two folders can be classes.
        level: which level below base (or a part) names the class.
        levels: all levels that could.
        variants: folders that hold the same classes, the preferred one first.
        is_sure: whether no other reading is as plausible.
        inner_groups: whether the folders inside of the class folders are sessions or the like.
        reasons: why, in sentences.
    """

    base: Folder
    parts: Parts | None
    has_classes: bool
    level: int = 1
    levels: tuple[int, ...] = (1,)
    variants: tuple[str, ...] = ()
    is_sure: bool = True
    inner_groups: bool = False
    reasons: tuple[str, ...] = ()


def is_generic(name: str) -> bool:
    """Return whether a folder's name says nothing about what is on its images."""
    return _GENERIC.fullmatch(name.strip()) is not None or bool(parts_of_folders([name]))


def unwrap(top: Folder) -> list[Folder]:
    """Return the folders from the root down to the first that does more than wrap another."""
    trail = [top]
    while True:
        useful = [inner for inner in trail[-1].folders.values() if _counts(inner)]
        if len(useful) != 1 or useful[0].images or not useful[0].folders:
            return trail
        trail.append(useful[0])


def find_parts(base: Folder) -> Parts | None:
    """Return which folders of ``base`` are train, val and test, or None if they are classes.

    Folders of such names are parts when train holds class folders, and no other folder stands
    beside them unless train shares a class folder with another part.
    """
    folders = {name: inner for name, inner in base.folders.items() if _counts(inner)}
    part_of = parts_of_folders(folders)
    bases = {name: _undouble(folders[name]) for name in part_of}
    classes: dict[str, set[str]] = defaultdict(set)
    for name, part in part_of.items():
        if part != UNLABELLED:
            classes[part].update(bases[name].folders)
    if not classes["train"]:
        return None
    if len(part_of) < len(folders) and not classes["train"] & (classes["val"] | classes["test"]):
        return None
    with_classes = {
        name: inner
        for name, inner in bases.items()
        if part_of[name] != UNLABELLED and _has_classes_of(inner, classes["train"])
    }
    return Parts(part_of, with_classes)


def _has_classes_of(part: Folder, train: set[str]) -> bool:
    """Whether the folders of a part are classes: ``val/images`` is none unless train has it too."""
    return bool(part.folders.keys() & train) or any(not is_generic(name) for name in part.folders)


def find_inner_parts(base: Folder) -> dict[str, str] | None:
    """Return the part of each folder below the class folders (``cat/train``), or None.

    Keys are paths of folders. All class folders must be divided so, train among them.
    """
    found: dict[str, str] = {}
    for kid in base.filled.values():
        part_of = parts_of_folders(kid.filled)
        if kid.images or not part_of or len(part_of) < len(kid.filled):
            return None
        if any(kid.folders[name].filled for name in part_of):
            return None
        found.update({kid.folders[name].path: part for name, part in part_of.items()})
    parts = set(found.values()) - {UNLABELLED}
    return found if "train" in parts and len(parts) > 1 else None


def analyse(top: Folder) -> Structure:
    """Return what the folders below a root are, by their names and where images lie."""
    base = unwrap(top)[-1]
    parts = find_parts(base)
    heads = list(parts.bases.values()) if parts else [base]
    kids: dict[str, list[Folder]] = defaultdict(list)
    for head in heads:
        for name, kid in head.filled.items():
            kids[name].append(kid)
    all_parts = parts is None and len(parts_of_folders(kids)) == len(kids)
    has_classes = len(kids) > 1 and not all_parts
    reasons = []
    if parts:
        reasons.append(_describe_parts(parts))
    plain = Structure(base, parts, has_classes, reasons=tuple(reasons))
    if not kids or not all(_is_branch(kid) for same in kids.values() for kid in same):
        return plain
    if all_parts and not any(_undouble(kid).filled for own in kids.values() for kid in own):
        return plain  # train/train and test/test without class folders
    if parts is None and find_inner_parts(base) is not None:
        reasons.append("each class folder is divided into train, val and test")
        return Structure(base, parts, has_classes, reasons=tuple(reasons))
    return _analyse_inside(plain, kids)


def _analyse_inside(plain: Structure, kids: dict[str, list[Folder]]) -> Structure:
    """Analyse folders that all hold folders of images themselves."""
    inner = {name: {one for kid in same for one in kid.filled} for name, same in kids.items()}
    names = [one for own in inner.values() for one in own]
    base, parts, reasons = plain.base, plain.parts, plain.reasons
    if len(set(names)) < 2:
        return plain
    generic = sum(map(is_generic, names)) >= 0.8 * len(names)
    shared = set.intersection(*inner.values())
    repeated = len(kids) > 1 and len(shared) >= max(2, 0.6 * len(set(names)))
    are_variants = sum(is_variant(name) for name in kids) >= max(1, len(kids) - 1)
    inner_parts = repeated and len(parts_of_folders(shared)) == len(shared)
    if repeated and (are_variants or inner_parts or (not generic and len(kids) <= 6)):
        order = tuple(sorted(sorted(kids), key=_variant_rank))
        reason = f"{len(kids)} folders hold the same {len(shared)} folders: {', '.join(order)}"
        levels = (1,) if inner_parts else (1, 2)
        if are_variants or inner_parts:
            return Structure(base, parts, True, 1, levels, order, False, False, (*reasons, reason))
        return Structure(base, parts, True, 2, levels, order, False, False, (*reasons, reason))
    if generic:
        reason = "the folders inside of the class folders are named like sessions, not like classes"
        # Sessions are numbered from 1 in each class; numbers that never recur may name classes.
        may_be_classes = all(name.isdecimal() for name in names) and len(set(names)) == len(names)
        return Structure(
            base,
            parts,
            plain.has_classes,
            levels=(1, 2),
            is_sure=not may_be_classes,
            inner_groups=True,
            reasons=(*reasons, reason),
        )
    depth = 2
    below = [one for same in kids.values() for kid in same for one in kid.filled.values()]
    while all(_is_branch(one) for one in below):
        inside = [name for one in below for name in one.filled]
        if sum(map(is_generic, inside)) >= 0.8 * len(inside):
            break
        below = [kid for one in below for kid in one.filled.values()]
        depth += 1
    reason = f"all images lie {depth} class levels deep, and the innermost level names the class"
    return Structure(
        base, parts, True, depth, tuple(range(1, depth + 1)), (), False, False, (*reasons, reason)
    )


def _undouble(folder: Folder) -> Folder:
    """Go through folders that only repeat the name of a part: ``train/train`` or ``train/data``."""
    while True:
        useful = [inner for inner in folder.folders.values() if _counts(inner)]
        if len(useful) != 1 or folder.images:
            return folder
        (inner,) = useful
        same = inner.name.casefold() == folder.name.casefold() or bool(
            parts_of_folders([inner.name])
        )
        if not same and not (is_generic(inner.name) and inner.filled):
            return folder
        folder = inner


def _counts(folder: Folder) -> bool:
    """Whether a folder matters: it holds images, or nothing at all, as a class without any yet."""
    return folder.num_images > 0 or not any(one.others for one in folder.walk())


def _is_branch(folder: Folder) -> bool:
    return bool(folder.filled) and len(folder.images) <= _LEAF_SHARE * folder.num_images


def is_variant(name: str) -> bool:
    """Return whether a folder's name is that of a rendering, such as ``grayscale``."""
    return _variant_rank(name) < len(_VARIANTS)


def _variant_rank(name: str) -> int:
    words = re.findall(r"[a-z]+", name.casefold())
    return min(
        (_VARIANTS.index(word) for word in words if word in _VARIANTS), default=len(_VARIANTS)
    )


def _describe_parts(parts: Parts) -> str:
    reason = [
        f"'{name}' is {part}" if name in parts.bases else f"'{name}' has no classes"
        for name, part in parts.part_of.items()
    ]
    return "by their names " + ", ".join(reason)
