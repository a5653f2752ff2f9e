import shutil

import numpy as np
import pytest

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, edit_decisions, load_dataset
from tl_core.data.dataset import scan_dataset
from tl_core.errors import ConfigError, RunError
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.head.model import load_weights
from tl_core.jobs import training as training_jobs
from tl_core.jobs.queue import JobQueue
from tl_core.runs.files import put_back_run, update_status
from tl_core.runs.store import create_run, load_run
from tl_core.training import epochs
from tl_core.training.checkpoints import epochs_done, load_checkpoint
from tl_core.training.resume import can_resume, continue_run
from tl_core.training.trainer import resume_run, train, train_queued
from tl_core.workspace import Workspace

HEAD = TrainConfig(
    backbone="tiny",
    fc_layers=(8,),
    epochs=6,
    batch_size=8,
    learning_rate=0.01,
    dropout=0.3,
    augment="photo",
    views=2,
)
FINE_TUNE = HEAD.updated(
    epochs=2,
    fine_tune_blocks=2,
    fine_tune_epochs=4,
    fine_tune_learning_rate=0.003,
    weight_decay=0.01,
)
COUNTS = {"a": 16, "b": 16, "c": 16}


@pytest.fixture
def index(make_dataset, cache_dir):
    return scan_dataset(make_dataset(COUNTS), cache_dir=cache_dir)


@pytest.fixture
def run_training(index, cache_dir, tmp_path):
    def run_training(config, name, on_event=None, should_stop=None):
        run_dir = tmp_path / "runs" / name
        return train(config, index, run_dir, on_event, should_stop, cache_dir=cache_dir)

    return run_training


class StopAt:
    """Asks for a stop once the given event was seen, in the midst of what comes next."""

    def __init__(self, kind, phase, epoch):
        self.wanted = (kind, phase, epoch)
        self.seen = False

    def on_event(self, event):
        found = (event.kind, getattr(event, "phase", None), getattr(event, "epoch", None))
        self.seen = self.seen or found == self.wanted

    def should_stop(self):
        return self.seen


def weights_of(run):
    return (run.run_dir / "weights.safetensors").read_bytes()


def figures_of(run):
    history = run.history().drop(columns="seconds")
    return history.to_dict(orient="records")


@pytest.mark.parametrize("kind", ["epoch_end", "batch_end"])
def test_a_head_stopped_and_resumed_equals_one_never_stopped_to_the_last_bit(
    run_training, cache_dir, kind, monkeypatch
):
    monkeypatch.setattr(epochs, "MIN_EVENT_SECONDS", 0.0)  # an event for every group
    whole = run_training(HEAD.updated(early_stopping=3), "whole")
    stop = StopAt(kind, "head", 2)
    run = run_training(HEAD.updated(early_stopping=3), "part", stop.on_event, stop.should_stop)
    assert run.state == "stopped"
    assert can_resume(run)
    run = resume_run(run.run_dir, cache_dir=cache_dir)
    assert run.state == "finished"
    assert weights_of(run) == weights_of(whole)
    assert figures_of(run) == figures_of(whole)
    for name in ("val_accuracy", "val_loss", "test_loss", "best_epoch"):
        assert run.metrics[name] == whole.metrics[name]
    mine, others = (load_checkpoint(one.run_dir) for one in (run, whole))
    assert mine.state.keys() == others.state.keys()
    assert all(np.array_equal(mine.state[name], others.state[name]) for name in mine.state)


def test_a_kill_between_two_epochs_loses_nothing_that_was_saved(run_training, cache_dir, tmp_path):
    whole = run_training(HEAD, "whole")
    snapshot = tmp_path / "runs" / "killed"

    def copy(event):
        if event.kind == "epoch_end" and event.epoch == 3:
            shutil.copytree(tmp_path / "runs" / "victim", snapshot)

    run_training(HEAD, "victim", copy)
    update_status(snapshot, pid=2**22 + 1)
    run = load_run(snapshot)
    assert run.state == "interrupted"
    assert run.is_loadable
    run = resume_run(snapshot, cache_dir=cache_dir)
    assert weights_of(run) == weights_of(whole)
    assert figures_of(run) == figures_of(whole)


def test_weights_newer_than_the_checkpoint_are_met_again(run_training, cache_dir, tmp_path):
    whole = run_training(HEAD, "whole")
    stop = StopAt("epoch_end", "head", 1)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    shutil.copy(whole.run_dir / "weights.safetensors", run.run_dir / "weights.safetensors")
    assert weights_of(resume_run(run.run_dir, cache_dir=cache_dir)) == weights_of(whole)


def test_stopping_again_and_again_still_ends_the_same(run_training, cache_dir):
    whole = run_training(HEAD, "whole")
    stop = StopAt("epoch_end", "head", 0)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    for epoch in (2, 3):
        stop = StopAt("epoch_end", "head", epoch)
        run = resume_run(run.run_dir, stop.on_event, stop.should_stop, cache_dir=cache_dir)
        assert run.state == "stopped"
    assert weights_of(resume_run(run.run_dir, cache_dir=cache_dir)) == weights_of(whole)


