"""Read an untrusted model bundle: everything is checked before it is used.

    model.json            the description
    backbone.tflite       from one uint8 image to features; only opened in a guarded process
    head.safetensors      the layers after it
    known.safetensors     the out-of-distribution detector; optional

Only these names are ever read, nothing in them is executed, and every size is checked against the
file before the file is read.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import ExportError, RunError
from tl_core.features.guarded_engine import GuardedEngine
from tl_core.head.model import load_weights
from tl_core.head.out_of_distribution import KNOWN_FILE, OODDetector, load_detector
from tl_core.head.temperature import weights_digest
from tl_core.inference.model_info import MODEL_FILE, ModelInfo, file_info, read_model_info

BACKBONE_FILE = "backbone.tflite"
HEAD_FILE = "head.safetensors"
DETECTOR_FILE = KNOWN_FILE

MAX_BYTES: dict[str, int] = {
    BACKBONE_FILE: 2 * 2**30 - 1,  # the maximum size of a LiteRT file
    HEAD_FILE: 2**29,
    DETECTOR_FILE: 2**26,
}
_MAX_HEADER_BYTES = 2**20
_MAX_LAYERS = 20
_LITERT_MARK = b"TFL3"
_ITEM_BYTES = {"F32": 4, "F16": 2, "I32": 4}
_LAYOUT_OF_DETECTOR = {
    "anchors": "F16",
    "labels": "I32",
    "rows": "I32",
    "known": "F32",
    "unknown": "F32",
    "left_out": "F32",
}


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose every part passed its checks.

    Args:
        folder: its folder.
        info: its description.
        weights: the weights of the head.
        detector: the out-of-distribution detector; None if it has none.
    """

    folder: Path
    info: ModelInfo
    weights: Mapping[str, np.ndarray]
    detector: OODDetector | None

    @property
    def engine_file(self) -> Path:
        """The converted backbone, which is not trusted."""
        return self.folder / BACKBONE_FILE


