import csv
import logging
import math
import threading

import numpy as np
import pytest

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset
from tl_core.errors import DatasetError, RunError, TLError
from tl_core.features.extract import FeatureSpec, extract_features
from tl_core.head.model import head_forward, load_weights
from tl_core.progress import Monitor, Progress
from tl_core.runs.files import end_run
from tl_core.runs.store import create_run, load_run
from tl_core.training import checkpoints as checkpoints_module
from tl_core.training import epochs, head_phase, trainer
from tl_core.training.checkpoints import Checkpoints, EpochResult, has_stalled
from tl_core.training.epochs import balanced_weights, epoch_rows
from tl_core.training.feature_stage import load_features
from tl_core.training.head_steps import HeadSteps, StepSettings, borrow_steps
from tl_core.training.trainer import train, train_queued

CONFIG = TrainConfig(
    backbone="tiny", fc_layers=(16,), epochs=4, batch_size=16, learning_rate=0.01, dropout=0.2
)
COUNTS = {"a": 20, "b": 20, "c": 20}


@pytest.fixture
def index(make_dataset, cache_dir):
    return scan_dataset(make_dataset(COUNTS), cache_dir=cache_dir)


@pytest.fixture
def run_training(index, cache_dir, tmp_path):
    def run_training(config=CONFIG, name="run", on_event=None, should_stop=None):
        run_dir = tmp_path / "runs" / name
        return train(config, index, run_dir, on_event, should_stop, cache_dir=cache_dir)

    return run_training


# A whole run


def test_a_finished_run_tells_all_about_itself(run_training, index):
    run = load_run(run_training().run_dir)
    assert run.state == "finished"
    assert run.is_loadable
    assert run.class_names == ("a", "b", "c")
    assert run.config == CONFIG
    assert run.data_dir == index.data_dir
    assert run.origin["fingerprint"] == index.fingerprint
    assert run.origin["versions"]["tensorflow"]
    assert len(run.split()) == 60
    metrics = run.metrics
    assert metrics["num_images"] == {"train": 42, "val": 9, "test": 9}
    assert set(metrics["seconds"]) == {"scan", "features", "head", "total"}
    assert metrics["images_per_second"] > 0
    low, high = metrics["test_interval"]
    assert 0 <= low <= metrics["test_accuracy"] <= high <= 1
    history = run.history()
    assert list(history["epoch"]) == [0, 1, 2, 3]
    assert set(history["phase"]) == {"head"}
    best = history.iloc[metrics["best_epoch"]]
    assert best["val_loss"] == history["val_loss"].min() == metrics["val_loss"]
    assert best["val_accuracy"] == metrics["val_accuracy"]
    assert "head epoch 3" in "\n".join(run.log_tail(50))


def test_the_accuracy_shown_is_the_one_a_reload_computes(run_training, index, cache_dir):
    run = run_training()
    weights = load_weights(run.run_dir / "weights.safetensors")
    split = split_dataset(index, run.config)
    for part in ("val", "test"):
        rows = dict(split.items())[part]
        features = extract_features(
            index, rows, FeatureSpec.from_config(run.config), cache_dir=cache_dir
        )
        answers = head_forward(weights, features[0]).argmax(axis=1)
        num_correct = int((answers == index.labels[rows]).sum())
        assert num_correct == run.metrics[f"{part}_accuracy"] * len(rows)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(run_training):
    config = CONFIG.updated(augment="photo", views=3)
    runs = [run_training(config, name) for name in ("one", "two")]
    runs.append(run_training(config.updated(seed=1), "three"))
    one, two, three = ((run.run_dir / "weights.safetensors").read_bytes() for run in runs)
    assert one == two
    assert one != three
    assert (runs[0].history()["loss"] == runs[1].history()["loss"]).all()


