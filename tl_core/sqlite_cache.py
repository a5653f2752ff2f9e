"""A bounded cache in one SQLite file, shared by threads and processes, that never raises.

An entry is bytes under (namespace, key): the namespace identifies how they were computed, the key
from what. Everything in the file can be computed again, so it may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

from filelock import FileLock

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
_OF_SPACE = "space_id = (SELECT id FROM spaces WHERE name = ?)"
_OF_KEYS = "key IN (SELECT value FROM json_each(?))"  # one parameter: SQLite limits them
_BUSY_SECONDS = 30.0
_TOUCH_SECONDS = 3600  # precise enough to evict by, and a repeated read stays a read
_FILL_AFTER_EVICTION = 0.9  # of the limit, so that not every write evicts

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class _DamagedError(Exception):
    """The file is not a valid cache database."""


class SqliteCache:
    """Bytes by namespace and key, in a file that is opened at the first use.

    When it grows beyond ``max_bytes`` the least recently used entries are deleted. A damaged file
    is renamed to ``*.damaged`` and a new one created. If the file cannot be read or written,
    nothing is found or stored, and a warning is logged.

    Args:
        path: the file; None stores nothing.
        max_bytes: size limit of the content.
        version: number of the file's schema.
        adopt: SQL that moves the content of a file with an earlier version into the tables of
            this one, by version.
    """

    def __init__(
        self,
        path: Path | None,
        max_bytes: int,
        *,
        version: int = 1,
        adopt: Mapping[int, str] | None = None,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._version, self._adopt = version, adopt or {}
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def read_many(
        self, space: str | bytes, keys: Collection[str] | None = None
    ) -> dict[str, bytes]:
        """Return the entries of a namespace with these keys, or all of them, by key."""
        none: dict[str, bytes] = {}
        return self._attempt("read", lambda connection: _read(connection, space, keys), none)

    def known_keys(self, space: str | bytes, keys: Collection[str]) -> set[str]:
        """Return those of the keys that have an entry in a namespace, without reading it."""
        none: set[str] = set()
        of_keys = f"SELECT key FROM entries WHERE {_OF_SPACE} AND {_OF_KEYS}"
        values = (space, json.dumps(list(keys)))
        return self._attempt("read", lambda c: {row[0] for row in c.execute(of_keys, values)}, none)

    def write_many(self, space: str | bytes, entries: Mapping[str, bytes]) -> None:
        """Add or replace entries, all or none."""
        if entries:
            self._attempt("written", lambda c: _write(c, space, entries, self.max_bytes), None)

    def delete_many(self, space: str | bytes, keys: Collection[str] | None = None) -> None:
        """Delete entries with these keys, or the whole namespace."""
        if keys is None or keys:
            self._attempt("written", lambda connection: _delete(connection, space, keys), None)

    def spaces(self) -> list[str | bytes]:
        """Return the names of all namespaces."""
        none: list[str | bytes] = []
        names = "SELECT name FROM spaces ORDER BY name"
        return self._attempt("read", lambda c: [row[0] for row in c.execute(names)], none)

    def clear(self) -> None:
        """Delete every entry and give the disk space back."""
        self._attempt("cleared", _clear, None)

    @property
    def size_bytes(self) -> int:
        """Bytes of disk that the entries take."""
        return self._attempt("read", lambda c: _used_bytes(c) if _count(c) else 0, 0)

    @property
    def num_rows(self) -> int:
        """How many entries are stored."""
        return self._attempt("read", _count, 0)

    def _attempt(
        self, verb: str, work: Callable[[sqlite3.Connection], _Result], otherwise: _Result
    ) -> _Result:
        """Run ``work`` on the open file, on a new one if it is damaged; suppress its errors."""
        if self.path is None:
            return otherwise
        with self._lock:
            for _ in range(2):
                try:
                    return work(self._open(self.path))
                except (OSError, sqlite3.OperationalError) as error:  # full, read-only, locked
                    self.close()
                    _log.warning("The cache '%s' was not %s: %s.", self.path, verb, error)
                    return otherwise
                except (sqlite3.DatabaseError, _DamagedError) as error:
                    self.close()
                    self._set_aside(self.path, error)
        return otherwise

    def _open(self, path: Path) -> sqlite3.Connection:
        if self._connection is not None and _inode(path) != self._inode:
            self.close()  # deleted or replaced by another process: open the current file
        if self._connection is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=_BUSY_SECONDS):
                self._connection = self._connect(path)
            self._inode = _inode(path)
        return self._connection

    def _connect(self, path: Path) -> sqlite3.Connection:
        """Open the database and make its tables; raise ``_DamagedError`` for another schema."""
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # The vacuum mode has to be set before the first table is created.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 or version in self._adopt:
                with _transaction(connection):
                    for statement in (_SCHEMA + self._adopt.get(version, "")).split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {self._version}")
            elif version != self._version:
                raise _DamagedError(f"expected schema {self._version}, received {version}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, path: Path, reason: Exception) -> None:
        """Rename a damaged file, unless another process has replaced it meanwhile."""
        with FileLock(f"{path}.lock", timeout=_BUSY_SECONDS):
            if self._is_sound(path):
                return
            aside = path.with_name(f"{path.name}.damaged")
            with suppress(FileNotFoundError):
                path.replace(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        _log.warning("The cache was damaged (%s); it was moved to '%s'.", reason, aside)

    def _is_sound(self, path: Path) -> bool:
        try:
            with closing(self._connect(path)) as connection:
                return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
        except (sqlite3.DatabaseError, _DamagedError):
            return False


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _read(
    connection: sqlite3.Connection, space: str | bytes, keys: Collection[str] | None
) -> dict[str, bytes]:
    rows = connection.execute(
        "SELECT entries.id, key, used, data FROM entries JOIN vectors ON vectors.id = entries.id "
        f"WHERE {_OF_SPACE}" + ("" if keys is None else f" AND {_OF_KEYS}"),
        (space,) if keys is None else (space, json.dumps(list(keys))),
    ).fetchall()
    now = int(time.time())
    stale = [(now, row_id) for row_id, _, used, _ in rows if used < now - _TOUCH_SECONDS]
    if stale:
        with suppress(sqlite3.OperationalError), _transaction(connection):  # of a read-only file
            connection.executemany("UPDATE entries SET used = ? WHERE id = ?", stale)
    return {key: data for _, key, _, data in rows}


def _write(
    connection: sqlite3.Connection,
    space: str | bytes,
    entries: Mapping[str, bytes],
    max_bytes: int,
) -> None:
    now = int(time.time())
    with _transaction(connection):
        connection.execute("INSERT OR IGNORE INTO spaces (name) VALUES (?)", (space,))
        select = connection.execute("SELECT id FROM spaces WHERE name = ?", (space,))
        (space_id,) = select.fetchone()
        connection.executemany(
            "INSERT INTO entries (space_id, key, used, num_bytes) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (space_id, key) DO UPDATE "
            "SET used = excluded.used, num_bytes = excluded.num_bytes",
            ((space_id, key, now, len(data)) for key, data in entries.items()),
        )
        connection.executemany(
            "INSERT OR REPLACE INTO vectors (id, data) "
            "SELECT id, ? FROM entries WHERE space_id = ? AND key = ?",
            ((data, space_id, key) for key, data in entries.items()),
        )
        excess = _used_bytes(connection) - max_bytes
        if excess > 0:
            _evict(connection, excess + int(max_bytes * (1 - _FILL_AFTER_EVICTION)))


def _delete(
    connection: sqlite3.Connection, space: str | bytes, keys: Collection[str] | None
) -> None:
    where = f"WHERE {_OF_SPACE}" + ("" if keys is None else f" AND {_OF_KEYS}")
    values = (space,) if keys is None else (space, json.dumps(list(keys)))
    with _transaction(connection):
        connection.execute(
            f"DELETE FROM vectors WHERE id IN (SELECT id FROM entries {where})", values
        )
        connection.execute(f"DELETE FROM entries {where}", values)
        if keys is None:
            connection.execute("DELETE FROM spaces WHERE name = ?", (space,))


def _clear(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        for table in ("vectors", "entries", "spaces"):
            connection.execute(f"DELETE FROM {table}")
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page only
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Take the write lock at the start, so that two writers wait instead of failing midway."""
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
    """Delete the least recently used entries until ``num_bytes`` are free."""
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
