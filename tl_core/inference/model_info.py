"""``model.json``: the description of an exported model.

The schema is documented in docs/EXPORT.md.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tl_core.config.training import ImageSize, Resize
from tl_core.errors import ExportError
from tl_core.files import write_text
from tl_core.head.out_of_distribution import Thresholds

MODEL_FILE = "model.json"
MODEL_SCHEMA = 1
MAX_CLASSES = 10_000
_MAX_MODEL_FILE_BYTES = 8 * 2**20

InputType = Literal["uint8", "float32"]
ClassName = Annotated[str, Field(min_length=1, max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class InputInfo(_Part):
    """The model's input: images (batch, height, width, 3) at the model's image size."""

    dtype: InputType = "uint8"
    range: tuple[Literal[0], Literal[255]] = (0, 255)
    layout: Literal["NHWC"] = "NHWC"
    color: Literal["RGB"] = "RGB"


class Rejection(_Part):
    """Limits of "none of these"; see :class:`~tl_core.head.out_of_distribution.Thresholds`."""

    target: float = Field(ge=0, le=1)
    max_distance: float
    min_probability: float = Field(ge=0, le=1)
    false_reject: float = Field(ge=0, le=1)
    false_accept: float | None = Field(None, ge=0, le=1)

    @classmethod
    def of(cls, thresholds: Thresholds) -> Rejection:
        """Return the limits of a run."""
        return cls(**vars(thresholds))


class FileInfo(_Part):
    """Size and SHA-256 (64 hexadecimal digits) of one file of the export."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class ModelInfo(_Part):
    """The content of ``model.json``.

    Args:
        name: the name of the model.
        class_names: in the order of the model's probabilities.
        image_size: (height, width) in pixels.
        resize: how a photo is resized to that size; see :func:`.load_image`.
        backbone: name of the pretrained network.
        pixel_scale: the values of 16-bit grey mapped to black and white; None uses the upper 8
            bits.
        temperature: already applied inside the model; kept for information.
        input: the model's input.
        rejection: limits of "none of these"; None if the run has none.
        metrics: metrics on images that the run was not trained on; may be empty.
        weights: digest of the head's weights, which changes when the run is trained further; empty
            in exports of earlier versions.
        files: the other files of the export by name.
        tl_core_version: version of the package that wrote it.
        created: time of the export, ISO 8601 in UTC.
    """

    format: Literal["tl-model"] = "tl-model"
    schema_: int = Field(MODEL_SCHEMA, alias="schema", ge=1)
    name: str = Field(max_length=500)
    class_names: tuple[ClassName, ...] = Field(min_length=2, max_length=MAX_CLASSES)
    image_size: ImageSize
    resize: Resize
    backbone: str = Field(max_length=200)
    pixel_scale: tuple[float, float] | None = None
    temperature: float = Field(gt=0)
    input: InputInfo = InputInfo()
    rejection: Rejection | None = None
    metrics: dict[str, Any] = {}
    weights: str = Field("", max_length=100)
    files: dict[str, FileInfo] = {}
    tl_core_version: str
    created: str

    @field_validator("class_names")
    @classmethod
    def _check_unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("two classes have the same name")
        return names

    def to_json(self) -> str:
        """Return the content of ``model.json``."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Read the content of ``model.json``.

        Raises:
            ExportError: it is not a model description, or its schema is newer.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ExportError(
                f"Expected {MODEL_FILE} to be JSON, but it is not: {error}."
            ) from error
        if not isinstance(values, dict) or values.get("format") != "tl-model":
            raise ExportError(f"Expected {MODEL_FILE} of format 'tl-model', received another file.")
        schema = values.get("schema")
        if isinstance(schema, int) and schema > MODEL_SCHEMA:
            raise ExportError(
                f"The model has schema {schema}, this version reads up to {MODEL_SCHEMA}. "
                "Update tl_core."
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ExportError(f"{MODEL_FILE}: '{where}' is wrong: {first['msg']}.") from error


def write_model_info(folder: Path, info: ModelInfo) -> ModelInfo:
    """Write ``model.json`` with the size and SHA-256 of every other file in ``folder``."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        path.relative_to(folder).as_posix(): file_info(path)
        for path in paths
        if path != folder / MODEL_FILE
    }
    info = info.model_copy(update={"files": files})
    write_text(folder / MODEL_FILE, info.to_json())
    return info


def read_model_info(folder: Path) -> ModelInfo:
    """Read the ``model.json`` of an export.

    Raises:
        ExportError: it is missing, too large, not a model description, or its schema is newer.
    """
    path = folder / MODEL_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_MODEL_FILE_BYTES + 1)
    except OSError as error:
        raise ExportError(f"Expected {MODEL_FILE} in '{folder}': {error.strerror}.") from error
    if len(content) > _MAX_MODEL_FILE_BYTES:
        raise ExportError(
            f"Expected {MODEL_FILE} of at most {_MAX_MODEL_FILE_BYTES // 2**20} MB, "
            "received a larger one."
        )
    return ModelInfo.from_json(content.decode("utf-8", errors="replace"))


def file_info(path: Path) -> FileInfo:
    """Return the size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileInfo(sha256=digest, bytes=path.stat().st_size)
