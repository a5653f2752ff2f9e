import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tl_core import setup

ROOT = Path(setup.__file__).resolve().parent.parent
CHECKS = ["ruff check", "ruff format", "mypy", "pytest"]


class FakeMachine:
    """Stands in for the programs that set-up starts: remembers them and fails those it is told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.failing: tuple[str, ...] = ()

    def run(self, command, **options):
        words = [str(word) for word in command]
        if words[1:2] == ["-c"]:  # the question whether the environment's Python works
            if not Path(words[0]).exists():
                raise FileNotFoundError(words[0])
            return SimpleNamespace(returncode=0, stdout="3 11\n")
        self.commands.append(words)
        self.environments.append(options.get("env", {}))
        failed = any(name in " ".join(words) for name in self.failing)
        return SimpleNamespace(returncode=1 if failed else 0)

    def make_venv(self, venv_dir, **options):
        self.commands.append(["venv", str(venv_dir)])
        python = Path(venv_dir) / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()

    def ran(self, *words: str) -> list[list[str]]:
        return [command for command in self.commands if all(word in command for word in words)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    fake = FakeMachine(tmp_path)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\n[project.optional-dependencies]\ndev = ["ruff>=1", "pytest>=9"]\n'
    )
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "_exec", lambda command: fake.run(command).returncode)
    monkeypatch.setattr(setup.subprocess, "run", fake.run)
    monkeypatch.setattr("venv.create", fake.make_venv)
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/usr/bin/{name}")
    return fake


def test_setup_needs_no_installed_package():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tl_core.setup"
    bare = [sys.executable, "-S", "-E", "-c", code]
    assert subprocess.run(bare, capture_output=True, text=True, cwd="/").stderr == ""


@pytest.mark.parametrize("name", ["setup.py", "__init__.py"])
def test_an_old_python_gets_the_message_rather_than_a_syntax_error(name):
    ast.parse((ROOT / "tl_core" / name).read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14), (4, 0)])
def test_a_python_without_packages_is_refused_naming_those_that_have(version):
    with pytest.raises(setup.SetupError, match=r"Expected Python 3\.11 to 3\.13, this is"):
        setup.check_python(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_supported_python_passes(version):
    setup.check_python(version)


def test_run_makes_the_environment_then_the_sample_then_opens_the_app(machine):
    assert setup.main(["run", "--port", "8600", "--no-browser"]) == 0
    venv, pip, sample, app = machine.commands
    assert venv[0] == "venv"
    assert pip[1:4] == ["-m", "pip", "install"]
    assert "ruff>=1" not in pip
    assert sample[1:] == ["-m", "tl_core", "sample"]
    assert app[1:] == ["-m", "tl_core", "app", "--host=127.0.0.1", "--port=8600", "--no-browser"]


def test_run_passes_on_the_address_to_listen_on(machine):
    setup.main(["run", "--host", "0.0.0.0"])
    assert "--host=0.0.0.0" in machine.ran("app")[0]


def test_an_installed_package_is_not_set_up_and_says_how_it_is_opened(machine, capsys):
    (machine.root / "requirements.txt").unlink()
    assert setup.main(["run"]) == 2
    assert "open the studio with 'tl app'" in capsys.readouterr().err
    assert machine.commands == []


def test_streamlit_run_listens_on_this_machine_alone_by_default():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["server"]["address"] == "127.0.0.1"


def test_a_second_run_installs_nothing(machine):
    setup.main(["run"])
    machine.commands.clear()
    setup.main(["run"])
    assert not machine.ran("venv")
    assert not machine.ran("pip")


def test_changed_requirements_are_installed_again(machine):
    setup.main(["run"])
    machine.commands.clear()
    (machine.root / "requirements.txt").write_text("numpy\npillow\n")
    setup.main(["run"])
    assert machine.ran("pip")
    assert not machine.ran("venv")


def test_a_failed_installation_is_tried_again(machine, capsys):
    machine.failing = ("pip install",)
    assert setup.main(["run"]) == 2
    assert "pip could not install" in capsys.readouterr().err
    assert not machine.ran("sample")
    machine.failing = ()
    machine.commands.clear()
    assert setup.main(["run"]) == 0
    assert machine.ran("pip")


def test_installing_for_the_tests_serves_the_app_too_but_not_the_other_way_round(machine):
    setup.main(["run"])
    machine.commands.clear()
    setup.main(["test"])
    assert machine.ran("pip", "ruff>=1", "pytest>=9")
    machine.commands.clear()
    setup.main(["run"])
    assert not machine.ran("pip")


def test_the_test_command_runs_every_check_and_pytest_last(machine):
    assert setup.main(["test", "--", "-x", "tests/test_files.py"]) == 0
    checks = machine.commands[2:]
    assert [command[2] for command in checks] == ["ruff", "ruff", "mypy", "pytest"]
    assert checks[-1][-2:] == ["-x", "tests/test_files.py"]
    assert checks[-1].index("-n") < checks[-1].index("-x")  # so that "-- -n0" has the last word


def test_the_checks_may_keep_compiled_sources(machine, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KEPT", "yes")
    assert setup.main(["test"]) == 0
    for environment in machine.environments[-len(CHECKS) :]:
        assert environment["KEPT"] == "yes"
        assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.parametrize("name", CHECKS)
def test_a_failed_check_fails_the_test_command_after_the_others_ran(machine, capsys, name):
    machine.failing = (f"-m {name}",)
    assert setup.main(["test"]) == 1
    assert len(machine.commands) == 2 + len(CHECKS)
    assert f"Failed: {name}." in capsys.readouterr().err


def test_without_chromium_and_root_the_browser_test_is_left_out_with_a_reason(
    machine, monkeypatch, capsys
):
    monkeypatch.setattr(setup, "find_chromium", lambda: None)
    monkeypatch.setattr(setup, "_is_root", lambda: False)
    assert setup.main(["test"]) == 0
    assert "sudo apt-get install chromium" in capsys.readouterr().out
    assert machine.commands[-1][-2:] == ["-m", "not browser"]
    assert not machine.ran("apt-get")


def test_root_on_debian_gets_chromium_installed(machine, monkeypatch):
    found = iter([None, "/usr/bin/chromium"])
    monkeypatch.setattr(setup, "find_chromium", lambda: next(found))
    monkeypatch.setattr(setup, "_is_root", lambda: True)
    assert setup.prepare_chromium() is None
    assert [command[1] for command in machine.commands] == ["update", "install"]


def test_without_npm_the_tests_of_exported_pages_are_skipped_with_a_reason(
    machine, monkeypatch, capsys
):
    monkeypatch.setattr(setup, "find_chromium", lambda: "/usr/bin/chromium")
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    assert setup.main(["test"]) == 0
    assert "sudo apt-get install npm" in capsys.readouterr().out
    assert "-m" not in machine.commands[-1][3:]


def test_a_failed_chromium_installation_is_a_reason_and_no_error(machine, monkeypatch):
    monkeypatch.setattr(setup, "find_chromium", lambda: None)
    monkeypatch.setattr(setup, "_is_root", lambda: True)
    machine.failing = ("apt-get install",)
    assert "failed" in setup.prepare_chromium()


def test_a_python_without_venv_says_which_package_brings_it(machine, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert setup.main(["run"]) == 2
    assert "sudo apt-get install python3." in capsys.readouterr().err
    assert not machine.commands


def test_a_sample_that_cannot_be_drawn_keeps_the_app_shut(machine):
    machine.failing = ("tl_core sample",)
    assert setup.main(["run"]) == 1
    assert not machine.ran("app")


def test_an_environment_whose_python_is_gone_is_made_anew(machine):
    setup.main(["run"])
    (machine.root / ".venv" / "bin" / "python").unlink()
    (machine.root / ".venv" / "bin").rmdir()
    machine.commands.clear()
    setup.main(["run"])
    assert machine.ran("venv", str(machine.root / ".venv"))
    assert machine.ran("pip")
