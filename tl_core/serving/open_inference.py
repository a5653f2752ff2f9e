"""The Open Inference Protocol, version 2, as KServe and Triton clients use it over HTTP.

One input, ``images``: files as ``BYTES`` (n,), in JSON as base64, or pixels as ``UINT8``
(n, height, width, 3) at the model's image size, where the client does the resizing. Tensors come as
JSON or by the binary extension; answers are JSON.

References:
    https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from tl_core.errors import ImageError
from tl_core.inference.predict import Prediction
from tl_core.serving.images import (
    MAX_JSON_SYMBOLS,
    Found,
    check_count,
    check_readable,
    decode_base64,
    parse_json_object,
)
from tl_core.serving.model import Image, ServedModel
from tl_core.serving.refusal import Refusal

INPUT = "images"
HEADER_LENGTH = "Inference-Header-Content-Length"
PLATFORM = "tl_core_litert"
MAX_JSON_PIXEL_IMAGES = 1
"""As numbers in JSON, which take milliseconds to parse; the binary extension takes many."""

_MAX_DIMENSIONS = 4
_MAX_ID = 200
_OUTPUTS = ("probabilities", "class_name", "none_of_these")


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Return the answer to ``GET /v2/models/NAME``."""
    height, width = model.image_size
    return {
        "name": model.name,
        "versions": [],
        "platform": PLATFORM,
        "inputs": [
            {"name": INPUT, "datatype": "BYTES", "shape": [-1]},
            {"name": INPUT, "datatype": "UINT8", "shape": [-1, height, width, 3]},
        ],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, model.num_classes]},
            {"name": "class_name", "datatype": "BYTES", "shape": [-1]},
            {"name": "none_of_these", "datatype": "BOOL", "shape": [-1]},
        ],
        "parameters": {"class_names": list(model.predictor.class_names)},
    }


class InferRequest:
    """A request to ``/v2/models/NAME/infer``.

    Args:
        body: the whole body.
        header_length: of the JSON in front of binary tensors; None without any.
        model: the model.
        max_images: how many images there may be.

    Raises:
        Refusal: it is not such a request, or has too many images.
    """

    def __init__(
        self, body: bytes, header_length: str | None, model: ServedModel, max_images: int
    ) -> None:
        self._image_size = model.image_size
        json_length = len(body)
        if header_length is not None:
            if not header_length.isdecimal() or int(header_length[:12]) > len(body):
                raise _wrong(f"{HEADER_LENGTH} is not the length of the JSON in this body.")
            json_length = int(header_length[:12])
        num_pixels = MAX_JSON_PIXEL_IMAGES * math.prod(self._image_size) * 3
        values = parse_json_object(body[:json_length], MAX_JSON_SYMBOLS + 2 * num_pixels)
        rest = memoryview(body)[json_length:]
        self.id = values.get("id")
        if not (self.id is None or (isinstance(self.id, str) and len(self.id) <= _MAX_ID)):
            raise _wrong(f"Expected 'id' to be a text of at most {_MAX_ID} characters.")
        self.outputs = _wanted_outputs(values.get("outputs"))
        inputs = values.get("inputs")
        if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
            raise _wrong(f"Expected one input, '{INPUT}'.")
        self.images = self._read_input(inputs[0], rest, max_images)

    def _read_input(
        self, values: dict[str, Any], rest: memoryview, max_images: int
    ) -> list[Image | ImageError]:
        name, shape, kind = values.get("name"), values.get("shape"), values.get("datatype")
        if name != INPUT:
            raise _wrong(f"Expected one input, '{INPUT}'.")
        if not (
            isinstance(shape, list)
            and 0 < len(shape) <= _MAX_DIMENSIONS
            and all(type(side) is int and 0 < side < 2**31 for side in shape)
        ):
            raise _wrong("Expected 'shape' to be a list of positive whole numbers.")
        if kind not in ("BYTES", "UINT8"):
            raise _wrong("Expected 'datatype' to be BYTES or UINT8.")
        binary = _binary(values.get("parameters"), rest)
        if binary is None and "data" not in values:
            raise _wrong("Expected 'data' in the input.")
        if kind == "UINT8":
            return list(self._read_pixels(shape, binary, values.get("data"), max_images))
        if math.prod(shape) != shape[0] or len(shape) > 2:
            raise _wrong("Expected the shape [n] or [n, 1] for BYTES.")
        check_count(shape[0], max_images)
        found = _read_files(binary, values.get("data"), shape[0])
        return [check_readable(one) if isinstance(one, bytes) else one for one in found]

    def _read_pixels(
        self, shape: list[int], binary: memoryview | None, data: object, max_images: int
    ) -> np.ndarray:
        if tuple(shape[1:]) != (*self._image_size, 3):
            raise _wrong(
                f"Expected the shape [n, {self._image_size[0]}, {self._image_size[1]}, 3] for "
                f"UINT8, received {shape}. Send files as BYTES to have them resized here."
            )
        check_count(shape[0], max_images)
        if binary is None:
            check_count(shape[0], MAX_JSON_PIXEL_IMAGES)
        try:
            if binary is not None:
                return np.frombuffer(binary, np.uint8).reshape(shape)
            return np.frombuffer(bytes(_whole_numbers(data, shape)), np.uint8).reshape(shape)
        except (ValueError, TypeError) as error:
            raise _wrong("'data' does not hold that many whole numbers from 0 to 255.") from error


