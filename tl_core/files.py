"""Typed paths, and atomic creation of files and folders.

Unfinished files and folders have hidden names next to their target, which say the process that made
them. What a process that has ended left there is deleted, that of another machine a day later.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from tl_core.errors import ConfigError, StorageError, TakenError
from tl_core.processes import is_alive, own_identity

T = TypeVar("T")

_PATIENCE_SECONDS = 1.0
_STALE_SECONDS = 24 * 3600
_FULL = "The disk that holds {folder} is full. Free some space, then try again."
_READ_ONLY = "The disk that holds {folder} is read-only. Make it writable, then try again."
_NOT_ALLOWED = "Access to {folder} is not allowed. Change its permissions, then try again."
_STORAGE_PROBLEMS = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), _FULL),
    errno.EROFS: _READ_ONLY,
    **dict.fromkeys((errno.EACCES, errno.EPERM), _NOT_ALLOWED),
}
# Names of unfinished or deleted files and folders; no others are ever cleaned up.
_LEFTOVER = re.compile(r"\.(.+\.)?(?P<mark>[0-9a-f]{32})\.(tmp|deleted|incoming)")


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
def plain_storage_errors(folder: Path) -> Iterator[None]:
    """Let a full or read-only disk, or a folder that may not be written, fail in one sentence.

    Other errors pass, also those about files that do not lie in ``folder``.

    Raises:
        StorageError: writing in ``folder`` failed for one of these reasons.
    """
    try:
        yield
    except OSError as error:
        about = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
        is_own = not about or any(Path(name).is_relative_to(folder) for name in about)
        found = storage_error(error, folder) if is_own else None
        if found is None or found is error:
            raise
        raise found from error


def storage_error(error: OSError, folder: Path | None = None) -> StorageError | None:
    """Return an error of the system in one sentence if it is about a full or read-only disk.

    Args:
        error: that a file could not be written, or may not be accessed.
        folder: to name; by default that of the file.

    Returns:
        The error to raise instead, None for errors of other kinds.
    """
    if isinstance(error, StorageError):
        return error
    is_lock = sys.platform == "win32" and isinstance(error, PermissionError)  # open elsewhere
    if is_lock or error.errno not in _STORAGE_PROBLEMS:
        return None
    if folder is None and isinstance(error.filename, str):
        folder = Path(error.filename).parent
    if folder is not None and _LEFTOVER.fullmatch(folder.name):
        folder = folder.parent  # nobody knows the unfinished one
    place = "the workspace" if folder is None else f"'{shown_name(str(folder))}'"
    return StorageError(_STORAGE_PROBLEMS[error.errno].format(folder=place), error.errno)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; on success move it over ``path`` atomically.

    The content is flushed to disk before the move. On any error the temporary file is deleted and
    ``path`` is unchanged.
    """
    temporary = _hidden_path(path, "tmp")
    try:
        with plain_storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            retry_on_windows_lock(lambda: temporary.replace(path))
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder next to ``path``, on the same disk, and remove it at the end.

    The caller moves out of it what should be kept.
    """
    folder = _hidden_path(path, "tmp")
    with plain_storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        delete_stale_files(path.parent)
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
            f"Expected a name that is not taken, but '{path.name}' is there already. "
            "Choose another name."
        )


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; not one that cannot be reached, either."""
    return os.path.isdir(path)  # noqa: PTH112, Path.is_dir raises for those


def delete_folder(path: Path) -> None:
    """Delete a folder; it disappears under its name at once."""
    doomed = _hidden_path(path, "deleted")
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
    except OSError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    values = []
    for line in whole.splitlines():
        with suppress(ValueError):
            values.append(parse_json(line.decode("utf-8")))
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


def delete_stale_files(folder: Path) -> int:
    """Remove what killed processes left unfinished in a folder; return how many there were.

    Also what is a day old, whoever made it.
    """
    count = 0
    for path in stale_files(folder):
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            count += 1
    return count


