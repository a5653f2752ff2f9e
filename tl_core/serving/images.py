"""Find the images in the body of a request: multipart, base64 in JSON, or one image as it is."""

from __future__ import annotations

import binascii
import re
from typing import Any

from python_multipart.multipart import parse_options_header

from tl_core.data.images.signatures import explain_unknown, looks_readable
from tl_core.errors import ImageError
from tl_core.files import parse_json
from tl_core.serving.refusal import Refusal

Found = bytes | ImageError
"""The bytes of an image file, or why there is none."""

MAX_JSON_SYMBOLS = 20_000
"""Commas, braces and brackets in a JSON document: far more than images need, few to parse."""

_MAX_TYPE = 1_000  # characters; a boundary has at most 70
_HEAD_BYTES = 32  # enough to recognise a format
_EXPECTED_PARTS = "Expected multipart/form-data, but the body"
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
    if len(content_type) > _MAX_TYPE:
        raise Refusal(
            415, "content_type", f"Expected a Content-Type of at most {_MAX_TYPE} characters."
        )
    if kind == "multipart/form-data":
        found = _parse_multipart(body, content_type, max_images)
    elif kind == "application/json":
        found = _parse_json_images(body, max_images)
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


def _parse_json_images(body: bytes, max_images: int) -> list[Found]:
    values = parse_json_object(body)
    images = values.get("images")
    if set(values) != {"images"} or not isinstance(images, list):
        raise Refusal(400, "not_images", 'Expected {"images": ["<base64>", ...]} and nothing else.')
    check_count(len(images), max_images)
    return [decode_base64(one) for one in images]


def _parse_multipart(body: bytes, content_type: str, max_images: int) -> list[Found]:
    """Return the content of each part; their headers are not looked at.

    The next boundary is looked for in the whole body, which stops at one image too many. A parser
    of pieces tells of each place where a boundary might begin, of which there can be millions.
    """
    boundary = re.escape(parse_options_header(content_type)[1].get(b"boundary", b""))
    first = re.match(rb"(?:\r\n)?--" + boundary + rb"(?=\r\n|--)", body)
    if not boundary or first is None:
        raise Refusal(400, "not_multipart", f"{_EXPECTED_PARTS} is damaged.")
    delimiter = re.compile(rb"\r\n--" + boundary + rb"(?=\r\n|--)")
    found: list[Found] = []
    position = first.end()
    while not body.startswith(b"--", position):
        check_count(len(found) + 1, max_images)
        end_of_head = body.find(b"\r\n\r\n", position)
        if (end := delimiter.search(body, position)) is None:
            raise Refusal(
                400,
                "not_multipart",
                f"{_EXPECTED_PARTS} is truncated: its last boundary is missing.",
            )
        if not 0 <= end_of_head <= end.start():
            raise Refusal(400, "not_multipart", f"{_EXPECTED_PARTS} is damaged.")
        found.append(body[end_of_head + 4 : end.start()])
        position = end.end()
    return found
