"""Zip archives of class folders: unpacked whole or refused whole, naming the entry and why.

What an archive may not do is checked in ``zip_reader.py``; here is what of it is taken.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tl_core.data.file_names import UniqueNames, UnsafeName, debris_kind, safe_component, show_name
from tl_core.data.images.images import SUFFIXES
from tl_core.data.ingest.zip_reader import ZipEntry, read_entries, refusal, stream_entry
from tl_core.errors import ArchiveError, TakenError
from tl_core.files import new_folder
from tl_core.progress import SILENT, Monitor

MAX_FILES = 50_000
MAX_BYTES = 8 * 2**30

# A Mac packs a hidden twin for each file, and folders count as well.
_ENTRIES_PER_FILE = 3
_SPARE_BYTES = 64 * 2**20

_ARCHIVE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("zip", "tar", "gz", "tgz", "bz2", "tbz", "tbz2", "xz", "txz", "zst", "7z", "rar"),
        *("lzma", "lz4", "cab", "iso", "jar"),
    )
)


@dataclass(frozen=True)
class ArchiveReport:
    """What was taken of an archive, and what was not."""

    num_files: int
    num_bytes: int
    ignored: dict[str, int]  # system and hidden files by kind, such as "__MACOSX"
    refused: list[tuple[str, str]]  # (name in the archive, why it was left out)


def extract_archive(
    source: Path | BinaryIO,
    out_dir: Path,
    *,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> ArchiveReport:
    """Unpack the image files of a zip archive into a new folder, keeping its folders.

    Everything goes to a hidden folder beside ``out_dir`` first, which is renamed at the end: an
    error, a stop or a kill leaves ``out_dir`` as it was.

    Args:
        source: Path of the archive, or a binary file that can seek.
        out_dir: Where the dataset is to be; missing or empty.
        monitor: Counts the bytes unpacked; checked between pieces of 256 KiB.
        max_files: Most files that are taken.
        max_bytes: Most bytes that they may unpack to.

    Raises:
        ArchiveError: the archive is refused; the message names the entry and the reason.
        DatasetError: ``out_dir`` holds something already.
        Stopped: ``monitor`` was asked to stop.
    """
    with ExitStack() as stack:
        if isinstance(source, Path):
            label = show_name(source.name)
            try:
                file: BinaryIO = stack.enter_context(source.open("rb"))
            except OSError as error:
                raise ArchiveError(f"Cannot open {label}: {error.strerror}.") from error
        else:
            label, file = "the archive", source
        try:
            entries = read_entries(file, _ENTRIES_PER_FILE * max_files)
            plan = _plan(entries, max_files, max_bytes)
            with new_folder(out_dir) as folder:
                check_room(folder, plan.num_bytes)
                _unpack(file, plan, folder, monitor)
        except ArchiveError as error:
            raise ArchiveError(f"Nothing was taken of {label}. {error}") from error
        except TakenError:
            raise
        except OSError as error:
            raise ArchiveError(
                f"Nothing was taken of {label}: it could not be unpacked ({error.strerror})."
            ) from error
    return ArchiveReport(len(plan.files), plan.num_bytes, plan.ignored, plan.refused)


@dataclass(frozen=True)
class _Plan:
    files: list[tuple[ZipEntry, PurePosixPath]]
    folders: list[PurePosixPath]
    ignored: dict[str, int]
    refused: list[tuple[str, str]]

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry, _ in self.files)


def _plan(entries: Iterable[ZipEntry], max_files: int, max_bytes: int) -> _Plan:
    """Decide what is taken, and where to."""
    plan = _Plan([], [], {}, [])
    ignored: Counter[str] = Counter()
    book = UniqueNames()
    nested: ZipEntry | None = None
    for entry in entries:
        kind = debris_kind(entry.parts)
        suffix = PurePosixPath(entry.parts[-1]).suffix.lower()
        if kind is not None:
            ignored[kind] += 1
        elif entry.is_folder:
            plan.folders.append(PurePosixPath(*map(safe_component, entry.parts)))
        elif suffix in SUFFIXES:
            try:
                plan.files.append((entry, book.place(entry.parts)))
            except UnsafeName as error:
                raise refusal(entry.name, str(error)) from None
        else:
            plan.refused.append((entry.name, "It is not an image file."))
            if suffix in _ARCHIVE_SUFFIXES:
                nested = nested or entry
    plan.ignored.update(ignored)
    if nested is not None:
        lack = "" if plan.files else "There are no images in it. "
        raise ArchiveError(
            f"{lack}Its entry {show_name(nested.name)} is an archive itself: unpack that one, and "
            f"pack the class folders in a single .zip."
        )
    if not plan.files:
        raise ArchiveError(
            "There are no images in it: expected one folder for each class, with image files."
        )
    if len(plan.files) > max_files:
        raise ArchiveError(f"It holds {len(plan.files):,} images; the limit is {max_files:,}.")
    if plan.num_bytes > max_bytes:
        raise ArchiveError(
            f"It unpacks to {gigabytes(plan.num_bytes)}; the limit is {gigabytes(max_bytes)}."
        )
    return plan


def check_room(folder: Path, num_bytes: int) -> None:
    """Refuse to unpack more than there is room for.

    Raises:
        ArchiveError: the disk of ``folder`` has too little space.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes + _SPARE_BYTES > free:
        raise ArchiveError(
            f"It unpacks to {gigabytes(num_bytes)}, and {gigabytes(free)} are free on the disk."
        )


def _unpack(
    file: BinaryIO,
    plan: _Plan,
    folder: Path,
    monitor: Monitor,
) -> None:
    stage = monitor.stage("unpack", plan.num_bytes)
    for empty in plan.folders:
        (folder / empty).mkdir(parents=True, exist_ok=True)
    for entry, path in plan.files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for piece in stream_entry(file, entry):
                monitor.check()
                out.write(piece)
                stage.advance(len(piece))
    stage.report()


def gigabytes(num_bytes: int) -> str:
    """Return a size for a message, such as ``"1.5 GB"``."""
    return f"{num_bytes / 2**30:,.1f} GB"
