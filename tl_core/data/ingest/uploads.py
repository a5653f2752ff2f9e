"""Add uploaded files, single or as a folder, to the class folders of a dataset.

Each file has its own outcome: a bad one is left out with a reason and does not affect the others.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tl_core.config.limits import check_classes
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
from tl_core.data.images.images import SUFFIXES, inspect_image
from tl_core.data.ingest.archive import ArchiveSource, unpack_to
from tl_core.data.ingest.archive_entries import MAX_TABLE_BYTES, TABLE_SUFFIXES, is_table_name
from tl_core.data.ingest.class_folders import check_has_folders, class_folder_name, class_home
from tl_core.data.ingest.intake_budget import MAX_BYTES, MAX_FILES, check_num_archives
from tl_core.data.ingest.visitor_photos import (
    VisitorIntake,
    check_label_rows,
    check_visitor_files,
    in_time,
    read_whole,
    removed_after_errors,
    visitor_intake,
)
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.plan import read_layout
from tl_core.data.layout.split_names import part_of_name
from tl_core.errors import DatasetError, ImageError
from tl_core.files import scratch_folder, size_text
from tl_core.progress import SILENT, Monitor

_CHUNK = 1024 * 1024

Upload = tuple[str, bytes | BinaryIO | io.RawIOBase]
_Placed = tuple[PurePosixPath | None, str | None]  # a path, or why there is none


@dataclass(frozen=True)
class UploadOutcome:
    """The result of one uploaded file."""

    name: str  # as uploaded; for display, never a path
    path: str | None  # relative to the dataset; None if left out
    reason: str | None = None  # why it was left out
    is_label_file: bool = False  # kept as it is, for the classes in it

    @property
    def is_stored(self) -> bool:
        """Whether the file was stored."""
        return self.path is not None

    @property
    def is_photo_stored(self) -> bool:
        """Whether the file is a photo and was stored."""
        return self.is_stored and not self.is_label_file


def store_uploads(
    files: Iterable[Upload],
    out_dir: Path,
    *,
    class_name: str | None = None,
    folder: str | None = None,
    layout: str | None = None,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> list[UploadOutcome]:
    """Add uploaded image files to a new or existing dataset.

    All files are first written and decoded in a hidden folder next to ``out_dir`` and moved at the
    end. A file whose content exists already is left out; one with an existing name and different
    content is renamed. Existing files are not changed. In an existing dataset a file goes to the
    folder of its class, or where that folder would be: below a wrapper folder, and in train if
    there are train, val and test and its name gives no other part. In a dataset of photos without
    classes, files of no class folder go to these photos. A new dataset takes label files too, and
    then keeps all files where they lay.

    Args:
        files: (name, content) pairs. A folder upload names them like ``"pets/cats/1.jpg"``.
        out_dir: The dataset's folder; created if missing.
        class_name: Put every file directly into this class, ignoring folders in its name.
        folder: Put every file directly into this folder, whatever the classes are made of.
        layout: The layout of the dataset, if one was chosen.
        monitor: Counts the files processed; checked before each.
        max_files: Maximum number of files.
        max_bytes: Maximum number of bytes in total.

    Returns:
        One outcome per file, in order.

    Raises:
        DatasetError: the class name is invalid, the classes are not folders, the files cannot be
            written, or exceed the limits; nothing was changed.
        LimitError: they exceed a limit of a hosted demo; nothing was changed.
        Stopped: ``monitor`` was asked to stop; nothing was changed.
    """
    monitor = in_time(monitor)
    with visitor_intake(out_dir) as intake:
        target = _Target(out_dir, class_name, folder, layout)
        return _store(list(files), target, intake, monitor, max_files, max_bytes)


@dataclass(frozen=True)
class _Target:
    """Where files go, as :func:`store_uploads` takes it."""

    out_dir: Path
    class_name: str | None = None
    folder: str | None = None
    layout: str | None = None


def _store(
    uploads: Sequence[Upload],
    target: _Target,
    intake: VisitorIntake | None,
    monitor: Monitor,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> list[UploadOutcome]:
    """Add files as :func:`store_uploads`, as part of a visitor's intake if it is one."""
    out_dir, class_name, folder = target.out_dir, target.class_name, target.folder
    found = read_layout(out_dir, layout=target.layout) if out_dir.exists() else Layout()
    if folder is None:
        check_has_folders(found, out_dir.name)
    check_visitor_files(out_dir, uploads)
    class_folder = None if folder is None else PurePosixPath(folder)
    if class_name is not None:
        known = class_name in found.classes
        class_folder = class_home(found, class_name if known else class_folder_name(class_name))
    if len(uploads) > max_files:
        raise DatasetError(
            f"Expected at most {max_files:,} files at once, received {len(uploads):,}. Upload "
            f"fewer, or a zip."
        )
    names = [name for name, _ in uploads]
    takes_tables = class_folder is None and not found.files and not found.without_class
    tables = _label_files(names) if takes_tables else set()
    places = _places(names, found, class_folder, tables)
    outcomes: list[UploadOutcome] = []
    stage = monitor.stage("upload", len(uploads))
    try:
        turns = nullcontext() if intake is None else intake.in_turn(stage.look)
        with scratch_folder(out_dir) as scratch, turns:
            if intake is not None:
                intake.expect(content for name, content in uploads if name not in tables)
            batch = _Batch(out_dir, scratch, max_bytes, intake)
            for (name, content), place in zip(uploads, places, strict=True):
                monitor.check()
                path, reason = place
                is_table = name in tables
                if path is not None:
                    path, reason = batch.store(path, content, is_table=is_table)
                shown = None if path is None else str(path)
                outcomes.append(UploadOutcome(name, shown, reason, is_table))
                stage.advance()
            batch.check_classes(found)
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
    """Add the images of archives to an existing dataset; see :func:`store_uploads`.

    Label files in them are ignored: the existing dataset determines the classes.

    Raises:
        ArchiveError: an archive is refused; those before it were added.
        DatasetError: the files cannot be stored; nothing of that archive was added.
        Stopped: ``monitor`` was asked to stop.
    """
    monitor = in_time(monitor)
    check_num_archives(len(sources))
    outcomes: list[UploadOutcome] = []
    target = _Target(out_dir, layout=layout)
    intake: VisitorIntake | None = None
    for source in sources:
        with scratch_folder(out_dir) as folder:
            report = unpack_to([source], folder, monitor=monitor)
            outcomes += [UploadOutcome(name, None, why) for name, why in report.refused]
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            uploads: list[Upload] = [
                (path.relative_to(folder).as_posix(), LazyFile(path, is_scratch=True))
                for path in files
            ]
            with visitor_intake(out_dir, intake) as intake, removed_after_errors(folder):
                of_source = replace(target, class_name=source.class_name)
                outcomes += _store(uploads, of_source, intake, monitor)
    return outcomes


