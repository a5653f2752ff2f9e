"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tl_core.errors import DatasetError
from tl_core.files import sweep_leftovers


@contextmanager
def incoming_folder(out_dir: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside ``out_dir``, on the same disk, and remove it at the end.

    What is to stay is moved out of it by the caller. Folders that a killed process left behind
    are swept away by a later call for the same parent, a day after.
    """
    parent = out_dir.parent
    parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(parent)
    folder = parent / f".{uuid.uuid4().hex}.incoming"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_is_new(out_dir: Path) -> None:
    """Refuse to fill a folder that holds something.

    Raises:
        DatasetError: ``out_dir`` is a file or a folder that is not empty.
    """
    if out_dir.is_dir() and not any(out_dir.iterdir()):
        return
    if out_dir.exists() or out_dir.is_symlink():
        raise DatasetError(
            f"Expected a name that is not taken, but '{out_dir.name}' is there already. "
            f"Choose another name."
        )


def move_in_place(folder: Path, out_dir: Path) -> None:
    """Rename a finished folder to ``out_dir``, which is missing or empty.

    Raises:
        DatasetError: something was put there meanwhile.
    """
    check_is_new(out_dir)
    with suppress(FileNotFoundError):
        out_dir.rmdir()
    try:
        folder.rename(out_dir)
    except OSError:
        check_is_new(out_dir)
        raise
