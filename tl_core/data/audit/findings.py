"""Findings about a data folder, and those of the scan."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tl_core.errors import REMEDIES

# Kinds included in the summary, in order: what is counted, singular, plural.
_WORDS = {
    "unreadable": ("paths", "unreadable file", "unreadable files"),
    "two_classes": ("groups", "photo in two classes", "photos in two classes"),
    "across_parts": ("groups", "photo in two parts", "photos in two parts"),
    "duplicate": ("action_paths", "duplicate", "duplicates"),
    "near_two_classes": ("groups", "near copy in two classes", "near copies in two classes"),
    "near_across_parts": ("groups", "near copy in two parts", "near copies in two parts"),
    "near_duplicate": ("action_paths", "near duplicate", "near duplicates"),
    "wrong_label": ("paths", "probably wrong label", "probably wrong labels"),
    "dark": ("paths", "very dark", "very dark"),
    "bright": ("paths", "very bright", "very bright"),
    "uniform": ("paths", "even surface", "even surfaces"),
    "blurry": ("paths", "blurry", "blurry"),
    "tiny": ("paths", "tiny", "tiny"),
}


def summarise(findings: Sequence[Finding]) -> str:
    """Return such as "4 duplicates, 1 photo in two classes, 2 very dark"; "" for nothing of note.

    Purely informational findings are left out.
    """
    parts = []
    for kind, (counted, one, several) in _WORDS.items():
        number = sum(
            len(getattr(finding, counted))
            for finding in findings
            if finding.kind == kind and finding.severity != "info"
        )
        if number:
            parts.append(f"{number:,} {one if number == 1 else several}")
    return ", ".join(parts)


Severity = Literal["error", "warning", "info"]
Action = Literal["exclude", "relabel", "ignore"]


@dataclass(frozen=True)
class Finding:
    """A problem or remark about a data folder, and the files it concerns.

    ``paths`` are relative to the data folder; those of folders end in a slash.

    Attributes:
        action: the proposed action.
        action_paths: those of ``paths`` that the action applies to.
        target: the class that they should move to.
        groups: ``paths`` in groups of images that belong together, such as copies.
        reasons: one reason for each of ``paths``, if they differ.
    """

    kind: str
    severity: Severity
    message: str
    paths: tuple[str, ...]
    action: Action = "ignore"
    action_paths: tuple[str, ...] = ()
    target: str | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What helps, one of :data:`~tl_core.errors.REMEDIES`, or ""."""
        return self.kind if self.kind in REMEDIES and self.severity != "info" else ""


# Parts of a reason that differ between similar failures: sizes, and the decoder's message.
_DETAILS = re.compile(r"\(.*\)|[\d.,]+")


# Why something was left out: severity, singular, plural, what to do.
_IGNORED: dict[str, tuple[Severity, str, str, str]] = {
    "stray": (
        "warning",
        "image or folder lies outside the class folders and is",
        "images or folders lie outside the class folders and are",
        "Label it on the Data page, or move it into a class folder, to use it.",
    ),
    "no_row": (
        "warning",
        "image is not named by the label file and is",
        "images are not named by the label file and are",
        "Label it on the Data page, or add a row for it, to use it.",
    ),
    "no_class": (
        "warning",
        "image's name gives no class and it is",
        "images have names that give no class and are",
        "Label it on the Data page, or rename it to fit the pattern, to use it.",
    ),
    "two_labels": (
        "warning",
        "image has rows of different classes in the label file and is",
        "images have rows of different classes in the label file and are",
        "Keep one row of each to use it.",
    ),
    "variant": (
        "info",
        "folder holds other renderings of the same classes and is",
        "folders hold other renderings of the same classes and are",
        "",
    ),
    "copy": (
        "info",
        "folder holds the same files once more and is",
        "folders hold the same files once more and are",
        "",
    ),
    "mask": (
        "info",
        "picture is a mask of another and is",
        "pictures are masks of others and are",
        "",
    ),
    "link": (
        "warning",
        "link leads out of the data folder, to a folder or nowhere, and is",
        "links lead out of the data folder, to folders or nowhere, and are",
        "Have them followed, or put the images themselves there.",
    ),
    "bad_name": (
        "warning",
        "name is no valid Unicode and is",
        "names are no valid Unicode and are",
        "Rename it to use it.",
    ),
    "no_access": (
        "error",
        "folder or file may not be read and is",
        "folders or files may not be read and are",
        "Change its access rights to use it.",
    ),
    "system": ("info", "file of the operating system is", "files of the operating system are", ""),
    "hidden": ("info", "hidden file or folder is", "hidden files or folders are", ""),
    "other": ("info", "file that is no image is", "files that are no images are", ""),
}


