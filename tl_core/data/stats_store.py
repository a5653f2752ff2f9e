"""What was measured of each image before, found again by content.

One SQLite file beside the scans, shared by processes and bounded: what was not asked for the
longest goes first.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_logger = logging.getLogger(__name__)

_FILE_NAME = "stats.sqlite"
_SCHEMA = 2  # raised whenever an image would be measured differently: older entries then go
_BUSY_SECONDS = 30
_MAX_ROWS = 200_000  # about 250 MB
_CHUNK = 500
_DAY_SECONDS = 86_400


class StatsStore:
    """Bytes by sha256. A store that fails costs time, never an audit."""

    def __init__(self, cache_dir: Path, max_rows: int = _MAX_ROWS) -> None:
        self._path = cache_dir / _FILE_NAME
        self._max_rows = max_rows
        self._connection: sqlite3.Connection | None = None
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(cache_dir / f"{_FILE_NAME}.lock", timeout=_BUSY_SECONDS):
                self._connection = self._open()
        except (OSError, Timeout, sqlite3.Error) as error:
            _logger.warning("Measuring without the store %s: %s", self._path, error)

    def close(self) -> None:
        """Close the file; entries put so far are kept."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

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

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # no database any more: begin a new one
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self._path}{suffix}").unlink()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA:
                connection.executescript(
                    "BEGIN IMMEDIATE; DROP TABLE IF EXISTS stats;"
                    "CREATE TABLE stats (sha256 TEXT PRIMARY KEY, used INTEGER, facts BLOB);"
                    "CREATE INDEX stats_by_use ON stats (used);"
                    f"PRAGMA user_version = {_SCHEMA}; COMMIT"
                )
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _write(self, statement: str, rows: Sequence[tuple]) -> None:
        if self._connection is None or not rows:
            return
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        _logger.warning("Measuring on without the store %s: %s", self._path, error)
        self.close()


def _today() -> int:
    return int(time.time() // _DAY_SECONDS)