class LazyFile(io.RawIOBase):
    """A file that is opened only when it is read, so that thousands can be listed.

    Args:
        path: the file.
        is_scratch: whether it can go when it was read.
    """

    def __init__(self, path: Path, *, is_scratch: bool = False) -> None:
        super().__init__()
        self._path, self._is_scratch = path, is_scratch

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return 0

    def read(self, size: int = -1, /) -> bytes:
        with self._path.open("rb") as file:
            return file.read(size)

    def discard(self) -> int | None:
        """Remove the file if it can go; return its size then."""
        if not self._is_scratch:
            return None
        num_bytes = self._path.stat().st_size
        self._path.unlink()
        return num_bytes


class _Batch:
    """The files of one upload, in a hidden folder until all have been checked."""

    def __init__(
        self,
        out_dir: Path,
        folder: Path,
        max_bytes: int,
        intake: VisitorIntake | None,
    ) -> None:
        self._out_dir = out_dir
        self._folder = folder
        self._max_bytes = max_bytes
        self._intake = intake
        self._num_bytes = self._num_label_rows = 0
        self._sha256: dict[str, str] = {}  # by path_key, of this upload
        self._paths: list[PurePosixPath] = []

    def store(
        self,
        place: PurePosixPath,
        content: bytes | BinaryIO | io.RawIOBase,
        *,
        is_table: bool = False,
    ) -> _Placed:
        """Write a file if it is a label file or a readable image that does not exist yet."""
        try:
            if is_table:
                data = read_whole(content)
                if len(data) > MAX_TABLE_BYTES:
                    return None, f"It has more than {size_text(MAX_TABLE_BYTES)}, the limit."
                if self._intake is not None:
                    rows = self._num_label_rows
                    self._num_label_rows = check_label_rows(place.name, data, rows)
            elif self._intake is not None:
                data = self._intake.encode(content)
            else:
                inspect_image(data := read_whole(content))
        except ImageError as error:
            return None, str(error)
        self._num_bytes += len(data)
        if self._num_bytes > self._max_bytes:
            raise DatasetError(
                f"The files hold more than {size_text(self._max_bytes)}, the limit. Nothing "
                f"was changed. Upload fewer."
            )
        sha256 = hashlib.sha256(data).hexdigest()
        for path in (place, mark_name(place, sha256)):
            existing = self._existing_digest(path)
            if existing == sha256:
                return None, f"It exists already as {show_name(str(path))}."
            if existing is None:
                break
        else:
            return None, f"Its name is taken: {show_name(str(path))} is another image."
        if self._intake is not None:
            freed = content.discard() if isinstance(content, LazyFile) else None
            self._intake.written.add(1, new=len(data), old=freed)
        try:
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            return None, "Its name is that of a folder, or its folder's that of a file."
        self._sha256[path_key(path)] = sha256
        self._paths.append(path)
        return path, None

    def check_classes(self, found: Layout) -> None:
        """Check the number of classes that a visitor's dataset will have, if it has more then.

        Raises:
            LimitError: it exceeds the limit of a hosted demo.
        """
        if self._intake is None:
            return
        new = {path.parent.name for path in self._paths} - {"", *found.classes}
        if new:
            check_classes(len(found.classes) + len(new))

    def move_in_place(self) -> None:
        """Move the files to the dataset; if one cannot be moved, undo all moves."""
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

    def _existing_digest(self, path: PurePosixPath) -> str | None:
        """Return the digest of the file at this path, in this upload or the dataset."""
        if path_key(path) in self._sha256:
            return self._sha256[path_key(path)]
        file = self._out_dir / path
        if not file.exists():
            return None
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "a folder"


