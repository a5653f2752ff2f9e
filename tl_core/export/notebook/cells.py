"""The cells of the notebook, from the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass

from tl_core.config.training import TrainConfig
from tl_core.export.model_info import ModelInfo
from tl_core.export.predict_script import photo_code
from tl_core.runs.files import SPLIT_FILE

Cell = tuple[str, str]
"""``"markdown"`` or ``"code"``, and its text."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What the notebook does.

    Args:
        config: the settings of the run.
        info: its description, with its figures.
        module: the module of ``keras.applications`` that has the backbone; empty if none.
        backbone_file: the backbone's file, used if there is no module.
        num_layers: how many layers of the backbone, from its end, are fine-tuned; 0 for none.
    """

    config: TrainConfig
    info: ModelInfo
    module: str
    backbone_file: str
    num_layers: int


def make_cells(plan: Plan) -> list[Cell]:
    """Return the cells of the notebook, in order."""
    cells = [
        ("markdown", _title(plan)),
        ("code", _settings(plan)),
        ("markdown", "## Photos\n\nRead exactly as the studio reads them."),
        ("code", _PHOTO_IMPORTS + photo_code()),
        ("code", _LOAD.format(split=SPLIT_FILE)),
        ("markdown", "## Model"),
        ("code", _backbone(plan)),
        ("code", _model(plan)),
        ("markdown", "## Training"),
        ("code", _train(plan)),
    ]
    if plan.num_layers:
        cells += [("markdown", _FINE_TUNE_TEXT), ("code", _fine_tune(plan))]
    return [
        *cells,
        ("code", _PLOT),
        ("markdown", "## Evaluation"),
        ("code", _EVALUATE),
        ("code", 'model.save("model.keras")'),
    ]


def left_out(config: TrainConfig) -> list[str]:
    """Return the settings of a run that the notebook does not repeat, in words."""
    augment = config.augment
    found = {
        "saturation, hue, blur and erasing of the augmentation": augment.saturation
        or augment.hue
        or augment.blur
        or augment.erasing,
        "sampling classes equally often": config.sampling == "balanced",
        "mixup": config.mixup,
        "CutMix": config.cutmix,
        "smaller steps for lower blocks": config.fine_tune_layer_decay < 1,
    }
    return [words for words, is_set in found.items() if is_set]


def _title(plan: Plan) -> str:
    info, config = plan.info, plan.config
    lines = [
        "# Train this model again in plain Keras",
        "",
        f"{info.backbone} at {info.image_size[0]} x {info.image_size[1]} pixels, "
        f"{len(info.class_names)} classes. The photos are split as in the run, so that both can be "
        "compared. Initial weights and the order of the photos are drawn again, so the figures "
        "differ a little.",
    ]
    if info.metrics.get("accuracy") is not None:
        low, high = (100 * value for value in info.metrics["interval"])
        lines += [
            "",
            f"The run was right on {100 * info.metrics['accuracy']:.1f} % of "
            f"{info.metrics['num_images']} {info.metrics['part']} photos "
            f"(95 % interval {low:.1f} to {high:.1f}).",
        ]
    if not config.augment.is_identity:
        lines += ["", "Augmentation draws a new version of each photo in every epoch."]
    if missing := left_out(config):
        lines += ["", f"Not repeated here: {', '.join(missing)}."]
    return "\n".join(lines)


def _settings(plan: Plan) -> str:
    info, config = plan.info, plan.config
    return f"""\
import csv
import math
import os
from collections import Counter
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

DATA_DIR = Path(os.environ.get("DATA_DIR", "data"))  # the folder of the photos

CLASS_NAMES = {list(info.class_names)!r}
IMAGE_SIZE = {info.image_size!r}  # height, width
RESIZE = {info.resize!r}
PIXEL_SCALE = {info.pixel_scale!r}
POOLING = {config.pooling!r}
FC_LAYERS = {list(config.fc_layers)!r}
DROPOUT = {config.dropout!r}
LEARNING_RATE = {config.learning_rate!r}
WEIGHT_DECAY = {config.weight_decay!r}
CLIP_NORM = {config.clip_norm or None!r}
EPOCHS = {config.epochs!r}
BATCH_SIZE = {config.batch_size!r}
LABEL_SMOOTHING = {config.label_smoothing!r}
CLASS_WEIGHTS = {config.class_weights!r}
EARLY_STOPPING = {config.early_stopping!r}  # epochs without a better val_loss; 0 never stops
SHUFFLE = {config.shuffle!r}
SEED = {config.seed!r}

