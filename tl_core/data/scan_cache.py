"""The cache of scan results per file, so that a rescan reads only changed files.

An entry is valid for a path, size and modification time. Data derived from pixels is cached by
``sha256`` instead, which stays valid if the file is moved or copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from tl_core.data.images.decode import is_deep
from tl_core.data.images.extra_formats import EXTRA_FORMATS, has_extra_formats
from tl_core.data.images.signatures import EXTRA_REASONS
from tl_core.sqlite_cache import SqliteCache

_FILE_NAME = "scans.sqlite"
_MAX_BYTES = 2**30  # some millions of files
_READER = b"1:"  # incremented when a file would be read differently


@dataclass(frozen=True)
class ScannedFile:
    """The result of reading one file: facts about an image, or why it is not one."""

    num_bytes: int
    mtime_ns: int
    sha256: str
    width: int
    height: int
    format: str
    mode: str
    exif_orientation: int
    frames: int
    reason: str | None
    low: float | None = None  # range of nearly all values of 16-bit grey
    high: float | None = None
    is_deep: bool = False  # more than 8 bits for a grey or a colour


_NUM_FIRST = 10  # columns before version 3 of what is read
_NUM_SECOND = 12  # before 16-bit colour was distinguished from 8-bit
_COLUMNS = ", ".join(f"files.{field.name}" for field in fields(ScannedFile)[:_NUM_FIRST])
_VALUES = f"CAST(json_array({_COLUMNS}) AS BLOB)"
_FROM_VERSION_1 = f"""
INSERT INTO spaces (name) SELECT DISTINCT CAST('1:' || root AS BLOB) FROM files;
INSERT INTO entries (space_id, key, used, num_bytes)
    SELECT spaces.id, path, strftime('%s'), length({_VALUES})
    FROM files JOIN spaces ON name = CAST('1:' || root AS BLOB);
INSERT INTO vectors SELECT entries.id, {_VALUES} FROM files
    JOIN spaces ON name = CAST('1:' || root AS BLOB)
    JOIN entries ON space_id = spaces.id AND key = path;
DROP TABLE files;
"""


class ScanCache(SqliteCache):
    """The entries of one data folder. Without a ``cache_dir`` nothing is stored."""

    def __init__(self, cache_dir: Path | None, data_dir: Path) -> None:
        path = None if cache_dir is None else cache_dir / _FILE_NAME
        super().__init__(path, _MAX_BYTES, version=2, adopt={1: _FROM_VERSION_1})
        self._space = _READER + os.fsencode(data_dir)

    def load(self) -> dict[str, ScannedFile]:
        """Return the data folder's entries by relative path."""
        found = self.read_many(self._space)
        rows = json.loads(b"[%s]" % b",".join(found.values()))  # at once: thrice as fast
        entries = (
            (path, ScannedFile(*row), len(row)) for path, row in zip(found, rows, strict=True)
        )
        return {path: entry for path, entry, num in entries if _is_current(entry, num)}

    def put(self, entries: Mapping[str, ScannedFile]) -> None:
        """Add or replace entries, all or none."""
        values = {
            path: json.dumps(list(vars(entry).values())).encode() for path, entry in entries.items()
        }
        self.write_many(self._space, values)

    def prune(self, vanished: Collection[str]) -> None:
        """Delete entries of missing files and of missing data folders."""
        self.delete_many(self._space, vanished)
        for space in self.spaces():
            root = os.fsencode(space).removeprefix(_READER)
            if not Path(os.fsdecode(root)).is_dir():
                self.delete_many(space)


def _is_current(entry: ScannedFile, num_values: int) -> bool:
    """Whether an entry of that many values is still valid for the current version.

    Earlier versions refused large JPEGs and did not record the value range of 16-bit pictures.
    HEIC, AVIF and TIFF are read or refused depending on what is installed.
    """
    if entry.reason in EXTRA_REASONS:
        return not has_extra_formats()
    if entry.format in EXTRA_FORMATS:
        return has_extra_formats()
    if num_values == _NUM_SECOND and entry.format == "PNG" and entry.mode in ("RGB", "RGBA"):
        return False
    if num_values > _NUM_FIRST:
        return True
    return "megapixels" not in (entry.reason or "") and not is_deep(entry.mode)
