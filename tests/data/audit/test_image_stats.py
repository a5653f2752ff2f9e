"""What is measured of an image, by pictures whose figures are known, and how often it is read."""

from __future__ import annotations

import threading
from dataclasses import fields

import numpy as np
import pytest
from made_photos import as_jpeg, draw_scene
from PIL import Image, ImageFilter

from tl_core.data.audit import image_stats as stats_module
from tl_core.data.audit.image_stats import ImageStats, measure_dataset, measure_image
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError, ImageError, Stopped
from tl_core.progress import Monitor


def png(image: Image.Image, tmp_path) -> ImageStats:
    image.save(tmp_path / "image.png")
    return measure_image(tmp_path / "image.png")


def test_an_even_grey_has_its_brightness_and_nothing_else(tmp_path):
    stats = png(Image.new("RGB", (60, 50), (102, 102, 102)), tmp_path)

    assert stats.brightness == stats.shadows == stats.highlights == pytest.approx(0.4)
    assert stats.mean_rgb == pytest.approx((0.4, 0.4, 0.4), abs=1e-4)
    for name in ("contrast", "sharpness", "colourfulness", "entropy"):
        assert getattr(stats, name) == pytest.approx(0, abs=1e-6)


def test_black_and_white_halves(tmp_path):
    image = Image.new("RGB", (100, 100))
    image.paste("white", (0, 0, 50, 100))
    stats = png(image, tmp_path)

    assert (stats.brightness, stats.contrast, stats.entropy) == pytest.approx((0.5, 0.5, 1.0))
    assert (stats.shadows, stats.highlights) == (0, 1)


def test_tails_are_those_of_a_twentieth(tmp_path):
    image = Image.new("RGB", (100, 100), (128, 128, 128))
    image.paste("black", (0, 0, 100, 4))
    image.paste("white", (0, 94, 100, 100))
    stats = png(image, tmp_path)

    assert stats.shadows == pytest.approx(128 / 255)
    assert stats.highlights == 1


def test_colourfulness_is_that_of_the_formula(tmp_path):
    # Of one colour only the means count: 0.3 * hypot(1, 0.5) for pure red.
    stats = png(Image.new("RGB", (40, 40), "red"), tmp_path)

    assert stats.colourfulness == pytest.approx(0.3 * np.hypot(1, 0.5))
    assert stats.mean_rgb == pytest.approx((1, 0, 0))


def test_the_more_blurred_the_less_sharp():
    scene = draw_scene(1, (256, 192))
    sharpness = [
        measure_image(as_jpeg(scene.filter(ImageFilter.GaussianBlur(radius)))).sharpness
        for radius in (0, 1, 2, 4)
    ]

    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 0.5
    assert sharpness[3] < 0.25


def test_a_shake_in_one_direction_counts_as_blur():
    scene = draw_scene(1, (256, 192))
    pixels = np.asarray(scene, float)
    shaken = sum(np.roll(pixels, shift, axis=1) for shift in range(12)) / 12
    stats = measure_image(as_jpeg(Image.fromarray(shaken.astype(np.uint8))))

    assert stats.sharpness < 0.6 * measure_image(as_jpeg(scene)).sharpness


def test_sharpness_is_that_of_what_a_network_sees():
    # Grain of single pixels is gone at 256 pixels a side, and so is blur of less than one of them.
    large = draw_scene(1, (256, 192)).resize((2048, 1536), Image.Resampling.BICUBIC)

    assert measure_image(as_jpeg(large)).sharpness == pytest.approx(
        measure_image(as_jpeg(draw_scene(1, (256, 192)))).sharpness, abs=0.08
    )


def test_an_unreadable_image_is_an_image_error():
    with pytest.raises(ImageError):
        measure_image(b"no image")


def counting(monkeypatch) -> list[bytes]:
    """Note each image that is measured from now on."""
    measured: list[bytes] = []
    original = stats_module.measure_image

    def measure(source, scale=None):
        measured.append(source)
        return original(source, scale)

    monkeypatch.setattr(stats_module, "measure_image", measure)
    return measured


def test_a_dataset_is_measured_in_the_order_of_its_records(make_dataset):
    index = scan_dataset(make_dataset({"cat": 4, "dog": 3}))

    expected = [measure_image(index.path_of(record)) for record in index.records]
    assert measure_dataset(index) == expected


def test_copies_are_measured_once_and_known_images_never_again(make_dataset, tmp_path, monkeypatch):
    data_dir = make_dataset({"cat": 4, "dog": 3})
    (data_dir / "dog/copy.png").write_bytes((data_dir / "cat/0.png").read_bytes())
    index = scan_dataset(data_dir)
    measured = counting(monkeypatch)

    first = measure_dataset(index, tmp_path / "cache")
    assert len(measured) == 7
    again = measure_dataset(index, tmp_path / "cache")
    assert len(measured) == 7

    for one, other in zip(first, again, strict=True):
        for field in fields(ImageStats):
            kept, fresh = getattr(other, field.name), getattr(one, field.name)
            assert kept == (fresh if field.name == "fingerprint" else pytest.approx(fresh))


def test_a_changed_file_is_refused(make_dataset):
    data_dir = make_dataset({"cat": 4, "dog": 3})
    index = scan_dataset(data_dir)
    draw_scene(1).save(data_dir / "cat/0.png")

    with pytest.raises(DatasetError, match=r"'cat/0.png' has changed since the folder was scanned"):
        measure_dataset(index)


def test_a_vanished_file_is_refused(make_dataset):
    data_dir = make_dataset({"cat": 4, "dog": 3})
    index = scan_dataset(data_dir)
    (data_dir / "dog/1.png").unlink()

    with pytest.raises(DatasetError, match=r"'dog/1.png' cannot be read"):
        measure_dataset(index)


def test_progress_counts_what_had_to_be_measured(make_dataset, tmp_path, monkeypatch):
    index = scan_dataset(make_dataset({"cat": 4, "dog": 3}))
    seen = []

    measure_dataset(index, tmp_path, Monitor(seen.append, report_seconds=0))
    assert [(one.stage, one.done, one.total) for one in seen] == [
        ("audit", done, 7) for done in range(1, 8)
    ]
    measure_dataset(index, tmp_path, Monitor(seen.append, report_seconds=0))
    assert len(seen) == 7


def test_a_stop_ends_soon_and_keeps_what_was_measured(make_dataset, tmp_path, monkeypatch):
    index = scan_dataset(make_dataset({"cat": 30, "dog": 30}))
    measured = counting(monkeypatch)
    asked = iter([False] * 10)

    with pytest.raises(Stopped):
        measure_dataset(
            index, tmp_path, monitor=Monitor(None, lambda: next(asked, True)), num_workers=1
        )
    assert 10 <= len(measured) < 30
    measured.clear()
    measure_dataset(index, tmp_path)
    assert len(measured) == 50


def test_threads_share_the_work(make_dataset, monkeypatch):
    index = scan_dataset(make_dataset({"cat": 6, "dog": 6}))
    threads = set()
    all_there = threading.Barrier(3, timeout=300)
    original = stats_module.measure_image

    def measure(source, scale=None):
        if threading.current_thread().name not in threads:
            threads.add(threading.current_thread().name)
            all_there.wait()  # broken unless three are at an image at once
        return original(source, scale)

    monkeypatch.setattr(stats_module, "measure_image", measure)
    measure_dataset(index, num_workers=3)
    assert len(threads) == 3
