"""How many scans a JPEG has, told by its markers before anything is decoded."""

from __future__ import annotations

import re

# A byte FF within coded pixels is followed by 00, or by a restart marker; FF may fill before any.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_FRAME_0 = 0xC0
_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA


def count_scans(data: bytes) -> int:
    """Return the number of scans up to the end of the first picture, as libjpeg would meet them.

    What follows that end is not looked at: phones append a second picture or a video there.
    """
    num_scans, position = 0, 0
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker < _START_OF_FRAME_0 or marker == _START_OF_IMAGE:
            continue  # no length follows, and nothing may be skipped that libjpeg would read
        num_scans += marker == _START_OF_SCAN
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return num_scans
