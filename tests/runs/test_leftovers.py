"""What a killed process left in a folder goes where that folder is next used, a day later."""

import os
import time

import pytest

from tl_core.backbones import weights
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.sample.dataset import MIN_NUM_PER_CLASS, draw_sample_dataset
from tl_core.errors import Stopped, WeightsError
from tl_core.files import scratch_folder
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
