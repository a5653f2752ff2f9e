"""Extract archives of photos, completely or not at all; errors name the entry and the reason.

``zip_reader.py`` and ``tar_reader.py`` check that an archive is safe; ``archive_entries.py``
selects what is extracted.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tl_core.data.file_names import (
    debris_kind,
    mark_name,
    path_key,
    safe_component,
    show_name,
)
from tl_core.data.images.images import SUFFIXES
from tl_core.data.images.signatures import holds_image
from tl_core.data.ingest.archive_entries import (
    ARCHIVE_SUFFIXES,
    TABLE_SUFFIXES,
    Selection,
    propose_class,
    select_entries,
    suffix_of,
)
from tl_core.data.ingest.intake_budget import (
    MAX_BYTES,
    MAX_FILES,
    Budget,
    check_num_archives,
    file_size,
    look_budget,
    max_entries,
)
from tl_core.data.ingest.tar_reader import TarReader, is_tar
from tl_core.data.ingest.visitor_photos import clean_folder, in_time, visitor_allowance
from tl_core.data.ingest.zip_reader import ArchiveEntry, ZipReader
from tl_core.data.layout.name_patterns import guess_class_pattern
from tl_core.errors import ArchiveError, TakenError
from tl_core.files import new_folder, size_text
from tl_core.progress import SILENT, Monitor

ARCHIVE_ENDINGS = ("zip", "tar", "tgz", "gz", "tbz2", "bz2", "txz", "xz")
"""Extensions of supported archives."""

_SPARE_BYTES = 64 * 2**20
_HEAD_BYTES = 32


@dataclass(frozen=True)
class ArchiveReport:
    """What was extracted from an archive, and what was left out.

    ``tables`` are the extracted label files, ``encodings`` the guessed encodings of names.
    """

    num_files: int
    num_bytes: int
    ignored: dict[str, int]  # system and hidden files by kind, such as "__MACOSX"
    refused: list[tuple[str, str]]  # (name in the archive, why it was left out)
    tables: tuple[str, ...] = ()
    encodings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArchiveContents:
    """The contents of an archive before extraction, to ask the user about them.

    Attributes:
        num_images: number of files with an image name.
        is_flat: whether at most one folder has images, and neither a table nor their names give a
            class: all are of one class, which the user has to name, or are unlabelled.
        class_name: the class suggested by the archive's name.
        nested: archives inside of it.
        encoding: the guessed encoding of its names; "" if it is declared.
        examples: a few of the images' names.
    """

    num_images: int
    is_flat: bool
    class_name: str
    nested: tuple[str, ...]
    encoding: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ArchiveSource:
    """An archive to extract.

    Attributes:
        file: its path, or a seekable binary file.
        name: its name in messages.
        class_name: put its images into the folder of this class, if it :attr:`is flat
            <ArchiveContents.is_flat>`.
        unpack_nested: whether to extract archives inside of it too, one level deep.
    """

    file: Path | BinaryIO
    name: str = "the archive"
    class_name: str | None = None
    unpack_nested: bool = False


def look_into(
    file: Path | BinaryIO, name: str = "", *, monitor: Monitor = SILENT
) -> ArchiveContents:
    """Return the contents of an archive without extracting it.

    Args:
        file: its path, or a seekable binary file.
        name: its name in messages.
        monitor: counts the bytes read, of an archive that has to be read whole.

    Raises:
        ArchiveError: it cannot be read, or contains an entry that is refused.
        LimitError: it takes longer than a hosted demo allows.
        Stopped: ``monitor`` was asked to stop.
    """
    source = ArchiveSource(file, name or getattr(file, "name", "the archive"))
    monitor = in_time(monitor)
    with _opened(source) as opened, _naming_archive(source):
        reader = _reader(opened, look_budget(opened, monitor.check), monitor)
    entries = [
        entry
        for entry in reader.entries
        if not entry.is_folder and debris_kind(entry.parts) is None
    ]
    images = [entry for entry in entries if suffix_of(entry) in SUFFIXES]
    nested = [entry.name for entry in entries if suffix_of(entry) in ARCHIVE_SUFFIXES]
    has_table = any(suffix_of(entry) in TABLE_SUFFIXES for entry in entries)
    folders = {entry.parts[:-1] for entry in images}
    return ArchiveContents(
        num_images=len(images),
        is_flat=len(folders) == 1
        and not has_table
        and guess_class_pattern([entry.name for entry in images]) is None,
        class_name=propose_class(source.name, next(iter(folders), ())),
        nested=tuple(nested),
        encoding=reader.encoding,
        examples=tuple(entry.name for entry in images[:5]),
    )


def extract_archives(
    sources: Sequence[ArchiveSource],
    out_dir: Path,
    *,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> ArchiveReport:
    """Extract the images of archives into one new folder, preserving their folders.

    Files are first extracted to a hidden folder next to ``out_dir``, which is renamed at the end:
    an error, a stop or a kill leaves ``out_dir`` unchanged. A file in two of the archives is
    extracted once; files of the same name and different content are both kept.

    Args:
        sources: zip, tar, tar.gz, tar.bz2 or tar.xz archives, such as the parts of one folder.
        out_dir: The folder of the dataset; missing or empty.
        monitor: Counts the bytes extracted; checked between entries and pieces of 256 KiB.
        max_files: Maximum number of files.
        max_bytes: Maximum number of extracted bytes.

    Raises:
        ArchiveError: an archive is refused; the message names the entry and the reason.
        DatasetError: ``out_dir`` is not empty.
        LimitError: they exceed a limit of a hosted demo.
        Stopped: ``monitor`` was asked to stop.
    """
    monitor = in_time(monitor)
    check_num_archives(len(sources))
    max_files, max_bytes = visitor_allowance(out_dir, max_files, max_bytes)
    with _naming_archive(sources[0]), new_folder(out_dir) as folder:
        unpacking = _Unpacking(folder, sources, max_files, max_bytes, monitor)
        for source in sources:
            with _opened(source) as file, _naming_archive(source):
                prefix = PurePosixPath(
                    *([] if source.class_name is None else [safe_component(source.class_name)])
                )
                unpacking.take(file, prefix, source, is_inner=False)
        unpacking.finish()
        refused = clean_folder(folder, out_dir, monitor)
    return unpacking.report(refused)


def unpack_to(
    sources: Sequence[ArchiveSource], folder: Path, *, monitor: Monitor = SILENT
) -> ArchiveReport:
    """Extract archives into an empty folder, which the caller removes.

    Raises:
        ArchiveError, Stopped: as :func:`extract_archives`.
    """
    allowed = visitor_allowance(folder, MAX_FILES, MAX_BYTES)
    unpacking = _Unpacking(folder, sources, *allowed, monitor)
    for source in sources:
        with _opened(source) as file, _naming_archive(source):
            unpacking.take(file, PurePosixPath(), source, is_inner=False)
    return unpacking.report()


@contextmanager
def _opened(source: ArchiveSource) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        if isinstance(source.file, Path):
            try:
                yield stack.enter_context(source.file.open("rb"))
            except FileNotFoundError as error:
                label = show_name(source.file.name)
                raise ArchiveError(f"Cannot open {label}: {error.strerror}.") from error
        else:
            yield source.file


@contextmanager
def _naming_archive(source: ArchiveSource) -> Iterator[None]:
    """Context manager that adds the archive's name to errors."""
    named = source.name or "the archive"
    label = named if named == "the archive" else show_name(named)
    try:
        yield
    except TakenError:
        raise
    except ArchiveError as error:
        if str(error).startswith("Nothing was taken"):  # of one archive of several
            raise
        raise ArchiveError(f"Nothing was taken of {label}. {error}") from error
    except OSError as error:
        raise ArchiveError(
            f"Nothing was taken of {label}: it could not be unpacked ({error.strerror})."
        ) from error