def test_events_in_the_file_are_those_told_and_end_with_the_metrics(run_training):
    told = []
    run = run_training(on_event=told.append)
    events, _ = run.events()
    assert [event["event"] for event in events] == [event.kind for event in told]
    kinds = [event["event"] for event in events if event["event"] != "feature_progress"]
    assert kinds[:3] == ["phase_started", "phase_ended", "phase_started"]
    assert kinds.count("epoch_end") == 4
    assert "batch_end" in kinds
    assert kinds[-2:] == ["phase_ended", "run_ended"]
    assert events[-1]["metrics"] == run.metrics
    epochs = [event for event in events if event["event"] == "epoch_end"]
    assert [event["val_loss"] for event in epochs] == list(run.history()["val_loss"])


def test_without_a_test_part_there_is_no_test_accuracy(run_training):
    metrics = run_training(CONFIG.updated(test_fraction=0)).metrics
    assert (metrics["test_accuracy"], metrics["test_interval"]) == (None, None)
    assert metrics["num_images"]["test"] == 0


def test_a_class_may_be_missing_from_a_given_validation_part(make_dataset, cache_dir, tmp_path):
    data_dir = make_dataset(
        {"train/a": 8, "train/b": 8, "val/a": 3, "test/a": 3, "test/b": 3}, tmp_path / "given"
    )
    index = scan_dataset(data_dir, cache_dir=cache_dir)
    config = CONFIG.updated(class_weights="balanced")
    run = train(config, index, tmp_path / "run", cache_dir=cache_dir)
    assert run.state == "finished"
    assert run.metrics["num_images"] == {"train": 16, "val": 3, "test": 6}


def test_a_flattened_feature_map_and_no_fc_layer_train_too(run_training):
    run = run_training(CONFIG.updated(pooling="flatten", fc_layers=()))
    assert run.state == "finished"
    assert set(load_weights(run.run_dir / "weights.safetensors")) == {
        "predictions/kernel",
        "predictions/bias",
    }


def test_a_queued_run_is_scanned_and_trained(index, cache_dir, tmp_path):
    run = create_run(tmp_path / "runs", CONFIG, index.data_dir, name="mine")
    train_queued(run, cache_dir=cache_dir)
    assert (run.state, run.name) == ("finished", "mine")
    assert run.metrics["seconds"]["scan"] > 0


def test_progress_counts_the_images_of_all_parts_together(index, cache_dir, monkeypatch):
    def extract(index, indices, spec, *, views, on_progress, **_):
        total = len(indices) * views - 1  # one is cached
        on_progress(Progress("backbone", 0, 1, 0.0))
        for done in (1, total):
            on_progress(Progress("features", done, total, 0.0))
        return np.zeros((views, len(indices), 2), np.float32)

    monkeypatch.setattr("tl_core.features.extract.extract_features", extract)
    config = CONFIG.updated(augment="photo", views=2)
    told = []
    monitor = Monitor(told.append, report_seconds=0)
    split = split_dataset(index, config)
    features = load_features(config, index, split, cache_dir=cache_dir, monitor=monitor)
    assert features.train.shape == (2, 42, 2)
    assert (len(features.val), len(features.test)) == (9, 9)
    counts = [(event.done, event.total) for event in told if event.stage == "features"]
    assert counts == [(1, 17 + 84), (17, 17 + 84), (18, 17 + 83), (17 + 83, 17 + 83)]
    assert told[0].stage == "backbone"


# What can go wrong


def test_a_folder_in_use_is_refused(run_training, tmp_path):
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        run_training()


def test_too_few_images_are_refused_before_there_is_a_run(make_dataset, cache_dir, tmp_path):
    index = scan_dataset(make_dataset({"a": 2, "b": 9}), cache_dir=cache_dir)
    with pytest.raises(DatasetError):
        train(CONFIG, index, tmp_path / "run", cache_dir=cache_dir)
    assert not (tmp_path / "run").exists()


