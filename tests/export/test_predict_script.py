"""The pixels of ``predict.py`` are those of the app, bit for bit."""

import io

import numpy as np
import pytest
from PIL import Image

from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import load_image
from tl_core.export.formats import FORMATS
from tl_core.export.odd_images import draw_odd_images
from tl_core.export.predict_script import predict_script
from tl_core.export.predict_template import load_pixels

ODD = draw_odd_images()
SIZES = [(64, 48), (224, 224), (299, 160)]


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("name", ODD)
def test_odd_images_have_the_pixels_of_the_app(name, resize):
    for size in SIZES:
        expected = load_image(ODD[name], size, resize)
        np.testing.assert_array_equal(load_pixels(ODD[name], size, resize), expected)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_photos_of_any_size_have_the_pixels_of_the_app(resize):
    rng = np.random.default_rng(3)
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(1, 900, 2))
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        buffer = io.BytesIO()
        suffix = "JPEG" if rng.random() < 0.7 else "PNG"
        photo.save(buffer, suffix, exif=exif, compress_level=1)  # of PNG; noise gets no smaller
        size = tuple(int(side) for side in rng.integers(32, 320, 2))
        expected = load_image(buffer.getvalue(), size, resize)
        np.testing.assert_array_equal(load_pixels(buffer.getvalue(), size, resize), expected)


@pytest.mark.parametrize("name", ["16-bit-grey.png", "16-bit-grey-transparent.png", "grey.jpg"])
def test_the_scale_of_deep_grey_is_that_of_the_run(name):
    expected = load_image(ODD[name], (64, 48), "crop", PixelScale(3000.0, 41000.0))
    found = load_pixels(ODD[name], (64, 48), "crop", (3000.0, 41000.0))
    np.testing.assert_array_equal(found, expected)


def test_the_odd_images_are_what_their_names_say():
    opened = {name: Image.open(io.BytesIO(data)) for name, data in ODD.items()}
    assert opened["cmyk.jpg"].mode == "CMYK"
    assert opened["16-bit-grey.png"].mode == "I;16"
    assert opened["palette-transparent.png"].info["transparency"] == 3
    assert opened["progressive.jpg"].info["progressive"]
    assert opened["animation.gif"].n_frames == 3
    assert opened["exif-7.jpg"].getexif()[0x0112] == 7
    transparent = load_pixels(ODD["16-bit-grey-transparent.png"], (200, 260), "squash")
    assert (transparent[90, 90] == 255).all()
    assert len(ODD) >= 30


@pytest.mark.parametrize("row", [row for row in FORMATS.values() if row.open_code])
def test_every_script_is_whole_and_imports_nothing_of_the_package(row):
    source = predict_script(row.open_code)
    compile(source, "predict.py", "exec")
    assert "tl_core" not in source
    assert source.count("def open_model") == 1
    assert "template" not in source


def test_every_format_with_requirements_has_a_script():
    assert [row.name for row in FORMATS.values() if row.requirements and not row.open_code] == []
