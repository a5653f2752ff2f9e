"""``tl serve`` as a process: it starts, answers, and ends on a signal."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from conftest import png
from made_export import make_export_run

from tl_core.cli import serve
from tl_core.installation import install_command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_export_run(tmp_path_factory.mktemp("made"))


def test_it_answers_until_a_signal_ends_it(run):
    root = str(run.workspace.root)
    words = ["serve", str(run.run_dir), "--port", "0", "--workspace", root, "--name", "My pets"]
    command = [sys.executable, "-m", "tl_core", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline()
    url = said.split(" at ")[1].split(",")[0]
    photo = urllib.request.Request(f"{url}/predict", png(0, 0), {"Content-Type": "image/png"})
    with urllib.request.urlopen(photo, timeout=60) as answer:
        assert json.load(answer)["predictions"][0]["top"][0]["class_name"] == "cat"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.startswith("Serving 'My-pets' at http://127.0.0.1:")
    lines = [json.loads(line) for line in rest.splitlines()]
    assert [line["route"] for line in lines if line["message"] == "request"] == ["/predict"]


def test_contradicting_limits_are_a_mistake(cli, run):
    code, _, said = cli("serve", run.run_dir, "--max-images", 100)
    assert code == 2
    assert "one request of 100 images, received a queue of 64" in said


def test_a_folder_without_a_model_is_a_mistake(cli, tmp_path):
    code, _, said = cli("serve", tmp_path / "nothing", "--workspace", tmp_path)
    assert code == 2
    assert said.startswith("opening the model\nError: ")


def test_missing_packages_are_named_with_the_command_that_brings_them(cli, run, monkeypatch):
    monkeypatch.setattr(serve, "_PACKAGES", ("json", "no_such_package"))
    code, _, said = cli("serve", run.run_dir)
    assert code == 2
    assert (
        "needs no_such_package, which is not installed. Install it with: "
        + install_command("serve")
        in said
    )
