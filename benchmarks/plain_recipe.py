"""The well-known transfer-learning recipe, written straight with Keras: the yardstick.

    python -m benchmarks.plain_recipe DATA_DIR --variant pooled --epochs 10 --out model.keras

``DATA_DIR`` holds ``train/ val/ test/`` folders of class folders. Nothing of the studio is used
but the backbone's weights, so that both sides train on the same network. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from tl_core.backbones.api import build_base_model

VARIANTS: dict[str, dict[str, Any]] = {
    "flatten": {"pooling": None, "fc_layers": (1024, 1024), "batch_size": 8},
    "pooled": {"pooling": "avg", "fc_layers": (256,), "batch_size": 32},
}


def run_recipe(
    data_dir: Path, variant: str, epochs: int, out: Path, *, backbone: str, augment: bool
) -> dict[str, Any]:
    """Train as the tutorial does and return seconds, losses and the test accuracy."""
    started = time.perf_counter()
    import keras
    import tensorflow as tf

    settings = VARIANTS[variant]
    size = (224, 224)
    base = build_base_model(backbone, size, settings["pooling"])
    for layer in base.layers:
        layer.trainable = False
    x = keras.layers.Flatten()(base.output)
    for width in settings["fc_layers"]:
        x = keras.layers.Dense(width, activation="relu")(x)
        x = keras.layers.Dropout(0.5)(x)

    generator_class = tf.keras.preprocessing.image.ImageDataGenerator
    changes = (
        {"rotation_range": 90, "horizontal_flip": True, "vertical_flip": True} if augment else {}
    )

    def flow(part: str, generator: Any, shuffle: bool) -> Any:
        return generator.flow_from_directory(
            data_dir / part,
            target_size=size,
            batch_size=settings["batch_size"],
            interpolation="bilinear",
            shuffle=shuffle,
            seed=0,
        )

    train_flow = flow("train", generator_class(**changes), True)
    val_flow = flow("val", generator_class(), False)
    test_flow = flow("test", generator_class(), False)

    outputs = keras.layers.Dense(train_flow.num_classes, activation="softmax")(x)
    model = keras.Model(base.input, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-3 if variant == "pooled" else 1e-5),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    ready = time.perf_counter()
    history = model.fit(
        train_flow,
        validation_data=val_flow,
        epochs=epochs,
        verbose=2,
        callbacks=[keras.callbacks.ModelCheckpoint(out, "val_accuracy", save_best_only=True)],
    )
    trained = time.perf_counter()
    test_accuracy = keras.models.load_model(out).evaluate(test_flow, verbose=0)[1]
    return {
        "variant": variant,
        "epochs": epochs,
        "num_train": train_flow.samples,
        "seconds_before_fit": ready - started,
        "seconds_fit": trained - ready,
        "seconds": trained - started,
        "val_accuracy": history.history["val_accuracy"],
        "test_accuracy": float(test_accuracy),
    }


def main() -> None:
    """Read the command line, train, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, default="pooled")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--backbone", default="EfficientNetLite0")
    parser.add_argument("--no-augment", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figures = run_recipe(
        options.data_dir,
        options.variant,
        options.epochs,
        options.out,
        backbone=options.backbone,
        augment=not options.no_augment,
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
