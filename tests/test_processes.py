"""Child processes find the package from anywhere and run nothing but their module."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tl_core.errors import WeightsError
from tl_core.processes import child_environment, module_command, parse_error, print_error


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
