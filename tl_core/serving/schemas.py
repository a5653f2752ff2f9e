"""The answers of the service, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ClassProbability(BaseModel):
    """A class and its calibrated probability in [0, 1]."""

    class_name: str
    probability: float


class ImageAnswer(BaseModel):
    """The answer for one image: ``top`` and ``none_of_these``, or ``error``."""

    index: int
    top: list[ClassProbability] | None = None
    none_of_these: bool | None = None
    reasons: list[str] | None = None
    error: str | None = None


class Answer(BaseModel):
    """One answer an image, in the order of the request."""

    model: str
    request_id: str
    predictions: list[ImageAnswer]


class ErrorDetail(BaseModel):
    """One word for programs, one sentence for people."""

    code: str
    message: str


class Error(BaseModel):
    """Why a request is refused."""

    error: ErrorDetail
    request_id: str


class Health(BaseModel):
    """Whether the service answers."""

    status: str
    waiting_images: int


_FILE = {"type": "string", "format": "binary"}
PREDICT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": _FILE}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "description": "a file in base64"},
                        }
                    },
                }
            },
            "image/*": {"schema": _FILE},
        },
    }
}
INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "inputs": [
                        {"name": "images", "shape": [1], "datatype": "BYTES", "data": ["<base64>"]}
                    ]
                },
            }
        },
    }
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The request is not what was expected."},
    401: {"model": Error, "description": "The API key is missing or wrong."},
    413: {"model": Error, "description": "The body is too large, or has too many images."},
    415: {"model": Error, "description": "The body has another content type."},
    422: {"model": Answer, "description": "None of the images can be read."},
    503: {"model": Error, "description": "Too much waits; see Retry-After."},
}
