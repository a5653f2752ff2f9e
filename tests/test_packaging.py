"""What ``pip install`` takes along; the tests themselves run from the checkout."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def settings():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["tool"]["setuptools"]


def test_every_package_of_the_core_is_installed(settings):
    found = find_packages(str(ROOT), include=settings["packages"]["find"]["include"])
    folders = {path.parent for path in (ROOT / "tl_core").rglob("*.py")}
    assert set(found) == {".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_every_data_file_of_the_core_is_installed(settings):
    for path in (ROOT / "tl_core").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            patterns = settings["package-data"].get(package, ())
            assert any(fnmatch(path.name, pattern) for pattern in patterns), path