def find_ignored(ignored: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return one finding for each reason why something was left out."""
    findings = []
    for kind, (severity, one, several, advice) in _IGNORED.items():
        paths = ignored.get(kind, ())
        if paths:
            message = f"{len(paths)} {one if len(paths) == 1 else several} left out. {advice}"
            findings.append(Finding(kind, severity, message.strip(), tuple(paths)))
    return findings


def unreadable_files(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return path and reason of each file that cannot be read, of all findings together.

    Examples:
        >>> [one] = find_unreadable({"cat/a.jpg": "The file is empty."})
        >>> unreadable_files([one])
        [('cat/a.jpg', 'The file is empty.')]
    """
    return sorted(
        pair
        for finding in findings
        if finding.kind == "unreadable"
        for pair in zip(finding.paths, finding.reasons, strict=True)
    )


def find_unreadable(reasons: Mapping[str, str]) -> list[Finding]:
    """Return one finding for each kind of reason why files could not be read as images.

    Args:
        reasons: path to reason.
    """
    grouped: dict[str, list[str]] = defaultdict(list)
    for path, reason in reasons.items():
        grouped[_DETAILS.sub("", reason)].append(path)
    return [_unreadable(paths, [reasons[path] for path in paths]) for paths in grouped.values()]


def _unreadable(paths: Sequence[str], reasons: Sequence[str]) -> Finding:
    first = "" if len(set(reasons)) == 1 else f"The first, '{paths[0]}': "
    message = (
        f"{_count(len(paths), 'file')} cannot be read as "
        f"{'an image' if len(paths) == 1 else 'images'}. {first}{reasons[0]}"
    )
    return Finding("unreadable", "error", message, tuple(paths), reasons=tuple(reasons))


def find_animated(paths: Sequence[str]) -> list[Finding]:
    """Return the finding that only the first frame of animations is used."""
    if not paths:
        return []
    message = f"{_count(len(paths), 'image')} with several frames: the first one is used."
    return [Finding("animated", "info", message, tuple(paths))]


def find_empty_classes(folders: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return the finding about classes without a single readable image.

    Args:
        folders: class name to its folders.
    """
    if not folders:
        return []
    names = list(folders)
    message = (
        f"{_count(len(names), 'class folder')} without a readable image "
        f"{'is' if len(names) == 1 else 'are'} not counted as a class: {list_some(names)}."
    )
    paths = tuple(path for group in folders.values() for path in group)
    return [Finding("empty_class", "warning", message, paths)]


def find_name_collisions(folders: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return a finding for each group of class names that look the same.

    Args:
        folders: class name to its folders.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in folders:
        groups[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    return [
        Finding(
            "twin_classes",
            "warning",
            f"The class names {list_some(names)} differ in case, spaces or accent coding only. "
            "Merge their folders if they are the same class.",
            tuple(path for name in names for path in folders[name]),
        )
        for names in groups.values()
        if len(names) > 1
    ]


def find_wrapper(folder: str) -> list[Finding]:
    """Return the finding that the classes are not the folders at the top."""
    if not folder:
        return []
    message = f"The classes are the folders inside '{folder.rstrip('/')}'."
    return [Finding("wrapper", "info", message, (folder,))]


def list_some(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names in quotes and how many more there are."""
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
