"""Measuring augmentation in the worker: what is kept, for which settings, and with which run."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from made_run import make_run

from tl_core.analysis import augment_effect, effect_cache
from tl_core.analysis.effect_cache import EffectFiles, EffectRecord, newest_run
from tl_core.backbones.api import resolve_image_size
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import RunError, Stopped
from tl_core.features.engine import engine_path
from tl_core.files import write_bytes, write_json
from tl_core.head.model import METADATA_KEY, load_weights, save_weights
from tl_core.jobs import client
from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.files import CLASSES_FILE, WEIGHTS_FILE, update_status

CONFIG = TrainConfig(backbone="tiny", augment=AugmentConfig(rotation=30, hue=0.3))


@pytest.fixture
def index(dataset):
    return scan_dataset(dataset)


@pytest.fixture
def run(workspace, dataset, cache_dir):
    return make_run(workspace.runs_dir / "trained", dataset, cache_dir)


def request(workspace, config, data_dir, run=None):
    """Ask for a measurement as the page does."""
    answering = None if run is None else workspace.relative(run.run_dir)
    return client.request(workspace, effect_cache.KIND, config, data_dir, run=answering)


def work(workspace, job, told=None):
    """Do a job as the worker would."""
    report = (lambda progress: None) if told is None else told.append
    KINDS[job.kind].run(JobContext(workspace, job, Monitor(report)))


def files_of(workspace, index, config=CONFIG):
    return EffectFiles(workspace.cache_dir, index, config)


def test_the_worker_measures_each_transform_and_all_together(workspace, index) -> None:
    told = []
    work(workspace, request(workspace, CONFIG, index.data_dir), told)
    record = files_of(workspace, index).read(None)
    assert record.augment == CONFIG.augment
    assert [effect.transform for effect in record.effects] == ["rotation", "hue", "all"]
    assert record.run_id is None
    features = [progress for progress in told if progress.stage == "features"]
    done = [progress.done for progress in features]
    # Three measurements of 3 views of 11 photos and, once, the photos themselves, told as one.
    assert done == sorted(done)
    assert {progress.total for progress in features} == {110}
    assert done[-1] == 110


def test_the_answers_of_a_run_count_when_one_is_named(workspace, index, run, monkeypatch) -> None:
    heads = []
    forward = augment_effect.head_forward
    monkeypatch.setattr(
        augment_effect,
        "head_forward",
        lambda head, features: heads.append(head) or forward(head, features),
    )
    work(workspace, request(workspace, CONFIG, index.data_dir, run))
    assert files_of(workspace, index).read(run).run_id == "trained"
    assert files_of(workspace, index).read(None) is None
    assert set(heads[0]) == {"predictions/kernel", "predictions/bias"}


def test_a_fine_tuned_run_answers_with_its_head_on_its_own_backbone(
    workspace, index, run, cache_dir, monkeypatch
) -> None:
    own = run.run_dir / "backbone-own.tflite"
    pretrained = engine_path("tiny", resolve_image_size(CONFIG), "avg", cache_dir)
    write_bytes(own, pretrained.read_bytes())
    path = run.run_dir / WEIGHTS_FILE
    weights = load_weights(path) | {"backbone/004.0/kernel": np.zeros((1, 1), np.float32)}
    save_weights(path, weights, {METADATA_KEY: json.dumps({"backbone": own.name})})
    opened = []
    extract = augment_effect.extract_features
    monkeypatch.setattr(
        augment_effect,
        "extract_features",
        lambda index, rows, spec, **options: (
            opened.append(spec.engine_file) or extract(index, rows, spec, **options)
        ),
    )
    work(workspace, request(workspace, CONFIG, index.data_dir, run))
    assert files_of(workspace, index).read(run).run_id == "trained"
    assert set(opened) == {own}


def test_other_settings_have_their_own_measurement_and_the_latest_is_known(
    workspace, index
) -> None:
    files = files_of(workspace, index)
    files.write(EffectRecord(CONFIG.augment, (), None), None)
    other = CONFIG.updated(augment=AugmentConfig(blur=1))
    for config in (other, CONFIG.updated(seed=1)):
        assert files_of(workspace, index, config).read(None) is None
    assert files_of(workspace, index, other).read_latest().augment == CONFIG.augment
    files_of(workspace, index, other).write(EffectRecord(other.augment, (), None), None)
    os.utime(files._path(None), (0, 0))
    assert files.read_latest().augment == other.augment
    assert files.read(None).augment == CONFIG.augment


def test_weights_that_changed_make_a_measurement_old(workspace, index, run) -> None:
    files = files_of(workspace, index)
    files.write(EffectRecord(CONFIG.augment, (), run.id), run)
    assert files.read(run) is not None
    os.utime(run.run_dir / WEIGHTS_FILE, (1, 1))
    assert files.read(run) is None


def test_only_the_latest_measurements_are_kept(workspace, index, monkeypatch) -> None:
    monkeypatch.setattr(effect_cache, "_NUM_KEPT", 2)
    for seed in range(4):
        config = CONFIG.updated(seed=seed)
        files_of(workspace, index, config).write(EffectRecord(config.augment, (), None), None)
    kept = [
        files_of(workspace, index, CONFIG.updated(seed=seed)).read(None) is not None
        for seed in range(4)
    ]
    assert kept == [False, False, True, True]


def test_a_torn_file_counts_as_not_measured(workspace, index) -> None:
    files = files_of(workspace, index)
    write_bytes(files._path(None), b'{"augment": {}')
    assert files.read(None) is None
    assert files.read_latest() is None


def test_a_failure_is_kept_with_its_reason(workspace, index, run) -> None:
    write_bytes(run.run_dir / WEIGHTS_FILE, b"no weights")
    with pytest.raises(RunError):
        work(workspace, request(workspace, CONFIG, index.data_dir, run))
    assert "Cannot read the weights" in files_of(workspace, index).explore.read_failure(
        effect_cache.KIND
    )


def test_a_stop_leaves_neither_result_nor_failure(workspace, index) -> None:
    job = request(workspace, CONFIG, index.data_dir)
    with pytest.raises(Stopped):
        KINDS[job.kind].run(JobContext(workspace, job, Monitor(None, lambda: True)))
    files = files_of(workspace, index)
    assert files.read_latest() is None
    assert files.explore.read_failure(effect_cache.KIND) is None


def test_the_job_waits_behind_training_and_is_there_once(workspace, index) -> None:
    job = request(workspace, CONFIG, index.data_dir)
    assert request(workspace, CONFIG, index.data_dir).id == job.id
    assert KINDS["features"].priority < job.priority < 0
    assert KINDS[job.kind].gives_way
    assert client.job_about(workspace, effect_cache.KIND, index.data_dir).id == job.id
    assert client.is_for(job, CONFIG.updated(epochs=3))  # what does not matter
    assert not client.is_for(job, CONFIG.updated(seed=3))
    assert client.job_about(workspace, effect_cache.KIND, index.data_dir.parent) is None
    JobQueue(workspace).request_stop(job.id)
    assert client.job_about(workspace, effect_cache.KIND, index.data_dir) is None


def test_the_newest_run_with_the_same_eyes_and_classes_answers(
    workspace, index, run, dataset, cache_dir
) -> None:
    def newest(**changes):
        return newest_run(workspace.runs_dir, CONFIG.updated(**changes), index)

    assert newest().id == "trained"
    assert newest(augment={"blur": 1}, seed=4, epochs=2).id == "trained"
    assert newest(resize="crop") is None
    assert newest(image_size=(48, 48)) is None
    assert newest(backbone="MobileNetV2") is None
    later = make_run(workspace.runs_dir / "later", dataset, cache_dir)
    update_status(later.run_dir, created="2999-01-01T00:00:00+00:00")
    assert newest().id == "later"
    write_json(later.run_dir / CLASSES_FILE, ["cat", "horse"])
    assert newest().id == "trained"


def test_a_run_still_in_training_does_not_answer(workspace, index, run) -> None:
    update_status(run.run_dir, state="queued")
    assert newest_run(workspace.runs_dir, CONFIG, index) is None
