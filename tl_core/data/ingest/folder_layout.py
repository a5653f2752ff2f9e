"""Find the class folders below a dataset's root and the image files in them; nothing is read.

Classes may lie one or more wrapper folders deep, or below ``train/ val/ test/``. Whatever is not
an image of a class is kept by name under the reason why it is left out.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tl_core.data.file_names import debris_kind
from tl_core.data.images.images import SUFFIXES
from tl_core.data.images.signatures import looks_readable
from tl_core.errors import DatasetError, Stopped
from tl_core.progress import ShouldStop

PART_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

_DIGITS = re.compile(r"(\d+)")

NaturalKey = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True)
class FoundFile:
    """One file that has an image's name and lies in a class folder."""

    path: str
    class_name: str
    part: str | None
    num_bytes: int
    mtime_ns: int


@dataclass
class Layout:
    """What lies below a root. Paths are relative to it, with slashes; folders end in one.

    ``classes`` gives each class's folders, more than one with ``train/ val/ test/``.
    ``ignored`` has the reasons ``system``, ``hidden``, ``stray`` (an image outside any class
    folder), ``other`` (no image's name), ``no_suffix`` (an image without an image's name),
    ``link``, ``bad_name`` and ``no_access``.
    """

    wrapper: str = ""
    classes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: list[FoundFile] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def natural_key(text: str) -> NaturalKey:
    """Sort key that puts 2 before 10 and ignores case; equal only for equal texts."""
    pieces = _DIGITS.split(text.casefold())  # text and digits in turn, so that like meets like
    return tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces)), text


def natural_path_key(path: str) -> tuple[NaturalKey, ...]:
    """Sort key of a path with slashes: :func:`natural_key` of each of its names."""
    return tuple(natural_key(name) for name in path.split("/"))


def is_there(path: Path, expected: str) -> bool:
    """Return whether there is anything at a path.

    Raises:
        DatasetError: it cannot be looked at, as when a name in it is too long; the message says
            that ``expected`` was.
    """
    try:
        return path.exists()
    except OSError as error:
        raise DatasetError(
            f"Expected {expected} at '{path}', but it cannot be looked at: {error.strerror}. "
            "Check the path."
        ) from error


def read_layout(root: Path, should_stop: ShouldStop | None = None) -> Layout:
    """Walk ``root`` and return its class folders and files, sorted by class and path.

    Links are followed only to files inside ``root``; folders and files outside it are never read.

    Raises:
        DatasetError: ``root`` is missing or no folder.
        Stopped: ``should_stop`` said so.
    """
    if not is_there(root, "a folder with one folder per class"):
        raise DatasetError(
            f"Expected a folder with one folder per class at '{root}', found nothing there. "
            "Check the path."
        )
    if not root.is_dir():
        raise DatasetError(
            f"Expected a folder with one folder per class, found a file: '{root}'. "
            "Unpack it first if it is an archive."
        )
    return _Walk(root, should_stop).run()


@dataclass
class _Listing:
    """One folder's visible folders and image files."""

    folders: list[str] = field(default_factory=list)
    images: list[tuple[str, os.stat_result]] = field(default_factory=list)


class _Walk:
    """One walk over one root, gathering its :class:`Layout`."""

    def __init__(self, root: Path, should_stop: ShouldStop | None) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._should_stop = should_stop
        self._listings: dict[str, _Listing] = {}
        self._layout = Layout()

    def run(self) -> Layout:
        layout = self._layout
        layout.wrapper = base = self._unwrap()
        parts = self._given_parts(base)
        for name in self._list(base).folders:
            folder = f"{base}{name}/"
            if parts is None:
                self._take_class(folder, name, None)
            elif name in parts:
                self._stray(folder)
                for class_name in self._list(folder).folders:
                    self._take_class(f"{folder}{class_name}/", class_name, parts[name])
            else:
                layout.ignored["stray"].append(folder)
        self._stray(base)
        layout.files.sort(key=lambda file: natural_path_key(f"{file.class_name}/{file.path}"))
        for paths in layout.ignored.values():
            paths.sort(key=natural_path_key)
        return layout

    def _unwrap(self) -> str:
        """Return the folder whose folders are the classes: the root, or one that it only wraps."""
        base = ""
        while len(folders := self._list(base).folders) == 1:
            inner = f"{base}{folders[0]}/"
            if self._list(inner).images or not self._list(inner).folders:
                break
            self._stray(base)
            base = inner
        return base

    def _given_parts(self, base: str) -> dict[str, str] | None:
        """Return the part that each train/val/test folder stands for, or None if they are classes.

        Folders of those names are parts when they hold class folders, and no other folder stands
        beside them unless train shares a class folder with another part.
        """
        folders = self._list(base).folders
        parts = {
            name: PART_OF_FOLDER[name.casefold()]
            for name in folders
            if name.casefold() in PART_OF_FOLDER
        }
        classes: dict[str, set[str]] = defaultdict(set)
        for name, part in parts.items():
            classes[part].update(self._list(f"{base}{name}/").folders)
        if not classes["train"]:
            return None
        if len(parts) < len(folders) and not classes["train"] & (classes["val"] | classes["test"]):
            return None
        return parts

    def _take_class(self, folder: str, class_name: str, part: str | None) -> None:
        self._layout.classes[class_name].append(folder)
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            listing = self._list(current)
            waiting.extend(f"{current}{name}/" for name in listing.folders)
            self._layout.files.extend(
                FoundFile(f"{current}{name}", class_name, part, stat.st_size, stat.st_mtime_ns)
                for name, stat in listing.images
            )

    def _stray(self, folder: str) -> None:
        self._layout.ignored["stray"].extend(
            f"{folder}{name}" for name, _ in self._list(folder).images
        )

    def _list(self, folder: str) -> _Listing:
        """List a folder once; what is neither folder nor image is noted as ignored."""
        if folder not in self._listings:
            if self._should_stop is not None and self._should_stop():
                raise Stopped
            self._listings[folder] = listing = _Listing()
            for entry in self._entries(folder):
                reason = self._sort_in(entry, folder, listing)
                if reason is not None:
                    slash = "/" if entry.is_dir(follow_symlinks=False) else ""
                    self._layout.ignored[reason].append(_shown(f"{folder}{entry.name}{slash}"))
        return self._listings[folder]

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self._root / folder) as entries:
                yield from entries
        except OSError:
            self._layout.ignored["no_access"].append(folder)

    def _sort_in(self, entry: os.DirEntry[str], folder: str, listing: _Listing) -> str | None:
        """Add an entry to the listing, or return the reason why it is left out."""
        name = entry.name
        debris = debris_kind([name])
        if debris is not None:
            return "hidden" if debris == "hidden" else "system"
        if not _is_unicode(name):
            return "bad_name"
        if entry.is_symlink() and not self._is_file_inside(entry.path):
            return "link"
        if entry.is_dir():
            listing.folders.append(name)
            return None
        suffix = Path(name).suffix.lower()
        if not entry.is_file():  # a pipe or device would never end
            return "other"
        if suffix in SUFFIXES:
            try:
                listing.images.append((name, entry.stat()))
            except OSError:
                return "no_access"
            return None
        return "no_suffix" if not suffix and _holds_image(entry.path) else "other"

    def _is_file_inside(self, path: str) -> bool:
        real = Path(os.path.realpath(path))  # unlike resolve(), not upset by a loop
        return real.is_relative_to(self._real_root) and real.is_file()


def _is_unicode(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str) -> str:
    """Return a path as text that can be shown and stored, whatever bytes its names are made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _holds_image(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return looks_readable(file.read(12))
    except OSError:
        return False
