"""Logs are one JSON object a line, say which job and run, and hold no names of people."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tl_core import logs
from tl_core.errors import DatasetError
from tl_core.logs import FewRepeats, add_log_file, log_context, readable


@pytest.fixture
def logger(tmp_path: Path):
    one = logging.getLogger("tl_core.tested")
    one.setLevel(logging.INFO)
    assert add_log_file(one, tmp_path / "logs" / "app.log", tmp_path)
    yield one
    for handler in list(one.handlers):
        handler.close()
        one.removeHandler(handler)


def records(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "logs" / "app.log").read_text().splitlines()]


def test_a_record_is_one_line_with_its_job_and_run(logger, tmp_path) -> None:
    with log_context(job="17-ab", run="first"):
        logger.info("trained %s", "a\nb\x1b[2J")
    logger.info("idle")
    first, second = records(tmp_path)
    assert (first["job"], first["run"], first["message"]) == (
        "17-ab",
        "first",
        "trained a\nb\x1b[2J",
    )
    assert first["level"] == "info"
    assert "job" not in second
    assert b"\x1b" not in (tmp_path / "logs" / "app.log").read_bytes()


def test_an_error_keeps_its_traceback_and_no_folder_of_a_person(
    logger, tmp_path, monkeypatch
) -> None:
    try:
        raise KeyError(
            f"{tmp_path}/runs/x /home/ada/photos C:\\Users\\ada\\photos "
            f"{tmp_path}/visitors/t0ken/datasets/Grandma's cats\nC:\\demo\\visitors\\t1ken\\cats"
        )
    except KeyError:
        logger.exception("lost %s", Path.home() / "photos")
    (record,) = records(tmp_path)
    assert "Traceback" in str(record["error"])
    text = json.dumps(record)
    for private in (str(tmp_path), str(Path.home()), "ada", "t0ken", "t1ken", "cats"):
        assert len(private) < 2 or private not in text.replace("test_logs", "")
    assert "./runs/x" in str(record["error"])


@pytest.mark.parametrize(
    ("mode", "shown"), [("studio", "no class 'Grandma'"), ("demo", "DatasetError")]
)
def test_a_demo_logs_the_type_of_a_plain_error_but_not_its_words(
    logger, tmp_path, monkeypatch, mode, shown
) -> None:
    monkeypatch.setenv("TL_MODE", mode)
    (handler,) = logger.handlers
    logger.removeHandler(handler)
    handler.close()
    add_log_file(logger, tmp_path / "logs" / "app.log", tmp_path)
    logger.warning("job %s failed: %s", "17-ab", DatasetError("no class 'Grandma'"))
    logger.warning("job %s failed: %s", "18-ab", OSError("the disk is full"))
    first, second = records(tmp_path)
    assert first["message"] == f"job 17-ab failed: {shown}"
    assert second["message"] == "job 18-ab failed: the disk is full"


def test_the_file_is_rotated(logger, tmp_path) -> None:
    (handler,) = logger.handlers
    handler.maxBytes = 2_000
    for number in range(100):
        logger.info("record %d", number)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["app.log", "app.log.1", "app.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in (tmp_path / "logs").iterdir())
    assert add_log_file(logger, tmp_path / "logs" / "app.log", tmp_path)
    assert logger.handlers == [handler]


def test_a_long_record_is_cut(logger, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(logs, "_MAX_CHARS", 100)
    logger.info("x" * 10_000)
    assert len(str(records(tmp_path)[0]["message"])) <= 104


def test_people_read_time_and_message(logger, tmp_path) -> None:
    logger.info("job done")
    (line,) = (tmp_path / "logs" / "app.log").read_text().splitlines()
    assert readable(line).endswith(" job done")
    assert readable("no json") == "no json"
    assert readable('{"time": 5}') == '{"time": 5}'


def test_where_nothing_can_be_written_nothing_is_logged(tmp_path) -> None:
    (tmp_path / "logs").write_text("a file")
    assert not add_log_file(
        logging.getLogger("tl_core.none"), tmp_path / "logs" / "x.log", tmp_path
    )


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def told(repeats: FewRepeats, text: str, *args: object, error: Exception | None = None) -> str:
    """Return what is logged of a record, "" if it is left out."""
    info = None if error is None else (type(error), error, None)
    record = logging.LogRecord("x", logging.ERROR, "", 0, text, args, info)
    return record.getMessage() if repeats.filter(record) else ""


def test_what_repeats_is_logged_once_a_minute_with_how_often(clock) -> None:
    repeats = FewRepeats()
    assert told(repeats, "from %s", "a") == "from a"
    assert told(repeats, "from %s", "b") == ""  # of one kind, whatever its arguments
    clock[0] += 59
    assert told(repeats, "from %s", "c") == ""
    assert told(repeats, "other") == "other"
    clock[0] += 1
    assert told(repeats, "from %s", "100 % d") == "from 100 % d (2 more like it since the last)"
    clock[0] += 60
    assert told(repeats, "from %s", "e") == "from e"


def test_long_ones_are_cut(clock) -> None:
    repeats = FewRepeats()
    assert told(repeats, "from %s", "a" * 900_000) == "from " + "a" * 1_995 + " ..."
    assert told(repeats, "from %s", "a" * 900_000) == ""
    assert told(repeats, "for %s", "a" * 1_996) == "for " + "a" * 1_996


def test_what_a_terminal_acts_on_is_escaped(clock) -> None:
    """Else who reads the log sees lines that the server did not write, or an empty window."""
    repeats = FewRepeats()
    assert told(repeats, "for %s", "\x1b]0;x\x07\nok") == r"for \x1b]0;x\x07\nok"
    assert told(repeats, "of\x85 %s", "a\u202e") == r"of\x85 a\u202e"
    try:
        raise ValueError("\x1b[2J\nok")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), info)
    assert repeats.filter(record)
    lines = logging.Formatter().format(record).split("\n")
    assert (lines[:2], lines[-2:]) == (
        ["failed", "Traceback (most recent call last):"],
        [r"ValueError: \x1b[2J", "ok"],
    )


def test_each_error_is_of_its_own_kind(clock) -> None:
    repeats = FewRepeats()
    for error in (ValueError("a"), ValueError("b"), OSError("a"), None):
        assert told(repeats, "failed", error=error) == "failed"
        assert told(repeats, "failed", error=error) == ""


def test_no_more_kinds_than_a_hundred_are_logged_in_a_minute(clock) -> None:
    repeats = FewRepeats()
    assert sum(bool(told(repeats, f"kind {number}")) for number in range(250)) == 100
    clock[0] += 60
    assert sum(bool(told(repeats, f"new kind {number}")) for number in range(250)) == 100
    assert len(repeats._kinds) == 100