def test_a_run_stopped_before_its_first_epoch_begins_anew(run_training, cache_dir):
    run = run_training(HEAD, "part", should_stop=lambda: True)
    assert not run.is_loadable
    run = resume_run(run.run_dir, cache_dir=cache_dir)
    assert run.state == "finished"
    assert len(run.history()) == 6


@pytest.mark.parametrize(("phase", "epoch"), [("head", 1), ("fine_tune", 0), ("fine_tune", 2)])
def test_fine_tuning_stopped_and_resumed_ends_where_it_would_have(
    run_training, cache_dir, phase, epoch
):
    whole = run_training(FINE_TUNE, "whole")
    stop = StopAt("epoch_end", phase, epoch)
    run = run_training(FINE_TUNE, "part", stop.on_event, stop.should_stop)
    assert run.state == "stopped"
    run = resume_run(run.run_dir, cache_dir=cache_dir)
    assert list(run.history()["phase"]) == ["head"] * 2 + ["fine_tune"] * 4
    assert run.metrics["val_loss"] == pytest.approx(whole.metrics["val_loss"], abs=1e-3)
    mine, others = (load_checkpoint(one.run_dir).state for one in (run, whole))
    for name in others:
        np.testing.assert_allclose(mine[name], others[name], rtol=1e-2, atol=1e-3, err_msg=name)


def test_the_events_tell_where_a_run_went_on_and_what_it_had(run_training, cache_dir):
    stop = StopAt("epoch_end", "head", 2)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    run = resume_run(run.run_dir, cache_dir=cache_dir)
    events, _ = run.events()
    (resumed,) = [event for event in events if event["event"] == "run_resumed"]
    assert (resumed["phase"], resumed["num_epochs"]) == ("head", 3)
    assert [row["epoch"] for row in resumed["history"]] == [0, 1, 2]


def test_a_finished_run_cannot_be_resumed(run_training, cache_dir):
    run = run_training(HEAD.updated(epochs=1), "run")
    with pytest.raises(RunError, match="finished, so there is nothing to resume"):
        resume_run(run.run_dir, cache_dir=cache_dir)


def test_a_run_whose_images_have_changed_is_not_resumed(run_training, index, cache_dir):
    stop = StopAt("epoch_end", "head", 1)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    index.path_of(index.records[0]).unlink()
    with pytest.raises(RunError, match="no longer those that run 'part' began with"):
        resume_run(run.run_dir, cache_dir=cache_dir)
    assert load_run(run.run_dir).is_loadable


def change_nothing(index):
    """Leave the photos as they are."""


def add_photos(index):
    """Add photos in a class and a class of its own, so that classes and split are others."""
    first = index.path_of(index.records[0])
    for name in ("a/new.png", "0/x.png", "0/y.png", "0/z.png"):
        path = index.data_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(first.read_bytes() + name.encode())


@pytest.mark.parametrize("change", [change_nothing, add_photos])
@pytest.mark.parametrize("config", [HEAD, FINE_TUNE], ids=["head", "fine-tuning"])
def test_a_run_that_made_place_for_others_goes_on_with_its_own_images(
    run_training, index, cache_dir, change, config
):
    """Whoever waits sorts photos meanwhile; what was trained is not lost by that."""
    phase = "fine_tune" if config is FINE_TUNE else "head"
    whole = run_training(config, "whole")
    stop = StopAt("epoch_end", phase, 1)
    run = run_training(config, "part", stop.on_event, stop.should_stop)
    before = run.split()
    change(index)
    put_back_run(run.run_dir, is_continued=True)
    run = train_queued(run, cache_dir=cache_dir)
    assert run.state == "finished"
    assert run.split() == before
    assert run.class_names == ("a", "b", "c")
    assert run.origin["fingerprint"] == whole.origin["fingerprint"]
    assert weights_of(run) == weights_of(whole)


def test_a_run_that_made_place_keeps_its_best_when_an_image_is_gone(run_training, index, cache_dir):
    stop = StopAt("epoch_end", "head", 1)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    index.path_of(index.records[0]).unlink()
    put_back_run(run.run_dir, is_continued=True)
    run = train_queued(run, cache_dir=cache_dir)
    assert (run.state, run.is_loadable) == ("stopped", True)
    path = index.records[0].path
    assert run.message == (
        f"'{path}' was changed, moved or excluded while others had their turn. The best so far is "
        "kept."
    )
    assert str(index.data_dir) not in run.message
    with pytest.raises(RunError, match="no longer those that run 'part' began with") as told:
        resume_run(run.run_dir, cache_dir=cache_dir)  # asked for by a person
    assert str(index.data_dir) not in str(told.value)


# Making a finished run better


