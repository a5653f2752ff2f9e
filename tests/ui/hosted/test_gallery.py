"""The operator's part of a demo: finished projects to look at, a text, limits as secrets."""

import os
import subprocess
import sys

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, texts
from browser_helpers import ROOT
from demo_helpers import let_in
from made_project import add_run

from tl_core.files import write_json
from tl_core.projects.registry import list_projects
from tl_core.runs.files import METRICS_FILE
from tl_core.visitors.store import list_visitors
from tl_core.visitors.tokens import issue_token
from tl_core.workspace import Workspace
from ui.hosted.gallery import GALLERY_DIR, TITLE
from ui.hosted.panel import BANNER_ENVIRONMENT_NAME


@pytest.fixture
def gallery(host, make_dataset):
    """Return the gallery's workspace, with a project that has a finished run."""
    gallery = Workspace(host.root / GALLERY_DIR)
    make_dataset({"oak": 5, "elm": 5}, gallery.datasets_dir / "trees")
    run = add_run(gallery, gallery.datasets_dir / "trees")
    write_json(run.run_dir / METRICS_FILE, {"val_accuracy": 0.75, "num_images": {"val": 4}})
    return gallery


def test_the_gallery_shows_finished_projects_on_the_home_page_alone(host, gallery, monkeypatch):
    before = sorted(path for path in gallery.root.rglob("*") if "cache" not in path.parts)
    let_in(monkeypatch, issue_token(host))
    at = open_page()
    assert_sound(at)
    shown = texts(at)
    assert TITLE in shown
    assert "trees" in shown
    assert "10 photos: elm, oak" in shown
    assert at.selectbox(key="dataset").options == ["Sample set: drawn food"]
    assert before == sorted(path for path in gallery.root.rglob("*") if "cache" not in path.parts)


@pytest.mark.parametrize("address", ["trees", f"../../{GALLERY_DIR}/datasets/trees"])
def test_a_project_of_the_gallery_is_not_opened_by_its_address(host, gallery, monkeypatch, address):
    let_in(monkeypatch, issue_token(host))
    at = open_page(DATA, dataset=address)
    assert not at.exception
    assert "elm" not in texts(at)
    (workspace,) = list_visitors(host)
    assert [one.title for one in list_projects(workspace)] == ["Sample set: drawn food"]


def test_a_project_without_a_finished_run_is_not_shown(host, make_dataset, monkeypatch):
    make_dataset({"oak": 5, "elm": 5}, Workspace(host.root / GALLERY_DIR).datasets_dir / "trees")
    let_in(monkeypatch, issue_token(host))
    assert TITLE not in texts(open_page())


def test_the_operators_text_is_on_every_page(host, monkeypatch):
    monkeypatch.setenv(BANNER_ENVIRONMENT_NAME, "Run by Ada. [Privacy](https://example.org)")
    let_in(monkeypatch, issue_token(host))
    for page in (None, DATA, TRAIN):
        assert any("Run by Ada. [Privacy]" in one.value for one in open_page(page).caption)


def test_limits_may_be_secrets(tmp_path):
    (tmp_path / ".streamlit").mkdir()
    secrets = 'TL_MODE = "demo"\nTL_DEMO_EPOCHS = 7\nTL_DEMO_BACKBONES = "tiny"\n'
    (tmp_path / ".streamlit" / "secrets.toml").write_text(secrets, encoding="utf-8")
    code = """
from hosted import limits
from streamlit import config
print(limits.epochs, limits.backbones, limits.upload_mb, config.get_option("server.maxUploadSize"))
"""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TL_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": str(ROOT), "TL_WORKSPACE": str(tmp_path / "workspace")},
    )
    assert done.stdout.split() == ["7", "tiny", "20", "20"]
