import json
import math
import subprocess
import sys
import threading

import numpy as np
import pytest

from tl_core.backbones.api import build_base_model
from tl_core.backbones.cut import depth_of_variables, split_at
from tl_core.backbones.finetuned_weights import variable_names
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.images.images import load_image
from tl_core.errors import ConfigError, RunError, Stopped
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.features.engine import EnginePool
from tl_core.head.model import build_head, head_weights
from tl_core.inference.keras_model import load_keras_model
from tl_core.inference.predict import load_predictor
from tl_core.progress import SILENT, Monitor
from tl_core.runs.weights import engine_file_of
from tl_core.training import activation_source
from tl_core.training.activation_source import ActivationSource, ActivationStore, Sample
from tl_core.training.epochs import epoch_rows
from tl_core.training.fine_tune_steps import FineTuneSettings, FineTuneSteps, warmup_cosine
from tl_core.training.mixup import Mix, draw_mix, mix_images
from tl_core.training.trainer import phases_of, train

CONFIG = TrainConfig(
    backbone="tiny",
    fc_layers=(8,),
    epochs=2,
    batch_size=8,
    dropout=0.1,
    fine_tune_blocks=2,
    fine_tune_epochs=4,
    fine_tune_learning_rate=0.01,
    test_fraction=0.3,
    val_fraction=0.3,
    tensorboard=True,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def index(make_dataset, place):
    return scan_dataset(make_dataset({"a": 20, "b": 20, "c": 20}), cache_dir=place / "cache")


@pytest.fixture
def run_training(index, place, tmp_path):
    def run_training(config=CONFIG, name="run", on_event=None):
        run_dir = tmp_path / "runs" / name
        return train(config, index, run_dir, on_event, cache_dir=place / "cache")

    return run_training


# A whole run


def test_a_fine_tuned_run_answers_everywhere_as_it_was_measured(run_training, index, place):
    told = []
    run = run_training(on_event=told.append)
    metrics = run.metrics
    assert metrics["best_phase"] == "fine_tune"
    assert list(run.history()["phase"]) == ["head"] * 2 + ["fine_tune"] * 4
    best = run.history()[lambda table: table["phase"] == "fine_tune"].iloc[metrics["best_epoch"]]
    assert best["val_loss"] == pytest.approx(metrics["val_loss"], abs=1e-3)

    evaluation = evaluate_run(run.run_dir, cache_dir=place / "cache")
    assert evaluation.accuracy == metrics["test_accuracy"]
    assert evaluation.log_loss == pytest.approx(metrics["test_loss"], abs=1e-6)

    paths = [index.data_dir / path for path in evaluation.paths]
    pixels = np.stack([load_image(path, (32, 32)) for path in paths]).astype(np.float32)
    model = load_keras_model(run.run_dir)
    answers = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(answers, evaluation.uncalibrated, atol=1e-4)
    # What is shown is calibrated, which leaves the order as it is.
    predictions = load_predictor(run.run_dir, place / "cache").predict(paths)
    ranked = [prediction.probabilities.argmax() for prediction in predictions]
    np.testing.assert_array_equal(ranked, answers.argmax(axis=1))

    phases = [event.phase for event in told if event.kind == "phase_started"]
    assert phases == ["features", "head", "fine_tune"]
    epochs = [event for event in told if event.kind == "epoch_end" and event.phase == "fine_tune"]
    assert [event.epoch for event in epochs] == [0, 1, 2, 3]
    assert any(event.kind == "batch_end" and event.phase == "fine_tune" for event in told)
    assert {path.parent.name for path in (run.run_dir / "tensorboard").rglob("events*")} == {
        "train",
        "val",
    }


def test_predicting_with_a_fine_tuned_run_loads_no_tensorflow(run_training, index, place):
    run = run_training()
    code = (
        "import sys, json\n"
        "from tl_core.inference.predict import load_predictor\n"
        f"predictor = load_predictor({str(run.run_dir)!r}, {str(place / 'cache')!r})\n"
        f"answer = predictor.predict([{str(index.path_of(index.records[0]))!r}])[0]\n"
        "print(json.dumps(['tensorflow' in sys.modules, answer.error]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [False, None]


def test_a_fine_tuned_run_without_its_backbone_says_so(run_training, place):
    run = run_training(CONFIG.updated(fine_tune_epochs=1, tensorboard=False))
    engine_file_of(run.run_dir).unlink()
    with pytest.raises(RunError, match="backbone"):
        load_predictor(run.run_dir, place / "cache")


OPTIONS = {
    "mixup and cutmix": {"mixup": 0.4, "cutmix": 1.0},
    "balanced": {"sampling": "balanced", "class_weights": "balanced"},
    "decays": {"weight_decay": 0.1, "fine_tune_layer_decay": 0.5, "clip_norm": 1.0},
    "all blocks, kept views": {"fine_tune_blocks": 3, "augment": "photo", "fine_tune_views": 2},
    "flatten, no layers": {"pooling": "flatten", "fc_layers": ()},
    "16 bits": {"mixed_precision": "on"},
}


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_every_option_trains(run_training, place, changes):
    short = {"fine_tune_epochs": 2, "epochs": 1, "tensorboard": False}
    run = run_training(CONFIG.updated(**short, **changes))
    assert run.state == "finished"
    assert len(run.history()) == 3
    assert (
        evaluate_run(run.run_dir, cache_dir=place / "cache").accuracy
        == (run.metrics["test_accuracy"])
    )


def test_more_blocks_than_the_backbone_has_leave_no_run_behind(run_training, tmp_path):
    with pytest.raises(ConfigError, match="expected 0 to 3 for tiny"):
        run_training(CONFIG.updated(fine_tune_blocks=4))
    assert not (tmp_path / "runs").exists()


def test_a_frozen_backbone_has_no_fine_tuning_phase():
    assert phases_of(TrainConfig()) == ("head",)
    assert phases_of(TrainConfig(fine_tune_blocks=1)) == ("head", "fine_tune")


# The arithmetic


def make_steps(num_blocks=2, **changes):
    base_model = build_base_model("tiny", (32, 32), "avg")
    _, top = split_at(base_model, num_blocks)
    names = {id(variable): name for name, variable in variable_names(base_model).items()}
    head = head_weights(build_head(32, 0.0, (8,), 3, seed=0))
    values = {"dropout": 0.0, "label_smoothing": 0.1, "weight_decay": 0.0, "clip_norm": 0.0}
    settings = FineTuneSettings(**{**values, "seed": 0, "rates": {}, **changes})
    return base_model, top, FineTuneSteps(top, names, head, settings), head


def draw_batch(top, num_images=6):
    rng = np.random.default_rng(1)
    dim = math.prod(top.input.shape[1:])
    activations = rng.normal(size=(num_images, dim)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, num_images)]
    return activations, targets, rng.uniform(0.5, 2, num_images).astype(np.float32)


def test_the_steps_are_those_of_keras_with_adamw():
    import keras
    import tensorflow as tf

    _, top, steps, _ = make_steps(weight_decay=0.2, clip_norm=0.5)
    activations, targets, weights = draw_batch(top)
    _, other_top, _, _ = make_steps()
    head = build_head(32, 0.0, (8,), 3, seed=0)
    variables = other_top.trainable_variables + head.trainable_variables
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.2, global_clipnorm=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    images = activations.reshape(-1, *top.input.shape[1:])
    for step in range(3):
        steps.train(activations, targets, weights, learning_rate=0.01, step=step)
        with tf.GradientTape() as tape:
            probabilities = head(other_top(images, training=False))
            losses = keras.losses.categorical_crossentropy(
                targets, probabilities, label_smoothing=0.1
            )
            objective = tf.reduce_mean(weights * losses)
        optimizer.apply(tape.gradient(objective, variables), variables)
    for mine, theirs in zip(top.variables, other_top.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4, err_msg=mine.path)


def test_each_block_below_learns_at_the_given_share_of_the_rate_above():
    base_model = build_base_model("tiny", (32, 32), "avg")
    depths = depth_of_variables(base_model)
    named = variable_names(base_model)
    rates = {name: 0.1 ** depths[id(variable)] for name, variable in named.items()}
    model, top, steps, _ = make_steps(3, rates=rates)
    kernels = {
        layer: np.asarray(model.get_layer(f"{layer}_conv").kernel)
        for layer in ("block2a", "block1a", "stem")
    }
    steps.train(*draw_batch(top), learning_rate=0.01, step=0)
    for depth, (layer, before) in enumerate(kernels.items()):
        moved = np.abs(np.asarray(model.get_layer(f"{layer}_conv").kernel) - before).max()
        assert moved == pytest.approx(0.01 * 0.1**depth, rel=0.02)  # Adam's first step is its rate


def test_batch_norm_keeps_its_statistics():
    model, top, steps, _ = make_steps()
    statistics = [
        np.asarray(variable)
        for variable in model.variables
        if variable.name in ("moving_mean", "moving_variance")
    ]
    steps.train(*draw_batch(top), learning_rate=0.1, step=0)
    after = [v for v in model.variables if v.name in ("moving_mean", "moving_variance")]
    for mine, before in zip(after, statistics, strict=True):
        np.testing.assert_array_equal(mine, before)


def test_a_restored_state_goes_on_as_the_one_it_was_taken_from():
    _, top, one, _ = make_steps(dropout=0.5)
    batch = draw_batch(top)
    one.train(*batch, learning_rate=0.01, step=0)
    state = one.state()
    _, _, two, _ = make_steps(dropout=0.5)
    two.restore(state)
    assert one.train(*batch, 0.01, 1) == pytest.approx(two.train(*batch, 0.01, 1), rel=1e-5)
    for name, array in one.weights().items():
        np.testing.assert_allclose(two.weights()[name], array, atol=1e-6)


MIRRORED = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training.test_fine_tune_phase import draw_batch, make_steps
import tl_core.training.fine_tune_steps as module
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
_, top, alone, _ = make_steps(weight_decay=0.1)
with strategy.scope():
    plain = module.FineTuneSteps
    module_steps = lambda top, names, head, settings: plain(top, names, head, settings, strategy)
    import tests.training.test_fine_tune_phase as tests
    tests.FineTuneSteps = module_steps
    _, mirrored_top, together, _ = make_steps(weight_decay=0.1)
assert together.num_replicas == 2
batch = draw_batch(top, 7)
for step in range(3):
    one, two = alone.train(*batch, 0.01, step), together.train(*batch, 0.01, step)
    np.testing.assert_allclose(one, two, rtol=1e-4)
for name, array in alone.weights().items():
    np.testing.assert_allclose(together.weights()[name], array, atol=2e-4, err_msg=name)
answers = [steps.probabilities(batch[0]) for steps in (alone, together)]
np.testing.assert_allclose(*answers, atol=1e-4)
print("equal")
"""


def test_several_devices_train_what_one_does():
    done = subprocess.run([sys.executable, "-c", MIRRORED], capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


# Activations ahead of the steps


class Doubling:
    """An engine that gives an image's first value, twice."""

    batch_size = 1
    feature_dim = 2

    def __init__(self):
        self.num_images = 0

    def run(self, images):
        self.num_images += len(images)
        return np.repeat(images[:, 0, 0, :1].astype(np.float32), 2, axis=1)


def make_source(engine, store=None, load=None):
    def load_pixels(image):
        return np.full((2, 2, 3), image, np.uint8)

    return ActivationSource(
        load or load_pixels,
        lambda image, pixels, view: pixels + np.uint8(100 * view),
        EnginePool.of(engine),
        2,
        store,
    )


def test_batches_come_in_order_each_with_its_view(tmp_path):
    samples = [Sample(image, image % 2) for image in (5, 2, 7, 1, 3)]
    batches = list(make_source(Doubling()).batches(samples, 2, SILENT))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], [105, 2, 107, 101, 103])


