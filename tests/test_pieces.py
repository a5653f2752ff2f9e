"""A test process that ends takes one test with it, and no other."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
from pieces import PieceScheduling

def pytest_xdist_make_scheduler(config, log):
    return PieceScheduling(config, log, lambda nodeid: nodeid.partition("::")[0])
"""
MODULE = """
import os, time, pytest

@pytest.mark.parametrize("number", range(4))
def test_one(number):
    time.sleep(0.02)
    if number in {ends}:
        os._exit(1)
"""


@pytest.mark.parametrize(
    ("module", "ends"), [(0, [1]), (3, [1]), (3, [2]), (3, [3]), (3, [0, 2, 3])]
)
def test_the_others_run_when_a_process_ends(tmp_path: Path, module: int, ends: list[int]) -> None:
    for number in range(4):
        text = MODULE.format(ends=ends if number == module else [])
        (tmp_path / f"test_{number}.py").write_text(text)
    assert f"{len(ends)} failed, {16 - len(ends)} passed" in run_in_two(tmp_path)


@pytest.mark.parametrize("num_tests", [1, 2, 3])
def test_a_few_tests_run_in_more_processes(tmp_path: Path, num_tests: int) -> None:
    for number in range(num_tests):
        (tmp_path / f"test_{number}.py").write_text("def test_one():\n    pass\n")
    assert f"{num_tests} passed" in run_in_two(tmp_path)


def run_in_two(folder: Path) -> str:
    """Return what pytest prints of the tests of a folder, run in two processes.

    If they do not end, it says where each process stood.
    """
    (folder / "conftest.py").write_text(CONFTEST.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "."]
    running = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        return running.communicate(timeout=120)[0]
    except subprocess.TimeoutExpired:
        first = psutil.Process(running.pid)
        for process in [*first.children(recursive=True), first]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGABRT)
        pytest.fail(f"The run did not end:\n{running.communicate()[0]}")
