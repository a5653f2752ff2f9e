"""Blocks of a backbone, and splitting it into a frozen and a trainable part.

A backbone can be split where later layers depend on a single tensor, so that no residual connection
is cut; of those places the ones between blocks of different names are used. Nothing below the cut
is trained, so that part runs as fast as a frozen backbone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tl_core.backbones.blocks import Block
from tl_core.errors import ConfigError

if TYPE_CHECKING:
    import keras

# How the families name the layers of a block; the first match gives the block's name.
_BLOCK_NAMES = (
    re.compile(r"(?:^|_)(stage_\d+_block_\d+)"),  # ConvNeXt
    re.compile(r"^(conv\d+_block\d+)"),  # ResNet, DenseNet
    re.compile(r"^(block_?\d+[a-z]?(?:_\d+)?)(?=_|$)"),  # EfficientNet, MobileNetV2, VGG, Xception
    re.compile(r"^(expanded_conv(?:_\d+)?)(?=_|$)"),  # MobileNetV2, V3
    re.compile(r"^conv_(?:dw|pw|pad)_(\d+)"),  # MobileNet
    re.compile(r"^(mixed_?\d+[ab]?)"),  # Inception
    re.compile(r"^(stem|top|pool\d+|post)_"),
)


@dataclass(frozen=True)
class _Segment:
    """The layers between two possible cuts of the graph, and their input tensor."""

    entry: Any
    layers: tuple[Any, ...]
    name: str | None

    @property
    def num_params(self) -> int:
        return sum(_num_params(layer) for layer in self.layers)

    @property
    def num_values(self) -> int:
        return sum(_size(tensor) for layer in self.layers for tensor in _tensors(layer.output))


def list_blocks(base_model: keras.Model) -> list[Block]:
    """Return the blocks of a backbone, the topmost first."""
    num_pixels = _size(base_model.input) // 3
    return [
        Block(
            str(segment.name),
            segment.num_params,
            round(segment.num_values / num_pixels, 3),
            round(_size(segment.entry) / num_pixels, 3),
        )
        for segment in reversed(_named_segments(base_model))
    ]


def split_at(base_model: keras.Model, num_blocks: int) -> tuple[keras.Model, keras.Model]:
    """Cut a backbone below its top ``num_blocks`` blocks.

    Both parts share layers and weights with ``base_model``. In the trainable part all weights are
    trainable that the backbone's layers declare as such. Call it with ``training=False`` so that
    BatchNorm uses the statistics of pretraining, which small batches of few classes would distort;
    scale and offset are trained like any other weight.

    Returns:
        The frozen part, from pixels to activations, and the trainable part, from those to features.

    Raises:
        ConfigError: there are fewer blocks.
    """
    import keras

    segments = _named_segments(base_model)
    if not 1 <= num_blocks <= len(segments):
        raise ConfigError(
            f"Setting 'fine_tune_blocks': expected 1 to {len(segments)} for this backbone, "
            f"received {num_blocks}."
        )
    cut = segments[-num_blocks].entry
    frozen_part = keras.Model(base_model.input, cut, name="frozen_part")
    trainable_part = keras.Model(cut, base_model.output, name="trainable_part")
    for part, trainable in ((trainable_part, True), (frozen_part, False)):
        for layer in part.layers:
            layer.trainable = trainable
    return frozen_part, trainable_part


def depth_of_variables(base_model: keras.Model) -> dict[int, int]:
    """Return how many blocks lie above each variable, by the variable's ``id``."""
    return {
        id(variable): depth
        for depth, segment in enumerate(reversed(_named_segments(base_model)))
        for layer in segment.layers
        for variable in getattr(layer, "weights", ())
    }


def _named_segments(base_model: keras.Model) -> list[_Segment]:
    """Return the blocks as named segments, starting at the input."""
    merged: list[_Segment] = []
    for segment in _segments(base_model):
        last = merged[-1] if merged else None
        if last is not None and (
            segment.num_params == 0 or last.num_params == 0 or segment.name == last.name
        ):
            name = last.name if last.num_params else segment.name
            merged[-1] = _Segment(last.entry, last.layers + segment.layers, name)
        else:
            merged.append(segment)
    names: set[str] = set()
    return [_Segment(segment.entry, segment.layers, _unique(segment, names)) for segment in merged]


def _segments(base_model: keras.Model) -> list[_Segment]:
    """Split the graph wherever later layers depend on a single tensor."""
    operations = [op for op in base_model.operations if not _is_input(op)]
    last_use: dict[int, int] = {}
    for position, op in enumerate(operations):
        for tensor in _tensors(op.input):
            last_use[id(tensor)] = position
    for tensor in _tensors(base_model.output):
        last_use[id(tensor)] = len(operations)
    segments = []
    entry = base_model.input
    layers: list[Any] = []
    open_until = -1
    for position, op in enumerate(operations):
        layers.append(op)
        outputs = _tensors(op.output)
        others = max([open_until, last_use.get(id(entry), -1)])
        if len(outputs) == 1 and others <= position:
            segments.append(_Segment(entry, tuple(layers), _name_of(layers)))
            entry, layers, open_until = outputs[0], [], -1
        else:
            open_until = max([open_until, *(last_use.get(id(tensor), -1) for tensor in outputs)])
    return segments


def _name_of(layers: list[Any]) -> str | None:
    """Return the block name of some layers; if they differ, that of the last one."""
    for layer in reversed(layers):
        for pattern in _BLOCK_NAMES:
            if match := pattern.search(layer.name):
                name = match[1]
                return f"block_{name}" if name.isdecimal() else name
    return None


def _unique(segment: _Segment, names: set[str]) -> str:
    name = segment.name or next(layer.name for layer in segment.layers if _num_params(layer))
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}_{number}", number + 1
    names.add(unique)
    return unique


def _num_params(layer: Any) -> int:
    """Count the trainable weights, whether the layer is currently frozen or not."""
    if not getattr(layer, "weights", ()):
        return 0
    trainable, layer.trainable = layer.trainable, True
    try:
        return sum(_size(variable) for variable in layer.trainable_weights)
    finally:
        layer.trainable = trainable


def _is_input(op: Any) -> bool:
    return type(op).__name__ == "InputLayer"


def _tensors(value: Any) -> list[Any]:
    import keras

    return list(keras.tree.flatten(value))


def _size(tensor: Any) -> int:
    size = 1
    for side in tensor.shape:
        size *= side or 1
    return size