def infer_answer(
    model: ServedModel, request: InferRequest, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """Return the answer to an inference request."""
    names = model.predictor.class_names
    rows = np.stack([_probabilities(one) for one in predictions])
    columns: dict[str, tuple[str, list[int], list[Any]]] = {
        "probabilities": ("FP32", [len(rows), len(names)], rows.ravel().tolist()),
        "class_name": ("BYTES", [len(rows)], [names[label] for label in rows.argmax(axis=1)]),
        "none_of_these": ("BOOL", [len(rows)], [one.is_none_of_these for one in predictions]),
    }
    outputs = [
        {"name": name, "datatype": kind, "shape": shape, "data": data}
        for name, (kind, shape, data) in columns.items()
        if name in request.outputs
    ]
    answer: dict[str, Any] = {"model_name": model.name, "outputs": outputs}
    return answer if request.id is None else {**answer, "id": request.id}


def _probabilities(prediction: Prediction) -> np.ndarray:
    if prediction.probabilities is None:
        raise ValueError("an image without an answer has no row in the answer")
    return prediction.probabilities


def _wanted_outputs(values: object) -> tuple[str, ...]:
    if values is None:
        return _OUTPUTS
    given = values if isinstance(values, list) else []
    names = [one.get("name") if isinstance(one, dict) else None for one in given]
    wanted = tuple(name for name in _OUTPUTS if name in names)
    if not names or not all(name in _OUTPUTS for name in names):
        raise _wrong(f"Expected 'outputs' to name some of {', '.join(_OUTPUTS)}.")
    return wanted


def _binary(parameters: object, rest: memoryview) -> memoryview | None:
    """Return the bytes of the input that follow the JSON, None where it is in the JSON."""
    if not isinstance(parameters, dict) or "binary_data_size" not in parameters:
        return None
    if parameters["binary_data_size"] != len(rest):
        raise _wrong("'binary_data_size' is not the number of bytes after the JSON.")
    return rest


def _whole_numbers(data: object, shape: list[int]) -> list[Any]:
    """Return the numbers of a tensor, flat or nested as its shape says.

    Nothing but the lists themselves is made of what was sent: an array of texts would have room for
    the longest in each of its places.

    Raises:
        ValueError: it is neither, or holds something else.
    """
    level: list[Any] = data if isinstance(data, list) else [data]
    if level and isinstance(level[0], list):
        level = [data]
        for side in shape:
            if not all(isinstance(one, list) and len(one) == side for one in level):
                raise ValueError("not of that shape")
            level = list(chain.from_iterable(level))
    if len(level) != math.prod(shape) or set(map(type, level)) != {int}:
        raise ValueError("not of that shape or type")
    return level


def _read_files(binary: memoryview | None, data: object, number: int) -> list[Found]:
    """Return so many image files: each with its length in front, or base64 in JSON."""
    if binary is None:
        if isinstance(data, list) and len(data) == 1 and isinstance(data[0], list):
            data = data[0]
        if not isinstance(data, list):
            raise _wrong("Expected 'data' to be a list of texts.")
        if len(data) != number:
            raise _wrong(f"The shape says {number} images, 'data' has {len(data)}.")
        return [decode_base64(one) for one in data]
    files: list[Found] = []
    start = 0
    while start < len(binary):
        if len(files) == number:
            raise _wrong(f"The shape says {number} images, the binary data has more.")
        stop = start + 4 + int.from_bytes(binary[start : start + 4], "little")
        if start + 4 > len(binary) or stop > len(binary):
            raise _wrong("The lengths in the binary data do not add up to its size.")
        files.append(bytes(binary[start + 4 : stop]))
        start = stop
    if len(files) != number:
        raise _wrong(f"The shape says {number} images, the binary data has {len(files)}.")
    return files


def _wrong(message: str) -> Refusal:
    return Refusal(400, "bad_request", message)
