"""Fine-tuning: what it gains over a frozen backbone, and its speed against plain Keras.

    python -m benchmarks.fine_tuning accuracy FOLDER [FOLDER ...] [--option=--fine-tune-blocks=8]
    python -m benchmarks.fine_tuning speed FOLDER [--blocks 5] [--augment photo]

``accuracy`` trains frozen and fine-tuned with every seed; ``speed`` trains the same unfrozen layers
by the studio and by Keras' ``fit``, one after the other, and compares images a second after the
first epoch, in which both compile.
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

BATCH_SIZE = 32


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


def measure_speed(data_dir: Path, num_blocks: int, augment: str, epochs: int) -> None:
    """Print images a second of both sides and their ratio."""
    ours = _studio_rate(data_dir, num_blocks, augment, epochs)
    plain = _keras_rate(data_dir, num_blocks, augment != "none", epochs)
    row = {
        "data_dir": data_dir.name,
        "blocks": num_blocks,
        "augment": augment,
        "studio_images_per_second": ours,
        "keras_images_per_second": plain,
        "ratio": ours / plain,
    }
    print(json.dumps(row))


def _studio_rate(data_dir: Path, num_blocks: int, augment: str, epochs: int) -> float:
    with tempfile.TemporaryDirectory() as workspace:
        command = [sys.executable, "-m", "tl_core", "train", str(data_dir.resolve()), "--json"]
        command += ["--workspace", workspace, "--epochs=1", f"--augment={augment}"]
        command += [f"--fine-tune-blocks={num_blocks}", f"--fine-tune-epochs={epochs}"]
        figures, _ = run_json(command)
        rows = [row for row in figures["history"] if row["phase"] == "fine_tune"]
        seconds = sum(row["seconds"] for row in rows[1:])
        return float(figures["num_images"]["train"] * (len(rows) - 1) / seconds)


def _keras_rate(data_dir: Path, num_blocks: int, augment: bool, epochs: int) -> float:
    """Fit the tutorial's model with the same blocks unfrozen, validation included as ours has."""
    import keras
    import tensorflow as tf

    from tl_core.model.backbones import build_base_model
    from tl_core.model.finetune import split_at
    from tl_core.model.head import build_finetune_model

    parts = {}
    for part in ("train", "val"):
        folder = data_dir / part if (data_dir / part).is_dir() else data_dir
        given: dict[str, Any] = {}
        if folder == data_dir:  # the same shares as the studio's default split
            given = {"validation_split": 0.15, "subset": "training", "seed": 0}
            if part == "val":
                given["subset"] = "validation"
        parts[part] = keras.utils.image_dataset_from_directory(
            folder, image_size=(224, 224), batch_size=BATCH_SIZE, label_mode="categorical", **given
        )
    num_classes = len(parts["train"].class_names)
    num_images = sum(int(labels.shape[0]) for _, labels in parts["train"])
    base_model = build_base_model("EfficientNetLite0", (224, 224), "avg")
    model = build_finetune_model(base_model, 0.5, (256,), num_classes)
    _, top = split_at(base_model, num_blocks)
    for layer in top.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    train = parts["train"]
    if augment:
        changes = keras.Sequential(
            [
                keras.layers.RandomFlip("horizontal"),
                keras.layers.RandomRotation(0.04),
                keras.layers.RandomZoom(0.2),
                keras.layers.RandomTranslation(0.1, 0.1),
            ]
        )
        train = train.map(lambda x, y: (changes(x, training=True), y), tf.data.AUTOTUNE)
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"])
    clock = _Clock()
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.tick())
    val = parts["val"].prefetch(2)
    model.fit(train.prefetch(2), validation_data=val, epochs=epochs, callbacks=[callback])
    return num_images * (epochs - 1) / clock.seconds_after_first


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
    parser.add_argument("what", choices=("accuracy", "speed"))
    parser.add_argument("data_dirs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="an option of train")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--augment", default="none")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if options.what == "accuracy":
        measure_accuracy(options.data_dirs, options.seeds, options.option)
        return
    for data_dir in options.data_dirs:
        measure_speed(data_dir, options.blocks, options.augment, options.epochs)


if __name__ == "__main__":
    main()
