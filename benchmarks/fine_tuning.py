"""Fine-tuning: what it gains over a frozen backbone, and its speed against plain Keras.

    python -m benchmarks.fine_tuning accuracy FOLDER [FOLDER ...] [--option=--fine-tune-blocks=8]
    python -m benchmarks.fine_tuning speed FOLDER [--blocks 5] [--augment photo] [--views 2]

``accuracy`` trains frozen and fine-tuned with every seed. ``speed`` trains the same weights on the
same photos by the studio and by Keras' ``fit``, one after the other in processes of their own, and
compares images a second after the first epoch, in which both compile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.against_recipe import run_json
from benchmarks.photos import lay_out

BATCH_SIZE = 32
# How Keras compiles its step: left to itself it takes XLA.
COMPILED_BY: dict[str, Any] = {"auto": "auto", "graph": False}


def measure_accuracy(data_dirs: list[Path], num_seeds: int, options: list[str]) -> None:
    """Print a line for each folder: test accuracies frozen and fine-tuned, by seed."""
    with tempfile.TemporaryDirectory() as workspace:
        for data_dir in data_dirs:
            row: dict[str, Any] = {"data_dir": data_dir.name, "options": options}
            shared = [option for option in options if not option.startswith("--fine-tune")]
            for kind, chosen in (("frozen", shared), ("fine_tuned", options)):
                accuracies = []
                for seed in range(num_seeds):
                    command = [sys.executable, "-m", "tl_core", "train", str(data_dir.resolve())]
                    command += ["--json", "--workspace", workspace, "--seed", str(seed)]
                    figures, _ = run_json(command + chosen)
                    accuracies.append(figures["test_accuracy"])
                row[kind] = accuracies
                row[f"{kind}_mean"] = statistics.mean(accuracies)
            row["gain"] = row["fine_tuned_mean"] - row["frozen_mean"]
            print(json.dumps(row), flush=True)


def measure_speed(data_dir: Path, options: argparse.Namespace) -> None:
    """Print images a second of both sides, round by round, and the medians with their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        photos = lay_out(data_dir, Path(folder) / "photos", num_images=options.photos)
        rounds = []
        for number in range(options.rounds):
            ours = _studio_rate(photos, Path(folder) / f"round{number}", options)
            rates = {f"fit, {name}": _keras_rate(photos, name, options) for name in COMPILED_BY}
            rounds.append({"studio": ours, **rates})
            print(json.dumps(rounds[-1]), flush=True)
    medians = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    fastest_fit = max(rate for name, rate in medians.items() if name != "studio")
    row = {
        "data_dir": data_dir.name,
        "blocks": options.blocks,
        "augment": options.augment,
        "views": options.views,
        "images_per_second": medians,
        "ratio": medians["studio"] / fastest_fit,
    }
    print(json.dumps(row), flush=True)


def _studio_rate(photos: Path, workspace: Path, options: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "tl_core", "train", str(photos), "--json"]
    command += ["--workspace", str(workspace), "--epochs=1", f"--augment={options.augment}"]
    command += [f"--fine-tune-blocks={options.blocks}", f"--fine-tune-views={options.views}"]
    command += [f"--fine-tune-epochs={options.epochs}"]
    figures, _ = run_json(command)
    rows = [row for row in figures["history"] if row["phase"] == "fine_tune"]
    seconds = sum(row["seconds"] for row in rows[1:])
    return float(figures["num_images"]["train"] * (len(rows) - 1) / seconds)


def _keras_rate(photos: Path, compiled_by: str, options: argparse.Namespace) -> float:
    """Fit in a process of its own, as the studio trains."""
    command = [sys.executable, "-m", "benchmarks.fine_tuning", "fit", str(photos)]
    command += [f"--blocks={options.blocks}", f"--augment={options.augment}"]
    command += [f"--epochs={options.epochs}", f"--compiled-by={compiled_by}"]
    figures, _ = run_json(command)
    return float(figures["images_per_second"])


def fit_plainly(photos: Path, options: argparse.Namespace) -> None:
    """Train as Keras' own guide to fine-tuning does and print images a second.

    The same weights are trained as by the studio: BatchNorm computes with the statistics of
    pretraining, its scale and offset learn. A layer of its own sees to that, as ``fit`` hands
    training=True on to the layers inside a model that was called with training=False. Validation
    is part of an epoch, as in the studio's.

    References:
        https://keras.io/guides/transfer_learning/
    """
    import keras
    import tensorflow as tf

    from tl_core.backbones.api import build_base_model
    from tl_core.backbones.cut import split_at

    parts = {
        part: keras.utils.image_dataset_from_directory(
            photos / part,
            image_size=(224, 224),
            batch_size=BATCH_SIZE,
            label_mode="categorical",
            verbose=False,
        )
        for part in ("train", "val")
    }
    train = parts["train"]
    num_classes = len(train.class_names)
    num_images = len(train.file_paths)
    if options.augment != "none":
        changes = keras.Sequential(
            [
                keras.layers.RandomFlip("horizontal"),
                keras.layers.RandomRotation(0.04),
                keras.layers.RandomZoom(0.2),
                keras.layers.RandomTranslation(0.1, 0.1),
            ]
        )
        train = train.map(lambda x, y: (changes(x, training=True), y), tf.data.AUTOTUNE)
    base_model = build_base_model("EfficientNetLite0", (224, 224), "avg")
    split_at(base_model, options.blocks)  # says what is trainable

    class InferenceMode(keras.layers.Layer):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def call(self, images: Any) -> Any:
            return self.model(images, training=False)

    inputs = keras.Input((224, 224, 3))
    x = InferenceMode(base_model)(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.Dense(256, activation="relu")(x))
    model = keras.Model(inputs, keras.layers.Dense(num_classes, activation="softmax")(x))
    model.compile(
        keras.optimizers.Adam(3e-4),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=COMPILED_BY[options.compiled_by],
    )
    clock = _Clock()
    model.fit(
        train.prefetch(tf.data.AUTOTUNE),
        validation_data=parts["val"].prefetch(tf.data.AUTOTUNE),
        epochs=options.epochs,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.tick())],
        verbose=0,
    )
    rate = num_images * (options.epochs - 1) / clock.seconds_after_first
    num_trained = sum(int(weight.shape.num_elements()) for weight in model.trainable_weights)
    print(json.dumps({"images_per_second": rate, "trained_weights": num_trained}))


class _Clock:
    """Seconds between the end of the first epoch and the last."""

    def __init__(self) -> None:
        self._ticks: list[float] = []

    def tick(self) -> None:
        self._ticks.append(time.perf_counter())

    @property
    def seconds_after_first(self) -> float:
        return self._ticks[-1] - self._ticks[0]


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("accuracy", "speed", "fit"))
    parser.add_argument("data_dirs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="an option of train")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--augment", default="none")
    parser.add_argument("--views", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compiled-by", choices=tuple(COMPILED_BY), default="auto")
    options = parser.parse_args()
    if options.what == "accuracy":
        measure_accuracy(options.data_dirs, options.seeds, options.option)
        return
    measure = measure_speed if options.what == "speed" else fit_plainly
    for data_dir in options.data_dirs:
        measure(data_dir, options)


if __name__ == "__main__":
    main()