def test_kept_activations_are_computed_once(tmp_path):
    engine = Doubling()
    store = ActivationStore(4, 2, 2, tmp_path)
    source = make_source(engine, store)
    samples = [Sample(image, view) for view in (0, 1) for image in range(4)]
    first = np.concatenate(list(source.batches(samples, 3, SILENT)))
    again = np.concatenate(list(source.batches(samples[::-1], 3, SILENT)))
    assert engine.num_images == 8
    np.testing.assert_array_equal(again, first[::-1])
    mixed = [Sample(0, 0, Mix(1, 0, 0.5))]
    np.testing.assert_array_equal(next(source.batches(mixed, 1, SILENT)), [[0.0, 0.0]])
    assert engine.num_images == 9


def test_lanes_do_not_run_further_ahead_than_a_few_batches():
    engine = Doubling()
    batches = make_source(engine).batches([Sample(0)] * 200, 2, SILENT)
    next(batches)
    threading.Event().wait(0.3)
    assert engine.num_images <= 2 + 3 * 2 + 2
    batches.close()


def test_an_unreadable_image_and_a_stop_end_the_pass():
    def fail(image):
        raise RunError("cannot be read")

    with pytest.raises(RunError, match="cannot be read"):
        list(make_source(Doubling(), load=fail).batches([Sample(0)], 1, SILENT))

    def wait(image):
        threading.Event().wait(0.3)
        return np.zeros((2, 2, 3), np.uint8)

    with pytest.raises(Stopped):
        list(
            make_source(Doubling(), load=wait).batches(
                [Sample(0)] * 4, 1, Monitor(None, lambda: True)
            )
        )


