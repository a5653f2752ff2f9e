"""The command line's side of the terminal: progress, tables, JSON, and Ctrl-C."""

from __future__ import annotations

import codecs
import errno
import io
import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tl_core.cli.exit_codes import EXIT_STOPPED, EXIT_USER_ERROR
from tl_core.cli.streams import silence_libraries
from tl_core.errors import Stopped, TLError
from tl_core.logs import printable
from tl_core.progress import Monitor, amount, counts_bytes, stage_words

if TYPE_CHECKING:
    from tl_core.progress import Progress, ShouldStop
    from tl_core.runs.events import BatchEnd, EpochEnd, Event

MAX_PATHS = 5
"""How many files a report names before it only counts the rest."""

COMMANDS = {
    "link": "Follow links: tl inspect FOLDER --follow-links",
    "one_class": "Label the photos: tl inspect FOLDER --layout unlabelled",
    "unlabelled": "Take labels from a table: tl label FOLDER --csv FILE, or a pattern of the "
    "names: tl inspect FOLDER --layout 'names:{class}_{n}'",
    "layout": "Choose one: tl inspect FOLDER --layout NAME",
    "column": "Choose a column: tl inspect FOLDER --layout 'table:FILE?label=COLUMN'",
    "archive": "Unpack archives: tl unpack FILE ... --out FOLDER",
    "group_effect": "Keep groups together: tl inspect FOLDER --group WHAT",
}
"""What helps on the command line, for each of :data:`~tl_core.errors.REMEDIES`."""

# Control characters, marks of direction, line and paragraph separators, halves of pairs.
# Those that JSON itself does not escape.
_ACTED_ON_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# A full disk, or a place that may not be read or written.
_NOT_A_BUG = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC}
_PHASE_WORDS = {"head": "training", "fine_tune": "fine-tuning"}
_SECONDS_BETWEEN = {True: 0.1, False: 5.0}  # a terminal redraws one line, a log gets new ones