def test_a_queued_run_whose_data_is_gone_fails_with_the_reason(cache_dir, tmp_path):
    run = create_run(tmp_path / "runs", CONFIG, tmp_path / "gone")
    with pytest.raises(DatasetError):
        train_queued(run, cache_dir=cache_dir)
    assert run.state == "failed"
    assert "gone" in run.message


def test_a_stop_keeps_the_best_weights_and_tests_them(run_training):
    epochs = []

    def count(event):
        if event.kind == "epoch_end":
            epochs.append(event)

    run = run_training(
        CONFIG.updated(epochs=1000), on_event=count, should_stop=lambda: len(epochs) >= 3
    )
    assert run.state == "stopped"
    assert run.is_loadable
    assert len(run.history()) == len(epochs) == 3
    assert run.metrics["test_accuracy"] is not None
    best = min(epochs, key=lambda event: event.val_loss)
    assert run.metrics["best_epoch"] == best.epoch


def test_a_stop_before_the_first_epoch_leaves_no_weights(run_training):
    run = run_training(should_stop=lambda: True)
    assert run.state == "stopped"
    assert not run.is_loadable
    assert run.metrics == {}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TLError("The disk is full. Delete something."), "The disk is full. Delete something."),
        (
            ZeroDivisionError("boom"),
            "Unexpected error: ZeroDivisionError: boom. See the log for details.",
        ),
    ],
    ids=["ours", "unexpected"],
)
def test_an_error_fails_the_run_and_keeps_what_was_trained(run_training, tmp_path, error, message):
    def fail(event):
        if event.kind == "epoch_end" and event.epoch == 1:
            raise error

    with pytest.raises(type(error)):
        run_training(on_event=fail)
    run = load_run(tmp_path / "runs" / "run")
    assert (run.state, run.message) == ("failed", message)
    assert run.is_loadable
    assert len(run.history()) == 2
    log = "\n".join(run.log_tail(50))
    assert message in log or "in fail" in log


def test_the_log_of_a_run_has_no_record_of_another_job(run_training):
    """A worker runs short jobs beside a training, in a demo those of other visitors."""
    logger = logging.getLogger("tl_core.jobs.worker")

    def log_beside(event):
        if event.kind == "epoch_end":
            text = "of another: the class 'passports' is too small"
            thread = threading.Thread(target=logger.warning, args=(text,))
            thread.start()
            thread.join()
            logger.warning("of this training")

    run = run_training(on_event=log_beside)
    logger.warning("after it")
    log = "\n".join(run.log_tail(50))
    assert log.count("of this training") == len(run.history())
    assert "head epoch 3" in log
    assert "passports" not in log
    assert "after it" not in log


def test_a_key_press_stops_the_run_and_goes_on_to_the_caller(run_training, tmp_path):
    def press(event):
        if event.kind == "epoch_end":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(on_event=press)
    assert load_run(tmp_path / "runs" / "run").state == "stopped"


def test_a_loss_that_is_no_number_says_what_to_do(run_training, tmp_path, monkeypatch):
    monkeypatch.setattr(epochs, "log_loss", lambda labels, probabilities: math.nan)
    with pytest.raises(TLError, match=r"Lower the learning rate, which is 0\.01"):
        run_training()
    assert load_run(tmp_path / "runs" / "run").state == "failed"


def test_a_run_deleted_while_it_trains_is_not_brought_back(run_training, tmp_path):
    run_dir = tmp_path / "runs" / "run"

    def delete(event):
        if event.kind == "epoch_end" and run_dir.exists():
            run_dir.rename(tmp_path / "gone")

    with pytest.raises(RunError):
        run_training(on_event=delete)
    assert not run_dir.exists()


def test_training_leaves_logging_as_it_was(run_training):
    logger = logging.getLogger("tl_core")
    before = (logger.level, list(logger.handlers))
    run_training()
    assert (logger.level, list(logger.handlers)) == before


