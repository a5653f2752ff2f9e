"""What may stand before the pixels of a picture."""

import io
import struct
import zlib

import pytest
from PIL import Image

from tl_core.data.images.header_limits import check_header
from tl_core.data.images.images import load_image
from tl_core.errors import ImageError

START = b"\xff\xd8"
APP = b"\xff\xe0\0\x02"  # a segment with nothing in it
EXIF = b"\xff\xe1\0\x08Exif\0\0"
FRAME = b"\xff\xc0\0\x02"
SCREEN = b"GIF89a\x08\0\x08\0\0\0\0"
COMMENT = b"!\xfe" + b"\x01a"


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encoded(kind):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(stream, kind)
    return stream.getvalue()


JPEG, PNG, GIF = map(encoded, ("JPEG", "PNG", "GIF"))
PNG_HEAD = 33  # bytes: the signature, and the chunk of the size


def jpeg(before):
    return START + before + JPEG[2:]


def png(before):
    return PNG[:PNG_HEAD] + before + PNG[PNG_HEAD:]


def gif(before):
    return SCREEN + before


@pytest.mark.parametrize(
    "data",
    [
        jpeg(APP * 5_000),
        jpeg(EXIF * 101),
        jpeg(FRAME),
        jpeg(b"\xff" * 100_001),
        jpeg(APP + b"\0" * 100_001),
        START + b"\xff" * 200_000,
        START + b"\xff" + b"\0" * 200_000,
        png(chunk(b"abCd") * 11_000),
        PNG[:PNG_HEAD] + chunk(b"IDAT") * 11_000,
        gif(COMMENT + b"\x01a" * 100_000),
        gif(b"\0" * 100_001),
    ],
    ids=[
        "segments",
        "exif",
        "frames",
        "fill",
        "stray",
        "nothing but fill",
        "nothing but stray",
        "chunks",
        "pixels",
        "comment",
        "no block",
    ],
)
def test_what_has_too_much_before_its_pixels_is_refused(data):
    with pytest.raises(ImageError, match="too many parts"):
        load_image(data, (8, 8))


@pytest.mark.parametrize(
    "data",
    [
        jpeg(APP * 4_900),
        jpeg(EXIF * 100),
        jpeg(b"\xff" * 90_000),
        jpeg(APP + b"\0" * 90_000),
        png(chunk(b"abCd") * 9_900),
        GIF,
    ],
    ids=["segments", "exif", "fill", "stray", "chunks", "gif"],
)
def test_what_has_less_is_read(data):
    check_header(data)
    assert load_image(data, (8, 8)).shape == (8, 8, 3)


def test_a_long_comment_of_a_gif_is_read():
    start = GIF.index(b",") if GIF[10] & 0x80 == 0 else 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
    data = GIF[:start] + COMMENT + b"\xff" + b"a" * 255 + b"\0" + GIF[start:]
    assert load_image(data, (8, 8)).shape == (8, 8, 3)


def test_pixels_and_what_follows_them_are_not_counted():
    check_header(JPEG + APP * 10_000)
    check_header(GIF + b"\0" * 200_000)
    check_header(PNG + b"\0" * 200_000)
    check_header(PNG[:PNG_HEAD] + chunk(b"IDAT", bytes(1_000)) * 20_000)