keras.utils.set_random_seed(SEED)"""


_PHOTO_IMPORTS = """\
import io
from collections.abc import Sequence

from PIL import ExifTags, Image

"""

_LOAD = """\
def load_part(part):
    \"\"\"Return the photos of a part (n, height, width, 3) uint8 and their classes, one-hot.\"\"\"
    with open("{split}", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == part]
    images = np.zeros((len(rows), *IMAGE_SIZE, 3), np.uint8)
    for number, row in enumerate(rows):
        data = (DATA_DIR / row["path"]).read_bytes()
        images[number] = load_pixels(data, IMAGE_SIZE, RESIZE, PIXEL_SCALE)
    labels = np.array([CLASS_NAMES.index(row["class"]) for row in rows], int)
    return images, keras.utils.to_categorical(labels, len(CLASS_NAMES))


train, val, test = (load_part(part) for part in ("train", "val", "test"))
print("photos:", *(f"{{name}} {{len(part[0])}}" for name, part in
                   (("train", train), ("val", val), ("test", test))))"""


def _backbone(plan: Plan) -> str:
    if not plan.module:
        return f"""\
# Preprocessing is inside; Keras has no download of these weights.
backbone = keras.saving.load_model("{plan.backbone_file}")
backbone.trainable = False


def preprocess_input(images):
    return images"""
    return f"""\
from keras.applications.{plan.module} import {plan.info.backbone}, preprocess_input

backbone = {plan.info.backbone}(
    include_top=False, weights="imagenet", input_shape=(*IMAGE_SIZE, 3)
)
backbone.trainable = False"""


def _model(plan: Plan) -> str:
    return f"""\
{_augmentation(plan.config)}

pooling = {{
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "flatten": keras.layers.Flatten,
}}
head = keras.Sequential(name="head")
head.add(pooling[POOLING]())
for units in FC_LAYERS:
    head.add(keras.layers.Dense(units, activation="relu"))
    head.add(keras.layers.Dropout(DROPOUT))
head.add(keras.layers.Dense(len(CLASS_NAMES), activation="softmax", name="probabilities"))


class InferenceMode(keras.Layer):
    \"\"\"Call a model as in inference, whatever its caller does.

    ``fit`` hands training=True on to the layers inside a model, also where the model was called
    with training=False. BatchNorm would then use the statistics of each batch, and a backbone's
    own dropout would act.
    \"\"\"

    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, images):
        return self.model(images, training=False)


inputs = keras.Input((*IMAGE_SIZE, 3), name="images")
x = preprocess_input(augmentation(inputs) if augmentation is not None else inputs)
model = keras.Model(inputs, head(backbone(x)))  # is saved: it loads without a class of its own
trained = keras.Model(inputs, head(InferenceMode(backbone)(x)))  # has the same weights
model.summary()"""


def _augmentation(config: TrainConfig) -> str:
    augment = config.augment
    fill = {"reflect": "reflect", "edge": "nearest", "black": "constant"}[augment.fill]
    flips = {
        (True, True): "horizontal_and_vertical",
        (True, False): "horizontal",
        (False, True): "vertical",
    }
    layers = []
    if flip := flips.get((augment.horizontal_flip, augment.vertical_flip)):
        layers.append(f'keras.layers.RandomFlip("{flip}")')
    if augment.rotation:
        share = augment.rotation / 360
        layers.append(f'keras.layers.RandomRotation({share!r}, fill_mode="{fill}")')
    if augment.zoom:
        layers.append(f'keras.layers.RandomZoom({augment.zoom!r}, fill_mode="{fill}")')
    if augment.shift:
        shift = augment.shift
        layers.append(f'keras.layers.RandomTranslation({shift!r}, {shift!r}, fill_mode="{fill}")')
    if augment.shear:
        share = augment.shear / 90
        layers.append(f'keras.layers.RandomShear({share!r}, {share!r}, fill_mode="{fill}")')
    if augment.brightness:
        layers.append(f"keras.layers.RandomBrightness({augment.brightness!r})")
    if augment.contrast:
        layers.append(f"keras.layers.RandomContrast({augment.contrast!r})")
    if not layers:
        return "augmentation = None"
    inside = "".join(f"    {layer},\n" for layer in layers)
    return f"augmentation = keras.Sequential([\n{inside}], name='augmentation')"


def _train(plan: Plan) -> str:
    return """\
