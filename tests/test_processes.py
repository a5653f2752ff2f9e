"""Child processes find the package from anywhere and run nothing but their module."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path

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
