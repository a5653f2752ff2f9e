"""load_image and its kin: sizes, ways to resize, upright pictures, one result for one file."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tl_core.data.images.images import (
    crop_box,
    fit_image,
    inspect_image,
    load_image,
    make_thumbnail,
    open_image,
)
from tl_core.errors import ImageError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION = 0x0112


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def stripes(size: tuple[int, int], *colours: tuple[int, int, int]) -> Image.Image:
    """Draw upright stripes of equal width, left to right."""
    image = Image.new("RGB", size)
    width = size[0] // len(colours)
    for number, colour in enumerate(colours):
        image.paste(colour, (number * width, 0, (number + 1) * width, size[1]))
    return image


def photo(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Draw something smooth without any symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def turned(upright: Image.Image, orientation: int) -> Image.Image:
    """Return the pixels a camera stores with this orientation so that ``upright`` is shown."""
    method = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return upright if method is None else upright.transpose(method)


def test_path_bytes_and_open_file_give_the_same_pixels(tmp_path: Path) -> None:
    data = encode(photo((80, 60)), "JPEG")
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    from_bytes = load_image(data, (32, 48))
    stream = io.BytesIO(data)
    stream.seek(11)

    assert from_bytes.shape == (32, 48, 3)
    assert from_bytes.dtype == np.uint8
    for source in (path, str(path), stream):
        np.testing.assert_array_equal(load_image(source, (32, 48)), from_bytes)


def test_squash_shows_the_whole_picture_at_the_asked_size() -> None:
    pixels = load_image(encode(stripes((300, 100), RED, GREEN, BLUE)), (40, 30))

    assert pixels.shape == (40, 30, 3)
    assert tuple(pixels[20, 2]) == RED
    assert tuple(pixels[20, 15]) == GREEN
    assert tuple(pixels[20, 27]) == BLUE


def test_crop_takes_the_centre() -> None:
    wide = encode(stripes((300, 100), RED, GREEN, BLUE))
    tall = encode(stripes((300, 100), RED, GREEN, BLUE).transpose(Image.Transpose.ROTATE_90))

    for data in (wide, tall):
        pixels = load_image(data, (50, 50), "crop")
        assert (pixels[1:-1, 1:-1] == GREEN).all()
        assert pixels[..., 1].min() > 200  # the outermost pixels weigh what they cover beside it


def test_pad_keeps_the_aspect_between_black_bars() -> None:
    white = encode(Image.new("RGB", (100, 50), "white"))

    pixels = load_image(white, (64, 64), "pad")
    beside = load_image(white, (32, 96), "pad")

    assert (pixels[:16] == 0).all()
    assert (pixels[16:48] == 255).all()
    assert (pixels[48:] == 0).all()
    assert (beside[:, :16] == 0).all()
    assert (beside[:, 16:80] == 255).all()
    assert (beside[:, 80:] == 0).all()


SIDES = (32, 71, 75, 96, 150, 160, 192, 224, 240, 260, 299, 300, 331, 380, 456, 528, 600)


def test_the_crop_box_lies_inside_pictures_of_every_size() -> None:
    short = np.arange(1, 3001)
    for side in SIDES:
        for width, height in [*zip(short, short, strict=True), *((w, 3000) for w in short)]:
            for size in ((width, height), (height, width)):
                left, top, right, bottom = crop_box(size, (side, side))
                assert 0 <= left < right <= size[0]
                assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize(
    ("size", "side"),
    [((600, 450), 224), ((450, 600), 224), ((500, 700), 240), ((500, 500), 380), ((225, 300), 299)],
    ids=str,
)
def test_sides_whose_crop_was_computed_below_zero_load(
    resize: str, size: tuple[int, int], side: int
) -> None:
    pixels = load_image(encode(photo(size)), (side, side), resize)

    assert pixels.shape == (side, side, 3)


@settings(deadline=None, max_examples=300)
@given(
    width=st.integers(1, 2500),
    height=st.integers(1, 2500),
    image_size=st.tuples(st.integers(32, 700), st.integers(32, 700)),
    resize=st.sampled_from(["squash", "crop", "pad"]),
)
def test_every_size_can_be_resized_to_every_image_size(
    width: int, height: int, image_size: tuple[int, int], resize: str
) -> None:
    pixels = fit_image(Image.new("RGB", (width, height), RED), image_size, resize)

    assert pixels.shape == (*image_size, 3)
    if resize != "pad":
        # Weights in fixed point over hundreds of pixels may sum to a little less than one.
        assert np.abs(pixels.astype(int) - RED).max() <= 1


def test_what_fails_unforeseen_for_one_picture_is_an_error_about_that_picture(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> np.ndarray:
        raise ValueError("Box can't be negative")

    monkeypatch.setattr("tl_core.data.images.images.fit_image", fail)

    with pytest.raises(ImageError, match="90 x 60 pixels could not be resized"):
        load_image(encode(photo((90, 60))), (32, 32), "crop")
    assert "Box can't be negative" in caplog.text


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_picture_of_the_asked_size_is_left_as_it_is(resize: str) -> None:
    image = photo((48, 32))

    np.testing.assert_array_equal(load_image(encode(image), (32, 48), resize), np.asarray(image))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_fitting_the_open_image_gives_what_load_image_gives(resize: str) -> None:
    data = encode(photo((200, 90)))

    np.testing.assert_array_equal(
        fit_image(open_image(data), (64, 64), resize), load_image(data, (64, 64), resize)
    )


def test_a_long_thin_picture_can_be_padded() -> None:
    pixels = load_image(encode(Image.new("RGB", (1000, 1), "white")), (32, 32), "pad")

    assert (pixels == 255).all(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(2048, 1536), (1537, 1025), (1021, 2003)])
def test_a_large_jpeg_decoded_at_reduced_scale_looks_like_the_whole_one(
    size: tuple[int, int], resize: str
) -> None:
    data = encode(photo(size), "JPEG", quality=95)
    whole = Image.open(io.BytesIO(data)).convert("RGB")

    reduced = load_image(data, (96, 128), resize).astype(int)

    difference = np.abs(reduced - fit_image(whole, (96, 128), resize))
    assert difference.mean() < 1
    assert difference.max() < 40  # a black bar may begin one row sooner


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_gives_the_pixels_of_its_upright_copy(orientation: int, resize: str) -> None:
    upright = photo((90, 60))
    data = encode(turned(upright, orientation), exif=exif(orientation))

    np.testing.assert_array_equal(
        load_image(data, (40, 64), resize), load_image(encode(upright), (40, 64), resize)
    )
    assert open_image(data).size == (90, 60)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_at_reduced_scale_looks_like_its_upright_copy(orientation: int) -> None:
    upright = photo((1203, 801))
    data = encode(turned(upright, orientation), "JPEG", quality=95, exif=exif(orientation))
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))

    pixels = load_image(data, (50, 300)).astype(int)

    assert seen.size == (1203, 801)
    assert np.abs(pixels - fit_image(seen, (50, 300))).mean() < 1


def test_open_image_shrinks_the_longer_side_and_never_enlarges() -> None:
    data = encode(turned(photo((800, 600)), 6), "JPEG", exif=exif(6))

    assert open_image(data).size == (800, 600)
    assert open_image(data, 100).size == (100, 75)
    assert open_image(data, 5000).size == (800, 600)
    assert open_image(data, 100).mode == "RGB"


def test_inspect_tells_the_upright_size_and_what_the_file_says() -> None:
    info = inspect_image(encode(turned(photo((800, 600)), 6), "JPEG", exif=exif(6)))

    assert (info.format, info.mode, info.width, info.height) == ("JPEG", "RGB", 800, 600)
    assert (info.frames, info.exif_orientation, info.notes) == (1, 6, ())


def test_inspect_says_when_only_the_first_of_several_frames_counts() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])

    info = inspect_image(data)

    assert (info.frames, info.notes) == (3, ("first of 3 frames",))
    assert (load_image(data, (32, 32)) == RED).all()


def test_a_thumbnail_is_a_small_upright_jpeg() -> None:
    thumbnail = Image.open(io.BytesIO(make_thumbnail(encode(photo((600, 300))), 100)))

    assert (thumbnail.format, thumbnail.mode, thumbnail.size) == ("JPEG", "RGB", (100, 50))


def test_many_threads_at_once_get_what_one_gets() -> None:
    files = [
        encode(photo((300, 200), seed), kind)
        for seed, kind in enumerate(["JPEG", "PNG", "GIF", "BMP", "WEBP"] * 4)
    ]
    alone = [load_image(data, (64, 64)) for data in files]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: load_image(data, (64, 64)), files * 5))

    for number, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[number % len(files)])


def test_pixels_belong_to_the_caller() -> None:
    pixels = load_image(encode(photo((64, 48))), (32, 32))

    pixels[:] = 0

    assert pixels.flags.writeable


def test_the_error_of_a_file_names_it_and_that_of_bytes_does_not(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"")

    with pytest.raises(ImageError, match=r"Cannot read '.*cat\.jpg': the file is empty"):
        load_image(path, (32, 32))
    with pytest.raises(ImageError, match=r"^The file is empty"):
        load_image(b"", (32, 32))


def test_a_missing_file_and_a_folder_are_image_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg': No such file"):
        load_image(tmp_path / "none.jpg", (32, 32))
    with pytest.raises(ImageError, match="Is a directory"):
        inspect_image(tmp_path)
