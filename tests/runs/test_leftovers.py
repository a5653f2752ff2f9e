"""What a killed process left in a folder goes where that folder is next used, a day later."""

import os
import subprocess
import sys
import time

import pytest

from tl_core import files
from tl_core.backbones import weights
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.sample.dataset import MIN_NUM_PER_CLASS, draw_sample_dataset
from tl_core.errors import Stopped, WeightsError
from tl_core.files import scratch_folder
from tl_core.jobs.housekeeping import sweep_workspace
from tl_core.jobs.queue import JobQueue
from tl_core.runs.store import create_run
from tl_core.search.store import create_sweep
from tl_core.workspace import Workspace

MARK = "0123456789abcdef" * 2
CONFIG = TrainConfig(backbone="tiny")


def take_in(workspace, monkeypatch):
    with scratch_folder(workspace.datasets_dir / "pets"):
        return workspace.datasets_dir


def draw(workspace, monkeypatch):
    with pytest.raises(Stopped):
        draw_sample_dataset(
            workspace.datasets_dir / "sample",
            num_per_class=MIN_NUM_PER_CLASS,
            should_stop=lambda: True,
        )
    return workspace.datasets_dir


def train(workspace, monkeypatch):
    create_run(workspace.runs_dir, CONFIG, "data")
    return workspace.runs_dir


def search(workspace, monkeypatch):
    create_sweep(workspace, SweepConfig(), CONFIG, "data")
    return workspace.sweeps_dir


def fetch(workspace, monkeypatch):
    def refuse(url):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(workspace.root))
    monkeypatch.setattr(weights, "_open", refuse)
    with pytest.raises(WeightsError):
        weights.fetch_weights("VGG16", (224, 224))
    return workspace.root / "models"


@pytest.mark.parametrize("use", [take_in, draw, train, search, fetch])
def test_leftovers_of_a_day_ago_go_when_the_folder_is_next_used(tmp_path, monkeypatch, use):
    workspace = Workspace(tmp_path)
    folder = use(workspace, monkeypatch)
    folder.mkdir(exist_ok=True)
    old, young = folder / f".a.{MARK}.tmp", folder / f".b.{MARK}.tmp"
    for path in (old, young):
        path.write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    use(workspace, monkeypatch)
    assert not old.exists()
    assert young.exists()


ABANDON = """
import pathlib, sys
from tl_core.files import replacing, scratch_folder
with scratch_folder(pathlib.Path(sys.argv[1]) / "pets") as folder:
    (folder / "cats").mkdir()
    (folder / "cats" / "1.jpg").write_bytes(b"x")
    with replacing(pathlib.Path(sys.argv[1]) / "last.json") as path:
        path.write_bytes(b"{")
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_at_the_next_start_and_a_living_one_keeps_its_own(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.datasets_dir.mkdir()
    command = [sys.executable, "-c", ABANDON, str(workspace.datasets_dir)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as child:
        assert child.stdout.readline() == b"ready\n"
        assert sweep_workspace(workspace) == 0
        assert len(list(workspace.datasets_dir.iterdir())) == 2
        child.kill()
        child.wait()
        assert sweep_workspace(workspace) == 2
    assert list(workspace.datasets_dir.iterdir()) == []


def test_what_another_machine_left_stays_for_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_machine", lambda: "0123")
    folder = files._hidden_path(tmp_path / "pets", "tmp")
    folder.mkdir()
    monkeypatch.setattr(files, "is_alive", lambda *_: False)
    monkeypatch.setattr(files, "_machine", lambda: "4567")
    assert files.delete_stale_files(tmp_path) == 0
    monkeypatch.setattr(files, "_machine", lambda: "0123")
    assert files.delete_stale_files(tmp_path) == 1
    assert not folder.exists()


def test_stops_and_progress_of_jobs_that_are_gone_leave_the_queue(tmp_path):
    workspace = Workspace(tmp_path)
    queue = JobQueue(workspace)
    kept, gone, new = (queue.submit("train", {"number": number}) for number in range(3))
    for job in (kept, gone, new):
        queue.report(job.id, {"done": 1})
        (workspace.queue_dir / f"{job.id}.stop").touch()
    (workspace.queue_dir / "notes.txt").touch()
    for job in (gone, new):
        (workspace.queue_dir / f"{job.id}.waiting.json").unlink()
    hour_ago = time.time() - 3600
    for path in workspace.queue_dir.iterdir():
        if new.id not in path.name:
            os.utime(path, (hour_ago, hour_ago))
    assert sweep_workspace(workspace) == 2
    left = {path.name for path in workspace.queue_dir.iterdir()}
    assert {name.split(".")[0] for name in left} == {kept.id, new.id, "notes"}
