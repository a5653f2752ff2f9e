"""LiteRT files whose weights are stored in 8 bits and computed with as 32-bit floats.

The file is a third of the size. When it is opened, the weights are expanded once, so that every
activation is a float: as fast as the float file and far closer to it than a file that computes in 8
bits. Loads TensorFlow when used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MIN_WEIGHTS = 1024
"""Smaller tensors are left as they are: they take no space."""
FLOAT16_SHARE = 0.3
"""The smallest tensors that together hold at most this share of the weights keep 16 bits.

Each layer's rounding adds about the same error to the answer, however few weights it has, and most
layers are small: so most of the error goes, for little space.
"""

_DEQUANTIZE_VERSION = 5  # the first that takes a scale for each channel


def quantize_weights(content: bytes) -> bytes:
    """Return a LiteRT file whose convolutions and dense layers have 8-bit weights.

    Each output channel has a scale of its own; see :func:`quantize_channels`. The smallest layers
    and their biases keep 16-bit floats (:data:`FLOAT16_SHARE`).

    Args:
        content: a file with 32-bit weights.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    operator = schema.BuiltinOperator
    axes = {operator.CONV_2D: 0, operator.DEPTHWISE_CONV_2D: 3, operator.FULLY_CONNECTED: 0}
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    codes = [max(one.builtinCode, one.deprecatedBuiltinCode) for one in model.operatorCodes]
    for graph in model.subgraphs:
        layers = [
            (one, axes[codes[one.opcodeIndex]])
            for one in graph.operators
            if codes[one.opcodeIndex] in axes
        ]
        found = {int(one.inputs[1]): axis for one, axis in layers}
        weights = {
            place: values
            for place in found
            if (values := _constant(schema, model, graph.tensors[place], MIN_WEIGHTS)) is not None
        }
        finer = smallest({place: values.size for place, values in weights.items()}, FLOAT16_SHARE)
        # The web runtime takes 16-bit weights together with a bias of 16 bits only; a layer with
        # another bias would be computed without XNNPACK, several times slower.
        halves = {place: weights[place] for place in finer}
        for one, _ in layers:
            for place in map(int, one.inputs[2:] if int(one.inputs[1]) in finer else ()):
                if (values := _constant(schema, model, graph.tensors[place], 1)) is not None:
                    halves[place] = values
        expanded: dict[int, int] = {}
        for place, values in {**weights, **halves}.items():
            tensor = graph.tensors[place]
            graph.tensors.append(_like(schema, tensor))
            expanded[place] = len(graph.tensors) - 1
            if place in halves:
                stored, tensor.type = values.astype("<f2"), schema.TensorType.FLOAT16
            else:
                stored, scales = quantize_channels(values, found[place])
                tensor.type = schema.TensorType.INT8
                tensor.quantization = _quantization(schema, scales, found[place])
            model.buffers.append(_buffer(schema, stored))
            tensor.buffer = len(model.buffers) - 1
        for one in graph.operators:
            one.inputs = [expanded.get(int(place), int(place)) for place in one.inputs]
        steps = [_dequantize(schema, *places, len(codes)) for places in expanded.items()]
        graph.operators = [*steps, *graph.operators]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator.DEQUANTIZE
    code.version = _DEQUANTIZE_VERSION
    model.operatorCodes.append(code)
    _drop_unused(schema, model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def smallest(sizes: dict[int, int], share: float) -> set[int]:
    """Return the keys of the smallest sizes that together are at most a share of the sum.

    Examples:
        >>> from tl_core.backbones.weight_quantization import smallest
        >>> smallest({1: 50, 2: 10, 3: 40}, 0.5)
        {2, 3}
    """
    order = sorted(sizes, key=lambda key: sizes[key])
    sums = np.cumsum([sizes[key] for key in order])
    return {key for key, so_far in zip(order, sums, strict=True) if so_far <= share * sums[-1]}


def quantize_channels(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values as int8, and the scale (n,) float32 of each slice along an axis.

    Values are rounded so that the sum of each slice stays, to half a step: most go to the nearest
    step, those nearest to the middle between two the other way where rounding errors add up. The
    inputs of most layers are not negative, so that a sum that changed would shift a channel alike
    for every photo. A value changes by less than 1/127 of the greatest in its slice.

    Examples:
        >>> import numpy as np
        >>> from tl_core.backbones.weight_quantization import quantize_channels
        >>> quantized, scales = quantize_channels(np.array([[254, 4.9, 6.8, 8.6]]), 0)
        >>> quantized.tolist(), scales.tolist()  # 2.45 is rounded up, for the sum of 137.15
        ([[127, 3, 3, 4]], [2.0])
    """
    rows = np.moveaxis(values, axis, 0)
    flat = rows.reshape(len(rows), -1)
    greatest = np.abs(flat).max(axis=1)
    scales = np.where(greatest > 0, greatest / 127, 1).astype(np.float32)
    steps = flat / scales[:, None]
    nearest = np.rint(steps)
    rest = steps - nearest
    missing = np.rint(rest.sum(axis=1))[:, None]
    # How near each is to being rounded the other way, 0 the nearest.
    rank = np.argsort(np.argsort(-np.sign(missing) * rest, axis=1), axis=1)
    nearest += np.sign(missing) * (rank < np.abs(missing))
    quantized = np.clip(nearest, -127, 127).astype(np.int8).reshape(rows.shape)
    return np.ascontiguousarray(np.moveaxis(quantized, 0, axis)), scales


def _constant(schema: Any, model: Any, tensor: Any, min_size: int) -> np.ndarray | None:
    """Return a tensor's constant values as 32-bit floats; None if it has fewer, or none."""
    data = model.buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < 4 * min_size:
        return None
    return np.frombuffer(bytes(data), "<f4").reshape(tensor.shape)


def _like(schema: Any, tensor: Any) -> Any:
    """Return a float32 tensor of the same shape, to be computed."""
    new = schema.TensorT()
    new.shape, new.type, new.buffer = tensor.shape, schema.TensorType.FLOAT32, 0
    new.name = (tensor.name or b"weights") + b"/expanded"
    return new


def _buffer(schema: Any, values: np.ndarray) -> Any:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    return buffer


def _quantization(schema: Any, scales: np.ndarray, axis: int) -> Any:
    found = schema.QuantizationParametersT()
    found.scale = scales
    found.zeroPoint = np.zeros(len(scales), np.int64)
    found.quantizedDimension = axis
    return found


def _dequantize(schema: Any, source: int, target: int, opcode: int) -> Any:
    step = schema.OperatorT()
    step.opcodeIndex, step.inputs, step.outputs = opcode, [source], [target]
    step.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    step.builtinOptions = schema.DequantizeOptionsT()
    return step


def _drop_unused(schema: Any, model: Any) -> None:
    """Empty the buffers that no tensor has any more; their numbers stay."""
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {one.buffer for one in model.metadata or []}
    for number in range(len(model.buffers)):
        if number not in used:
            model.buffers[number] = schema.BufferT()
