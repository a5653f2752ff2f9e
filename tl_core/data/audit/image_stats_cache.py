"""What was measured of each image before, found again by content.

One SQLite file beside the scans, shared by processes and bounded: what was not asked for the
longest goes first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tl_core.sqlite_cache import SqliteStore

_FILE_NAME = "stats.sqlite"
_SCHEMA = 2  # raised whenever an image would be measured differently: older entries then go
_MAX_ROWS = 200_000  # about 250 MB
_CHUNK = 500
_DAY_SECONDS = 86_400
_CREATE = (
    "DROP TABLE IF EXISTS stats;"
    "CREATE TABLE stats (sha256 TEXT PRIMARY KEY, used INTEGER, facts BLOB);"
    "CREATE INDEX stats_by_use ON stats (used);"
)


class StatsStore(SqliteStore):
    """Bytes by sha256. A store that fails costs time, never an audit."""

    def __init__(self, cache_dir: Path, max_rows: int = _MAX_ROWS) -> None:
        self._max_rows = max_rows
        path = cache_dir / _FILE_NAME
        super().__init__(path, _SCHEMA, _CREATE, "Measuring", f"the store {path}")

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the entries there are, by sha256, and note that they are in use."""
        found: dict[str, bytes] = {}
        if self._connection is None:
            return found
        today = _today()
        stale: list[tuple[int, str]] = []
        try:
            for first in range(0, len(keys), _CHUNK):
                chunk = keys[first : first + _CHUNK]
                marks = ", ".join("?" * len(chunk))
                rows = self._connection.execute(
                    f"SELECT sha256, used, facts FROM stats WHERE sha256 IN ({marks})", chunk
                )
                for sha256, used, facts in rows:
                    found[sha256] = facts
                    if used != today:
                        stale.append((today, sha256))
        except sqlite3.Error as error:
            self._give_up(error)
        self._write("UPDATE stats SET used = ? WHERE sha256 = ?", stale)
        return found

    def put_many(self, entries: Mapping[str, bytes]) -> None:
        """Add or replace entries, all or none, and let the oldest go when there are too many."""
        today = _today()
        self._write(
            "INSERT OR REPLACE INTO stats (sha256, used, facts) VALUES (?, ?, ?)",
            [(sha256, today, facts) for sha256, facts in entries.items()],
        )
        self._write(
            "DELETE FROM stats WHERE rowid IN (SELECT rowid FROM stats ORDER BY used, rowid"
            " LIMIT max(0, (SELECT count(*) FROM stats) - ?))",
            [(self._max_rows,)],
        )


def _today() -> int:
    return int(time.time() // _DAY_SECONDS)
