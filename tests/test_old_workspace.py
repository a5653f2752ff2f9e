"""A workspace that version 0.1.0 wrote still opens: its run, decisions, preset, search and caches.

``tests/data/workspace_0_1.zip`` was written by that version: 36 drawn images, two decisions about
them, a preset, a trained head, a search over two heads, and the caches these left.
``workspace_0_1.json`` holds what that version then answered.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tl_core import evaluate_run, list_runs, load_predictor, train
from tl_core.config.training import TrainConfig
from tl_core.data.audit import image_stats
from tl_core.data.augmentation.presets import list_presets
from tl_core.data.curation.store import load_dataset, load_decisions
from tl_core.features import extract
from tl_core.search.store import list_sweeps
from tl_core.workspace import ENVIRONMENT_NAME, Workspace

DATA_DIR = Path(__file__).parent / "data"
ANSWERS = json.loads((DATA_DIR / "workspace_0_1.json").read_text(encoding="utf-8"))


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    with zipfile.ZipFile(DATA_DIR / "workspace_0_1.zip") as archive:
        archive.extractall(tmp_path / "workspace")
    monkeypatch.setenv(ENVIRONMENT_NAME, str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


def test_the_run_is_listed_with_its_name_state_and_settings(old: Workspace) -> None:
    (run,) = list_runs(old.runs_dir)

    assert run.id == ANSWERS["run"]
    assert run.name == "old run"
    assert run.state == "finished"
    assert run.class_names == ("disc", "square", "triangle")
    assert run.config == TrainConfig(backbone="tiny", fc_layers=(8,), epochs=6, seed=3)
    assert len(run.history()) == 6
    assert run.data_dir == old.datasets_dir / "shapes"


def test_the_run_answers_as_it_did(old: Workspace) -> None:
    predictor = load_predictor(old.runs_dir / ANSWERS["run"])

    for answer in ANSWERS["predict"]:
        (prediction,) = predictor.predict([old.root / answer["path"]])
        assert [name for name, _ in prediction.top] == [name for name, _ in answer["top"]]
        assert [share for _, share in prediction.top] == pytest.approx(
            [share for _, share in answer["top"]], abs=1e-5
        )


def test_the_run_is_evaluated_with_the_figures_it_had(old: Workspace) -> None:
    evaluation = evaluate_run(old.runs_dir / ANSWERS["run"])
    expected = ANSWERS["evaluate"]

    assert evaluation.num_images == expected["num_images"]
    assert evaluation.accuracy == expected["accuracy"]
    assert evaluation.log_loss == pytest.approx(expected["log_loss"], abs=1e-5)
    np.testing.assert_array_equal(evaluation.confusion_matrix, expected["confusion_matrix"])


def test_decisions_still_hold(old: Workspace) -> None:
    data_dir = old.datasets_dir / "shapes"
    index = load_dataset(data_dir, old)
    classes = {record.path: index.class_names[record.label] for record in index.records}

    assert len(load_decisions(old, data_dir).steps) == 2
    assert "disc/0.png" not in classes
    assert classes["square/3.png"] == "triangle"
    assert index.num_images == 35


def test_the_preset_is_offered(old: Workspace) -> None:
    (preset,) = list_presets(old)

    assert preset.name == "soft"
    assert preset.augment.rotation == 15


def test_the_search_is_listed_with_both_heads(old: Workspace) -> None:
    (sweep,) = list_sweeps(old)

    assert sweep.state == "finished"
    assert sorted(tuple(trial.settings["fc_layers"]) for trial in sweep.trials()) == [(), (8,)]


def test_cached_image_stats_are_used(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    index = load_dataset(old.datasets_dir / "shapes", old)
    expected = image_stats.measure_dataset(index)

    monkeypatch.setattr(image_stats, "measure_image", None)
    found = image_stats.measure_dataset(index, cache_dir=old.cache_dir)
    assert [one.fingerprint for one in found] == [one.fingerprint for one in expected]
    assert [one.entropy for one in found] == pytest.approx([one.entropy for one in expected])


def test_cached_features_are_used_and_training_again_gives_the_same_head(
    old: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute_nothing(*_: object, **__: object) -> None:
        raise AssertionError("the backbone ran, though all features lie in the old cache")

    monkeypatch.setattr(extract, "run_pipeline", compute_nothing)
    (before,) = list_runs(old.runs_dir)
    index = load_dataset(old.datasets_dir / "shapes", old)
    run = train(before.config, index, old.runs_dir / "again", cache_dir=old.cache_dir)

    assert run.metrics["val_loss"] == pytest.approx(before.metrics["val_loss"], abs=1e-6)