def _reader(file: BinaryIO, budget: Budget, monitor: Monitor | None) -> ZipReader | TarReader:
    """Read the list of entries; with a monitor, report how much of a tar archive was read."""
    if not is_tar(file):
        return ZipReader(file, budget)
    if monitor is None:
        return TarReader(file, budget)
    stage = monitor.stage("entries", file_size(file))

    def look() -> None:
        monitor.check()
        stage.update(file.tell())

    with budget.looking(look):
        return TarReader(file, budget)


class _Unpacking:
    """The extraction of one or more archives into one folder."""

    def __init__(
        self,
        folder: Path,
        sources: Sequence[ArchiveSource],
        max_files: int,
        max_bytes: int,
        monitor: Monitor,
    ) -> None:
        self._folder = folder
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._monitor = monitor
        self._stage = monitor.stage("unpack")
        packed_bytes = 0
        for source in sources:
            with _opened(source) as file:
                packed_bytes += file_size(file)
        look = self._stage.look
        self._budget = Budget(packed_bytes, max_entries(max_files), max_bytes, look)
        self._num_files = self._num_bytes = 0
        self._ignored: Counter[str] = Counter()
        self._refused: list[tuple[str, str]] = []
        self._tables: list[str] = []
        self._encodings: list[str] = []
        self._taken: set[str] = set()
        self._folders: set[PurePosixPath] = set()

    def take(
        self, file: BinaryIO, prefix: PurePosixPath, source: ArchiveSource, *, is_inner: bool
    ) -> None:
        """Extract the selected entries of an archive below ``prefix``."""
        reader = _reader(file, self._budget, None if is_inner else self._monitor)
        self._stage.restart_clock()
        if reader.encoding:
            self._encodings.append(reader.encoding)
        may_nest = source.unpack_nested and not is_inner
        selection = select_entries(reader.entries, may_nest=may_nest, look=self._budget.look)
        self._ignored += selection.ignored
        self._refused += [(entry.name, "It is not an image file.") for entry in selection.others]
        self._check_limits(selection)
        for empty in selection.folders:
            if source.class_name is None:
                self._make_folder(prefix / empty)
        self._stage.total += selection.num_bytes
        wanted = [entry for entry, _ in selection.files.values()]
        for entry, pieces in reader.contents(wanted):
            place = selection.files[entry.name][1]
            path = prefix / (place.name if source.class_name is not None else place)
            self._store(entry, pieces, path, selection)
        if selection.nested:
            self._take_nested(reader, selection.nested, prefix, source)

    def finish(self) -> None:
        """Report completion, or raise an error if none of the archives has an image."""
        if self._num_files == 0:
            raise ArchiveError(
                "There are no images in it: expected one folder for each class, with image files."
            )
        self._stage.report()

    def report(self, refused: Sequence[tuple[str, str]] = ()) -> ArchiveReport:
        """Return the report of what was extracted; ``refused`` was removed after that."""
        return ArchiveReport(
            self._num_files - len(refused),
            self._num_bytes,
            dict(self._ignored),
            [*self._refused, *refused],
            tuple(self._tables),
            tuple(dict.fromkeys(self._encodings)),
        )

    def _check_limits(self, selection: Selection) -> None:
        num_files = self._num_files + len(selection.files) - len(selection.tables)
        if num_files > self._max_files:
            raise ArchiveError(f"It holds {num_files:,} images; the limit is {self._max_files:,}.")
        num_bytes = self._num_bytes + selection.num_bytes
        if num_bytes > self._max_bytes:
            raise ArchiveError(
                f"It unpacks to {size_text(num_bytes)}; the limit is {size_text(self._max_bytes)}."
            )
        check_room(self._folder, selection.num_bytes)

    def _store(
        self,
        entry: ArchiveEntry,
        pieces: Iterator[bytes],
        path: PurePosixPath,
        selection: Selection,
    ) -> None:
        """Write one file unless it exists already with the same name and content."""
        self._budget.look()
        if entry.name in selection.odd:
            head = next(pieces, b"")
            if not holds_image(head[:_HEAD_BYTES]):
                self._refused.append((entry.name, "It is not an image file."))
                self._stage.advance(entry.num_bytes)
                return
            pieces = _chain(head, pieces)
        target = self._folder / path
        is_taken = path_key(path) in self._taken
        if is_taken:
            target = target.with_name(f".{target.name}.again")
        self._make_folder(path.parent)
        with target.open("xb") as out:
            for piece in pieces:
                self._budget.take_bytes(len(piece))
                out.write(piece)
                self._stage.advance(len(piece))
        if is_taken and not self._keep_second(target, path):
            return
        self._taken.add(path_key(path))
        self._num_bytes += entry.num_bytes
        if entry.name in selection.tables:
            self._tables.append(entry.name)
        else:
            self._num_files += 1

    def _make_folder(self, path: PurePosixPath) -> None:
        """Create a folder and those around it."""
        if path not in self._folders:
            new = [one for one in (path, *path.parents) if one not in self._folders]
            for folder in reversed(new):
                self._budget.take_folder()
                (self._folder / folder).mkdir(exist_ok=True)
            self._folders.update(new)

    def _keep_second(self, target: Path, path: PurePosixPath) -> bool:
        """Rename a file whose name is already used, or remove it if its content is the same."""
        digest = _digest(target)
        for other in (path, mark_name(path, digest)):
            place = self._folder / other
            if not place.exists():
                target.rename(place)
                self._taken.add(path_key(other))
                return True
            # A large file is not read again for each small one of its name.
            if place.stat().st_size == target.stat().st_size and _digest(place) == digest:
                break
        target.unlink()
        return False

    def _take_nested(
        self,
        reader: ZipReader | TarReader,
        nested: Sequence[ArchiveEntry],
        prefix: PurePosixPath,
        source: ArchiveSource,
    ) -> None:
        """Extract the archives inside of an archive, each into a folder of its name."""
        inner = self._folder / ".nested"
        self._budget.take_archives(len(nested))
        self._stage.total += sum(entry.num_bytes for entry in nested)
        for entry, pieces in reader.contents(nested):
            self._budget.look()
            if self._num_bytes + entry.num_bytes > self._max_bytes:
                raise ArchiveError(f"It unpacks to more than {size_text(self._max_bytes)}.")
            with inner.open("wb") as out:
                for piece in pieces:
                    self._budget.take_bytes(len(piece))
                    out.write(piece)
                    self._stage.advance(len(piece))
            done, total = self._stage.done, self._stage.total
            *folders, name = entry.parts
            place = prefix.joinpath(*map(safe_component, (*folders, propose_class(name))))
            try:
                with inner.open("rb") as file:
                    self.take(file, place, source, is_inner=True)
            except ArchiveError as error:
                if self._budget.is_spent:  # the others would cost as much
                    raise
                self._refused.append((entry.name, str(error)))
                self._stage.total = total + self._stage.done - done  # no more of it is to come
            finally:
                inner.unlink()


def _chain(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_room(folder: Path, num_bytes: int) -> None:
    """Check that there is enough disk space.

    Raises:
        ArchiveError: the disk of ``folder`` has too little space.
    """
    free = shutil.disk_usage(folder).free
    needed = num_bytes + _SPARE_BYTES
    if needed > free:
        raise ArchiveError(
            f"It needs {size_text(needed)} of disk space, {size_text(needed - free)} more than is "
            "free. Free some space, then try again."
        )
