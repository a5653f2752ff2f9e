"""Scans of a JPEG are counted as libjpeg meets them, by few steps of Python."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from tl_core.data.images.decode import count_scans

SEGMENT = b"\xff\xda\x00\x08" + b"\x01\x01\x00\x00\x3f\x00" + b"pixels"


def jpeg(**options: object) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "num_scans"),
    [
        (jpeg(), 1),
        (jpeg(restart_marker_blocks=1), 1),
        (jpeg(progressive=True), 10),
        (jpeg() + jpeg(progressive=True), 1),
        (jpeg(comment=b"\xff\xd9" + SEGMENT * 50), 1),
        (jpeg(exif=b"Exif\0\0" + jpeg()), 1),
        (b"\xff\xd8" + SEGMENT * 7, 7),
        (b"\xff\xd8" + (b"\xff\xff" + SEGMENT) * 7, 7),
        (b"\xff\xd8" + (b"\xff\x00\xff\xd3" + SEGMENT) * 7, 7),
        (b"\xff\xd8" + (b"\xff\x02" + SEGMENT) * 7, 7),
        (b"\xff\xd8\xff\xda", 1),
        (b"", 0),
    ],
    ids=[
        *("baseline", "restarts", "progressive", "pair", "comment", "thumbnail", "cut"),
        *("filled", "stuffed", "reserved marker", "nothing behind", "empty"),
    ],
)
def test_scans_are_counted_up_to_the_end_of_the_first_picture(data: bytes, num_scans: int) -> None:
    assert count_scans(data) == num_scans


@pytest.mark.parametrize("filling", [b"\xff\x00", b"\xff", b"\xff\xd0", b"\x55"])
def test_the_bytes_of_a_large_file_are_not_walked_through_in_python(filling: bytes) -> None:
    data = b"\xff\xd8" + SEGMENT + filling * (20_000_000 // len(filling))
    lines = []

    def note(frame, event, _):
        lines.append(frame.f_lineno)
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        num_scans = count_scans(data)
    finally:
        sys.settrace(before)
    assert num_scans == 1
    assert 0 < len(lines) < 100
