"""Uploaded files, one by one or as a folder, into the class folders of a dataset.

Each file has its own outcome: a bad one is left out with its reason and spoils nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tl_core.data.file_names import (
    UnsafeName,
    debris_kind,
    mark_name,
    may_be_image,
    name_parts,
    path_key,
    safe_component,
    show_name,
)
from tl_core.data.images.decode import MAX_FILE_BYTES
from tl_core.data.images.images import SUFFIXES, inspect_image
from tl_core.data.ingest.archive import MAX_BYTES, MAX_FILES, ArchiveSource, unpack_to
from tl_core.data.ingest.class_folders import check_has_folders, class_folder_name, class_home
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.plan import read_layout
from tl_core.data.layout.split_names import part_of_name
from tl_core.errors import DatasetError, ImageError
from tl_core.files import scratch_folder
from tl_core.progress import SILENT, Monitor

_CHUNK = 1024 * 1024

Upload = tuple[str, bytes | BinaryIO | io.RawIOBase]
_Placed = tuple[PurePosixPath | None, str | None]  # a place, or why there is none


@dataclass(frozen=True)
class UploadOutcome:
    """The result of one uploaded file."""

    name: str  # as it came: a label, never a path
    path: str | None  # where it is now, relative to the dataset; None when left out
    reason: str | None = None  # why it was left out

    @property
    def is_stored(self) -> bool:
        """Whether the file was taken."""
        return self.path is not None


def store_uploads(
    files: Iterable[Upload],
    out_dir: Path,
    *,
    class_name: str | None = None,
    layout: str | None = None,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> list[UploadOutcome]:
    """Add uploaded image files to a dataset, new or standing.

    All files are written and decoded in a hidden folder beside ``out_dir`` first and moved in
    place at the end. A file that is there already, by content, is left out; one of the same name
    and other content is kept under a name of its own. No file that was there is changed. In a
    standing dataset a file goes where its class lies, or would lie beside the others: below a
    wrapper folder, and in train when there are train, val and test and its name tells no other.

    Args:
        files: (name, content) pairs. A folder upload names them like ``"pets/cats/1.jpg"``.
        out_dir: The dataset's folder; made when missing.
        class_name: Put every file straight into this class, whatever folders its name lists.
        layout: How the dataset is read, when that was chosen.
        monitor: Counts the files looked at; checked before each.
        max_files: Most files that are taken.
        max_bytes: Most bytes that are taken in all.

    Returns:
        One outcome a file, in order.

    Raises:
        DatasetError: the class name cannot be one, the classes are no folders, the files cannot
            be written, or are more than the limits allow; nothing was changed.
        Stopped: ``monitor`` was asked to stop; nothing was changed.
    """
    found = read_layout(out_dir, layout=layout) if out_dir.exists() else Layout()
    check_has_folders(found, out_dir.name)
    class_folder = None
    if class_name is not None:
        known = class_name in found.classes
        class_folder = class_home(found, class_name if known else class_folder_name(class_name))
    uploads = list(files)
    if len(uploads) > max_files:
        raise DatasetError(
            f"Expected at most {max_files:,} files at once, received {len(uploads):,}. Upload "
            f"fewer, or a zip."
        )
    places = _places([name for name, _ in uploads], found, class_folder)
    outcomes: list[UploadOutcome] = []
    stage = monitor.stage("upload", len(uploads))
    try:
        with scratch_folder(out_dir) as folder:
            batch = _Batch(out_dir, folder, max_bytes)
            for (name, content), place in zip(uploads, places, strict=True):
                monitor.check()
                path, reason = place
                if path is not None:
                    path, reason = batch.store(path, content)
                outcomes.append(UploadOutcome(name, None if path is None else str(path), reason))
                stage.advance()
            batch.move_in_place()
    except OSError as error:
        raise DatasetError(
            f"The files could not be stored ({error.strerror or error}). Nothing was changed."
        ) from error
    return outcomes


def add_archives(
    sources: Sequence[ArchiveSource],
    out_dir: Path,
    *,
    layout: str | None = None,
    monitor: Monitor = SILENT,
) -> list[UploadOutcome]:
    """Add the images of archives to a dataset that stands; see :func:`store_uploads`.

    Label files in them are left out: what is there decides where images belong.

    Raises:
        ArchiveError: an archive is refused; those before it were added.
        DatasetError: the files cannot be stored; nothing of that archive was added.
        Stopped: ``monitor`` was asked to stop.
    """
    outcomes: list[UploadOutcome] = []
    for source in sources:
        with scratch_folder(out_dir) as folder:
            report = unpack_to([source], folder, monitor=monitor)
            outcomes += [UploadOutcome(name, None, why) for name, why in report.refused]
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            outcomes += store_uploads(
                [(path.relative_to(folder).as_posix(), _LazyFile(path)) for path in files],
                out_dir,
                class_name=source.class_name,
                layout=layout,
                monitor=monitor,
            )
    return outcomes


class _LazyFile(io.RawIOBase):
    """A file that is opened when it is read, so that thousands can wait for their turn."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return 0

    def read(self, size: int = -1, /) -> bytes:
        with self._path.open("rb") as file:
            return file.read(size)