def fit(learning_rate, epochs, checkpoint):
    \"\"\"Train, and keep the weights of the epoch with the least loss on val.\"\"\"
    trained.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM
        ) if WEIGHT_DECAY else keras.optimizers.Adam(learning_rate, global_clipnorm=CLIP_NORM),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
    )
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            checkpoint, monitor="val_loss", save_best_only=True, save_weights_only=True
        )
    ]
    if EARLY_STOPPING:
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=EARLY_STOPPING))
    counts = train[1].sum(axis=0)
    weights = {number: len(train[1]) / (len(counts) * count) for number, count in enumerate(counts)}
    history = trained.fit(
        *train,
        validation_data=val,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=SHUFFLE,
        class_weight=weights if CLASS_WEIGHTS == "balanced" else None,
        callbacks=callbacks,
        verbose=2,
    )
    trained.load_weights(checkpoint)
    return history.history


history = fit(LEARNING_RATE, EPOCHS, "head.weights.h5")"""


_FINE_TUNE_TEXT = """\
### Fine-tuning

The top of the backbone is trained on, with a step size that rises and then falls to zero. The best
weights of both phases are used."""


def _fine_tune(plan: Plan) -> str:
    config = plan.config
    return f"""\
FINE_TUNE_EPOCHS = {config.fine_tune_epochs!r}
FINE_TUNE_LEARNING_RATE = {config.fine_tune_learning_rate!r}
WARMUP_EPOCHS = {config.fine_tune_warmup_epochs!r}

for layer in backbone.layers[-{plan.num_layers}:]:
    layer.trainable = True
steps_per_epoch = math.ceil(len(train[0]) / BATCH_SIZE)
warmup_steps = min(WARMUP_EPOCHS, FINE_TUNE_EPOCHS - 1) * steps_per_epoch
schedule = keras.optimizers.schedules.CosineDecay(
    FINE_TUNE_LEARNING_RATE / (warmup_steps + 1) if warmup_steps else FINE_TUNE_LEARNING_RATE,
    FINE_TUNE_EPOCHS * steps_per_epoch - warmup_steps,
    warmup_target=FINE_TUNE_LEARNING_RATE if warmup_steps else None,
    warmup_steps=warmup_steps,
)
head_loss = min(history["val_loss"])
tuned = fit(schedule, FINE_TUNE_EPOCHS, "fine_tuned.weights.h5")
if min(tuned["val_loss"]) >= head_loss:
    trained.load_weights("head.weights.h5")  # fine-tuning did not help
history = {{name: history[name] + tuned[name] for name in history if name in tuned}}"""


_PLOT = """\
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
for axis, metric in zip(axes, ("accuracy", "loss")):
    for name in (metric, f"val_{metric}"):
        axis.plot(range(1, len(history[name]) + 1), history[name], label=name)
    axis.set_xlabel("epoch")
    axis.set_title(metric)
    axis.legend()
figure.tight_layout()
plt.show()"""

_EVALUATE = """\
def interval(right, total, z=1.96):
    \"\"\"Return the 95 % interval of a share (Wilson).\"\"\"
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


part, (images, labels) = ("test", test) if len(test[0]) else ("val", val)
answers = model.predict(images, batch_size=BATCH_SIZE, verbose=0).argmax(axis=1)
true = labels.argmax(axis=1)
right = int((answers == true).sum())
accuracy = right / len(true)
low, high = interval(right, len(true))
print(f"{part} accuracy {100 * accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f}) on "
      f"{len(true)} photos")

counts = Counter(zip(true.tolist(), answers.tolist()))
print("rows: true class, columns: answer")
for row, name in enumerate(CLASS_NAMES):
    print([counts[row, column] for column in range(len(CLASS_NAMES))], name)"""