def stale_files(folder: Path) -> list[Path]:
    """Return the unfinished files and folders that :func:`delete_stale_files` removes."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if (match := _LEFTOVER.fullmatch(path.name)) is None:
                continue
            with suppress(OSError):
                is_old = time.time() - path.stat().st_mtime > _STALE_SECONDS
                if is_old or _is_abandoned(match["mark"]):
                    found.append(path)
    return found


def _hidden_path(path: Path, ending: str) -> Path:
    """Return a new name next to a path, which says the process that uses it."""
    pid, create_time = own_identity().values()
    mark = f"{int(pid):08x}{int(create_time):08x}{_machine()}{uuid.uuid4().hex[:12]}"
    return path.with_name(f".{path.name}.{mark}.{ending}")


def _is_abandoned(mark: str) -> bool:
    """Whether the process that a hidden name says has ended; unknown ones have not."""
    pid, create_time = int(mark[:8], 16), int(mark[8:16], 16)
    return mark[16:20] == _machine() and not is_alive(pid, create_time)


def _machine() -> str:
    """Return 4 hex digits for this machine: the pids of another one mean nothing here."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


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
    """Read a JSON file; whatever is in it, this raises nothing but ``OSError`` and ``ValueError``.

    What it returns can be shown, written again and used as part of a path, see :func:`parse_json`.
    """
    return parse_json(retry_on_windows_lock(lambda: path.read_text(encoding="utf-8")))


def parse_json(text: str) -> Any:
    """Return the value of a JSON text that may have been damaged or made by anyone.

    Raises:
        ValueError: it is no JSON, nested more than 64 levels deep, or holds NaN, a number out of
            the range of a float, a NUL character or half of a surrogate pair.

    Examples:
        >>> from tl_core.files import parse_json
        >>> parse_json('{"state": "finished"}')
        {'state': 'finished'}
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    may_be_deep = text.count("[") + text.count("{") > _MAX_DEPTH
    if may_be_deep or _ESCAPE.search(text):
        _check_value(value)
    return value


def _check_value(value: Any) -> None:
    """Refuse what other code could not go through, or what no file name and no page can hold."""
    level, depth = [value], 0
    while level:
        if depth >= _MAX_DEPTH and any(isinstance(one, list | dict) for one in level):
            raise ValueError("it is nested too deeply")
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += [*one, *one.values()]
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, str) and not is_plain_text(one):
                raise ValueError("it holds a character that no text can have")
        level, depth = inner, depth + 1


def is_plain_text(text: str) -> bool:
    """Return whether UTF-8 and file names can hold a text: no NUL and no half of a pair.

    The name of a file or folder that is no UTF-8 is none, either: Python holds such bytes as
    halves of pairs.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def is_contained(path: str) -> bool:
    """Return whether a stored path stays inside the folder that it is relative to."""
    native = Path(path)
    return (
        "\0" not in path
        and not (path.startswith("/") or native.is_absolute() or native.drive)
        and ".." not in native.parts
    )


def size_text(num_bytes: int) -> str:
    """Return a number of bytes for a message: in GB, or in MB below 1 GB, at least 1 MB.

    Examples:
        >>> from tl_core.files import size_text
        >>> size_text(27 * 10**9), size_text(3_400_000), size_text(1), size_text(0)
        ('27.0 GB', '4 MB', '1 MB', '0 MB')
    """
    if num_bytes >= 10**9:
        return f"{num_bytes / 10**9:,.1f} GB"
    return f"{math.ceil(num_bytes / 10**6)} MB"


def shown_name(name: str) -> str:
    r"""Return the name of a file or folder as text; bytes that are no UTF-8 as in ``caf\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _finite_float(text: str) -> float:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(text):,} characters")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:40]}, which is out of range")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
_MAX_DEPTH = 64
_MAX_DIGITS = 4_300  # as Python has it for whole numbers
_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")  # of a NUL or of half a surrogate pair
