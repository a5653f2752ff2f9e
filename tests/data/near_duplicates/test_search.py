"""Copies are found whatever was done to them, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from made_photos import crop, draw_scene, fingerprint_of
from PIL import Image, ImageDraw, ImageEnhance

from tl_core.data.near_duplicates import search
from tl_core.data.near_duplicates.search import find_near_duplicates
from tl_core.errors import Stopped
from tl_core.progress import Monitor

SCENES = [fingerprint_of(draw_scene(seed)) for seed in range(30)]
ORIGINAL = draw_scene(3)


def enhance(image: Image.Image, light: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(light)


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(fingerprint_of(ORIGINAL, quality=30), id="recompressed"),
        pytest.param(fingerprint_of(ORIGINAL.resize((80, 60))), id="half the size"),
        pytest.param(fingerprint_of(ORIGINAL.resize((320, 240))), id="twice the size"),
        pytest.param(fingerprint_of(ORIGINAL.resize((120, 120))), id="squashed"),
        pytest.param(fingerprint_of(crop(ORIGINAL, 0.05)), id="cropped all around"),
        pytest.param(fingerprint_of(crop(ORIGINAL, 0.05, 1, 1)), id="cropped at left and top"),
        pytest.param(fingerprint_of(crop(ORIGINAL, 0.05, 0.8, 0.1)), id="cropped unevenly"),
        pytest.param(fingerprint_of(enhance(ORIGINAL, 1.15)), id="lighter"),
        pytest.param(fingerprint_of(enhance(ORIGINAL, 0.85)), id="darker"),
        pytest.param(fingerprint_of(ORIGINAL.convert("L").convert("RGB")), id="greyscale"),
        pytest.param(
            fingerprint_of(ORIGINAL.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), id="mirrored"
        ),
        pytest.param(
            fingerprint_of(
                crop(ORIGINAL, 0.05, 0.2, 0.9).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            ),
            id="cropped and mirrored",
        ),
    ],
)
@pytest.mark.parametrize("place", [0, 30], ids=["copy first", "copy last"])
def test_a_copy_is_found(copy, place):
    fingerprints = [*SCENES[:place], copy, *SCENES[place:]]

    original = fingerprints.index(SCENES[3])
    assert find_near_duplicates(fingerprints) == [tuple(sorted((original, place)))]


def test_different_photos_have_no_copies():
    assert find_near_duplicates(SCENES) == []


def test_copies_of_copies_make_one_group():
    second = crop(ORIGINAL, 0.05, 0, 0)
    third = crop(second, 0.05, 0, 0)
    fingerprints = [fingerprint_of(third), *SCENES, fingerprint_of(second)]

    assert find_near_duplicates(fingerprints) == [(0, 4, 31)]


def test_two_things_before_one_background_are_no_copies():
    scenes = []
    for left, top in ((20, 20), (90, 30), (60, 70), (130, 90)):
        image = draw_scene(3)
        ImageDraw.Draw(image).ellipse((left, top, left + 19, top + 14), fill="white")
        scenes.append(fingerprint_of(image))

    assert find_near_duplicates(scenes) == []


def test_something_soft_before_one_background_makes_no_copy():
    rows, columns = np.mgrid[:120, :160]
    shade = 45 * np.exp(-((columns - 90) ** 2 + (rows - 60) ** 2) / (2 * 18**2))
    shaded = np.clip(np.asarray(ORIGINAL) - shade[..., None], 0, 255).astype(np.uint8)

    pair = [SCENES[3], fingerprint_of(Image.fromarray(shaded))]
    assert find_near_duplicates(pair, features=np.ones((2, 4), np.float32)) == []


def test_one_thing_in_two_colours_is_no_copy():
    red, green, blue = ORIGINAL.split()
    light = ORIGINAL.convert("L")
    recoloured = Image.merge("RGB", (green, red, blue))
    # The same light in other colours: what differs is the tint alone.
    hue, saturation, _ = recoloured.convert("HSV").split()
    recoloured = Image.merge("HSV", (hue, saturation, light)).convert("RGB")
    y, cb, cr = ORIGINAL.convert("YCbCr").split()
    swapped = Image.merge("YCbCr", (y, cr, cb)).convert("RGB")

    assert find_near_duplicates([fingerprint_of(ORIGINAL), fingerprint_of(swapped)]) == []
    assert find_near_duplicates([fingerprint_of(ORIGINAL), fingerprint_of(recoloured)]) == []


def test_the_similarity_asked_for_is_the_least():
    pair = [fingerprint_of(ORIGINAL), fingerprint_of(crop(ORIGINAL, 0.05, 0.7, 0.3), 40)]

    assert find_near_duplicates(pair, similarity=0.98) == [(0, 1)]
    assert find_near_duplicates(pair, similarity=0.99999) == []


def test_with_features_a_strong_crop_is_found_too():
    strong = fingerprint_of(crop(ORIGINAL, 0.25, 0.4, 0.6))
    fingerprints = [*SCENES, strong]
    features = np.random.default_rng(0).random((31, 24)).astype(np.float32) ** 4
    features[30] = features[3] * 0.9

    assert find_near_duplicates(fingerprints) == []
    assert find_near_duplicates(fingerprints, features=features) == [(3, 30)]


def test_equal_features_alone_make_no_copies():
    assert find_near_duplicates(SCENES, features=np.ones((30, 8), np.float32)) == []


@pytest.mark.parametrize("num", [0, 1])
def test_fewer_than_two_pictures_have_no_copies(num):
    assert find_near_duplicates(SCENES[:num]) == []


@pytest.mark.parametrize(("features", "total"), [(None, 20), (np.eye(20), 40)])
def test_the_pictures_compared_are_counted(features, total):
    seen = []
    monitor = Monitor(seen.append, report_seconds=0)
    find_near_duplicates(SCENES[:20], features=features, monitor=monitor)
    assert {progress.stage for progress in seen} == {"copies"}
    assert (seen[0].done, seen[0].total) == (0, total)
    assert seen[-1].done == 20  # no two of these features are close, so no pair is looked at


def test_a_stop_is_obeyed():
    with pytest.raises(Stopped):
        find_near_duplicates(SCENES, monitor=Monitor(None, lambda: True))


def pink_fingerprints(num: int) -> list[bytes]:
    """Return fingerprints of random pictures whose frequencies fall off as those of photos."""
    rng = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None]
    fall = np.maximum(np.hypot(rows, columns), 1 / 32) ** -1.2
    spectra = np.fft.rfft2(rng.standard_normal((num, 32, 32))) * fall
    light = np.fft.irfft2(spectra, (32, 32))
    light = 128 + 40 * light / light.std(axis=(1, 2), keepdims=True)
    tints = rng.integers(100, 156, (num, 128))
    values = np.concatenate([light.reshape(num, -1), tints], axis=1).clip(0, 255).astype(np.uint8)
    return [row.tobytes() for row in values]


@pytest.fixture
def work(monkeypatch):
    """Count the hashes that are compared, and the pictures that are laid over one another."""
    counts = {"hashes": 0, "pictures": 0}
    bitwise_count, align = np.bitwise_count, search.align

    def count_hashes(differences):
        counts["hashes"] += differences.size
        return bitwise_count(differences)

    def count_pictures(first, second, boxes):
        counts["pictures"] += len(first)
        return align(first, second, boxes)

    monkeypatch.setattr(np, "bitwise_count", count_hashes)
    monkeypatch.setattr(search, "align", count_pictures)
    return counts


def test_only_a_fraction_of_all_pairs_is_compared(work):
    num = 4000
    num_pairs = num * (num - 1) / 2
    assert find_near_duplicates(pink_fingerprints(num)) == []
    assert num < work["hashes"] < num_pairs / 4  # each picture in dozens of windows, mirrored too
    assert work["pictures"] < num / 10


def test_a_crowd_of_copies_becomes_one_group_without_comparing_all_with_all(work):
    rng = np.random.default_rng(0)
    values = np.frombuffer(SCENES[0], np.uint8)
    crowd = [
        np.clip(values + rng.normal(0, 2, len(values)), 0, 255).astype(np.uint8).tobytes()
        for _ in range(400)
    ]
    assert find_near_duplicates(crowd) == [tuple(range(400))]
    num_pairs = 400 * 399 / 2
    assert 400 <= work["pictures"] < num_pairs / 10
    assert work["hashes"] <= 400 * search._MAX_LOOKUPS