class ProgressLine:
    """Shows progress on stderr: one updated line on a terminal, few lines in a log.

    Its methods are the ``on_progress`` and ``on_event`` of the core.
    """

    def __init__(self, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._in_place = sys.stderr.isatty()
        self._stage = ""
        self._text = ""
        self._shown = ""
        self._next_time = 0.0
        self._num_epochs = 0

    def on_progress(self, progress: Progress) -> None:
        """Show a :class:`~tl_core.progress.Progress`."""
        stage, left = progress.stage, progress.seconds_left
        self._show(stage, _count(stage, progress.done, progress.total, progress.rate, left))

    def on_event(self, event: Event) -> None:
        """Show a training event that reports progress."""
        from tl_core.runs.events import BatchEnd, EpochEnd, FeatureProgress, PhaseStarted

        if isinstance(event, PhaseStarted):
            self._num_epochs = event.num_epochs
        elif isinstance(event, FeatureProgress):
            rate, left = event.images_per_second, event.seconds_left
            self._show(event.stage, _count(event.stage, event.done, event.total, rate, left))
        elif isinstance(event, BatchEnd):
            self._show_epoch(event, f"loss {event.loss:.3f}, accuracy {percent(event.accuracy)}")
        elif isinstance(event, EpochEnd):
            self._show_epoch(
                event,
                f"val_loss {event.val_loss:.3f}, val_accuracy {percent(event.val_accuracy)}",
            )

    def note(self, message: str) -> None:
        """Print a line that stays on the screen."""
        if not self._quiet:
            self.close()
            say(message, stream=sys.stderr)

    def close(self) -> None:
        """Leave the last state of the line on the screen and begin a new one."""
        self._draw(self._text)
        if self._shown and self._in_place:
            print(file=sys.stderr, flush=True)
        self._stage = self._text = self._shown = ""
        self._next_time = 0.0

    def _show_epoch(self, event: BatchEnd | EpochEnd, figures: str) -> None:
        left = seconds_left(event.seconds_left)
        self._show(event.phase, f"epoch {event.epoch + 1}/{self._num_epochs}, {figures}{left}")

    def _show(self, stage: str, text: str) -> None:
        if stage != self._stage:
            self.close()
            self._stage = stage
        self._text = f"{_PHASE_WORDS.get(stage) or stage_words(stage)}: {text}"
        if self._clock() >= self._next_time:
            self._draw(self._text)
            self._next_time = self._clock() + _SECONDS_BETWEEN[self._in_place]

    def _draw(self, text: str) -> None:
        if self._quiet or text == self._shown:
            return
        self._shown = text
        if self._in_place:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{printable(text)[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            say(text, stream=sys.stderr)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Surround a command: errors become a message and an exit code here and nowhere else.

    A mistake of the user's ends with ``Error: ...`` and 2, Ctrl-C with 130, a bug with a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may have what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except Stopped as error:
        say(error, stream=sys.stderr)
        sys.exit(EXIT_STOPPED)
    except TLError as error:
        say(f"Error: {error}", stream=sys.stderr)
        if error.remedy:
            say(COMMANDS[error.remedy], stream=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in _NOT_A_BUG:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        say(f"Error: Cannot read or write{where}: {error.strerror}.", stream=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


@contextmanager
def working(quiet: bool, as_json: bool = False) -> Iterator[tuple[ProgressLine, Monitor]]:
    """Context manager of a long command: a progress line, and a monitor that Ctrl-C stops.

    With ``as_json`` stdout stays empty meanwhile, so that it holds only what
    :func:`print_json` prints afterwards.
    """
    with silence_libraries(stdout_too=as_json):
        progress = ProgressLine(quiet)
        with closing(progress), _stop_on_interrupt(progress) as should_stop:
            yield progress, Monitor(progress.on_progress, should_stop)


@contextmanager
def _stop_on_interrupt(progress: ProgressLine) -> Iterator[ShouldStop]:
    """Let Ctrl-C only set a flag, which the core looks at; a second one aborts at once."""
    asked: list[int] = []
    said = False

    def interrupt(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    def should_stop() -> bool:
        # Not said by the handler: it may come in the middle of another print, which cannot nest.
        nonlocal said
        if asked and not said:
            said = True
            progress.note("Stopping; what is done so far is kept. Ctrl-C again aborts.")
        return bool(asked)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield should_stop
    finally:
        signal.signal(signal.SIGINT, before)


def say(text: object = "", *, stream: TextIO | None = None) -> None:
    """Print a line that :func:`printable` makes safe; it may begin with empty lines."""
    line = str(text)
    blank = len(line) - len(line.lstrip("\n"))
    print("\n" * blank + printable(line[blank:]), file=stream, flush=stream is sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, with JSON's own escapes where it is not in UTF-8."""
    escaped = codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8"
    text = json.dumps(value, indent=2, ensure_ascii=escaped, allow_nan=False)
    print("\n".join(_ACTED_ON_IN_JSON.sub(_json_escape, line) for line in text.split("\n")))


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns on stdout: numbers and figures to the right, words to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    numeric = [
        bool(rows) and all(not isinstance(value, str) or value == "" for value in column)
        for column in zip(*rows, strict=True)
    ] or [False] * len(headers)
    for row in [list(headers), *cells]:
        parts = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        say("  ".join(parts).rstrip())


class Percent(float):
    """A share in [0, 1] that a table shows in percent."""


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as shown, ``-`` for none."""
    return "-" if share is None else f"{100 * share:.1f} %"


def interval_text(interval: Sequence[float]) -> str:
    """Return an interval of shares in [0, 1] as ``"(81.2 to 94.0)"``, in percent."""
    low, high = (100 * bound for bound in interval)
    return f"({low:.1f} to {high:.1f})"


def percent_cell(share: float | None) -> Percent | None:
    """Return a share in [0, 1] as a cell of a table; none stays none."""
    return None if share is None else Percent(share)


def seconds_left(seconds: float | None) -> str:
    """Return ``", 12 s left"``, or nothing while nothing is known."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f", {seconds:.0f} s left"
    return f", {seconds / 60:.0f} min left" if seconds < 6000 else f", {seconds / 3600:.1f} h left"


def _count(stage: str, done: int, total: int, rate: float, left: float | None) -> str:
    if total == 1:
        return "done" if done else "..."
    text = amount(stage, done, total)
    if 0 < total <= done:
        return text
    if counts_bytes(stage):
        speed = f", {rate / 1e6:,.1f} MB/s"
    else:
        speed = f", {rate:,.0f}/s" if rate >= 1 else ""
    return f"{text}{speed}{seconds_left(left)}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Percent):
        return percent(value)
    return f"{value:,}" if isinstance(value, int) else printable(str(value))