# Mixing, sampling, the learning rate


def test_mixing_blends_or_pastes_by_its_share():
    image, other = np.full((4, 4, 3), 200, np.uint8), np.full((4, 4, 3), 100, np.uint8)
    assert (mix_images(image, other, Mix(0, 0, 0.25)) == 125).all()
    pasted = mix_images(image, other, Mix(0, 0, 0.75, (0.5, 0.25, 0.5, 0.5)))
    assert (pasted[2:, 1:3] == 100).all()
    assert (pasted == 100).sum() == 4 * 3


def test_a_patch_covers_what_the_share_leaves():
    rng = np.random.default_rng(0)
    for _ in range(50):
        share, box = draw_mix(0.0, 1.0, rng)
        assert box is not None
        top, left, height, width = box
        assert height * width == pytest.approx(1 - share)
        assert top + height <= 1 + 1e-9
        assert left + width <= 1 + 1e-9
    assert draw_mix(0.5, 0.0, rng)[1] is None


def test_balanced_sampling_shows_every_class_equally_often():
    labels = np.array([0] * 20 + [1] * 8 + [2] * 2)
    rows = epoch_rows(0, 0, 30, 1, shuffle=True, labels=labels)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert np.bincount(rows, minlength=30)[20:28].tolist().count(1) == 6  # 10 of 8: two come twice
    assert np.bincount(rows, minlength=30)[28:].tolist() == [5, 5]
    assert len(np.unique(rows[labels[rows] == 0])) == 10


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine():
    rates = [warmup_cosine(step, 6, 2, 0.3) for step in range(6)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[4] == pytest.approx(0.15)
    assert 0 < rates[5] < 0.05
    assert warmup_cosine(0, 4, 0, 0.3) == 0.3
    assert warmup_cosine(0, 1, 5, 0.3) == 0.3


@pytest.mark.parametrize(("num_images", "is_kept"), [(50, True), (51, False)])
def test_what_a_demo_keeps_of_a_fine_tuning_is_bounded(tmp_path, monkeypatch, num_images, is_kept):
    """An image of 10^6 values takes 2 MB: with a share of what is free it was 3.4 GB, or a file."""
    monkeypatch.setenv("TL_MODE", "demo")
    monkeypatch.setattr(activation_source, "available_bytes", lambda: 10**12)
    store = ActivationStore(num_images, 1, 10**6, tmp_path)
    store.put(Sample(0), np.ones(10**6, np.float32))
    assert store.has(Sample(0)) == is_kept
    assert list(tmp_path.iterdir()) == []
    source = ActivationSource(None, None, None, 1)
    assert source._pixels._left == 50_000_000
    monkeypatch.setattr(activation_source, "available_bytes", lambda: 10**6)
    assert ActivationSource(None, None, None, 1)._pixels._left == 150_000
    monkeypatch.delenv("TL_MODE")
    store = ActivationStore(51, 1, 10**6, tmp_path)  # in a file
    store.put(Sample(0), np.ones(10**6, np.float32))
    assert store.has(Sample(0))
