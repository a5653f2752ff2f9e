import io
import json
import logging
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tl_core.cli import terminal
from tl_core.cli.app import main
from tl_core.cli.terminal import Percent, ProgressLine, print_json, print_table, say, working
from tl_core.progress import Progress
from tl_core.runs.events import BatchEnd, EpochEnd, FeatureProgress, PhaseStarted


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show_four(monkeypatch, stream, quiet=False):
    """Show 1 and 2 in one moment, 50 and 100 in a later one; return what was written."""
    monkeypatch.setattr(sys, "stderr", stream)
    moments = iter([0.0, 0.0, 0.01, 9.0, 9.0, 9.01])
    line = ProgressLine(quiet, clock=lambda: next(moments))
    for done in (1, 2, 50, 100):
        line.on_progress(Progress("scan", done, 100, seconds=done / 10))
    line.close()
    return stream.getvalue()


def test_a_terminal_gets_one_line_drawn_anew(monkeypatch):
    written = show_four(monkeypatch, Terminal())
    shown = ["1 of 100, 10/s, 10 s left", "50 of 100, 10/s, 5 s left", "100 of 100"]
    assert written == "".join(f"\rreading the photos: {text}\x1b[K" for text in shown) + "\n"


def test_a_log_gets_few_whole_lines(monkeypatch):
    written = show_four(monkeypatch, io.StringIO())
    shown = ["1 of 100, 10/s, 10 s left", "50 of 100, 10/s, 5 s left", "100 of 100"]
    assert written.splitlines() == [f"reading the photos: {text}" for text in shown]


def test_a_download_of_unknown_size_tells_what_came_and_how_fast(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    line = ProgressLine()
    line.on_progress(Progress("download", 34_000_000, 0, seconds=4.0))
    line.close()
    assert sys.stderr.getvalue() == "downloading the weights: 34 MB, 8.5 MB/s\n"


def test_quiet_shows_nothing(monkeypatch):
    assert show_four(monkeypatch, Terminal(), quiet=True) == ""


def test_a_narrow_terminal_gets_no_second_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "24")
    assert "\rreading the photos: 1 o\x1b[K" in show_four(monkeypatch, Terminal())


def test_training_events_become_progress(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN", {False: 0.0})
    line = ProgressLine()
    line.on_event(FeatureProgress("features", 50, 200, 25.0, 6.0))
    line.on_event(PhaseStarted("head", 20, 8))
    line.on_event(BatchEnd("head", 0, 4, 0.5, 0.75, 900.0, 130.0))
    line.on_event(EpochEnd("head", 0, 0.4, 0.8, 0.25, 0.9, 1e-3, 0.1, True, 900.0, None))
    line.close()
    assert stream.getvalue().splitlines() == [
        "running the backbone: 50 of 200, 25/s, 6 s left",
        "training: epoch 1/20, loss 0.500, accuracy 75.0 %, 2 min left",
        "training: epoch 1/20, val_loss 0.250, val_accuracy 90.0 %",
    ]


def test_the_first_ctrl_c_asks_to_stop_and_the_second_aborts(capsys):
    def work():
        with working(quiet=False) as (_, monitor):
            assert not monitor.is_stopped()
            signal.raise_signal(signal.SIGINT)
            assert monitor.is_stopped()
            assert "Ctrl-C again aborts" in capsys.readouterr().err
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGINT) is before


NOISY = """
import logging, os, subprocess, sys
from tl_core.cli.terminal import print_json, working
logging.basicConfig(level=logging.INFO)
with working(quiet=False, as_json=True):
    print("python")
    print("warned", file=sys.stderr)
    os.write(1, b"c code\\n"), os.write(2, b"greeting\\n")
    subprocess.run(["echo", "child"])
    logging.getLogger("tl_core.x").setLevel(logging.INFO)
    logging.getLogger("tl_core.x").info("record")
    logging.getLogger("tl_core.x").warning("careful")
    {last}
print_json({{"answer": 1}})
"""


def test_json_is_all_there_is_on_stdout_and_libraries_are_not_heard():
    code = NOISY.format(last="pass")
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(finished.stdout) == {"answer": 1}
    assert finished.stderr.splitlines() == ["python", "warned", "careful"]


def test_a_bug_shows_its_traceback_and_what_libraries_said():
    code = NOISY.format(last="1 / 0")
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "greeting" in finished.stderr
    assert "ZeroDivisionError" in finished.stderr


def test_logging_is_as_before_when_the_work_is_done(monkeypatch):
    own = logging.getLogger("tl_core")
    monkeypatch.setattr(own, "propagate", True)
    before = own.propagate, list(own.handlers), os.fstat(1).st_ino, os.fstat(2).st_ino
    with working(quiet=True, as_json=True):
        assert os.fstat(1).st_ino != before[2]
    assert (own.propagate, own.handlers, os.fstat(1).st_ino, os.fstat(2).st_ino) == before


def test_tables_align_words_left_and_figures_right(capsys):
    print_table(("name", "images", "share"), [("cat", 1200, Percent(0.5)), ("a dog", 3, None)])
    assert capsys.readouterr().out.splitlines() == [
        "name   images   share",
        "cat     1,200  50.0 %",
        "a dog       3       -",
    ]
    print_table(("run", "val"), [])
    assert capsys.readouterr().out == "run  val\n"


# Names that would act on the terminal

HOSTILE = "cat\x1b[2J\nError: all lost\r\x9b31m\u202e\x00.jpg"


def is_harmless(text: str) -> bool:
    return not any(unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs") for one in text)


def test_a_name_stays_within_its_line(capsys):
    say(f"\nunreadable  {HOSTILE}")
    print_table(("file", "reason"), [(HOSTILE, "broken")])
    ProgressLine().note(f"left out: {HOSTILE}")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == ""
    assert lines[1] == r"unreadable  cat\x1b[2J\nError: all lost\r\x9b31m\u202e\x00.jpg"
    assert len(lines) == 4
    assert all(map(is_harmless, lines + err.splitlines()))
    assert len(err.splitlines()) == 1


def test_other_names_are_as_they_were(capsys):
    say("Käse 猫 👩\u200d👧 a\u00a0b")
    assert capsys.readouterr().out == "Käse 猫 👩\u200d👧 a\u00a0b\n"


def test_json_escapes_what_terminals_act_on_and_reads_back(capsys):
    print_json({HOSTILE: [HOSTILE]})
    text = capsys.readouterr().out
    assert all(map(is_harmless, text.splitlines()))
    assert json.loads(text) == {HOSTILE: [HOSTILE]}


def test_an_error_is_one_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["inspect", str(tmp_path / HOSTILE.replace("\0", ""))])
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert is_harmless(err.rstrip("\n"))


def test_nothing_else_prints(monkeypatch):
    folder = Path(terminal.__file__).parent
    printing = {path.name for path in folder.glob("*.py") if "print(" in path.read_text("utf-8")}
    assert printing == {"terminal.py"}
