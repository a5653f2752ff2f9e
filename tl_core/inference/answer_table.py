"""Answers about any number of photos in one SQLite file: added to, filtered, counted.

Each answer is kept as soon as it is known, so that work that was stopped or killed goes on where
it was, and memory does not grow with the number of photos.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from tl_core.errors import RunError
from tl_core.files import parse_json, plain_storage_errors, shown_name
from tl_core.inference.predict import Prediction

NONE_OF_THESE = "none of these"

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (model TEXT NOT NULL, class_names TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY,
    place INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    name TEXT NOT NULL,
    best INTEGER,
    probability REAL,
    is_none INTEGER NOT NULL,
    reasons TEXT NOT NULL,
    error TEXT,
    probabilities BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_place ON answers (place);
"""
_COLUMNS = "key, name, is_none, reasons, error, probabilities"
_BUSY_SECONDS = 30.0

Kind = Literal["all", "class", "unsure", "none", "unreadable"]
Stamp = tuple[int, int]
"""Size and modification time of a file: another stamp means another photo."""


@dataclass(frozen=True)
class Filter:
    """Which answers.

    Attributes:
        kind: ``"class"`` those of the class ``label``; ``"unsure"`` those whose probability is
            below ``below``; ``"none"`` those with none of the classes; ``"unreadable"`` files
            without an answer.
        label: index of a class.
        below: a probability in [0, 1].
    """

    kind: Kind = "all"
    label: int = 0
    below: float = 0.0

    @property
    def sql(self) -> tuple[str, tuple[float, ...]]:
        """The condition and its parameters."""
        answered = "error IS NULL AND is_none = 0"
        conditions: dict[Kind, tuple[str, tuple[float, ...]]] = {
            "all": ("1", ()),
            "class": (f"{answered} AND best = ?", (self.label,)),
            "unsure": (f"{answered} AND probability < ?", (self.below,)),
            "none": ("is_none = 1", ()),
            "unreadable": ("error IS NOT NULL", ()),
        }
        return conditions[self.kind]


