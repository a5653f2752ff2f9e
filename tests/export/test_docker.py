"""The exported service runs from its folder alone, with no package that it does not list."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from made_export import make_export_run

from tl_core.export.card import model_card
from tl_core.export.docker import DOCKER_FILE, REQUIREMENTS, write_docker
from tl_core.export.formats import FORMATS
from tl_core.export.model_info import describe_run, write_model_info
from tl_core.export.writers import Writing
from tl_core.inference.predict import load_predictor

ROOT = Path(__file__).resolve().parents[2]
# Opens the model and the service in the exported folder, without what it must not need.
DRIVE = """
import json, sys
sys.path.insert(0, ".")
REFUSED = ("tensorflow", "keras", "sklearn", "pandas", "altair", "streamlit")
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
import tl_core.cli.serve
from tl_core.serving import logs, server
from tl_core.serving.app import create_app
from tl_core.serving.model import open_model
model = open_model(Path("."), Path("cache"))
create_app(model)
[answer] = model.predictor.predict([sys.argv[1]])
print(json.dumps({
    "top": answer.top[0][0],
    "files": [m.__file__ for n, m in sys.modules.items() if n.startswith("tl_core")],
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    info = describe_run(run)
    write_docker(Writing(run, info, folder, run.workspace.cache_dir))
    write_model_info(folder, info)
    return folder


def test_it_answers_from_its_folder_alone(run, folder):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    photo = str(run.data_dir / "dog" / "3.png")
    ran = subprocess.run(
        [sys.executable, "-c", DRIVE, photo],
        cwd=folder,
        env={**environment, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    [expected] = load_predictor(run.run_dir, run.workspace.cache_dir).predict([photo])
    assert found["top"] == expected.top[0][0]
    assert all(path.startswith(str(folder)) for path in found["files"])


def test_the_dockerfile_copies_what_is_there_and_starts_as_an_ordinary_user(folder):
    text = (folder / DOCKER_FILE).read_text()
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()]
    written_later = {"requirements.txt"}
    assert {"tl_core", "model.json", "backbone.tflite", "head.safetensors"} <= set(copied)
    assert all(any(folder.glob(name)) for name in set(copied) - written_later)
    assert text.index("USER service") < text.index("ENTRYPOINT")
    assert "HEALTHCHECK" in text


def test_its_requirements_are_those_of_the_project():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    serve = extras["optional-dependencies"]["serve"]
    always = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(serve) <= set(REQUIREMENTS) <= {*serve, *always}
    assert set(serve) <= set(extras["optional-dependencies"]["dev"])


def test_its_card_says_how_to_build_and_ask(run):
    card = model_card(run, FORMATS["docker"], describe_run(run), None)
    assert f"docker build -f {DOCKER_FILE}" in card
    assert "curl" in card
