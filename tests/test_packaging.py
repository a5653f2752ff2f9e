"""What ``pip install .`` installs, and that it runs without the checkout."""

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
APP_FILES = ("app.py", "hosted.py", "pages", "ui", ".streamlit/config.toml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel as pip does, without a download, and open it."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def metadata(wheel):
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def files_of(*names: str) -> set[str]:
    """Return the paths below the checkout of all files that belong to the program."""
    tops = [ROOT / name for name in names]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_inside_it_the_app_and_nothing_else(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    app = {f"tl_core/_studio/{name}" for name in files_of(*APP_FILES)}
    assert packed == files_of("tl_core") | app
    assert {"tl_core/py.typed", "tl_core/_studio/.streamlit/config.toml"} <= packed


def test_the_wheel_requires_what_requirements_txt_lists(metadata):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = {Requirement(line) for line in lines if line and not line.startswith("#")}
    required = {Requirement(line) for line in metadata.get_all("Requires-Dist")}
    assert {requirement for requirement in required if requirement.marker is None} == listed


def test_the_wheel_names_its_licence_and_its_program(wheel, metadata):
    assert metadata["License-Expression"] == "Apache-2.0"
    names = {Path(name).name: name for name in wheel.namelist()}
    assert wheel.read(names["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
    scripts = wheel.read(names["entry_points.txt"]).decode()
    assert "tl = tl_core.cli.app:main" in scripts


def test_every_page_of_the_installed_app_opens_from_any_folder(wheel, tmp_path, make_dataset):
    workspace = Workspace(tmp_path / "workspace")
    make_dataset({"cat": 6, "dog": 5}, workspace.datasets_dir / SAMPLE_NAME)
    wheel.extractall(tmp_path / "site")
    (tmp_path / "anywhere").mkdir()
    code = """
import sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
import tl_core
from tl_core.installation import app_path
import tl_core.jobs.training as jobs
from tl_core.jobs import worker_client

site = Path(sys.argv[1])
assert Path(tl_core.__file__).is_relative_to(site), tl_core.__file__
jobs.ensure_worker = worker_client.ensure_worker = lambda *args, **kwargs: None
sys.path.insert(0, str(app_path().parent))  # as `streamlit run` does
at = AppTest.from_file(str(app_path()), default_timeout=300).run()
for page in [None, *sorted(app_path().parent.glob("pages/*.py"))]:
    if page is not None:
        at.switch_page(f"pages/{page.name}").run()
    assert not at.exception, at.exception
    assert not at.error, at.error
    print(at.title[0].value)
import ui
assert Path(ui.__file__).is_relative_to(site), ui.__file__
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONSAFEPATH": "1",
        "TL_WORKSPACE": str(workspace.root),
    }
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")],
        cwd=tmp_path / "anywhere",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "anywhere").iterdir()) == []
    assert ran.stdout.split("\n")[1:5] == ["Data", "Train", "Classify", "Evaluate"]
