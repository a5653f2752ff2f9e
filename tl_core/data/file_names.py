"""Untrusted file names: check them and convert them to safe file names.

A name in an archive or an upload is only shown, never used as a path. Paths on disk are built from
:func:`safe_component` parts only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

_MAX_DEPTH = 16
_MAX_CHARS = 1_024  # of a path, as file systems allow; longer names only cost time
_MAX_BYTES = 120  # of 255 that file systems allow, leaving room for a suffix
_MAX_SHOWN = 80

# Folders and files that systems and tools leave behind, lower case.
_DEBRIS = {
    name.lower(): name
    for name in (
        *("__MACOSX", ".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini"),
        *(".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "System Volume Information"),
    )
}
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_ODD_ENDING = re.compile(r"\.(jpe?g|png|gif|webp|bmp)[^a-z]", re.IGNORECASE)
_JOINERS = "\u200c\u200d"  # part of words in some scripts, and of emoji


class UnsafeName(ValueError):
    """An untrusted name was refused; the message says why and is shown after the name."""


def name_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file name of a name like ``"pets/cats/1.jpg"``.

    Raises:
        UnsafeName: it is empty or too long, leads out of its folder, or is ambiguous to people or
            systems.
    """
    if len(name) > _MAX_CHARS:
        raise UnsafeName(f"has a name of more than {_MAX_CHARS:,} characters")
    if _CONTROL.search(name) is not None:
        raise UnsafeName("has control characters in its name")
    if "\\" in name:
        raise UnsafeName("has a backslash in its name")
    if name.startswith("/"):
        raise UnsafeName("has an absolute path")
    if re.match(r"[A-Za-z]:", name):
        raise UnsafeName("names a drive")
    if name.startswith("~"):
        raise UnsafeName("names a home folder ('~')")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise UnsafeName("leads out of the folder ('..')")
    if not parts:
        raise UnsafeName("has no name")
    if len(parts) > _MAX_DEPTH:
        raise UnsafeName(f"lies more than {_MAX_DEPTH} folders deep")
    return parts


def debris_kind(parts: Iterable[str]) -> str | None:
    """Return what kind of system or hidden file a path is, or None for an ordinary one."""
    for part in parts:
        if part.lower() in _DEBRIS:
            return _DEBRIS[part.lower()]
        if part.startswith("._"):
            return "._*"
        if part.startswith("."):
            return "hidden"
    return None


def may_be_image(name: str) -> bool:
    """Return whether a name without an image extension may be an image, like ``a.jpg_large``."""
    return not PurePosixPath(name).suffix or _ODD_ENDING.search(name) is not None


def safe_component(part: str) -> str:
    """Return a file or folder name that is valid on every common file system.

    Unicode is composed (NFC), characters that some system forbids become ``_``, invisible ones and
    dots and spaces at either end are removed, reserved names get a prefix ``_``, and long names
    are shortened with a hash.
    """
    text = part
    if not part.isascii():
        text = "".join(
            character
            for character in unicodedata.normalize("NFC", part)
            if unicodedata.category(character) != "Cf" or character in _JOINERS
        )
    text = _FORBIDDEN.sub("_", text.encode("utf-8", "replace").decode("utf-8"))
    text = text.strip(" .") or "_"  # a leading dot would hide it
    if text.split(".")[0].rstrip().lower() in _RESERVED:
        text = f"_{text}"
    return _mark(text, _digest(part)) if len(text.encode("utf-8")) > _MAX_BYTES else text


def show_name(name: str) -> str:
    """Return a name in quotes for a message, shortened and without unprintable characters."""
    if len(name) > _MAX_SHOWN:
        name = f"{name[: _MAX_SHOWN // 2]}…{name[-_MAX_SHOWN // 2 :]}"
    shown = "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in name
    )
    return f"'{shown}'"


class UniqueNames:
    """Assigns every name of one upload its own path on disk.

    If names differ only in case, Unicode form or unsafe characters, the later one gets a hash in
    its name.
    """

    def __init__(self) -> None:
        self._names: set[tuple[str, ...]] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()
        # Thousands of files may share a folder: its path, and the keys of it and those around it.
        self._paths: dict[tuple[str, ...], tuple[PurePosixPath, frozenset[str]]] = {}

    def place(self, parts: tuple[str, ...]) -> PurePosixPath:
        """Return the relative path for a file with these :func:`name_parts`.

        Raises:
            UnsafeName: the same name was used before, or a file and a folder share it.
        """
        if parts in self._names:
            raise UnsafeName("is listed twice")
        folder, folders = self._folder(parts[:-1])
        path = folder / safe_component(parts[-1])
        if path_key(path) in self._files:
            path = mark_name(path, _digest("/".join(parts)))
        if path_key(path) in self._folders or folders & self._files:
            raise UnsafeName("is both a file and a folder")
        if path_key(path) in self._files:
            raise UnsafeName("is listed twice")
        self._names.add(parts)
        self._files.add(path_key(path))
        self._folders |= folders
        return path

    def _folder(self, parts: tuple[str, ...]) -> tuple[PurePosixPath, frozenset[str]]:
        if parts not in self._paths:
            path = PurePosixPath(*map(safe_component, parts))
            self._paths[parts] = path, frozenset(map(path_key, (path, *path.parents)))
        return self._paths[parts]


def path_key(path: PurePosixPath) -> str:
    """Return a key, equal for paths that a case-insensitive file system treats as one."""
    return unicodedata.normalize("NFC", str(path).casefold())


def mark_name(path: PurePosixPath, digest: str) -> PurePosixPath:
    """Return the path with the first digits of a digest in its name, before the suffix."""
    return path.with_name(_mark(path.name, digest))


def _mark(name: str, digest: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode("utf-8")) > 16:
        stem, dot, suffix = name, "", ""
    mark = f"~{digest[:8]}{dot}{suffix}"
    room = _MAX_BYTES - len(mark.encode("utf-8"))
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore").rstrip(" .") + mark


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
