"""What one intake of archives may cost: entries, archives inside and bytes, counted over all.

Each reader counts what it reads here. A limit of a single archive would be one for each of the
thousands that an upload of a megabyte can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tl_core.config.limits import MEGABYTE, current_limits
from tl_core.errors import ArchiveError
from tl_core.files import size_text

MAX_FILES = 50_000
MAX_BYTES = 8 * 2**30
MAX_ARCHIVES = 5_000
"""Limits outside of a hosted demo: of files, bytes, and archives, those inside of others too."""

# macOS adds a hidden file for each file, and folders are entries as well.
_ENTRIES_PER_FILE = 3
_LOOK_ENTRIES = 50  # after which a stop is heard
_MAX_RATIO = 100
_SMALL = 64 * 2**20  # below this many bytes any ratio is accepted,
_SMALL_IN_DEMO = 16 * 2**20  # where each of many small uploads may be such a one
_ARCHIVES_PER_CLASS = 5  # in a demo: train, validation and test, and parts of them


class Budget:
    """What reading archives may still take; :attr:`is_spent` once a limit was reached.

    Args:
        packed_bytes: size of the archives as they came.
        max_entries: maximum number of entries: files, folders and what is left out; and of folders
            that are created for them.
        max_bytes: maximum number of bytes to extract.
        look: called between entries and between pieces of data: reports, and raises to stop.
    """

    def __init__(
        self,
        packed_bytes: int,
        max_entries: int,
        max_bytes: int,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        limits = current_limits()
        small = _SMALL if limits is None else _SMALL_IN_DEMO
        self._max_entries = max_entries
        self._max_archives = max_archives()
        self._max_bytes = 2 * max_bytes + small
        self._max_unpacked = min(self._max_bytes, max(small, _MAX_RATIO * packed_bytes))
        self._num_entries = self._num_folders = self._num_archives = 0
        self._num_bytes = self._num_unpacked = 0
        self._look = look
        self.is_spent = False

    def look(self) -> None:
        """Report, and raise :class:`~tl_core.errors.Stopped` if the work should stop."""
        self._look()

    @contextmanager
    def looking(self, look: Callable[[], None]) -> Iterator[None]:
        """Context manager in which another function is called between entries."""
        before, self._look = self._look, look
        try:
            yield
        finally:
            self._look = before

    def check_entries(self, num: int) -> None:
        """Check that there may be ``num`` more entries, before they are read.

        Raises:
            ArchiveError: they are too many.
        """
        if self._num_entries + num > self._max_entries:
            raise self._spend(f"It lists more than {self._max_entries:,} entries, the limit.")

    def take_entry(self) -> None:
        """Count one entry.

        Raises:
            ArchiveError: there are too many.
        """
        self.check_entries(1)
        self._num_entries += 1
        if self._num_entries % _LOOK_ENTRIES == 0:
            self.look()

    def take_folder(self) -> None:
        """Count a folder that is created.

        Raises:
            ArchiveError: there are too many.
        """
        self.look()
        self._num_folders += 1
        if self._num_folders > self._max_entries:
            raise self._spend(f"It has more than {self._max_entries:,} folders, the limit.")

    def take_archives(self, num: int) -> None:
        """Count the archives inside of another one, before any is read.

        Raises:
            ArchiveError: they are too many.
        """
        self._num_archives += num
        if self._num_archives > self._max_archives:
            raise self._spend(
                f"It holds more than {self._max_archives:,} archives, the limit. Pack the class "
                "folders in a single .zip."
            )

    def take_bytes(self, num: int) -> None:
        """Count bytes that are written: files, and archives inside.

        Raises:
            ArchiveError: they are too many.
        """
        self.look()
        self._num_bytes += num
        if self._num_bytes > self._max_bytes:
            raise self._spend(f"It unpacks to more than {size_text(self._max_bytes)}, the limit.")

    def take_unpacked(self, num: int) -> None:
        """Count bytes of the list of a tar archive: headers, and the content between them.

        Raises:
            ArchiveError: they are too many, or too many for the size of the upload.
        """
        self.look()
        self._num_unpacked += num
        if self._num_unpacked > self._max_unpacked:
            raise self._spend(
                f"It would grow to more than {size_text(self._max_unpacked)} or {_MAX_RATIO} times "
                "its packed size, the limits."
            )

    def _spend(self, message: str) -> ArchiveError:
        self.is_spent = True
        return ArchiveError(message)


def max_archives() -> int:
    """Return how many archives may be taken at once, and how many may be inside of them."""
    limits = current_limits()
    return MAX_ARCHIVES if limits is None else _ARCHIVES_PER_CLASS * limits.classes


def check_num_archives(num: int) -> None:
    """Check the number of archives that are taken at once.

    Raises:
        ArchiveError: they are too many.
    """
    if num > max_archives():
        raise ArchiveError(
            f"Expected at most {max_archives():,} archives at once, received {num:,}. Pack the "
            "class folders in a single .zip."
        )


def look_budget(file: BinaryIO, look: Callable[[], None]) -> Budget:
    """Return the budget for reading the list of one archive."""
    limits = current_limits()
    max_bytes = MAX_BYTES if limits is None else limits.visitor_mb * MEGABYTE
    return Budget(file_size(file), max_entries(MAX_FILES), max_bytes, look)


def max_entries(max_files: int) -> int:
    """Return how many entries there may be where so many files may be extracted.

    In a demo it is the same number for each visitor, however many photos one may still add.
    """
    limits = current_limits()
    return _ENTRIES_PER_FILE * (max_files if limits is None else limits.photos)


def file_size(file: BinaryIO) -> int:
    """Return the size of an open file in bytes; its position is at the start after that."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    return size