def _label_files(names: Sequence[str]) -> set[str]:
    """Return the names of files that may hold the classes of the photos among them."""
    stems = {path.stem for path in map(PurePosixPath, names) if path.suffix.lower() in SUFFIXES}
    return {name for name in names if is_table_name(PurePosixPath(name).name, stems)}


def _places(
    names: Sequence[str],
    layout: Layout,
    class_folder: PurePosixPath | None,
    tables: Collection[str],
) -> list[_Placed]:
    """Return the path for each name, or why it is left out."""
    listed = [_parts(name, name in tables) for name in names]
    if tables:
        return _as_they_lay(listed)
    start = _num_wrappers([parts for parts, _ in listed if parts is not None])
    heap = _heap_of(layout)
    tops = {parts[0] for parts, _ in listed if parts is not None and len(parts) > 1}
    depth = 1 if len(tops) == 1 and not start else 0  # one folder of photos names no class there
    places: list[_Placed] = []
    for parts, reason in listed:
        if parts is None:
            places.append((None, reason))
        elif class_folder is not None:
            places.append((class_folder / safe_component(parts[-1]), None))
        elif heap is not None and len(parts) <= start + 1 + depth:
            places.append((heap / safe_component(parts[-1]), None))
        elif len(parts) < start + 2:
            places.append((None, "It is not in a class folder."))
        else:
            places.append((_place_in(layout, parts[start:]), None))
    return places


def _as_they_lay(listed: Sequence[tuple[tuple[str, ...] | None, str | None]]) -> list[_Placed]:
    """Return the path for each file where it lay, without the uploaded folder around all."""
    tops = {parts[0] if len(parts) > 1 else "" for parts, _ in listed if parts is not None}
    start = int(len(tops) == 1 and "" not in tops)
    return [
        (None, reason)
        if parts is None
        else (PurePosixPath(*map(safe_component, parts[start:])), None)
        for parts, reason in listed
    ]


def _heap_of(layout: Layout) -> PurePosixPath | None:
    """Return the folder of the photos of a dataset without classes; None for any other."""
    if layout.classes or not layout.unlabelled:
        return None
    return PurePosixPath(layout.unlabelled[0]).parent


def _place_in(layout: Layout, parts: tuple[str, ...]) -> PurePosixPath:
    """Return the path of a file of an uploaded folder, whose name starts at its class or part."""
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

    An uploaded folder of class folders is the first folder of all names; a single class folder,
    with images directly in it and at most one more folder, is not counted.
    """
    inside = [parts for parts in names if len(parts) > 1]
    tops = {parts[0] for parts in inside}
    inner = {parts[1] for parts in inside if len(parts) > 2}
    has_images = any(len(parts) == 2 for parts in inside)
    return int(len(tops) == 1 and (len(inner) > 1 or (len(inner) == 1 and not has_images)))


def _parts(name: str, is_table: bool) -> tuple[tuple[str, ...] | None, str | None]:
    try:
        parts = name_parts(name)
    except UnsafeName as error:
        return None, f"It {error}."
    if debris_kind(parts) is not None:
        return None, "It is a system or hidden file."
    suffix = PurePosixPath(parts[-1]).suffix.lower()
    if suffix in TABLE_SUFFIXES and not is_table:
        return None, "It is a label file, which only a new project takes."
    if not is_table and suffix not in SUFFIXES and not may_be_image(parts[-1]):
        return None, "It is not an image file."
    return parts, None
