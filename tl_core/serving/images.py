"""Find the images in the body of a request: multipart, base64 in JSON, or one image as it is."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tl_core.data.images.signatures import explain_unknown, looks_readable
from tl_core.errors import ImageError
from tl_core.files import parse_json
from tl_core.serving.refusal import Refusal

Found = bytes | ImageError
"""The bytes of an image file, or why there is none."""

MAX_JSON_SYMBOLS = 20_000
"""Commas, braces and brackets in a JSON document: far more than images need, few to parse."""

_HEAD_BYTES = 32  # enough to recognise a format
_NOT_BASE64 = "Expected an image file in base64 (RFC 4648, without line breaks)."
_EXPECTED_TYPES = (
    "Expected multipart/form-data with image files, application/json with base64, or one image "
    "with its own type such as image/jpeg"
)


def images_in_body(body: bytes, content_type: str, max_images: int) -> list[Found]:
    """Return the images of a request to ``/predict``, in their order.

    A part that is no image by its first bytes is answered at once, so that such requests do not
    wait for the model, nor let others wait.

    Args:
        body: the whole body.
        content_type: its Content-Type header.
        max_images: how many there may be.

    Raises:
        Refusal: the body is not what its type says, or there are no images, or too many.

    Example:
        >>> from tl_core.serving.images import images_in_body
        >>> images_in_body(b"GIF89a...", "image/gif", 1)
        [b'GIF89a...']
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = _parse_multipart(body, content_type, max_images)
    elif kind == "application/json":
        found = _parse_json_images(body)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = [body]
    else:
        raise Refusal(
            415, "content_type", f"{_EXPECTED_TYPES}, received '{kind[:60] or 'no type'}'."
        )
    if not found:
        raise Refusal(400, "no_images", "Expected at least one image, received none.")
    check_count(len(found), max_images)
    return [check_readable(one) if isinstance(one, bytes) else one for one in found]


def check_count(num_images: int, max_images: int) -> None:
    """Check the number of images of a request.

    Raises:
        Refusal: there are too many.
    """
    if num_images > max_images:
        raise Refusal(
            413,
            "too_many_images",
            f"Expected at most {max_images} images in a request, received more. Send them in "
            "several requests.",
        )


def check_readable(data: bytes) -> Found:
    """Return the bytes, or why they are no image if the first of them show it."""
    return data if looks_readable(data[:_HEAD_BYTES]) else ImageError(explain_unknown(data))


def decode_base64(text: object) -> Found:
    """Return the bytes that a base64 text, or a ``data:`` URL, holds; else why there are none."""
    if not isinstance(text, str):
        return ImageError(_NOT_BASE64)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return ImageError(_NOT_BASE64)


def parse_json_object(body: bytes, max_symbols: int = MAX_JSON_SYMBOLS) -> dict[str, Any]:
    """Return a JSON object that a client sent.

    Args:
        body: of the request.
        max_symbols: how many commas, braces and brackets it may have, by which the memory and time
            for parsing it are limited.

    Raises:
        Refusal: it is none, or has too many values.
    """
    num_symbols = sum(map(body.count, (b",", b"[", b"{")))
    if num_symbols > max_symbols:
        raise Refusal(
            413,
            "too_many_values",
            f"Expected JSON of at most {max_symbols:,} values, received more. Send images as "
            "base64 or multipart rather than as numbers.",
        )
    try:
        values = parse_json(body.decode("utf-8"))
    except ValueError as error:
        raise Refusal(400, "not_json", f"Expected a JSON object: {error}.") from error
    if not isinstance(values, dict):
        raise Refusal(400, "not_json", "Expected a JSON object, received another value.")
    return values


def _parse_json_images(body: bytes) -> list[Found]:
    values = parse_json_object(body)
    images = values.get("images")
    if set(values) != {"images"} or not isinstance(images, list):
        raise Refusal(400, "not_images", 'Expected {"images": ["<base64>", ...]} and nothing else.')
    return [decode_base64(one) for one in images]


@dataclass
class _Parts:
    """Collects the content of the parts of a multipart body; their headers are not looked at."""

    max_parts: int
    chunks: list[list[bytes]] = field(default_factory=list)
    is_whole: bool = False

    def on_part_begin(self) -> None:
        check_count(len(self.chunks) + 1, self.max_parts)
        self.chunks.append([])

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.chunks[-1].append(data[start:end])

    def on_end(self) -> None:
        self.is_whole = True


def _parse_multipart(body: bytes, content_type: str, max_images: int) -> list[Found]:
    _, options = parse_options_header(content_type)
    parts = _Parts(max_images)
    try:
        if not (boundary := options.get(b"boundary", b"")):
            raise FormParserError("it has no boundary")
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_part_data": parts.on_part_data,
                "on_end": parts.on_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(
            400, "not_multipart", "Expected multipart/form-data, but the body is damaged."
        ) from error
    if not parts.is_whole:
        raise Refusal(
            400, "not_multipart", "The multipart body is truncated: its last boundary is missing."
        )
    return [b"".join(chunks) for chunks in parts.chunks]