@dataclass(frozen=True)
class Counts:
    """How many answers there are in all, of each class, of none of them, and unreadable files."""

    total: int
    by_label: tuple[int, ...]
    none: int
    unreadable: int

    def to_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return JSON-serialisable values, the classes by name."""
        classes = dict(zip(class_names, self.by_label, strict=True))
        return {
            "num_photos": self.total,
            "classes": classes,
            "none_of_these": self.none,
            "unreadable": self.unreadable,
        }


class AnswerTable:
    """The answers of one model, by photo. Threads may share it; processes may read it.

    Args:
        path: the file, made if it is missing; None keeps everything in memory.
        model: what tells the model from others, see :func:`model_identity`; None opens a file of
            any model.
        class_names: in the order of the model's probabilities; with ``model`` None those of the
            file.

    Raises:
        RunError: the file holds the answers of another model, or is no such table.
        StorageError: the disk is full or read-only.
    """

    def __init__(
        self, path: Path | None, model: str | None = "", class_names: Sequence[str] = ()
    ) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path is not None and model is not None:
            with plain_storage_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._connect(path, is_read=model is None)
            with self._work() as connection:
                about = connection.execute("SELECT model, class_names FROM about").fetchone()
                if about is None:
                    about = (model or "", json.dumps(list(class_names)))
                    connection.execute("INSERT INTO about VALUES (?, ?)", about)
                self.class_names = tuple(str(name) for name in parse_json(about[1]))
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise RunError(
                f"Expected answers in '{path}', but it cannot be read ({error}). Delete it to "
                "begin again."
            ) from error
        if model is not None and about[0] != model:
            self.close()
            raise RunError(
                f"'{path}' holds the answers of another model. Delete it to begin again, or "
                "choose another place for the answers."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def delete(self) -> None:
        """Close and delete the file."""
        self.close()
        if self.path is not None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def known_stamps(self, keys: Sequence[str]) -> dict[str, Stamp]:
        """Return the stamps of those photos that have an answer, by key."""
        found: dict[str, Stamp] = {}
        with self._work() as connection:
            for key in keys:
                row = connection.execute(
                    "SELECT size, mtime_ns FROM answers WHERE key = ?", (os.fsencode(key),)
                ).fetchone()
                if row is not None:
                    found[key] = row
        return found

    def add(self, rows: Iterable[tuple[str, int, Stamp, Prediction]]) -> None:
        """Add or replace answers, all or none.

        Args:
            rows: for each photo its key, its place in the order, its stamp and the answer.
        """
        values = [self._values(*row) for row in rows]
        with self._work() as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO answers VALUES ({', '.join('?' * 11)})", values
            )

    def move(self, places: Iterable[tuple[str, int]]) -> None:
        """Set the places of photos in the order, given as (key, place)."""
        with self._work() as connection:
            connection.executemany(
                "UPDATE answers SET place = ? WHERE key = ?",
                [(place, os.fsencode(key)) for key, place in places],
            )

    def forget_before(self, place: int) -> None:
        """Delete the answers whose place is lower."""
        with self._work() as connection:
            connection.execute("DELETE FROM answers WHERE place < ?", (place,))

    @property
    def last_place(self) -> int:
        """The highest place so far; -1 while there is none."""
        row = self._one("SELECT max(place) FROM answers")
        return -1 if row[0] is None else row[0]

    def counts(self) -> Counts:
        """Return how many answers there are of each kind."""
        by_label = [0] * len(self.class_names)
        with self._work() as connection:
            for label, count in connection.execute(
                "SELECT best, count(*) FROM answers WHERE error IS NULL AND is_none = 0 "
                "GROUP BY best"
            ):
                by_label[label] = count
        none, unreadable = self.count(Filter("none")), self.count(Filter("unreadable"))
        return Counts(sum(by_label) + none + unreadable, tuple(by_label), none, unreadable)

    def count(self, chosen: Filter) -> int:
        """Return how many answers a filter lets through."""
        condition, values = chosen.sql
        return self._one(f"SELECT count(*) FROM answers WHERE {condition}", values)[0] or 0

    def read(
        self, chosen: Filter = Filter(), offset: int = 0, limit: int = -1
    ) -> list[tuple[str, Prediction]]:
        """Return (key, answer) pairs in order.

        Args:
            chosen: which answers.
            offset: how many of these are left out at the beginning.
            limit: how many are returned at most; all if negative.
        """
        condition, values = chosen.sql
        with self._work() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE {condition} ORDER BY place, key "
                "LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
        return [self._answer(row) for row in rows]

    def find(self, key: str) -> Prediction | None:
        """Return the answer about one photo, or None."""
        with self._work() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM answers WHERE key = ?", (os.fsencode(key),)
            ).fetchone()
        return None if row is None else self._answer(row)[1]

    def pages(self, size: int = 1000) -> Iterator[list[Prediction]]:
        """Yield all answers in order, ``size`` at a time."""
        place, key = -1, b""
        while True:
            with self._work() as connection:
                rows = connection.execute(
                    f"SELECT {_COLUMNS}, place FROM answers WHERE (place, key) > (?, ?) "
                    "ORDER BY place, key LIMIT ?",
                    (place, key, size),
                ).fetchall()
            if not rows:
                return
            yield [self._answer(row[:-1])[1] for row in rows]
            place, key = rows[-1][-1], rows[-1][0]

    def _connect(self, path: Path | None, *, is_read: bool) -> sqlite3.Connection:
        name = ":memory:" if path is None else f"{path.absolute().as_uri()}?mode=rw"
        if path is not None and not is_read:
            name += "c"
        connection = sqlite3.connect(
            name, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"its version is {version}, not {_VERSION}")
            if version == 0:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
                connection.executescript(f"{_SCHEMA}; PRAGMA user_version = {_VERSION}")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _work(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction; a full disk is one sentence."""
        folder = Path() if self.path is None else self.path.parent
        with self._lock, plain_storage_errors(folder):
            try:
                with self._connection:
                    self._connection.execute("BEGIN")
                    yield self._connection
            except sqlite3.OperationalError as error:
                reason = error.sqlite_errorname
                if reason == "SQLITE_FULL" or reason.startswith("SQLITE_IOERR"):
                    raise OSError(28, str(error), str(self.path)) from error
                raise RunError(f"The answers in '{self.path}' are not usable: {error}.") from error

    def _one(self, sql: str, values: tuple[float, ...] = ()) -> tuple[int | None, ...]:
        with self._work() as connection:
            row: tuple[int | None, ...] = connection.execute(sql, values).fetchone()
        return row

    def _values(self, key: str, place: int, stamp: Stamp, answer: Prediction) -> tuple[object, ...]:
        best, probability, blob = None, None, None
        if answer.probabilities is not None:
            shares = np.asarray(answer.probabilities, "<f4")
            best = int(np.argmax(shares))
            probability, blob = float(shares[best]), shares.tobytes()
        return (
            *(os.fsencode(key), place, *stamp, shown_name(answer.name), best, probability),
            *(answer.is_none_of_these, json.dumps(answer.reasons), answer.error, blob),
        )

    def _answer(self, row: tuple[Any, ...]) -> tuple[str, Prediction]:
        key, name, is_none, reasons, error, shares = row
        probabilities = None if shares is None else np.frombuffer(shares, "<f4")
        top: tuple[tuple[str, float], ...] = ()
        if probabilities is not None:
            order = np.argsort(-probabilities, kind="stable")
            top = tuple((self.class_names[k], float(probabilities[k])) for k in order)
        why = tuple(str(one) for one in parse_json(reasons))
        return os.fsdecode(key), Prediction(name, probabilities, top, error, bool(is_none), why)