class _Batch:
    """The files of one upload, in their hidden folder until all are looked at."""

    def __init__(self, out_dir: Path, folder: Path, max_bytes: int) -> None:
        self._out_dir = out_dir
        self._folder = folder
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._sha256: dict[str, str] = {}  # by path_key, of this upload
        self._paths: list[PurePosixPath] = []

    def store(self, place: PurePosixPath, content: bytes | BinaryIO | io.RawIOBase) -> _Placed:
        """Write a file if it is a readable image that is not there yet."""
        data = content if isinstance(content, bytes) else _read(content)
        try:
            inspect_image(data)
        except ImageError as error:
            return None, str(error)
        self._num_bytes += len(data)
        if self._num_bytes > self._max_bytes:
            raise DatasetError(
                f"The files hold more than {self._max_bytes / 2**30:,.1f} GB, the limit. Nothing "
                f"was changed. Upload fewer."
            )
        sha256 = hashlib.sha256(data).hexdigest()
        for path in (place, mark_name(place, sha256)):
            standing = self._standing(path)
            if standing == sha256:
                return None, f"It is there already as {show_name(str(path))}."
            if standing is None:
                break
        else:
            return None, f"Its name is taken: {show_name(str(path))} is another image."
        try:
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            return None, "Its name is that of a folder, or its folder's that of a file."
        self._sha256[path_key(path)] = sha256
        self._paths.append(path)
        return path, None

    def move_in_place(self) -> None:
        """Move the files to the dataset; if one cannot be moved, take all of them back."""
        if self._paths and not self._out_dir.exists():
            self._folder.rename(self._out_dir)
            return
        made: list[Path] = []
        try:
            for path in self._paths:
                target = self._out_dir / path
                folders = [self._out_dir / folder for folder in reversed(path.parents)]
                for folder in folders:
                    if not folder.exists():
                        folder.mkdir()
                        made.append(folder)
                (self._folder / path).rename(target)
                made.append(target)
        except OSError:
            for path_made in reversed(made):
                path_made.rmdir() if path_made.is_dir() else path_made.unlink()
            raise

    def _standing(self, path: PurePosixPath) -> str | None:
        """Return the digest of the file that has this place, in this upload or before it."""
        if path_key(path) in self._sha256:
            return self._sha256[path_key(path)]
        file = self._out_dir / path
        if not file.exists():
            return None
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "a folder"


def _places(
    names: Sequence[str], layout: Layout, class_folder: PurePosixPath | None
) -> list[_Placed]:
    """Return for each name where the file is to be, or why it is left out."""
    listed = [_parts(name) for name in names]
    start = _num_wrappers([parts for parts, _ in listed if parts is not None])
    places: list[_Placed] = []
    for parts, reason in listed:
        if parts is None:
            places.append((None, reason))
        elif class_folder is not None:
            places.append((class_folder / safe_component(parts[-1]), None))
        elif len(parts) < start + 2:
            places.append((None, "It lies in no class folder."))
        else:
            places.append((_place_in(layout, parts[start:]), None))
    return places


def _place_in(layout: Layout, parts: tuple[str, ...]) -> PurePosixPath:
    """Return where a file of an uploaded folder, named from its class or part on, is to be."""
    if not layout.classes:
        return PurePosixPath(*map(safe_component, parts))
    first, *inside = parts
    if part_of_name(first) is not None and len(inside) > 1 and first not in layout.classes:
        class_name, *inside = inside
        home = class_home(layout, class_name, part_folder=first)
    else:
        home = class_home(layout, first)
    return home.joinpath(*map(safe_component, inside))


def _num_wrappers(names: Sequence[tuple[str, ...]]) -> int:
    """Return how many folders at the start of the names are not class folders.

    A folder of class folders comes with its own name before theirs; a class folder, whose own
    images lie right in it and which holds one more folder at most, does not.
    """
    inside = [parts for parts in names if len(parts) > 1]
    tops = {parts[0] for parts in inside}
    inner = {parts[1] for parts in inside if len(parts) > 2}
    has_images = any(len(parts) == 2 for parts in inside)
    return int(len(tops) == 1 and (len(inner) > 1 or (len(inner) == 1 and not has_images)))


def _parts(name: str) -> tuple[tuple[str, ...] | None, str | None]:
    try:
        parts = name_parts(name)
    except UnsafeName as error:
        return None, f"It {error}."
    if debris_kind(parts) is not None:
        return None, "It is a system or hidden file."
    is_image_name = PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES
    if not is_image_name and not may_be_image(parts[-1]):
        return None, "It is not an image file."
    return parts, None


def _read(content: BinaryIO | io.RawIOBase) -> bytes:
    content.seek(0)
    return content.read(MAX_FILE_BYTES + 1) or b""
