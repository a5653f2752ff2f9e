"""HEIC, AVIF and TIFF, in a child process; without their extra they are refused as before."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_image
from PIL import Image
from pillow_heif import register_heif_opener

from tl_core.data.dataset import scan_dataset
from tl_core.data.images import extra_formats
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.extra_formats import decode_extra
from tl_core.data.images.images import inspect_image, load_image, open_image
from tl_core.errors import ImageError

register_heif_opener()


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def without_extra(monkeypatch):
    monkeypatch.setattr(extra_formats, "has_extra_formats", lambda: False)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK"])
def test_a_tiff_gives_the_pixels_that_pillow_gives(mode):
    picture = draw_image(1, 2).convert(mode)
    assert np.array_equal(
        np.asarray(open_image(stored(picture, "TIFF"))), np.asarray(picture.convert("RGB"))
    )


def test_transparent_parts_of_a_tiff_are_white():
    picture = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    picture.paste((0, 0, 250, 255), (0, 0, 4, 8))
    pixels = np.asarray(open_image(stored(picture, "TIFF")))
    assert pixels[0, 0].tolist() == [0, 0, 250]
    assert pixels[0, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_a_phone_photo_is_read_nearly_as_it_was_drawn(kind):
    picture = draw_image(0, 5, (96, 64))
    data = stored(picture, kind, quality=90)
    info = inspect_image(data)
    assert (info.format, info.width, info.height) == (kind, 96, 64)
    difference = np.asarray(open_image(data), float) - np.asarray(picture, float)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF"])
def test_a_rotated_photo_is_upright(kind):
    picture = Image.new("RGB", (64, 32), "white")
    picture.paste((0, 0, 0), (0, 0, 32, 32))  # the left half, which is the top half when upright
    exif = Image.Exif()
    exif[0x0112] = 6
    data = stored(picture, kind, exif=exif.tobytes())
    pixels = np.asarray(open_image(data).convert("L"))
    assert pixels.shape == (64, 32)
    assert pixels[:24].mean() < 20
    assert pixels[40:].mean() > 235


def test_16_bits_of_a_tiff_use_the_scale_of_the_set():
    values = np.array([[0, 1000, 2000, 3000, 9000]], np.uint16)
    data = stored(Image.fromarray(values), "TIFF")
    assert inspect_image(data).mode == "I;16"
    pixels = load_image(data, (1, 5), scale=PixelScale(1000, 3000))
    assert pixels[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert load_image(data, (1, 5))[0, :, 0].tolist() == [0, 3, 7, 11, 35]


def test_numbers_need_the_scale_of_a_set_and_missing_ones_are_its_lowest():
    values = np.array([[-1.0, 0.0, np.nan, 1.0]], np.float32)
    data = stored(Image.fromarray(values), "TIFF")
    with pytest.raises(ImageError, match="floating-point numbers"):
        load_image(data, (1, 4))
    pixels = load_image(data, (1, 4), scale=PixelScale(-1, 1))
    assert pixels[0, :, 0].tolist() == [0, 128, 0, 255]


def test_a_set_of_numbers_gets_one_scale_whatever_their_range(tmp_path):
    for label, name in enumerate(("calm", "storm")):
        (tmp_path / name).mkdir()
        for number in range(3):
            values = np.linspace(-1e6, 1e6 * (label + 1), 64, dtype=np.float32).reshape(8, 8)
            path = tmp_path / name / f"{number}.tif"
            path.write_bytes(stored(Image.fromarray(values + number), "TIFF"))
    index = scan_dataset(tmp_path)
    scale = index.scale_of(index.records[0])
    assert scale.low == pytest.approx(-1e6, rel=0.02)
    assert scale.high == pytest.approx(2e6, rel=0.02)


def test_a_file_without_an_extension_is_an_image_by_its_bytes(make_dataset):
    folder = make_dataset({"cat": 2, "dog": 2})
    (folder / "cat" / "photo").write_bytes(stored(draw_image(0, 9), "AVIF"))
    assert scan_dataset(folder).num_images == 5


def test_a_picture_beyond_the_limit_is_refused_by_its_header():
    data = bytearray(stored(Image.new("L", (4, 4)), "TIFF"))
    for tag in (256, 257):  # width and height of the first directory
        place = data.index(tag.to_bytes(2, "little"), 8)
        data[place + 2 : place + 12] = b"\x04\x00\x01\x00\x00\x00" + (90_000).to_bytes(4, "little")
    with pytest.raises(ImageError, match="8,100 megapixels, the limit is 40"):
        open_image(bytes(data))


def test_damage_is_named_and_the_next_file_is_read():
    data = stored(draw_image(0, 1, (300, 200)), "TIFF")
    with pytest.raises(ImageError, match=r"truncated|damaged"):
        open_image(data[: len(data) // 2])
    assert open_image(data).size == (300, 200)


def test_a_file_that_takes_too_long_is_ended_and_the_next_is_read(monkeypatch):
    data = stored(draw_image(0, 1), "TIFF")
    with monkeypatch.context() as patch:
        patch.setattr(extra_formats, "ANSWER_SECONDS", 0.0)
        with pytest.raises(ImageError, match="more memory or time than a photo needs"):
            decode_extra(b"II*\x00" * 5_000_000)
    assert open_image(data).size == (48, 40)


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize(
    ("kind", "reason"), [("TIFF", "TIFF"), ("AVIF", "AVIF image"), ("HEIF", "HEIC photo")]
)
def test_without_the_extra_they_are_refused_with_what_to_do(kind, reason):
    with pytest.raises(ImageError, match=f"{reason}.*Convert it to JPEG or PNG"):
        open_image(stored(draw_image(0, 1), kind))


def test_a_scan_is_valid_only_for_what_is_installed(make_dataset, tmp_path, monkeypatch):
    folder: Path = make_dataset({"cat": 2, "dog": 2})
    (folder / "cat" / "new.avif").write_bytes(stored(draw_image(0, 9), "AVIF"))
    for is_installed in (True, False, True):
        with monkeypatch.context() as patch:
            if not is_installed:
                for module in ("extra_formats", "scan_cache"):
                    path = f"tl_core.data.{'images.' * (module != 'scan_cache')}{module}"
                    patch.setattr(f"{path}.has_extra_formats", lambda: False)
            index = scan_dataset(folder, cache_dir=tmp_path / "cache")
        assert index.num_images == (5 if is_installed else 4)
