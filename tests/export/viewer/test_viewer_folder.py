"""The exported app runs from its folder alone, and answers as the studio does."""

import json
import os
import subprocess
import sys

import pytest
from made_export import make_export_run

from tl_core.export.card import CARD_FILE, model_card
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.modules import needed_modules
from tl_core.export.viewer.folder import REQUIREMENTS, write_streamlit
from tl_core.export.writers import Writing
from tl_core.files import write_text
from tl_core.inference.predict import load_predictor
from tl_core.installation import app_path

# Runs the app in its own folder as Streamlit does, without the packages it must not need.
DRIVE = """
import json, sys
sys.path.insert(0, ".")
REFUSED = ("tensorflow", "keras", "sklearn", "typer")
REFUSED += ("pandas", "altair", "pyarrow", "pydeck")  # what the Dockerfile removes
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from streamlit.testing.v1 import AppTest
at = AppTest.from_file("app.py", default_timeout=120).run()
bars = at.get("progress")
print(json.dumps({
    "failed": [one.value for one in [*at.exception, *at.error]],
    "title": at.title[0].value,
    "bars": [bar.proto.text for bar in bars],
    "words": [one.value for one in at.markdown],
    "files": [m.__file__ for n, m in sys.modules.items() if n.startswith(("tl_core", "ui."))],
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"), image_size=(40, 64))


@pytest.fixture(scope="module")
def app(run, tmp_path_factory):
    """Return the folder of the app, written as an export writes it, but not compared."""
    folder, row = tmp_path_factory.mktemp("app"), FORMATS["streamlit"]
    info = describe_run(run, {"accuracy": None})
    write_streamlit(Writing(run, info, folder, run.workspace.cache_dir, with_examples=True))
    write_text(folder / CARD_FILE, model_card(run, row, info, None))
    write_model_info(folder, info)
    return folder


@pytest.fixture(scope="module")
def shown(app):
    """Return what the app shows when it is opened."""
    environment = {**os.environ, "PYTHONPATH": ""}
    environment.pop("TL_BUNDLE", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRIVE],
        cwd=app,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_answers_its_examples_as_the_studio_does(app, run, shown):
    assert shown["failed"] == []
    assert shown["title"] == run.name
    examples = sorted((app / "examples").iterdir())
    assert len(examples) == 6
    predictor = load_predictor(run.run_dir, run.workspace.cache_dir)
    expected = [
        f"{name} · {100 * probability:.1f} %"
        for answer in predictor.predict(examples)
        for name, probability in answer.top
    ]
    assert shown["bars"] == expected


def test_nothing_outside_of_its_folder_is_used(app, shown):
    assert len(shown["files"]) > 50
    assert all(path.startswith(str(app)) for path in shown["files"])


def test_it_holds_no_part_of_the_studio(app):
    files = {path.relative_to(app).as_posix() for path in app.rglob("*.py")}
    assert not (app / "pages").exists()
    rooms = {"/".join(path.split("/")[:2]) for path in files}
    assert not rooms & {
        *("tl_core/training", "tl_core/jobs", "tl_core/projects", "tl_core/export", "tl_core/cli"),
        *("ui/shell", "ui/train", "ui/data", "ui/share", "ui/runs", "ui/datasets"),
    }


def test_visitors_read_the_card_without_what_is_for_its_owner(app, shown):
    card = (app / "README.md").read_text(encoding="utf-8")
    assert "Streamlit Community Cloud" in card
    assert "sdk: docker" in card
    words = "\n".join(shown["words"])
    assert "How good it is" in words
    for owners in ("Community Cloud", "sdk: docker", "tl export"):
        assert owners not in words


def test_its_host_can_reach_and_read_it(app):
    config = (app / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert "127.0.0.1" not in config
    assert "[theme.dark]" in config
    assert "uninstall -y pyarrow pydeck pandas altair" in (app / "Dockerfile").read_text("utf-8")
    closed = [path.name for path in app.rglob("*") if not path.stat().st_mode & 0o004]
    assert closed == []


def test_what_it_needs_is_what_this_project_is_tried_with():
    own = (app_path().parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(REQUIREMENTS) <= set(own)


def test_modules_follow_from_the_imports_of_the_entry_point():
    assert list(needed_modules("tl_core.progress")) == [
        *("tl_core/__init__.py", "tl_core/errors.py", "tl_core/progress.py")
    ]
    assert needed_modules("no_such_package.module") == {}