def test_another_phase_fits_after_the_head(run_training, monkeypatch):
    class Echo:
        def run(self, context):
            context.recorder.start_phase("echo", 1, 1)
            result = EpochResult("echo", 0, 0.0, 1.0, 0.0, 1.0, 0.1, 0.0)
            weights = dict(context.checkpoints.best_weights)
            context.checkpoints.add(result, weights, lambda: weights)
            context.recorder.end_phase()

        probabilities = head_phase.HeadPhase.probabilities

    monkeypatch.setitem(trainer.PHASES, "echo", Echo)
    monkeypatch.setattr(trainer, "phases_of", lambda config: ("head", "echo"))
    run = run_training()
    assert list(run.history()["phase"]) == ["head"] * 4 + ["echo"]
    assert run.metrics["best_phase"] == "echo"


# The arithmetic


def make_batch(num_images=37, dim=6, num_classes=3):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(num_images, dim)).astype(np.float32)
    return features, rng.integers(0, num_classes, num_images).astype(np.int32)


def settings(**changes):
    values = {
        "batch_size": 8,
        "learning_rate": 0.01,
        "dropout": 0.0,
        "label_smoothing": 0.0,
        "seed": 0,
    }
    return StepSettings(**{**values, **changes})


def first_weights(seed=0, dim=6, fc_layers=(5,), num_classes=3):
    from tl_core.head.model import build_head, head_weights

    return head_weights(build_head(dim, 0.0, fc_layers, num_classes, seed))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_steps_train_as_keras_fit_with_adam_does(smoothing):
    import keras

    from tl_core.head.model import build_head, head_weights

    features, labels = make_batch()
    class_weights = {0: 0.5, 1: 2.0, 2: 1.0}
    model = build_head(6, 0.0, (5,), 3, 0)
    steps = HeadSteps(6, (5,), 3)
    steps.start(head_weights(model))
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    )
    targets = np.eye(3, dtype=np.float32)[labels]
    model.fit(features, targets, 8, epochs=3, shuffle=False, class_weight=class_weights, verbose=0)
    for epoch in range(3):
        steps.train(
            features,
            labels,
            np.array(list(class_weights.values())),
            np.arange(37),
            5 * epoch,
            settings(label_smoothing=smoothing),
        )
    for name, expected in head_weights(model).items():
        np.testing.assert_allclose(steps.weights()[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 7, 8, 37, 64])
def test_an_uneven_last_batch_changes_no_metric(batch_size):
    features, labels = make_batch()
    weights = first_weights()
    setting = settings(batch_size=batch_size, learning_rate=0.0)
    with borrow_steps(6, (5,), 3) as steps:
        steps.start(weights)
        loss, correct = steps.train(features, labels, np.ones(3), np.arange(37), 0, setting)
    probabilities = head_forward(weights, features)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(37), labels]).sum(), rel=1e-5)
    assert correct == (probabilities.argmax(axis=1) == labels).sum()


def test_training_resumed_from_a_state_equals_training_in_one_go():
    features, labels = make_batch()

    def run(steps, epochs):
        for epoch in epochs:
            for first, rows in ((0, range(24)), (3, range(24, 37))):
                steps.train(
                    features,
                    labels,
                    np.ones(3),
                    np.array(rows),
                    5 * epoch + first,
                    settings(dropout=0.5, seed=7),
                )

    whole, before, after = (HeadSteps(6, (5,), 3) for _ in range(3))
    for steps in (whole, before):
        steps.start(first_weights())
    run(whole, range(4))
    run(before, range(2))
    after.restore(before.state())
    run(after, range(2, 4))
    state = after.state()
    for name, expected in whole.state().items():
        np.testing.assert_array_equal(state[name], expected, err_msg=name)


def test_how_batches_are_grouped_changes_nothing():
    features, labels = make_batch()
    together, apart = (HeadSteps(6, (5,), 3) for _ in range(2))
    for steps in (together, apart):
        steps.start(first_weights())
    setting = settings(dropout=0.5)
    together.train(features, labels, np.ones(3), np.arange(37), 0, setting)
    for step in range(5):
        rows = np.arange(37)[8 * step : 8 * step + 8]
        apart.train(features, labels, np.ones(3), rows, step, setting)
    for name, expected in together.weights().items():
        np.testing.assert_array_equal(apart.weights()[name], expected, err_msg=name)


