"""Paths as they are typed; files written whole or not at all, whatever moment a kill comes at."""

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
from typing import Any, TypeVar

from tl_core.errors import ConfigError

T = TypeVar("T")

_PATIENCE_SECONDS = 1.0
_STALE_SECONDS = 24 * 3600
# Names that unfinished or doomed files and folders have here: nobody else's are ever swept away.
_LEFTOVER = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.(tmp|deleted|incoming)")


def expand(path: str | os.PathLike[str]) -> Path:
    """Return a path as it was typed with a leading ``~`` or ``~name`` as that home folder.

    Raises:
        ConfigError: nobody of that name has one here.
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
    """Yield a temporary path beside ``path``; on success move it over ``path`` in one step.

    The content is flushed to disk before the move. On any error the temporary file goes and
    ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        patiently(lambda: temporary.replace(path))
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def patiently(action: Callable[[], T]) -> T:
    """Do what moves, removes or reads a file; on Windows again for a second while that is refused.

    There a file can be neither replaced nor removed while another process has it open, nor opened
    while another replaces it, and small files are read by several processes many times a second.
    """
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return action()
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > give_up:
                raise
        time.sleep(0.02)


def sweep_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder more than a day ago, unfinished or doomed."""
    with suppress(OSError):
        for path in [entry for entry in folder.iterdir() if _LEFTOVER.fullmatch(entry.name)]:
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises ``OSError`` or ``ValueError`` as ``open`` and ``json`` do."""
    return json.loads(patiently(lambda: path.read_text(encoding="utf-8")))
