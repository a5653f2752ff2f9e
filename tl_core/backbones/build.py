"""Backbones as Keras models: preprocessing inside, no top, frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tl_core.backbones.efficientnet_lite import LITE_VARIANTS, build_efficientnet_lite
from tl_core.backbones.registry import Backbone, check_image_size, get_backbone
from tl_core.backbones.tiny import build_tiny
from tl_core.backbones.weights import fetch_weights
from tl_core.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import keras

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)


def build_base_model(
    name: str,
    image_size: tuple[int, int] | None = None,
    pooling: Literal["avg", "max", "flatten"] | None = None,
) -> keras.Model:
    """Build a pretrained backbone without its top, frozen.

    Args:
        name: the name of a registered backbone.
        image_size: (height, width) in pixels; None uses the backbone's default.
        pooling: ``"avg"`` or ``"max"`` over the feature map; None or ``"flatten"`` leaves the map,
            as :func:`~tl_core.head.model.build_finetune_model` flattens it.

    Returns:
        A model from pixels (batch, height, width, 3) RGB in 0..255 to features: (batch, dim), or
        (batch, rows, columns, dim) without pooling. Preprocessing is part of the model.

    Raises:
        ConfigError: no backbone has that name, or the image size is too small for it.
        WeightsError: its weights are not available.

    Examples:
        >>> from tl_core import build_base_model
        >>> build_base_model("tiny", (64, 64), "avg").output_shape
        (None, 32)
    """
    backbone = get_backbone(name)
    image_size = check_image_size(backbone, image_size)
    if pooling not in ("avg", "max", "flatten", None):
        raise ConfigError(f"Expected pooling 'avg', 'max' or 'flatten', received {pooling!r}.")
    path = fetch_weights(name, image_size)  # before TensorFlow, so that a failure is quick
    import keras

    if name in LITE_VARIANTS:
        model = build_efficientnet_lite(name, image_size)
    elif backbone.weights == "none":
        model = build_tiny(image_size)
    else:
        model = _load_keras_application(backbone, image_size, path)
    if pooling in ("avg", "max"):
        layers = keras.layers
        pool = layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D
        model = keras.Model(model.input, pool(name="pool")(model.output), name=model.name)
    model.trainable = False
    return model


def build_keras_application(
    backbone: Backbone, image_size: tuple[int, int], weights: Literal["imagenet"] | None
) -> keras.Model:
    """Build a ``keras.applications`` model with its preprocessing in front, as one flat graph."""
    import keras

    inputs = keras.Input((*image_size, 3), name="image")
    build = getattr(keras.applications, backbone.name)
    model = build(
        include_top=False,
        weights=weights,
        input_tensor=_preprocess(inputs, backbone.preprocessing),
        input_shape=(*image_size, 3),
    )
    # Keras makes its input a list of one tensor; callers and exports expect a single tensor.
    return keras.Model(inputs, model.output, name=model.name)


def _load_keras_application(
    backbone: Backbone, image_size: tuple[int, int], path: Path | None
) -> keras.Model:
    try:
        return build_keras_application(backbone, image_size, "imagenet")
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"Expected the ImageNet weights of {backbone.name} in '{path}', but the file cannot "
            f"be loaded: {error}. Delete it, so that it is downloaded again."
        ) from error


def _preprocess(inputs: Any, mode: str) -> Any:
    """Scale RGB pixels in 0..255 as in the backbone's training, using built-in layers only."""
    import keras

    rescaling = keras.layers.Rescaling
    if mode == "tf":
        return rescaling(1 / 127.5, offset=-1.0, name="preprocess")(inputs)
    if mode == "torch":
        scale = [1 / (255 * std) for std in _IMAGENET_STD]
        offset = [-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)]
        return rescaling(scale, offset=offset, name="preprocess")(inputs)
    if mode == "caffe":
        offset = [-mean for mean in _CAFFE_MEAN_RGB]
        centred = rescaling(1.0, offset=offset, name="preprocess")(inputs)
        return keras.ops.flip(centred, axis=-1)  # the Caffe networks were trained on BGR
    return inputs
