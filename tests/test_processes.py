"""Child processes find the package from anywhere and run nothing but their module."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tl_core import processes
from tl_core.errors import WeightsError
from tl_core.processes import (
    child_environment,
    module_command,
    parse_error,
    print_error,
)


def test_a_child_finds_the_package_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        module_command("tl_core", "--help"),
        env=child_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_an_error_of_ours_comes_back_as_it_was_and_nothing_else_does(capsys) -> None:
    print_error(WeightsError("They're\nnot here: Pékin."))
    said = parse_error(capsys.readouterr().out)
    assert type(said) is WeightsError
    assert str(said) == "They're\nnot here: Pékin."
    others = ("", "ValueError: no", "[1]", '{"done": 1}', '{"error": "Path", "message": "x"}')
    assert [parse_error(line) for line in others] == [None] * 5


def test_changes_and_the_paths_that_were_there_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = child_environment(TL_DEVICE="cpu")
    assert environment["TL_DEVICE"] == "cpu"
    assert environment["PYTHONPATH"].endswith("elsewhere")
    assert environment["PYTHONPATH"] != "elsewhere"


class FakeProcess:
    """A process that holds so many bytes, of which it shares some where that is known."""

    def __init__(self, name: str, rss: int, shared: int | None = None, children=()) -> None:
        self._name, self._children = name, children
        self._held = SimpleNamespace(rss=rss, **({} if shared is None else {"shared": shared}))

    def name(self) -> str:
        return self._name

    def memory_info(self) -> SimpleNamespace:
        if self._held.rss == 0:
            raise psutil.NoSuchProcess(1)
        return self._held

    def children(self, recursive: bool):
        assert recursive
        return self._children


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([("python", 800, 450), ("python", 400, 350)], 350 + 50 + 450),
        (
            [
                ("python", 800, 450),
                ("python", 550, 500),  # shares more, as it has loaded more libraries
                ("chromium", 200, 170),
                ("chromium", 80, 70),
                ("chromium", 0, 0),  # has just ended
                ("chromium", 90, 70),
            ],
            350 + 50 + 500 + 30 + 10 + 20 + 170,
        ),
        ([("python", 800), ("chrome", 200), ("chrome", 80)], 1080),  # not known there
    ],
    ids=["child", "browser", "windows"],
)
def test_what_the_processes_of_a_program_share_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, sizes, expected
) -> None:
    own, *others = sizes
    family = FakeProcess(*own, children=[FakeProcess(*one) for one in others])
    monkeypatch.setattr(psutil, "Process", lambda: family)
    assert processes.family_memory() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="what is shared is known on Linux alone")
def test_a_child_adds_what_is_its_own() -> None:
    fill = "held = b'x' * 50_000_000; print('full', flush=True); input()"
    before = processes.family_memory()
    with subprocess.Popen(
        [sys.executable, "-c", fill], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "full\n"
        grown = processes.family_memory() - before
        child.communicate("\n")
    assert 50_000_000 < grown < 65_000_000


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    wait = "from tl_core.processes import end_with_parent; import time; end_with_parent();"
    wait += "print('waiting', flush=True); time.sleep(3600)"
    start = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]);"
    start += "print(child.pid, flush=True); child.wait()"
    command = [sys.executable, "-c", start, wait]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=child_environment()
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == "waiting\n"
        assert child.is_running()
        parent.send_signal(signal.SIGKILL)
    try:
        child.wait(60)
    finally:
        if child.is_running():
            child.kill()


@pytest.mark.parametrize(
    "module", ["tl_core.analysis.projection", "tl_core.backbones.litert", "tl_core.export.write"]
)
def test_children_that_read_no_pipe_end_with_their_parent(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watched(Exception):
        pass

    def watch() -> None:
        raise Watched

    monkeypatch.setattr(processes, "end_with_parent", watch)
    monkeypatch.delitem(sys.modules, module, raising=False)  # run_module warns of loaded ones
    with pytest.raises(Watched):
        runpy.run_module(module, run_name="__main__")
