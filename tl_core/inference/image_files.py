"""Find the photos in folders, one after another, however many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tl_core.data.file_names import debris_kind
from tl_core.data.images.images import SUFFIXES
from tl_core.data.layout.folder_layout import natural_key
from tl_core.data.layout.tree import path_exists
from tl_core.errors import DatasetError


def find_images(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the given files and, for folders, the image files at any depth, in natural order.

    Raises:
        DatasetError: a path does not exist, or a folder has no images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = list(iter_images([path]))
        if not inside:
            raise DatasetError(f"Expected images in the folder '{path}', found none.")
        found += inside
    return found


def iter_images(paths: Sequence[str | os.PathLike[str]]) -> Iterator[Path]:
    """Yield the same as :func:`find_images`, holding the names of a few folders at a time.

    A folder that may not be read is yielded itself: reading it as an image says why. Links to
    folders are not followed, and hidden files and those of the system are left out.

    Raises:
        DatasetError: a path does not exist.

    Examples:
        >>> from tl_core.inference.image_files import iter_images
        >>> next(iter_images(["photos"])).as_posix()
        'photos/cat/0.png'
    """
    for path in map(Path, paths):
        if not path_exists(path, "an image or a folder"):
            raise DatasetError(f"Expected an image or a folder at '{path}', found nothing.")
        if path.is_dir():
            yield from _inside(path)
        else:
            yield path


def _inside(root: Path) -> Iterator[Path]:
    pending = [iter([root])]  # a folder each, from the root down to the one that is read
    while pending:
        path = next(pending[-1], None)
        if path is None:
            pending.pop()
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            yield path
        elif path == root or (path.is_dir() and not path.is_symlink()):
            try:
                names = [name for name in os.listdir(path) if debris_kind([name]) is None]  # noqa: PTH208, names of a large folder are smaller than its paths
            except OSError:
                yield path
                continue
            names.sort(key=natural_key)
            pending.append(map(path.joinpath, names))
