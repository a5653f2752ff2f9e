"""LiteRT files whose weights are stored in 8 bits and computed with as 32-bit floats.

The file is a quarter of the size. When it is opened, the weights are expanded once, so that every
activation is a float: as fast as the float file and far closer to it than a file that computes in
8 bits. Loads TensorFlow when used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MIN_WEIGHTS = 1024
"""Smaller tensors are left as they are: they take no space."""

_DEQUANTIZE_VERSION = 5  # the first that takes a scale for each channel


def quantize_weights(content: bytes) -> bytes:
    """Return a LiteRT file whose convolutions and dense layers have 8-bit weights.

    Each output channel has a scale of its own: a weight changes by at most half of 1/127 of the
    greatest in its channel.

    Args:
        content: a file with 32-bit weights.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    operator, kind = schema.BuiltinOperator, schema.TensorType
    axes = {operator.CONV_2D: 0, operator.DEPTHWISE_CONV_2D: 3, operator.FULLY_CONNECTED: 0}
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    codes = [max(one.builtinCode, one.deprecatedBuiltinCode) for one in model.operatorCodes]
    for graph in model.subgraphs:
        expanded: dict[int, int] = {}
        expanding = []
        for one in graph.operators:
            axis = axes.get(codes[one.opcodeIndex])
            if axis is None:
                continue
            place = int(one.inputs[1])
            tensor = graph.tensors[place]
            data = model.buffers[tensor.buffer].data
            if tensor.type != kind.FLOAT32 or data is None or len(data) < 4 * MIN_WEIGHTS:
                continue
            if place not in expanded:
                values = np.frombuffer(bytes(data), "<f4").reshape(tensor.shape)
                quantized, scales = quantize_channels(values, axis)
                target = _like(schema, tensor)
                model.buffers.append(_buffer(schema, quantized))
                tensor.buffer = len(model.buffers) - 1
                tensor.type = kind.INT8
                tensor.quantization = _quantization(schema, scales, axis)
                graph.tensors.append(target)
                expanded[place] = len(graph.tensors) - 1
                expanding.append(_dequantize(schema, place, expanded[place], len(codes)))
            one.inputs[1] = expanded[place]
        graph.operators = [*expanding, *graph.operators]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator.DEQUANTIZE
    code.version = _DEQUANTIZE_VERSION
    model.operatorCodes.append(code)
    _drop_unused(schema, model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def quantize_channels(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values as int8, and the scale (n,) float32 of each slice along an axis.

    Examples:
        >>> import numpy as np
        >>> from tl_core.backbones.weight_quantization import quantize_channels
        >>> quantized, scales = quantize_channels(np.array([[2.54, -1.0], [0.0, 0.0]]), 0)
        >>> quantized.tolist(), np.round(scales.astype(float), 3).tolist()
        ([[127, -50], [0, 0]], [0.02, 1.0])
    """
    others = tuple(one for one in range(values.ndim) if one != axis)
    greatest = np.abs(values).max(axis=others)
    scales = np.where(greatest > 0, greatest / 127, 1).astype(np.float32)
    shape = [-1 if one == axis else 1 for one in range(values.ndim)]
    return np.rint(values / scales.reshape(shape)).astype(np.int8), scales


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
