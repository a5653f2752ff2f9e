"""The layers trained on a frozen backbone: as Keras models, and as plain NumPy.

The whole model and the one on cached features share layer names, so weights move between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.errors import RunError
from tl_core.files import replacing

if TYPE_CHECKING:
    import keras

_PREDICTIONS = "predictions"
_PARTS = ("kernel", "bias")


def build_finetune_model(
    base_model: keras.Model, dropout: float, fc_layers: Sequence[int], num_classes: int
) -> keras.Model:
    """Add fully connected layers and a softmax to a frozen backbone.

    Args:
        base_model: a model without its top, as returned by
            :func:`~tl_core.backbones.api.build_base_model`. Its layers are frozen.
        dropout: share of units switched off after each fully connected layer, in training.
        fc_layers: widths of the fully connected layers.
        num_classes: number of classes.

    Returns:
        A model from the backbone's input to probabilities (batch, num_classes).

    Examples:
        >>> from tl_core import build_base_model, build_finetune_model
        >>> base_model = build_base_model("tiny", (64, 64))
        >>> model = build_finetune_model(base_model, dropout=0.5, fc_layers=[64], num_classes=3)
        >>> model.output_shape
        (None, 3)
    """
    import keras

    for layer in base_model.layers:
        layer.trainable = False
    x = keras.layers.Flatten(name="flatten")(base_model.output)
    outputs = _add_head(x, dropout, fc_layers, num_classes, seed=None)
    return keras.Model(inputs=base_model.input, outputs=outputs)


def build_head(
    feature_dim: int,
    dropout: float,
    fc_layers: Sequence[int],
    num_classes: int,
    seed: int | None = None,
) -> keras.Model:
    """Build the same layers on cached features (batch, feature_dim).

    The same seed gives the same initial weights and the same dropout.
    """
    import keras

    inputs = keras.Input((feature_dim,), name="features")
    outputs = _add_head(inputs, dropout, fc_layers, num_classes, seed)
    return keras.Model(inputs, outputs, name="head")


def _add_head(
    x: Any, dropout: float, fc_layers: Sequence[int], num_classes: int, seed: int | None
) -> Any:
    import keras

    seeds = _layer_seeds(seed, 2 * len(fc_layers) + 1)
    for index, units in enumerate(fc_layers):
        initializer = keras.initializers.GlorotUniform(seed=next(seeds))
        x = keras.layers.Dense(
            units, activation="relu", kernel_initializer=initializer, name=f"fc_{index}"
        )(x)
        x = keras.layers.Dropout(dropout, seed=next(seeds), name=f"dropout_{index}")(x)
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.layers.Dense(
        num_classes, activation="softmax", kernel_initializer=initializer, name=_PREDICTIONS
    )(x)


def _layer_seeds(seed: int | None, count: int) -> Iterator[int | None]:
    """Return a different seed for each layer; equal seeds would give equal random numbers."""
    if seed is None:
        return iter([None] * count)
    return iter(np.random.SeedSequence(seed).generate_state(count).tolist())


def head_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the trained layers' weights as ``"fc_0/kernel"``, ..., ``"predictions/bias"``."""
    return {name: np.asarray(variable) for name, variable in _variables(model).items()}


def set_head_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set the weights of a model's trained layers.

    Raises:
        RunError: a name is missing or unknown, or a shape differs.
    """
    variables = _variables(model)
    _check_names(set(variables), set(weights))
    for name, variable in variables.items():
        if tuple(variable.shape) != weights[name].shape:
            raise RunError(
                f"Expected weights '{name}' of shape {tuple(variable.shape)}, "
                f"received {weights[name].shape}. They belong to another model."
            )
    for name, variable in variables.items():
        variable.assign(weights[name])


def _variables(model: keras.Model) -> dict[str, Any]:
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        if layer.name == _PREDICTIONS or layer.name.startswith("fc_")
        for variable in layer.weights
    }


def head_forward(weights: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Compute probabilities without Keras.

    Args:
        weights: as :func:`head_weights` returns them.
        features: (n, dim) float32.

    Returns:
        Probabilities (n, num_classes) float32; each row sums to 1.

    Raises:
        RunError: the weights are not those of a head, or do not match the features.
    """
    x = np.asarray(features, np.float32)
    num_fc = len({name.partition("/")[0] for name in weights if name.startswith("fc_")})
    layers = [f"fc_{index}" for index in range(num_fc)] + [_PREDICTIONS]
    _check_names({f"{name}/{part}" for name in layers for part in _PARTS}, set(weights))
    for name in layers:
        kernel, bias = (np.asarray(weights[f"{name}/{part}"], np.float32) for part in _PARTS)
        if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
            raise RunError(
                f"Expected weights '{name}' to be a matrix and its bias, "
                f"received shapes {kernel.shape} and {bias.shape}."
            )
        if x.ndim != 2 or x.shape[1] != kernel.shape[0]:
            raise RunError(
                f"Expected features of width {kernel.shape[0]} for weights '{name}', "
                f"received shape {x.shape}. They belong to another backbone or image size."
            )
        x = x @ kernel + bias
        if name != _PREDICTIONS:
            np.maximum(x, 0, out=x)
    x -= x.max(axis=1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=1, keepdims=True)
    return x


METADATA_KEY = "tl_core"
"""The key of our JSON among the metadata of a weights file."""


def save_weights(
    path: str | Path, weights: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights and their metadata as safetensors, atomically."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    with replacing(Path(path)) as temporary:
        save_file(arrays, temporary, dict(metadata or {}))


def load_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read weights written by :func:`save_weights`. Nothing in the file is executed.

    Raises:
        RunError: the file is missing or incomplete.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read the weights in '{path}': {error}.") from error


def load_weights_metadata(path: str | Path) -> dict[str, str]:
    """Read the metadata that :func:`save_weights` wrote.

    Raises:
        RunError: the file is missing or incomplete.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise RunError(f"Cannot read the weights in '{path}': {error}.") from error


def _check_names(expected: set[str], received: set[str]) -> None:
    if missing := sorted(expected - received):
        raise RunError(f"Expected weights named '{missing[0]}', but they are missing.")
    if unknown := sorted(received - expected):
        raise RunError(f"The weights named '{unknown[0]}' belong to no layer of this model.")
