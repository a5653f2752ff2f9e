"""Odd files are shown as people see them; broken ones are refused with a reason they understand."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from tl_core.data.images import decode as decode_module
from tl_core.data.images.decode import (
    DAMAGED_INSIDE,
    RARE,
    declared_size,
    decode,
    explain_error,
)
from tl_core.data.images.images import inspect_image, load_image
from tl_core.data.images.signatures import (
    DAMAGED,
    DEEP_JPEG,
    LOSSLESS_JPEG,
    UNKNOWN,
    readable_kinds,
)
from tl_core.errors import ImageError

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

WHITE = (255, 255, 255)
ORIENTATION = 0x0112


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(size: tuple[int, int] = (120, 90)) -> Image.Image:
    coarse = np.random.default_rng(7).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def colour_of(data: bytes) -> tuple[int, ...]:
    """Return the one colour of a file that shows one colour."""
    pixels = load_image(data, (32, 32)).reshape(-1, 3)
    assert (pixels == pixels[0]).all()
    return tuple(int(value) for value in pixels[0])


def grey_16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, dtype=np.uint16))


def palette_image(transparency: bytes | None) -> bytes:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return encode(image, **({} if transparency is None else {"transparency": transparency}))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")


def webp_canvas(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0x10) + size + b"\0" * 20
    return b"RIFF" + struct.pack("<I", len(body)) + body


def zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat.jpg", b"")
    return buffer.getvalue()


ONE_COLOUR = {
    "16-bit grey is scaled": (encode(grey_16(30000)), (117, 117, 117)),
    "16-bit grey white stays white": (encode(grey_16(65535)), WHITE),
    "16-bit grey with a transparent value": (encode(grey_16(300), transparency=300), WHITE),
    "1 bit": (encode(Image.new("1", (8, 8), 1)), WHITE),
    "grey": (encode(Image.new("L", (8, 8), 77)), (77, 77, 77)),
    "palette": (palette_image(None), (10, 20, 30)),
    "palette, transparent entry": (palette_image(b"\xff\x00"), WHITE),
    "palette, opaque entry": (palette_image(b"\x00\xff"), (10, 20, 30)),
    "grey with alpha": (encode(Image.new("LA", (8, 8), (0, 0))), WHITE),
    "half transparent red": (encode(Image.new("RGBA", (8, 8), (255, 0, 0, 128))), (255, 127, 127)),
    "opaque with alpha": (encode(Image.new("RGBA", (8, 8), (1, 2, 3, 255))), (1, 2, 3)),
    "one transparent colour": (
        encode(Image.new("RGB", (8, 8), (9, 9, 9)), transparency=(9, 9, 9)),
        WHITE,
    ),
    "transparent GIF": (encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "GIF"), WHITE),
    "transparent WebP": (
        encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "WEBP", lossless=True),
        WHITE,
    ),
    "CMYK JPEG": (encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), (254, 0, 0)),
    "grey JPEG": (encode(Image.new("L", (8, 8), 128), "JPEG"), (128, 128, 128)),
    "BMP": (encode(Image.new("RGB", (8, 8), (3, 2, 1)), "BMP"), (3, 2, 1)),
}


@pytest.mark.parametrize(("data", "colour"), ONE_COLOUR.values(), ids=ONE_COLOUR.keys())
def test_every_mode_shows_the_colour_a_person_sees(
    data: bytes, colour: tuple[int, int, int]
) -> None:
    assert colour_of(data) == pytest.approx(colour, abs=1)


def test_a_phones_picture_pair_is_read_as_its_first_picture() -> None:
    first, second = Image.new("RGB", (64, 48), (200, 0, 0)), Image.new("RGB", (64, 48))
    data = encode(first, "MPO", save_all=True, append_images=[second])

    assert inspect_image(data).format == "MPO"
    assert colour_of(data) == pytest.approx((200, 0, 0), abs=2)


def test_the_kind_is_told_by_content_not_by_name(tmp_path) -> None:
    path = tmp_path / "really_a_webp.jpg"
    path.write_bytes(encode(photo(), "WEBP"))

    assert inspect_image(path).format == "WEBP"


HEADS = {
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC photo.*Convert it to JPEG"),
    "HEIC named by a compatible brand": (b"\0\0\0\x18ftypxxxx\0\0\0\0mif1heic", "HEIC"),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF.*Convert"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video"),
    "Canon RAW": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "camera RAW.*Convert"),
    "Fuji RAW": (b"FUJIFILMCCD-RAW 0201", "camera RAW"),
    "TIFF": (encode(Image.new("RGB", (8, 8)), "TIFF"), "TIFF.*Convert"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "JPEG XL": (b"\xff\x0a\x00\x00", "JPEG XL"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
    "icon": (encode(Image.new("RGB", (16, 16)), "ICO"), "icon"),
    "Photoshop": (b"8BPS\0\1", "Photoshop"),
    "SVG": (b'<?xml version="1.0"?><svg xmlns="x"/>', "SVG"),
    "web page": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "text": ("def größe():\n    return 1\n".encode(), "text file"),
    "long text": (b"0123456789\n" * 500, "text file"),
    "zip": (zip_file(), "archive"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "nothing": (b"", "empty"),
    "zeros": (bytes(5000), "zeros"),
    "noise": (bytes(range(1, 256)), "not an image of a kind"),
    "head of a JPEG": (b"\xff\xd8\xff\xe0\x00", "damaged|truncated"),
    "head of a PNG": (b"\x89PNG\r\n\x1a\n", "damaged"),
}


@pytest.mark.parametrize(("data", "reason"), HEADS.values(), ids=HEADS.keys())
def test_what_is_no_readable_image_is_named(
    data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tl_core.data.images.extra_formats.has_extra_formats", lambda: False)
    with pytest.raises(ImageError, match=reason):
        inspect_image(data)


def rare_jpeg(marker: int, bits: int) -> bytes:
    """Return a JPEG whose frame header names another process or other bits."""
    data = encode(photo(), "JPEG")
    start = data.index(b"\xff\xc0\0\x11\x08")
    return data[:start] + bytes((0xFF, marker, 0, 0x11, bits)) + data[start + 5 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (rare_jpeg(0xC1, 12), DEEP_JPEG.format(bits=12)),
        (rare_jpeg(0xC0, 16), DEEP_JPEG.format(bits=16)),
        (rare_jpeg(0xC3, 8), LOSSLESS_JPEG),
        (rare_jpeg(0xC0, 3), DAMAGED),
    ],
    ids=["12 bits", "16 bits", "lossless", "damaged"],
)
def test_a_sound_jpeg_of_a_rare_kind_is_not_called_damaged(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(data, (32, 32))
    assert str(caught.value) == reason


@pytest.mark.parametrize("has_extra", [False, True])
def test_what_is_no_image_is_told_every_kind_that_is_read_here(
    has_extra: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("extra_formats", "signatures"):
        monkeypatch.setattr(f"tl_core.data.images.{path}.has_extra_formats", lambda: has_extra)
    expected = "JPEG, PNG, GIF, BMP, WebP, HEIC, AVIF and TIFF"
    assert readable_kinds() == (expected if has_extra else "JPEG, PNG, GIF, BMP and WebP")
    with pytest.raises(ImageError) as caught:
        load_image(HEADS["noise"][0], (32, 32))
    assert str(caught.value) == UNKNOWN.format(kinds=readable_kinds())


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (OSError("decoder error -2"), DAMAGED_INSIDE),
        (OSError("broken data stream when reading image file"), DAMAGED_INSIDE),
        (OSError("cannot load this image"), DAMAGED_INSIDE),
        (IndexError("index out of range"), DAMAGED_INSIDE),
        (OSError("Unsupported BMP bitfields layout"), RARE),
    ],
    ids=str,
)
def test_no_words_of_a_decoder_are_shown(raised: Exception, reason: str) -> None:
    assert explain_error(raised) == reason


BOMBS = {
    "PNG": (png_header(65000, 65000), "4,225 megapixels, the limit is 40"),
    "PNG just above": (png_header(6400, 6300), "40.3 megapixels"),
    "JPEG": (
        encode(photo((64, 64)), "JPEG").replace(
            b"\0\x11\x08\0\x40\0\x40", b"\0\x11\x08\x4e\x20\x4e\x20"
        ),
        r"400.0 megapixels \(20000 x 20000\), the limit is 250\.",
    ),
    "progressive JPEG": (
        encode(photo((64, 64)), "JPEG", progressive=True).replace(
            b"\0\x11\x08\0\x40\0\x40", b"\0\x11\x08\x27\x10\x27\x10"
        ),
        r"100.0 megapixels .* limit is 40 \(for JPEGs that are not progressive 250\)",
    ),
    "GIF": (b"GIF89a" + struct.pack("<HH", 9000, 9000) + bytes(100), "megapixels|damaged"),
    "BMP": (
        encode(photo((8, 8)), "BMP").replace(
            struct.pack("<ii", 8, 8), struct.pack("<ii", 8000, 8000)
        ),
        "64.0 megapixels",
    ),
    "WebP canvas": (webp_canvas(16000, 16000), "256.0 megapixels"),
    "WebP": (webp_canvas(7000, 7000), "49.0 megapixels"),
}


@pytest.mark.parametrize(("data", "reason"), BOMBS.values(), ids=BOMBS.keys())
def test_a_picture_above_the_ceiling_is_refused_by_its_header(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        load_image(data, (32, 32))


def test_a_picture_at_the_ceiling_is_read() -> None:
    data = encode(Image.new("1", (8000, 5000), 1))

    assert colour_of(data) == WHITE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_a_truncated_file_is_refused_even_when_other_code_allows_it(
    kind: str, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(photo(), kind)
    cut = data[: int(len(data) * part)]

    with pytest.raises(ImageError, match=r"truncated|damaged"):
        load_image(cut, (32, 32))
    with pytest.raises(ImageError, match=r"truncated|damaged"):
        inspect_image(cut)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_photo_is_called_truncated(kind: str) -> None:
    data = encode(photo((600, 400)), kind)

    with pytest.raises(ImageError, match="truncated: it ends before its picture does"):
        load_image(data[: len(data) // 2], (32, 32))


def test_a_progressive_jpeg_of_endless_scans_is_refused() -> None:
    data = encode(photo(), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    last_scan = data[start:-2]

    with pytest.raises(ImageError, match="more than 100 scans"):
        load_image(data[:start] + last_scan * 100 + data[-2:], (32, 32))


def test_a_video_behind_a_phones_photo_counts_for_no_scans() -> None:
    data = encode(photo(), "JPEG")

    assert inspect_image(data + b"\xff\xda" * 1000).format == "JPEG"


def test_a_png_that_unpacks_to_masses_of_text_is_refused() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 2_000_000, zip=True)

    with pytest.raises(ImageError, match="too much text metadata"):
        load_image(encode(photo(), pnginfo=text), (32, 32))


def test_a_file_above_the_byte_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_FILE_BYTES", 2**20)

    with pytest.raises(ImageError, match="larger than 1 MB"):
        decode(bytes(2**20 + 1), None)


def test_a_png_with_a_broken_checksum_is_refused_though_it_has_exif() -> None:
    tags = Image.Exif()
    tags[ORIENTATION] = 6
    data = bytearray(encode(photo(), exif=tags))
    start = data.index(b"IDAT")
    data[start + 30] ^= 0xFF

    with pytest.raises(ImageError, match=r"damaged|truncated"):
        load_image(bytes(data), (32, 32))


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"],
    ids=["offset into nowhere", "no header", "too many entries"],
)
def test_broken_exif_costs_no_picture(exif: bytes) -> None:
    info = inspect_image(encode(photo(), "JPEG", exif=exif))

    assert (info.width, info.height, info.exif_orientation) == (120, 90, 1)


def test_an_orientation_that_does_not_exist_counts_as_upright() -> None:
    tags = Image.Exif()
    tags[ORIENTATION] = 9

    assert inspect_image(encode(photo(), "JPEG", exif=tags)).exif_orientation == 1


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ((1, 1), (100, 75)),
        ((100, 75), (100, 75)),
        ((101, 75), (200, 150)),
        ((100, 76), (200, 150)),
        ((400, 300), (400, 300)),
        ((401, 300), (800, 600)),
        ((900, 900), (800, 600)),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(
    least: tuple[int, int], expected: tuple[int, int]
) -> None:
    data = encode(photo((800, 600)), "JPEG")

    assert decode(data, lambda width, height: least).picture.size == expected


def test_the_reduced_scale_knows_which_side_a_turned_photo_needs() -> None:
    tags = Image.Exif()
    tags[ORIENTATION] = 6
    data = encode(photo((600, 800)), "JPEG", exif=tags)  # shown 800 wide, 600 high

    assert decode(data, lambda width, height: (400, 300)).picture.size == (400, 300)
    assert decode(data, lambda width, height: (300, 400)).picture.size == (800, 600)


def test_a_part_of_a_pixel_at_the_edge_of_a_reduced_jpeg_goes() -> None:
    data = encode(photo((801, 607)), "JPEG")

    decoded = decode(data, lambda width, height: (100, 75))

    assert decoded.picture.size == (100, 75)
    assert (decoded.width, decoded.height) == (801, 607)


def test_warnings_set_to_raise_stay_inside() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"100(\.0)? megapixels"):
            load_image(png_header(10000, 10000), (32, 32))


@pytest.mark.parametrize(
    "raised",
    [
        UnidentifiedImageError("cannot identify"),
        OSError("broken data stream"),
        ValueError("not enough image data"),
        TypeError("no chunk"),
        SyntaxError("broken PNG file"),
        IndexError("index out of range"),
        EOFError(),
        MemoryError(),
        Image.DecompressionBombError("Image size (200000000 pixels) exceeds limit"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_becomes_an_image_error(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: ImageFile.ImageFile) -> None:
        raise raised

    data = encode(photo())
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)

    with pytest.raises(ImageError) as caught:
        load_image(data, (32, 32))
    assert caught.value.__cause__ is raised


def test_any_damage_gives_an_image_or_an_image_error_and_inspect_agrees_with_load() -> None:
    rng = np.random.default_rng(3)
    files = [encode(photo(), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")]
    refused = 0
    for number in range(600):
        data = bytearray(files[number % len(files)])
        reach = len(data) if number % 2 else 100
        for position in rng.integers(0, reach, rng.integers(1, 6)):
            data[position] = rng.integers(0, 256)
        outcomes = []
        for read in (inspect_image, lambda source: load_image(source, (32, 32))):
            try:
                read(bytes(data))
                outcomes.append("read")
            except ImageError:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]
        refused += outcomes[0] == "refused"
    assert 100 < refused < 600


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(60_000)}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_the_size_in_a_header_is_that_of_the_picture(kind, options):
    data = encode(photo((300, 200)), kind, **options)
    assert declared_size(data) == (300, 200)
    assert declared_size(data[:64_000]) == (300, 200)


@pytest.mark.parametrize("head", [b"", b"junk" * 20, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_says_no_size_has_none(head):
    assert declared_size(head) is None


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB", "PA"])
def test_transparency_in_strips_is_that_of_the_whole_picture(monkeypatch, mode):
    rng = np.random.default_rng(3)
    whole = Image.fromarray(rng.integers(0, 256, (70, 50, 4), dtype=np.uint8), "RGBA")
    image = whole.convert("LA" if mode in ("LA", "PA") else mode)
    if mode in ("P", "L", "RGB"):
        image.info["transparency"] = image.getpixel((3, 4))
    elif mode == "PA":
        image = image.convert("PA")
    layer = image.convert("RGBA")
    expected = Image.new("RGB", image.size, WHITE)
    expected.paste(layer, mask=layer)
    monkeypatch.setattr(decode_module, "_STRIP_ROWS", 16)
    np.testing.assert_array_equal(decode_module._to_rgb(image, None), expected)