def test_going_on_from_a_run_keeps_its_best_and_adds_a_fine_tuning(run_training, cache_dir):
    source = run_training(HEAD, "source")
    before = weights_of(source)
    new = continue_run(source, {"fine_tune_blocks": 2, "fine_tune_epochs": 3}, name="better")
    assert new.state == "queued"
    assert new.origin["from_run"] == "source"
    shutil.rmtree(source.run_dir)
    new = train_queued(new, cache_dir=cache_dir)
    assert new.state == "finished"
    assert list(new.history()["phase"]) == ["head"] * 6 + ["fine_tune"] * 3
    assert new.metrics["val_accuracy"] >= 0
    assert "head" not in new.metrics["seconds"] or new.metrics["seconds"]["head"] >= 0
    assert before != weights_of(new) or new.metrics["best_phase"] == "head"


def test_a_fine_tuning_that_does_not_help_leaves_the_head_as_it_was(run_training, cache_dir):
    source = run_training(HEAD.updated(epochs=12), "source")
    changes = {"fine_tune_blocks": 3, "fine_tune_epochs": 1, "fine_tune_learning_rate": 1.0}
    new = continue_run(source, {**changes, "fine_tune_warmup_epochs": 0})
    new = train_queued(new, cache_dir=cache_dir)
    assert new.metrics["best_phase"] == "head"
    mine, others = (load_weights(run.run_dir / "weights.safetensors") for run in (new, source))
    assert mine.keys() == others.keys()
    assert all(np.array_equal(mine[name], others[name]) for name in others)
    assert new.metrics["test_accuracy"] == source.metrics["test_accuracy"]


def test_a_fine_tuned_run_can_be_gone_on_from(run_training, cache_dir):
    source = run_training(FINE_TUNE, "source")
    new = continue_run(source, {"fine_tune_blocks": 1, "fine_tune_epochs": 1})
    new = train_queued(new, cache_dir=cache_dir)
    assert new.state == "finished"
    assert evaluate_run(new.run_dir, cache_dir=cache_dir).accuracy == new.metrics["test_accuracy"]


WRONG = {
    "frozen": ({"fine_tune_blocks": 0}, "expected at least 1"),
    "other layers": ({"fine_tune_blocks": 1, "fc_layers": (9,)}, "'fc_layers': expected"),
    "other split": ({"fine_tune_blocks": 1, "seed": 1}, "'seed': expected 0"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_changes_that_do_not_fit_the_run_are_refused(run_training, changes, message, tmp_path):
    source = run_training(HEAD.updated(epochs=1), "source")
    with pytest.raises(ConfigError, match=message):
        continue_run(source, changes)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["source"]


# Through the queue


def test_resuming_and_going_on_are_jobs_of_the_queue(run_training, tmp_path, monkeypatch):
    monkeypatch.setattr("tl_core.jobs.worker_client.ensure_worker", lambda workspace: None)
    workspace = Workspace(tmp_path)
    stop = StopAt("epoch_end", "head", 1)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    training_jobs.resume_training(workspace, run)
    assert run.state == "queued"
    with pytest.raises(RunError, match="queued"):
        training_jobs.resume_training(workspace, run)
    source = run_training(HEAD.updated(epochs=1), "source")
    new = training_jobs.continue_training(workspace, source, {"fine_tune_blocks": 1})
    queued = JobQueue(workspace).jobs()
    assert [(job.kind, job.run_dir) for job in queued] == [
        ("train", run.run_dir),
        ("train", new.run_dir),
    ]


def test_where_a_run_would_go_on_is_told_without_reading_its_weights(run_training, tmp_path):
    stop = StopAt("epoch_end", "head", 1)
    run = run_training(HEAD, "part", stop.on_event, stop.should_stop)
    assert epochs_done(run.run_dir) == ("head", 2)
    assert epochs_done(tmp_path) is None
    (run.run_dir / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(RunError, match="Cannot read"):
        epochs_done(run.run_dir)


def test_a_run_kept_outside_of_its_workspace_goes_on_under_the_decisions_it_was_trained_with(
    index, cache_dir, tmp_path
):
    workspace = Workspace(tmp_path / "home" / "workspace")
    left_out = Decision(index.records[0].path, index.records[0].sha256, "exclude")
    edit_decisions(workspace, index.data_dir, lambda held: held.decide("1 excluded", [left_out]))
    decided = load_dataset(index.data_dir, workspace)
    source = create_run(tmp_path / "disk" / "runs", HEAD, index.data_dir, workspace=workspace)
    stop = StopAt("epoch_end", "head", 2)
    train(HEAD, decided, source.run_dir, stop.on_event, stop.should_stop, cache_dir=cache_dir)
    assert resume_run(source.run_dir, cache_dir=cache_dir).state == "finished"
    assert left_out.path not in evaluate_run(source.run_dir, cache_dir=cache_dir).skipped
    better = continue_run(
        source,
        {"fine_tune_blocks": 1, "fine_tune_epochs": 1},
        runs_dir=tmp_path / "other" / "runs",
    )
    assert train_queued(better, cache_dir=cache_dir).state == "finished"