def test_dropout_draws_anew_at_each_step_and_seed_and_keeps_the_mean():
    features, labels = make_batch(num_images=1)
    steps = HeadSteps(6, (4096,), 3)
    weights = first_weights(fc_layers=(4096,))
    steps.start(weights)

    def loss(step, seed=0, dropout=0.5):
        setting = settings(dropout=dropout, learning_rate=0.0, seed=seed)
        return steps.train(features, labels, np.ones(3), np.zeros(1), step, setting)[0]

    assert loss(0) == loss(0)
    assert len({loss(0), loss(1), loss(0, seed=1), loss(1, seed=1)}) == 4
    without = loss(0, dropout=0.0)
    assert np.mean([loss(step) for step in range(50)]) == pytest.approx(without, rel=0.05)


def test_lent_steps_are_used_by_one_caller_at_a_time_and_then_again():
    with borrow_steps(6, (3,), 3) as one, borrow_steps(6, (3,), 3) as two:
        assert one is not two
    with borrow_steps(6, [3], 3) as again:
        assert again in (one, two)


def test_an_epoch_takes_each_image_once_in_some_view():
    rows = epoch_rows(seed=3, epoch=5, num_images=100, num_views=4, shuffle=True)
    assert sorted(rows % 100) == list(range(100))
    assert set(rows // 100) == {0, 1, 2, 3}
    np.testing.assert_array_equal(rows, epoch_rows(3, 5, 100, 4, shuffle=True))
    assert (rows != epoch_rows(3, 6, 100, 4, shuffle=True)).any()
    assert (rows != epoch_rows(4, 5, 100, 4, shuffle=True)).any()


def test_without_shuffle_images_keep_their_order():
    np.testing.assert_array_equal(epoch_rows(0, 1, 5, 1, shuffle=False), np.arange(5))


def test_balanced_weights_make_classes_count_the_same():
    labels = np.array([0] * 6 + [1] * 2 + [3])
    weights = balanced_weights(labels, 4)
    np.testing.assert_allclose(weights, [0.5, 1.5, 0, 3])
    np.testing.assert_allclose(weights * np.bincount(labels), [3, 3, 0, 3])


# Best, last and early stopping


def result(epoch, val_accuracy, val_loss=1.0):
    return EpochResult("head", epoch, 1.0, 0.5, val_loss, val_accuracy, 0.001, 0.1)


@pytest.mark.parametrize(
    ("losses", "patience", "stalled"),
    [
        ([], 2, False),
        ([3, 2, 1], 1, False),
        ([1, 2], 2, False),
        ([1, 2, 3], 2, True),
        ([1, 1, 1], 2, True),
        ([2, 3, 1, 1.5], 2, False),
        ([1, 2, 3, 4], 0, False),
    ],
)
def test_training_has_stalled_after_so_many_epochs_without_a_better_loss(losses, patience, stalled):
    history = [result(epoch, 0.5, loss) for epoch, loss in enumerate(losses)]
    assert has_stalled(history, patience) is stalled


def test_early_stopping_ends_the_phase_and_says_so(run_training):
    config = CONFIG.updated(epochs=200, early_stopping=2, learning_rate=0.3)
    told = []
    run = run_training(config, on_event=told.append)
    losses = list(run.history()["val_loss"])
    assert len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 3
    assert [event.reason for event in told if event.kind == "phase_ended"][-1] == "early_stopping"
    assert run.state == "finished"


@pytest.fixture
def run_dir(tmp_path):
    return create_run(tmp_path / "runs", CONFIG, "data").run_dir


def number(value):
    return {"predictions/kernel": np.full((1, 1), value, np.float32)}


def saved(run_dir, name):
    return float(load_weights(run_dir / name)["predictions/kernel"][0, 0])


def test_the_best_epoch_has_the_least_loss_whatever_its_accuracy(run_dir):
    checkpoints = Checkpoints(run_dir, num_val=10)
    figures = [(0.5, 1.0), (0.8, 0.9), (0.7, 0.8), (0.7, 0.8), (0.9, 0.85)]
    best = []
    for epoch, (val_accuracy, val_loss) in enumerate(figures):
        state = number(epoch)
        best.append(
            checkpoints.add(result(epoch, val_accuracy, val_loss), state, lambda state=state: state)
        )
    checkpoints.save()
    assert best == [True, True, True, False, False]
    assert saved(run_dir, "weights.safetensors") == 2
    assert saved(run_dir, "checkpoint.safetensors") == 4
    run = load_run(run_dir)
    assert run.metrics["best_epoch"] == 2
    assert run.metrics["val_accuracy"] == 0.7
    assert run.status["epoch"] == 4
    with (run_dir / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("01234")


def test_saving_takes_no_more_than_a_tenth_of_the_time(run_dir, monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoints_module.time, "monotonic", lambda: now)
    saves = []
    original = checkpoints_module.save_weights

    def slow_save(*arguments):
        nonlocal now
        now += 0.5
        saves.append(now)
        original(*arguments)

    monkeypatch.setattr(checkpoints_module, "save_weights", slow_save)
    checkpoints = Checkpoints(run_dir, num_val=10)
    for epoch in range(100):
        now += 0.2
        checkpoints.add(result(epoch, epoch / 100), number(epoch), lambda: number(0))
    busy = 0.5 * len(saves)
    assert saves
    assert busy <= 0.1 * (now - 100.0) + 1.0


def test_a_kill_while_saving_leaves_files_that_can_be_opened(run_dir, monkeypatch):
    checkpoints = Checkpoints(run_dir, num_val=10)
    checkpoints.add(result(0, 0.5), number(0), lambda: number(0))

    def die(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", die)
    checkpoints._next_save = 0.0
    with pytest.raises(KeyboardInterrupt):
        checkpoints.add(result(1, 0.9), number(1), lambda: number(1))
    monkeypatch.undo()
    assert saved(run_dir, "weights.safetensors") == 0
    assert saved(run_dir, "checkpoint.safetensors") == 0
    assert not list(run_dir.glob(".*"))


def test_a_run_ended_by_someone_else_is_not_trained(index, cache_dir, tmp_path):
    run = create_run(tmp_path / "runs", CONFIG, index.data_dir)
    end_run(run.run_dir, "stopped")
    with pytest.raises(RunError, match="is not empty"):
        train(CONFIG, index, run.run_dir, cache_dir=cache_dir)


def test_with_a_fifth_of_the_files_damaged_the_others_are_trained_and_each_is_listed(
    make_dataset, cache_dir, tmp_path
):
    data_dir = make_dataset({"a": 20, "b": 20})
    bad = [f"{name}/{number}.png" for name in "ab" for number in range(0, 20, 5)]
    for number, path in enumerate(bad):
        whole = (data_dir / path).read_bytes()
        damaged = [b"", whole[: len(whole) // 2], b"\0" * 500, b"<html>"][number % 4]
        (data_dir / path).write_bytes(damaged)
    (data_dir / "a" / "=cmd.png").write_bytes(b"")
    index = scan_dataset(data_dir, cache_dir=cache_dir)
    run = train(CONFIG, index, tmp_path / "runs" / "one", cache_dir=cache_dir)
    assert run.state == "finished"
    assert sum(run.metrics["num_images"].values()) == 32
    listed = dict(run.left_out())
    assert sorted(listed) == sorted([*bad, "a/=cmd.png"])
    assert all(listed.values())
    with (run.run_dir / "left_out.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["file", "reason"]
    (run.run_dir / "left_out.csv").write_bytes(b"\xff\0,")
    assert run.left_out() == []
