"""The measured strength of augmentation: gentle and violent settings, told apart on tiny data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_core.analysis.augment_effect import (
    ALL_TOGETHER,
    _effect,
    _Scale,
    _spread,
    active_transforms,
    measure_augment_effect,
)
from tl_core.config.training import AugmentConfig
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.features.extract import FeatureSpec


@pytest.fixture
def colours(tmp_path: Path) -> DatasetIndex:
    """Six red and six blue images; only their colour says which class they are."""
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 60, (32, 32, 3)).astype(np.uint8)
            pixels[..., channel] = rng.integers(180, 255, (32, 32))
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{number}.png")
    return scan_dataset(tmp_path / "colours")


def spec(**augment: object) -> FeatureSpec:
    return FeatureSpec("tiny", (32, 32), augment=AugmentConfig().updated(**augment))


def test_flipping_noise_is_gentle_and_turning_colours_into_each_other_is_not(
    colours, tmp_path
) -> None:
    effects = measure_augment_effect(
        colours, spec(horizontal_flip=True, hue=0.5), cache_dir=tmp_path / "cache"
    )
    by_name = {effect.transform: effect for effect in effects}
    assert list(by_name) == ["horizontal_flip", "hue", ALL_TOGETHER]
    assert not by_name["horizontal_flip"].is_too_strong
    assert by_name["horizontal_flip"].flips == 0
    assert by_name["hue"].is_too_strong
    assert by_name["hue"].shift > 2 * by_name["horizontal_flip"].shift
    assert by_name["hue"].num_views == 36  # 3 views of 12 photos


def test_nothing_is_measured_when_nothing_is_on(colours, tmp_path) -> None:
    assert measure_augment_effect(colours, spec(fill="edge"), cache_dir=tmp_path) == ()
    assert active_transforms(AugmentConfig(rotation=5, blur=1)) == ("rotation", "blur")


def test_shift_and_flips_are_what_they_are_by_hand() -> None:
    plain = np.array([[0.0, 0.0], [0.0, 1.0], [10.0, 0.0], [10.0, 1.0]])
    labels = np.array([0, 0, 1, 1])
    scale = _Scale.of(plain, labels)
    assert scale.same == pytest.approx(1.0)
    assert scale.other == pytest.approx((10 + 10 + 2 * np.sqrt(101)) / 4)
    steps = np.array([[0.0, 0.0], [3.0, 4.0], [-9.0, 0.0], [0.0, 0.0]])  # 0, 5, 9 and 0 long
    moved = plain + steps
    effect = _effect("zoom", np.stack([plain, moved]), labels, scale, None)
    assert effect.shift == pytest.approx((0 + 5 + 9 + 0) / 4 / scale.other)
    assert effect.flips == pytest.approx(1 / 4)  # only the third lands nearer to the other class
    head = {  # answers the second class where the first coordinate is above 2
        "predictions/kernel": np.array([[0.0, 1.0], [0.0, 0.0]], np.float32),
        "predictions/bias": np.array([2.0, 0.0], np.float32),
    }
    by_head = _effect("zoom", np.stack([plain, moved]), labels, scale, head)
    assert by_head.flips == pytest.approx(2 / 4)  # the second and the third cross it


def test_of_very_many_classes_as_many_take_part_as_have_two_photos_each() -> None:
    labels = np.repeat(np.arange(100), 5)
    chosen = labels[_spread(labels, 24)]
    classes, counts = np.unique(chosen, return_counts=True)
    assert len(classes) == 12
    assert (counts == 2).all()
    assert (classes[0], classes[-1]) == (0, 99)
    assert len(np.unique(labels[_spread(labels, 400)])) == 100
