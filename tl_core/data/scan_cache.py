"""What earlier scans found in each file, so that a rescan reads only what changed.

One SQLite file, shared by processes. An entry holds for a path, a size and a modification time.
What is derived from pixels rather than from a file belongs into tables of its own keyed by
``sha256``, which outlive a move or a copy of the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tl_core.sqlite_cache import SqliteStore

_FILE_NAME = "scans.sqlite"
_SCHEMA = 1  # raised whenever a file would be read differently: older entries then go


@dataclass(frozen=True)
class ScannedFile:
    """What reading one file gave: an image's facts, or the reason why it is none."""

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


_COLUMNS = tuple(field.name for field in fields(ScannedFile))
_CREATE = (
    "DROP TABLE IF EXISTS files;"
    f"CREATE TABLE files (root BLOB, path TEXT, {', '.join(_COLUMNS)},"
    " PRIMARY KEY (root, path)) WITHOUT ROWID;"
)


class ScanStore(SqliteStore):
    """The entries of one data folder in the store.

    Without a ``cache_dir``, or with one that fails, nothing is kept: that costs time, never a scan.
    """

    def __init__(self, cache_dir: Path | None, data_dir: Path) -> None:
        self._root = os.fsencode(data_dir)
        path = None if cache_dir is None else cache_dir / _FILE_NAME
        super().__init__(path, _SCHEMA, _CREATE, "Scanning", f"a store in {cache_dir}")

    def load(self) -> dict[str, ScannedFile]:
        """Return the data folder's entries by relative path."""
        if self._connection is None:
            return {}
        try:
            rows = self._connection.execute(
                f"SELECT path, {', '.join(_COLUMNS)} FROM files WHERE root = ?", (self._root,)
            )
            return {row[0]: ScannedFile(*row[1:]) for row in rows}
        except sqlite3.Error as error:
            self._give_up(error)
            return {}

    def put(self, entries: Mapping[str, ScannedFile]) -> None:
        """Add or replace entries, all or none."""
        places = ", ".join("?" * (2 + len(_COLUMNS)))
        self._write(
            f"INSERT OR REPLACE INTO files (root, path, {', '.join(_COLUMNS)}) VALUES ({places})",
            [(self._root, path, *astuple(entry)) for path, entry in entries.items()],
        )

    def prune(self, vanished: Iterable[str]) -> None:
        """Remove entries of files that are gone, and those of data folders that are gone."""
        self._write(
            "DELETE FROM files WHERE root = ? AND path = ?",
            [(self._root, path) for path in vanished],
        )
        self._write(
            "DELETE FROM files WHERE root = ?",
            [(root,) for root in self._roots() if not Path(os.fsdecode(root)).is_dir()],
        )

    def _roots(self) -> list[bytes]:
        """Return each data folder once, by one step in the index each."""
        roots: list[bytes] = []
        if self._connection is not None:
            try:
                root: bytes | None = b""
                while root is not None:
                    statement = "SELECT min(root) FROM files WHERE root > ?"
                    root = self._connection.execute(statement, (root,)).fetchone()[0]
                    roots.extend([root] if root is not None else [])
            except sqlite3.Error as error:
                self._give_up(error)
        return roots
