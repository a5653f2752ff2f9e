"""Laying one picture over another finds the crop, and detail tells copies from look-alikes."""

from __future__ import annotations

import numpy as np
import pytest
from made_photos import draw_scene

from tl_core.data.near_duplicates.perceptual_hash import make_fingerprint, read_fingerprints
from tl_core.data.near_duplicates.registration import (
    align,
    contrast_ratio,
    cut_out,
    detail_similarity,
    worst_difference,
)

BOX = np.array([[0.06, 0.98, 0.02, 0.95]], np.float32)
WHOLE = np.array([[0, 1, 0, 1]], np.float32)
START = np.array([[0.03, 0.97, 0.03, 0.97]], np.float32)


def light_of(*images) -> np.ndarray:
    return read_fingerprints([make_fingerprint(image) for image in images])[0].astype(np.float32)


def cropped(seed: int) -> tuple[np.ndarray, np.ndarray]:
    scene = draw_scene(seed, (500, 500))
    top, bottom, left, right = (BOX[0] * 500).astype(int)
    lights = light_of(scene, scene.crop((left, top, right, bottom)))
    return lights[:1], lights[1:]


def test_the_box_that_was_cropped_to_is_found():
    first, second = cropped(1)

    assert np.abs(align(first, second, START) - BOX).max() < 0.01


@pytest.mark.parametrize("contrast", [0.3, 1.8])
def test_brightness_and_contrast_do_not_disturb_it(contrast):
    first, second = cropped(1)
    changed = 60 + contrast * second

    found = align(first, changed, START)
    assert np.abs(found - BOX).max() < 0.004
    assert abs(contrast_ratio(cut_out(first, found), changed)[0] / contrast - 1) < 0.05


def test_a_whole_picture_is_cut_out_as_it_is():
    first, _ = cropped(1)

    assert np.allclose(cut_out(first, WHOLE), first, atol=1e-3)


def test_detail_is_alike_in_copies_only():
    first, second = cropped(1)
    other, _ = cropped(2)

    assert detail_similarity(cut_out(first, BOX), second)[0] > 0.98
    assert detail_similarity(first, other)[0] < 0.5
    assert abs(detail_similarity(first, 20 + 0.8 * first)[0] - 1) < 1e-5
    assert abs(detail_similarity(first, 255 - first)[0] + 1) < 1e-5


def test_shared_coarse_shapes_are_no_detail():
    coarse, _ = cropped(1)
    coarse = _coarse(coarse)
    grain = np.random.default_rng(0).normal(0, 6, (2, 1, 32, 32))
    one, other = (coarse + detail for detail in grain)

    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8
    assert detail_similarity(one, other)[0] < 0.5


def _coarse(light: np.ndarray) -> np.ndarray:
    """Keep the mean of each quarter of a side."""
    means = light.reshape(1, 4, 8, 4, 8).mean(axis=(2, 4))
    places = (np.arange(32) - 3.5) / 8
    ramp = np.array([np.interp(places, np.arange(4), row) for row in np.eye(4)])
    return np.einsum("nab,ai,bj->nij", means, ramp, ramp)


def test_one_changed_spot_is_seen():
    first, _ = cropped(1)
    changed = first.copy()
    changed[:, 10:14, 18:22] = 255 - changed[:, 10:14, 18:22]

    assert worst_difference(first, 30 + 0.8 * first)[0] < 0.01
    assert worst_difference(first, changed)[0] > 0.5


def test_even_surfaces_divide_nothing_by_zero():
    even = np.full((1, 32, 32), 90, np.float32)

    with np.errstate(all="raise"):
        boxes = align(even, even, WHOLE)
        assert detail_similarity(even, even)[0] == 0
        assert worst_difference(even, even)[0] == 0
    assert np.isfinite(boxes).all()