def is_bundle(folder: Path) -> bool:
    """Return whether a folder looks like a bundle, by its file names."""
    return (folder / MODEL_FILE).is_file() and (folder / BACKBONE_FILE).exists()


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle after checking all of it.

    Raises:
        ExportError: some part of it is missing, damaged, too large, or not what it should be.
    """
    _check_plain_file(folder / MODEL_FILE)
    info = read_model_info(folder)
    for name in (BACKBONE_FILE, HEAD_FILE, DETECTOR_FILE):
        if name in info.files or name != DETECTOR_FILE:
            _check_file(folder, name, info)
    with (folder / BACKBONE_FILE).open("rb") as file:
        if file.read(8)[4:] != _LITERT_MARK:
            raise ExportError(f"Expected '{BACKBONE_FILE}' to be a LiteRT file; it is not.")
    weights = _read_head(folder / HEAD_FILE, len(info.class_names))
    detector = None
    if DETECTOR_FILE in info.files:
        detector = _read_detector(folder, weights, len(info.class_names))
    return Bundle(folder, info, weights, detector)


def check_engine(bundle: Bundle) -> None:
    """Open the backbone in a guarded process, and check that it matches the rest.

    Raises:
        ExportError: it cannot be opened within the limits, or does not match.
    """
    engine = GuardedEngine(bundle.engine_file)
    try:
        expected = (bundle.info.image_size, feature_dim(bundle.weights))
        found = (engine.image_size, engine.feature_dim)
        if found != expected:
            raise ExportError(
                f"Expected a backbone from images {expected[0]} to {expected[1]} features, "
                f"received one from {found[0]} to {found[1]}."
            )
        features = engine.run(np.zeros((1, *engine.image_size, 3), np.uint8))
        if not np.isfinite(features).all():
            raise ExportError("The backbone gives no finite features.")
    finally:
        engine.close()


def feature_dim(weights: Mapping[str, np.ndarray]) -> int:
    """Return how many features the first layer of a head takes."""
    first = "fc_0/kernel" if "fc_0/kernel" in weights else "predictions/kernel"
    return int(weights[first].shape[0])


def _check_plain_file(path: Path) -> int:
    """Return the size of a regular file; links, devices, pipes and folders are refused."""
    try:
        status = path.lstat()
    except OSError as error:
        raise ExportError(f"Expected '{path.name}' in the bundle: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise ExportError(f"Expected '{path.name}' to be a plain file; links are not followed.")
    return status.st_size


def _check_file(folder: Path, name: str, info: ModelInfo) -> None:
    size = _check_plain_file(folder / name)
    if size > MAX_BYTES[name]:
        raise ExportError(
            f"'{name}' has {size / 1e6:,.0f} MB, at most {MAX_BYTES[name] / 1e6:,.0f} are read."
        )
    declared = info.files.get(name)
    if declared is None:
        raise ExportError(f"{MODEL_FILE} does not list '{name}'.")
    if declared.bytes != size or declared.sha256 != file_info(folder / name).sha256:
        raise ExportError(f"'{name}' is not the file that {MODEL_FILE} lists. Copy it again.")


def _read_head(path: Path, num_classes: int) -> dict[str, np.ndarray]:
    """Read a head, checking that its layers fit together and end at the classes."""
    shapes = _check_tensors(path)
    names = [f"fc_{number}" for number in range((len(shapes) - 2) // 2)] + ["predictions"]
    expected = {f"{name}/{part}" for name in names for part in ("kernel", "bias")}
    if set(shapes) != expected or len(names) > _MAX_LAYERS:
        raise ExportError(f"Expected the weights of a head in '{path.name}', found other names.")
    width: int | None = None
    for name in names:
        (kind, kernel), (other, bias) = shapes[f"{name}/kernel"], shapes[f"{name}/bias"]
        fits = len(kernel) == 2 and bias == kernel[1:] and width in (None, kernel[0])
        if not fits or {kind, other} != {"F32"} or 0 in kernel:
            raise ExportError(f"The layer '{name}' in '{path.name}' does not fit the others.")
        width = kernel[1]
    if width != num_classes:
        raise ExportError(f"The head answers {width} classes, {MODEL_FILE} names {num_classes}.")
    return _load_finite(path)


def _read_detector(
    folder: Path, weights: Mapping[str, np.ndarray], num_classes: int
) -> OODDetector:
    path = folder / DETECTOR_FILE
    shapes = _check_tensors(path)
    anchors = shapes.get("anchors", ("", ()))[1]
    scores = [shapes.get(name, ("", ()))[1] for name in ("known", "unknown")]
    fits = (
        {name: kind for name, (kind, _) in shapes.items()} == _LAYOUT_OF_DETECTOR
        and len(anchors) == 2
        and 0 not in anchors
        and shapes["labels"][1] == shapes["rows"][1] == anchors[:1]
        and all(len(shape) == 2 and shape[0] == 2 for shape in scores)
        and len(shapes["left_out"][1]) == 1
        and feature_dim(weights) % anchors[1] == 0
    )
    if not fits:
        raise ExportError(f"'{path.name}' does not hold what \"none of these\" needs.")
    labels = _load_finite(path)["labels"]
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ExportError(f"'{path.name}' names classes that the model does not have.")
    try:
        detector = load_detector(folder, weights_digest(weights))
    except RunError as error:
        raise ExportError(str(error)) from error
    limits = () if detector is None else vars(detector.thresholds).values()
    if detector is None or not all(value is None or _is_number(value) for value in limits):
        raise ExportError(f"'{path.name}' does not belong to this head.")
    return detector


def _load_finite(path: Path) -> dict[str, np.ndarray]:
    try:
        weights = load_weights(path)
    except RunError as error:
        raise ExportError(f"'{path.name}' cannot be read.") from error
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ExportError(f"'{path.name}' holds values that are no numbers.")
    return weights


def _check_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each tensor, checking that they fill the file without overlap."""
    wrong = ExportError(f"'{path.name}' is damaged: what it declares does not fit its size.")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_MAX_HEADER_BYTES, size - 8):
            raise wrong
        try:
            header: Any = json.loads(file.read(length))
            header.pop("__metadata__", None)
            found, end = {}, 0
            for name, one in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                shape = tuple(one["shape"])
                start, stop = one["data_offsets"]
                if not all(type(side) is int and side >= 0 for side in (*shape, start, stop)):
                    raise wrong
                if start != end or stop - start != math.prod(shape) * _ITEM_BYTES[one["dtype"]]:
                    raise wrong
                found[str(name)], end = (one["dtype"], shape), stop
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise wrong from error
    if end != size - 8 - length:
        raise wrong
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
