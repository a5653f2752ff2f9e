"""One SQLite file of what can be found out again: shared by processes, and no fault of it matters.

:class:`SqliteStore` opens it, begins anew when it is damaged or of another schema, and goes on
without it when it fails. What it holds is its subclasses' business.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_logger = logging.getLogger(__name__)

_BUSY_SECONDS = 30


class SqliteStore:
    """An open store, or none: without a path, or with one that fails, nothing is kept.

    Args:
        path: the file; its folder is made when missing.
        schema: a number raised whenever older content must not be used any more.
        create: SQL that drops the tables of an older schema and makes those of this one.
        work: what goes on without the store when it fails, such as "Scanning", for the log.
        name: what the log calls the store there, with its place.
    """

    def __init__(self, path: Path | None, schema: int, create: str, work: str, name: str) -> None:
        self._path, self._schema, self._create, self._work = path, schema, create, work
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=_BUSY_SECONDS):
                self._connection = self._open(path)
        except (OSError, Timeout, sqlite3.Error) as error:
            _logger.warning("%s without %s: %s", work, name, error)

    def close(self) -> None:
        """Close the file; entries put so far are kept."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, statement: str, rows: Sequence[tuple]) -> None:
        """Run a statement for each row, all or none."""
        if self._connection is None or not rows:
            return
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _logger.warning("%s on without the store: %s", self._work, error)
        self.close()

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            return self._connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # no database any more: begin a new one
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").unlink()
            return self._connect(path)

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if connection.execute("PRAGMA user_version").fetchone()[0] != self._schema:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {self._create} PRAGMA user_version = {self._schema}; COMMIT"
                )
        except sqlite3.Error:
            connection.close()
            raise
        return connection
