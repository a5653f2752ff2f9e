"""How much a picture may have before its pixels: Pillow goes through it byte by byte in Python.

It keeps each segment, and copies what it has of EXIF for each that follows: a file of 33 MB could
take a gigabyte, or minutes.
"""

from __future__ import annotations

import re

from tl_core.errors import ImageError

MAX_SEGMENTS = 5_000  # of a JPEG; one holds up to 64 kB
MAX_EXIF_SEGMENTS = 100
MAX_STRAY_BYTES = 100_000  # of a JPEG, in no segment
MAX_CHUNKS = 10_000  # of a PNG, and one more for each
CHUNK_BYTES = 512
MAX_BLOCKS = 100_000  # of a GIF before its first picture; one holds up to 255 bytes

_TOO_MUCH = "The file has too many parts before its pixels. Save it again as JPEG or PNG."
_PNG = b"\x89PNG\r\n\x1a\n"
NO_FILL = re.compile(rb"[^\xff]")  # what comes after the bytes that fill up before a marker
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = frozenset((0x00, *range(0xD0, 0xDA)))  # escaped bytes, restarts, start and end
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's frame header
_EXIF = 0xE1


def check_header(data: bytes) -> None:
    """Check what stands before the pixels of a file of any format.

    Raises:
        ImageError: there is more than any camera or program writes.
    """
    if data.startswith(b"\xff\xd8\xff") and not _is_bounded_jpeg(data):
        raise ImageError(_TOO_MUCH)
    if data.startswith((b"GIF87a", b"GIF89a")) and not _is_bounded_gif(data):
        raise ImageError(_TOO_MUCH)
    if data.startswith(_PNG) and not _is_bounded_png(data):
        raise ImageError(_TOO_MUCH)


def _is_bounded_jpeg(data: bytes) -> bool:
    """Go through the segments as Pillow does; damage is left to it."""
    position, num_stray, num_exif, num_frames = 2, 0, 0, 0
    for _ in range(MAX_SEGMENTS):
        start = data.find(b"\xff", position)
        found = NO_FILL.search(data, start) if start >= 0 else None
        end = len(data) if found is None else found.start() - 1
        num_stray += end - position
        if num_stray > MAX_STRAY_BYTES:
            return False
        if found is None or (marker := data[end + 1]) == _START_OF_SCAN:
            return True
        position = end + 2
        if marker in _WITHOUT_LENGTH:
            continue
        num_frames += marker in FRAMES
        num_exif += marker == _EXIF and data.startswith(b"Exif", position + 2)
        if num_frames > 1 or num_exif > MAX_EXIF_SEGMENTS:
            return False
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return False


def _is_bounded_png(data: bytes) -> bool:
    """Go through the chunks, also those of pixels and what follows them."""
    position = len(_PNG)
    for _ in range(MAX_CHUNKS + len(data) // CHUNK_BYTES):
        if position >= len(data) or data.startswith(b"IEND", position + 4):
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _is_bounded_gif(data: bytes) -> bool:
    """Go through the blocks before the first picture, and what is in none."""
    position = 13  # after the size of the screen
    if len(data) > position and data[10] & 0x80:
        position += 3 * 2 ** ((data[10] & 7) + 1)
    is_in_extension = False
    for _ in range(MAX_BLOCKS):
        if position >= len(data):
            return True
        first = data[position]
        if is_in_extension:
            is_in_extension = first > 0
            position += 1 + first
        elif first in b",;":
            return True
        else:
            is_in_extension = first == ord("!")
            position += 2 if is_in_extension else 1
    return False
