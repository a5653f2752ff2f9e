"""Logs of the app and the worker: one JSON object a line in ``logs/``, rotated.

A record says when, which process, which job and run, and what happened. The folders of users are
written as ``~``, that of the workspace as ``.``, and what belongs to a visitor of a demo, such as
the names of projects and classes, is left out.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from tl_core.config.mode import current_mode
from tl_core.errors import TLError

MAX_BYTES = 2_000_000
NUM_OLD_FILES = 2
REPEAT_SECONDS = 60.0
MAX_KINDS = 100  # of records within that time
_MAX_CHARS = 20_000
_MAX_REPEATED_CHARS = 2_000  # of what strangers can cause
_HOMES = re.compile(r"(/home/|/Users/|[A-Za-z]:[/\\]+Users[/\\]+)[^/\\\s'\":]+")
_VISITORS = re.compile(r"(visitors[/\\]).+")
_ACTED_ON = ("Cc", "Cf", "Zl", "Zp", "Cs")
_JOINERS = "\u200c\u200d"  # parts of emoji and of words in some scripts
_context: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)


@contextmanager
def log_context(**ids: str | None) -> Iterator[None]:
    """Context manager in which records of this thread say ``job`` or ``run``.

    Examples:
        >>> import logging
        >>> record = logging.makeLogRecord({"msg": "trained", "name": "tl_core"})
        >>> with log_context(job="17-ab", run=None):
        ...     line = JsonFormatter().format(record)
        >>> values = json.loads(line)
        >>> values["job"], values["message"], "run" in values
        ('17-ab', 'trained', False)
    """
    token = _context.set(
        {**(_context.get() or {}), **{key: one for key, one in ids.items() if one}}
    )
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; line breaks and control characters are escaped.

    Args:
        root: the workspace, whose folder is written as ``.``.
        is_demo: whether the messages may be about strangers' data. Of a
            :class:`~tl_core.errors.TLError` in a message only the type is written, as its text may
            name classes and projects.
    """

    def __init__(self, root: Path | None = None, *, is_demo: bool = False) -> None:
        super().__init__()
        self._is_demo = is_demo
        self._places = {} if root is None else {str(root.absolute()): "."}
        with suppress(RuntimeError):
            self._places[str(Path.home())] = "~"

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        values: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "from": record.name,
            **(_context.get() or {}),
            "message": self._redacted(self._message(record)),
        }
        if record.exc_info:
            values["error"] = self._redacted(self.formatException(record.exc_info))
        return json.dumps(values)

    def _message(self, record: logging.LogRecord) -> str:
        if not self._is_demo or not isinstance(record.args, tuple):
            return record.getMessage()
        return str(record.msg) % tuple(
            type(one).__name__ if isinstance(one, TLError) else one for one in record.args
        )

    def _redacted(self, text: str) -> str:
        for place, shown in self._places.items():
            if len(place) > 1:
                text = text.replace(place, shown)
        text = _VISITORS.sub(r"\1...", _HOMES.sub("~", text))
        return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} ..."


class FewRepeats(logging.Filter):
    """Passes a record of each kind once a minute, and at most 100 of all kinds.

    For what strangers can cause as often as they like. Records are of one kind when they say the
    same, whatever their arguments, of the same error. The next one of a kind tells how many were
    left out. Long ones are cut, and what a terminal would act on is escaped.

    Examples:
        >>> repeats = FewRepeats()
        >>> [repeats.filter(logging.makeLogRecord({"msg": "invalid"})) for _ in range(3)]
        [True, False, False]
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # passed, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record."""
        error = record.exc_info[1] if record.exc_info else None
        kind = (str(record.msg)[:_MAX_CHARS], repr(error)[:_MAX_CHARS])
        now = time.monotonic()
        with self._lock:  # in the order in which one of each kind passed
            passed_at, left_out = self._kinds.get(kind, (-math.inf, 0))
            if now - passed_at < REPEAT_SECONDS:
                self._kinds[kind] = (passed_at, left_out + 1)
                return False
            self._kinds.pop(kind, None)
            if len(self._kinds) >= MAX_KINDS:
                oldest = next(iter(self._kinds))
                if now - self._kinds[oldest][0] < REPEAT_SECONDS:
                    return False
                del self._kinds[oldest]
            self._kinds[kind] = (now, 0)
        text = record.getMessage()
        shown = printable(text[:_MAX_REPEATED_CHARS])
        if len(text) > _MAX_REPEATED_CHARS:
            shown = f"{shown} ..."
        if left_out:
            shown = f"{shown} ({left_out} more like it since the last)"
        if shown != text:
            record.msg, record.args = shown, None
        if record.exc_info:
            lines = logging.Formatter().formatException(record.exc_info).split("\n")
            record.exc_text = "\n".join(map(printable, lines))
        return True


def add_log_file(logger: logging.Logger, path: Path, root: Path) -> bool:
    """Send a logger's records to a rotated file too; return whether that is possible.

    Args:
        logger: may have the file already.
        path: the file; its folder is created.
        root: the workspace.
    """
    path = path.absolute()
    if any(getattr(handler, "baseFilename", None) == str(path) for handler in logger.handlers):
        return True  # kept on the logger: a source edit would forget a variable of this module
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            path, maxBytes=MAX_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8"
        )
    except OSError:  # a read-only workspace can still be looked at
        return False
    handler.setFormatter(JsonFormatter(root, is_demo=current_mode() == "demo"))
    logger.addHandler(handler)
    return True


def printable(text: str) -> str:
    r"""Return a text without characters that a terminal acts on; they are shown as in ``\x1b``.

    Names of files and classes, and what strangers send, may hold any character: a line break would
    forge a line, an escape sequence could overwrite what stands there, a mark of direction reorder
    it.

    Examples:
        >>> printable("cat\x1b[2J.jpg")
        'cat\\x1b[2J.jpg'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    is_acted_on = unicodedata.category(character) in _ACTED_ON and character not in _JOINERS
    return character.encode("unicode_escape").decode() if is_acted_on else character


def readable(line: str) -> str:
    """Return a line of a log for people: time and message of a record, other lines unchanged.

    Examples:
        >>> readable('{"time": "2026-01-02T03:04:05.678+00:00", "message": "job 1"}')
        '2026-01-02 03:04:05 job 1'
        >>> readable("Killed")
        'Killed'
    """
    try:
        values = json.loads(line)
        text = f"{values['time'][:19].replace('T', ' ')} {values['message']}"
        return f"{text}\n{values['error']}" if "error" in values else text
    except (ValueError, TypeError, KeyError):
        return line
