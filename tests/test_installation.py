import sys
from pathlib import Path

import pytest

from tl_core.installation import app_path, is_checkout, program_name, user_data_dir

ROOT = Path(__file__).resolve().parents[1]


def test_a_checkout_opens_the_app_beside_the_package():
    assert is_checkout()
    assert app_path() == ROOT / "app.py"


def test_an_installed_package_opens_the_app_inside_it(installed):
    assert not is_checkout()
    assert app_path() == installed / "app.py"


@pytest.mark.parametrize("started_as", ["/usr/bin/tl", "tl.exe"])
def test_the_program_is_called_as_it_was_started(started_as, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started_as])
    assert program_name() == "tl"
    monkeypatch.setattr(sys, "argv", ["tl_core/__main__.py"])
    assert program_name() == "python -m tl_core"


def test_an_installed_program_is_called_by_its_short_name_in_the_app_too(installed, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["streamlit"])
    assert program_name() == "tl"


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "home/.local/share/tl-core"),
        ("linux", {"XDG_DATA_HOME": "{home}/data"}, "home/data/tl-core"),
        ("darwin", {}, "home/Library/Application Support/tl-core"),
        ("win32", {"LOCALAPPDATA": "{home}/local"}, "home/local/tl-core"),
        ("win32", {}, "home/AppData/Local/tl-core"),
    ],
)
def test_data_goes_where_the_system_keeps_that_of_the_user(
    platform, environment, expected, monkeypatch, tmp_path
):
    home = tmp_path / "home"
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(home=home))
    assert user_data_dir() == tmp_path / expected
