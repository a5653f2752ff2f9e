"""The weights and the converted file of a backbone whose top was fine-tuned.

Fine-tuned weights are stored with the head's, named ``backbone/<layer>.<number>/<variable>`` by
position, because Keras numbers unnamed layers differently in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.config.training import Pooling
from tl_core.errors import RunError
from tl_core.files import write_bytes

if TYPE_CHECKING:
    import keras

Weights = Mapping[str, np.ndarray]

_PREFIX = "backbone/"
_FILE_PREFIX = "backbone-"


def split_weights(weights: Weights) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the weights of the head and of the backbone; the latter are empty if it was frozen."""
    head = {name: array for name, array in weights.items() if not name.startswith(_PREFIX)}
    backbone = {name: array for name, array in weights.items() if name.startswith(_PREFIX)}
    return head, backbone


def variable_names(base_model: keras.Model) -> dict[str, Any]:
    """Return all variables of a backbone by the names under which they are stored."""
    return {
        f"{_PREFIX}{position:03d}.{number}/{variable.name}": variable
        for position, layer in enumerate(base_model.layers)
        for number, variable in enumerate(layer.weights)
    }


def set_backbone_weights(base_model: keras.Model, weights: Weights) -> None:
    """Set fine-tuned weights of a backbone; its other weights are unchanged.

    Raises:
        RunError: a name or shape does not match the backbone.
    """
    variables = variable_names(base_model)
    for name, array in weights.items():
        if name not in variables or tuple(variables[name].shape) != array.shape:
            raise RunError(
                f"The fine-tuned weights '{name}' of shape {array.shape} do not fit backbone "
                f"{base_model.name}. They belong to another backbone or version."
            )
    for name, array in weights.items():
        variables[name].assign(array)


def build_fine_tuned_base(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, weights: Weights
) -> keras.Model:
    """Build a backbone as :func:`~tl_core.backbones.api.build_base_model` does, fine-tuned.

    Raises:
        RunError: the weights do not match the backbone.
        WeightsError: the backbone's pretrained weights are not available.
    """
    from tl_core.backbones.build import build_base_model

    base_model = build_base_model(backbone, image_size, pooling)
    set_backbone_weights(base_model, weights)
    return base_model


def write_backbone_file(base_model: keras.Model, out_dir: Path) -> Path:
    """Convert a backbone to a LiteRT file named by its content, written atomically."""
    from tl_core.backbones.litert import convert_forward, forward_of

    _, height, width, _ = base_model.input.shape
    content = convert_forward(forward_of(base_model), (height, width))
    path = out_dir / f"{_FILE_PREFIX}{hashlib.sha256(content).hexdigest()[:16]}.tflite"
    if not path.exists():
        write_bytes(path, content)
    return path


def remove_backbone_files(run_dir: Path, keep: str | None) -> None:
    """Remove the converted files of earlier epochs."""
    for path in run_dir.glob(f"{_FILE_PREFIX}*.tflite"):
        if path.name != keep:
            path.unlink(missing_ok=True)
