"""Features that were computed once, kept in one SQLite file and found again by content.

A row is a vector of numbers under (space, key): the space says how it was computed, the key of
which content. The file is a cache: it may be deleted at any time, is limited in size, and no fault
of it ever fails the work that uses it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock

LIMIT_ENVIRONMENT_NAME = "TL_CACHE_GIB"
DEFAULT_MAX_BYTES = 4 * 2**30
FILE_NAME = "features.sqlite"

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    space_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    used INTEGER NOT NULL,
    num_bytes INTEGER NOT NULL,
    UNIQUE (space_id, key)
);
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_BUSY_SECONDS = 30.0
_KEYS_A_QUERY = 500  # SQLite limits the parameters of a statement
_TOUCH_SECONDS = 3600  # precise enough to evict by, and a repeated read stays a read
_FILL_AFTER_EVICTION = 0.9  # of the limit, so that not every write evicts

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class _DamagedError(Exception):
    """The file is no database of ours."""


class FeatureCache:
    """A store of float32 vectors, safe to use from several threads and processes at once.

    When it grows past ``max_bytes`` the vectors not used for longest go. A file that is damaged
    or no database is moved aside (``.damaged`` is added to its name) and a new one begun. When
    the disk is full or the file cannot be written, vectors are not kept, and a warning is logged.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self.path = path
        self.max_bytes = _limit() if max_bytes is None else max_bytes
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file_number: int | None = None

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def get_many(self, space: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors that are there, by key, each (dim,) float32 and read-only."""
        none: dict[str, np.ndarray] = {}
        return self._attempt("read", lambda connection: _get(connection, space, keys), none)

    def put_many(self, space: str, vectors: Mapping[str, np.ndarray]) -> None:
        """Store vectors in one transaction; a key that is there already takes the new vector."""
        if vectors:
            self._attempt(
                "written", lambda connection: _put(connection, space, vectors, self.max_bytes), None
            )

    def clear(self) -> None:
        """Drop every vector and give the disk space back."""
        self._attempt("cleared", _clear, None)

    @property
    def size_bytes(self) -> int:
        """Bytes of disk that the stored vectors take."""
        return self._attempt("read", lambda c: _used_bytes(c) if _count(c) else 0, 0)

    @property
    def num_rows(self) -> int:
        """How many vectors are stored."""
        return self._attempt("read", _count, 0)

    def _attempt(
        self, verb: str, work: Callable[[sqlite3.Connection], _Result], otherwise: _Result
    ) -> _Result:
        """Do ``work`` on the open file, on a new one when it is damaged; absorb its faults."""
        with self._lock:
            for _ in range(2):
                try:
                    return work(self._open())
                except (OSError, sqlite3.OperationalError) as error:  # full, read-only, locked
                    self.close()
                    _log.warning("The feature cache '%s' was not %s: %s.", self.path, verb, error)
                    return otherwise
                except (sqlite3.DatabaseError, _DamagedError) as error:
                    self.close()
                    _set_aside(self.path, error)
        return otherwise

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and _file_number(self.path) != self._file_number:
            self.close()  # deleted or replaced by someone else: go on with what is there now
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                self._connection = _connect(self.path)
            self._file_number = _file_number(self.path)
        return self._connection


def open_feature_cache(cache_dir: Path) -> FeatureCache:
    """Return the feature cache that lives in ``cache_dir``."""
    return FeatureCache(cache_dir / FILE_NAME)


def _limit() -> int:
    """Return the size limit in bytes: ``TL_CACHE_GIB`` when it is a number, else the default."""
    with suppress(ValueError, OverflowError):  # the latter for "inf"
        gibibytes = float(os.environ.get(LIMIT_ENVIRONMENT_NAME, ""))
        if gibibytes > 0:
            return int(gibibytes * 2**30)
    return DEFAULT_MAX_BYTES


def _file_number(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _get(connection: sqlite3.Connection, space: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
    row = connection.execute("SELECT id FROM spaces WHERE name = ?", (space,)).fetchone()
    if row is None:
        return {}
    now = int(time.time())
    found: dict[str, np.ndarray] = {}
    stale: list[tuple[int, int]] = []
    for start in range(0, len(keys), _KEYS_A_QUERY):
        chunk = keys[start : start + _KEYS_A_QUERY]
        rows = connection.execute(
            "SELECT entries.id, key, used, data FROM entries JOIN vectors "
            "ON vectors.id = entries.id WHERE space_id = ? AND key IN "
            f"({','.join('?' * len(chunk))})",
            (row[0], *chunk),
        )
        for entry_id, key, used, data in rows:
            found[key] = np.frombuffer(data, "<f4")
            if used < now - _TOUCH_SECONDS:
                stale.append((now, entry_id))
    if stale:
        with _transaction(connection):
            connection.executemany("UPDATE entries SET used = ? WHERE id = ?", stale)
    return found


def _put(
    connection: sqlite3.Connection, space: str, vectors: Mapping[str, np.ndarray], max_bytes: int
) -> None:
    now = int(time.time())
    with _transaction(connection):
        connection.execute("INSERT OR IGNORE INTO spaces (name) VALUES (?)", (space,))
        select = connection.execute("SELECT id FROM spaces WHERE name = ?", (space,))
        (space_id,) = select.fetchone()
        for key, vector in vectors.items():
            data = np.ascontiguousarray(vector, "<f4").tobytes()
            insert = connection.execute(
                "INSERT INTO entries (space_id, key, used, num_bytes) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (space_id, key) DO UPDATE "
                "SET used = excluded.used, num_bytes = excluded.num_bytes RETURNING id",
                (space_id, key, now, len(data)),
            )
            (entry_id,) = insert.fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO vectors (id, data) VALUES (?, ?)", (entry_id, data)
            )
        excess = _used_bytes(connection) - max_bytes
        if excess > 0:
            _evict(connection, excess + int(max_bytes * (1 - _FILL_AFTER_EVICTION)))


def _clear(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        for table in ("vectors", "entries", "spaces"):
            connection.execute(f"DELETE FROM {table}")
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page only
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database and make its tables; raise ``_DamagedError`` for another schema."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # The vacuum mode only counts before the first table is made.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with _transaction(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        elif version != _SCHEMA_VERSION:
            raise _DamagedError(f"expected schema {_SCHEMA_VERSION}, received {version}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that two writers wait instead of failing midway."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _used_bytes(connection: sqlite3.Connection) -> int:
    (num_pages,) = connection.execute("PRAGMA page_count").fetchone()
    (num_free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int((num_pages - num_free) * page_bytes)


def _evict(connection: sqlite3.Connection, num_bytes: int) -> None:
    """Delete vectors, those not used for longest first, until ``num_bytes`` are free."""
    victims: list[tuple[int]] = []
    freed = 0
    rows = connection.execute("SELECT id, num_bytes FROM entries ORDER BY used, id")
    for entry_id, size in rows:
        if freed >= num_bytes:
            break
        victims.append((entry_id,))
        freed += size
    rows.close()
    connection.executemany("DELETE FROM vectors WHERE id = ?", victims)
    connection.executemany("DELETE FROM entries WHERE id = ?", victims)


def _set_aside(path: Path, reason: Exception) -> None:
    """Move a damaged file away, unless another process has replaced it meanwhile."""
    with FileLock(f"{path}.lock"):
        if _is_sound(path):
            return
        aside = path.with_name(f"{path.name}.damaged")
        with suppress(FileNotFoundError):
            path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    _log.warning("The feature cache was damaged (%s); it was moved to '%s'.", reason, aside)


def _is_sound(path: Path) -> bool:
    try:
        with closing(_connect(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except (sqlite3.DatabaseError, _DamagedError):
        return False
