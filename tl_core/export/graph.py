"""The inference graph that every format holds: pixels in, calibrated probabilities out.

Preprocessing, backbone, head and temperature are all inside. Loads TensorFlow when used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tl_core.backbones.api import resolve_image_size
from tl_core.backbones.finetuned_weights import build_fine_tuned_base, split_weights
from tl_core.backbones.weight_quantization import quantize_weights
from tl_core.errors import ConfigError
from tl_core.head.model import load_weights, set_head_weights
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import load_reliability
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run

if TYPE_CHECKING:
    import keras

Precision = Literal["float32", "float16", "int8", "int8_weights"]
INPUT_NAME = "images"
OUTPUT_NAME = "probabilities"
MAP_NAME = "feature_map"


def build_inference_model(run: Run, *, with_feature_map: bool = False) -> keras.Model:
    """Build a run as one Keras model of stock layers, with its temperature inside.

    It takes images (batch, height, width, 3) RGB in 0..255, float32, at the run's image size, and
    gives probabilities (batch, num_classes) float32 as the run's predictor shows them.

    Args:
        run: a run with weights, its backbone fine-tuned or not.
        with_feature_map: also return the backbone's last feature map (batch, rows, columns,
            channels); the outputs are then the dictionary ``{"probabilities", "feature_map"}``.

    Raises:
        RunError: the run's weights are missing or do not fit.
        WeightsError: the pretrained weights below the fine-tuned ones are not available.
    """
    import tensorflow  # noqa: F401  before Keras, which otherwise imports it halfway

    head, config = load_head(run), run.config
    _, fine_tuned = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
    base = build_fine_tuned_base(config.backbone, resolve_image_size(config), "flatten", fine_tuned)
    import keras

    layers = keras.layers
    if config.pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="pool")(base.output)
    elif config.pooling == "max":
        x = layers.GlobalMaxPooling2D(name="pool")(base.output)
    else:
        x = layers.Flatten(name="flatten")(base.output)
    for number, units in enumerate(config.fc_layers):
        x = layers.Dense(units, activation="relu", name=f"fc_{number}")(x)
    x = layers.Dense(len(run.class_names), name="predictions")(x)
    temperature = load_reliability(run, head).calibration.temperature
    x = layers.Rescaling(1 / temperature, name="temperature")(x)
    x = layers.Softmax(name=OUTPUT_NAME)(x)
    outputs = {OUTPUT_NAME: x, MAP_NAME: base.output} if with_feature_map else x
    model = keras.Model(base.input, outputs, name="classifier")
    set_head_weights(model, head)
    model.trainable = False
    return model


def freeze_model(model: keras.Model, batch_size: int | None) -> Any:
    """Return a model as a concrete function of uint8 ``images`` with its weights as constants.

    Args:
        model: from :func:`build_inference_model`.
        batch_size: how many images it takes; None for any number.
    """
    from tl_core.backbones.litert import freeze_forward

    _, height, width, _ = model.input.shape
    return freeze_forward(_forward(model), (height, width), batch_size)


def convert_to_litert(
    model: keras.Model,
    precision: Precision = "float32",
    calibration_images: Iterable[np.ndarray] = (),
) -> bytes:
    """Return a model as the content of a LiteRT file that takes one uint8 image.

    Args:
        model: from :func:`build_inference_model`.
        precision: of the weights; with ``"int8"`` of the computation as well, while
            ``"int8_weights"`` computes with floats.
        calibration_images: for ``"int8"``: images (height, width, 3) uint8 that show which range
            each activation has; training photos of every class.

    Raises:
        ConfigError: int8 is asked for without images.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([freeze_model(model, 1)])
    if precision in ("float16", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        images = [np.asarray(image, np.uint8)[None] for image in calibration_images]
        if not images:
            raise ConfigError("Expected photos to calibrate int8 with, received none.")
        converter.representative_dataset = lambda: ([image] for image in images)
    content = bytes(converter.convert())
    return quantize_weights(content) if precision == "int8_weights" else content


def _forward(model: keras.Model) -> Callable[[Any], Any]:
    import tensorflow as tf

    def forward(images: Any) -> Any:
        outputs = model(tf.cast(images, tf.float32), training=False)
        return outputs if isinstance(outputs, dict) else {OUTPUT_NAME: outputs}

    return forward
