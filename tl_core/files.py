"""Typed paths, and atomic creation of files and folders.

Unfinished files and folders have hidden names next to their target and are deleted a day later.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from tl_core.errors import ConfigError, TakenError

T = TypeVar("T")

_PATIENCE_SECONDS = 1.0
_STALE_SECONDS = 24 * 3600
# Names of unfinished or deleted files and folders; no others are ever cleaned up.
_LEFTOVER = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.(tmp|deleted|incoming)")


def expand(path: str | os.PathLike[str]) -> Path:
    """Return a typed path with a leading ``~`` or ``~name`` replaced by that home folder.

    Raises:
        ConfigError: there is no such user on this machine.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(
            f"Expected a path, received '{path}': '{Path(path).parts[0]}' has no home folder on "
            "this machine. Write the path in full, or './~...' for a name that begins so."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; on success move it over ``path`` atomically.

    The content is flushed to disk before the move. On any error the temporary file is deleted and
    ``path`` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        retry_on_windows_lock(lambda: temporary.replace(path))
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder next to ``path``, on the same disk, and remove it at the end.

    The caller moves out of it what should be kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    delete_stale_files(path.parent)
    folder = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder to fill; on success rename it to ``path``, which is missing or empty.

    Raises:
        TakenError: ``path`` is not empty, before or after.
    """
    check_is_new(path)
    with scratch_folder(path) as folder:
        yield folder
        check_is_new(path)
        with suppress(FileNotFoundError):
            path.rmdir()
        try:
            folder.rename(path)
        except OSError:
            check_is_new(path)  # another process was faster
            raise


def check_is_new(path: Path) -> None:
    """Raise an error if a folder is not empty.

    Raises:
        TakenError: ``path`` is a file or a folder that is not empty.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise TakenError(
            f"Expected a new or empty folder, but '{path.name}' exists and is not empty. "
            "Choose another name."
        )


def delete_folder(path: Path) -> None:
    """Delete a folder; it disappears under its name at once."""
    doomed = path.with_name(f".{path.name}.{uuid.uuid4().hex}.deleted")
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


class JsonLines:
    """Appends lines of JSON to a file; a line cut off by a kill does not affect the next one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab+", buffering=0)
        if self._file.seek(0, os.SEEK_END) > 0:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def append(self, text: str, *, flush: bool = False) -> None:
        """Write one line in a single call, so that readers see it complete, and flush it."""
        self._file.write(text.encode("utf-8") + b"\n")
        if flush:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_json_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the objects from byte ``offset`` on, to follow a growing file.

    Lines that are not JSON objects are skipped; an unfinished line is left for the next call.

    Returns:
        The objects, and the offset to continue from.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            offset = offset if offset <= size else 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    values = []
    for line in whole.splitlines():
        with suppress(ValueError):
            values.append(json.loads(line))
    return [value for value in values if isinstance(value, dict)], offset + len(whole)


def retry_on_windows_lock(action: Callable[[], T]) -> T:
    """Call a function that moves, removes or reads a file; on Windows retry it for a second.

    On Windows a file can be neither replaced nor removed while another process has it open, nor
    opened while another replaces it, and several processes read small files many times a second.
    """
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return action()
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > give_up:
                raise
        time.sleep(0.02)


def delete_stale_files(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder more than a day ago."""
    with suppress(OSError):
        for path in [entry for entry in folder.iterdir() if _LEFTOVER.fullmatch(entry.name)]:
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def keep_newest(folder: Path, pattern: str, num: int) -> None:
    """Remove all but the ``num`` newest files and folders that match a pattern."""
    with suppress(OSError):
        paths = sorted(folder.glob(pattern), key=lambda path: -path.stat().st_mtime_ns)
        for path in paths[num:]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises ``OSError`` or ``ValueError`` as ``open`` and ``json`` do."""
    return json.loads(retry_on_windows_lock(lambda: path.read_text(encoding="utf-8")))
