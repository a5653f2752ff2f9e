"""Augmentation: each transform against values worked out by hand, and its draws."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig
from tl_core.data.augmentation.augment import TRANSFORMS, TWO_SIDED, augment, augment_view
from tl_core.data.augmentation.preview import strength_strip
from tl_core.errors import ConfigError

SHA = "5" * 64


def noise_image(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def flat_image(*rgb: int) -> np.ndarray:
    return np.full((8, 8, 3), rgb, np.uint8)


def at_most(transform: str, image: np.ndarray, strength: float, **options: object) -> np.ndarray:
    """The image with one transform at exactly this strength."""
    return strength_strip(image, transform, 2, strongest=strength, **options)[-1][1]  # type: ignore[arg-type]


def assert_near(received: np.ndarray, expected: np.ndarray, tolerance: int = 1) -> None:
    difference = np.abs(received.astype(int) - expected.astype(int))
    assert difference.max() <= tolerance


def test_no_transform_returns_the_pixels_as_they_are() -> None:
    image = noise_image()
    for config in (AugmentConfig(), AugmentConfig(fill="black")):
        np.testing.assert_array_equal(augment(image, config, np.random.default_rng(1)), image)


def test_view_0_is_the_image_as_it_is_under_every_preset() -> None:
    image = noise_image()
    for config in AUGMENT_PRESETS.values():
        np.testing.assert_array_equal(augment_view(image, config, SHA, 0, 0), image)


def test_flips_alone_move_pixels_without_changing_one() -> None:
    image = noise_image()
    config = AugmentConfig(horizontal_flip=True, vertical_flip=True)
    possible = {
        "neither": image,
        "left-right": image[:, ::-1],
        "upside down": image[::-1],
        "both": image[::-1, ::-1],
    }
    seen = set()
    for view in range(1, 40):
        result = augment_view(image, config, SHA, view, 0)
        seen |= {name for name, pixels in possible.items() if np.array_equal(result, pixels)}
        assert any(np.array_equal(result, pixels) for pixels in possible.values())
    assert seen == set(possible)


def test_views_are_the_same_in_every_process_and_on_every_machine() -> None:
    image = noise_image()
    config = AugmentConfig(horizontal_flip=True)
    flipped = [
        np.array_equal(augment_view(image, config, SHA, view, 7), image[:, ::-1])
        for view in range(1, 17)
    ]
    assert "".join("01"[value] for value in flipped) == "1101111001011001"


@pytest.mark.parametrize(
    "other",
    [("6" * 64, 1, 0), (SHA, 2, 0), (SHA, 1, 1)],
    ids=["other content", "other view", "other seed"],
)
def test_a_view_depends_on(other: tuple[str, int, int]) -> None:
    image, config = noise_image(), AUGMENT_PRESETS["photo"]
    first = augment_view(image, config, SHA, 1, 0)
    np.testing.assert_array_equal(first, augment_view(image, config, SHA, 1, 0))
    assert not np.array_equal(first, augment_view(image, config, *other))


def test_rotation_turns_counter_clockwise_about_the_centre() -> None:
    image = noise_image(40, 40)
    assert_near(at_most("rotation", image, 90), np.rot90(image))
    assert_near(at_most("rotation", image, 90, direction=-1), np.rot90(image, -1))


def test_flips_come_before_the_other_moves() -> None:
    image = noise_image()
    flips = AugmentConfig(horizontal_flip=True, vertical_flip=True)
    moves = AugmentConfig(rotation=50, shear=20, zoom=0.2, shift=0.1)
    both = AugmentConfig.create({**moves.model_dump(), **flips.model_dump(exclude_defaults=True)})
    for view in range(1, 9):
        flipped = augment_view(image, flips, SHA, view, 0)
        moved = augment_view(flipped, moves, SHA, view, 0)
        assert_near(augment_view(image, both, SHA, view, 0), moved)


def test_shift_moves_right_and_down_and_mirrors_what_was_left() -> None:
    image = noise_image(40, 60)
    result = at_most("shift", image, 0.5)
    assert_near(result[20:, 30:], image[:20, :30])
    assert_near(result[20:, :30], image[:20, 29::-1])
    assert_near(result[:20, 30:], image[19::-1, :30])


@pytest.mark.parametrize(
    ("fill", "expected_column"), [("edge", 0), ("black", None)], ids=["edge", "black"]
)
def test_what_a_shift_leaves_is_filled_with(fill: str, expected_column: int | None) -> None:
    image = noise_image(40, 60)
    result = at_most("shift", image, 0.5, fill=fill)
    assert_near(result[20:, 30:], image[:20, :30])
    left = np.zeros((20, 30, 3)) if expected_column is None else image[:20, :1].repeat(30, axis=1)
    assert_near(result[20:, :30], left)


def test_zoom_out_to_half_averages_pixels_and_mirrors_around() -> None:
    image = noise_image(40, 40)
    half = image.reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    result = at_most("zoom", image, 0.5, direction=-1)
    assert_near(result[10:30, 10:30], half)
    assert_near(result[10:30, :10], half[:, 9::-1])
    assert_near(result[30:, 10:30], half[:9:-1])


def test_a_zoom_out_far_below_half_repeats_the_mirrored_picture() -> None:
    image = noise_image(60, 60)
    result = at_most("zoom", image, 0.9, direction=-1)
    tile = image.reshape(6, 10, 6, 10, 3).mean(axis=(1, 3))
    assert_near(result[27:33, 27:33], tile)
    assert_near(result[27:33, 33:39], tile[:, ::-1])
    assert_near(result[27:33, 39:45], tile)
    assert_near(result[39:45, 27:33], tile)


def test_zoom_in_enlarges_the_centre() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    image[30:50, 30:50] = 255
    bright = at_most("zoom", image, 0.5)[..., 0] > 127
    assert bright.sum() == 30 * 30
    assert bright[25:55, 25:55].all()


def test_shear_slants_the_foot_to_the_right() -> None:
    image = np.zeros((81, 81, 3), np.uint8)
    image[:, 40] = 255
    result = at_most("shear", image, 45, fill="black")[..., 0]
    assert [int(result[row].argmax()) for row in (10, 40, 70)] == [10, 40, 70]


def test_brightness_multiplies() -> None:
    image = flat_image(10, 100, 200)
    assert_near(at_most("brightness", image, 0.5), flat_image(15, 150, 255), 0)
    assert_near(at_most("brightness", image, 0.5, direction=-1), flat_image(5, 50, 100), 0)


def test_contrast_spreads_about_the_images_own_mean_grey() -> None:
    image = np.concatenate([flat_image(60, 60, 60), flat_image(100, 100, 100)])
    expected = np.concatenate([flat_image(50, 50, 50), flat_image(110, 110, 110)])
    assert_near(at_most("contrast", image, 0.5), expected, 0)
    grey = np.concatenate([flat_image(80, 80, 80)] * 2)
    assert_near(at_most("contrast", image, 1, direction=-1), grey, 0)


def test_no_saturation_leaves_the_grey_of_each_pixel() -> None:
    grey = round(0.299 * 200 + 0.587 * 50 + 0.114 * 10)
    result = at_most("saturation", flat_image(200, 50, 10), 1, direction=-1)
    assert_near(result, flat_image(grey, grey, grey))


def test_half_a_turn_of_hue_inverts_colour_and_keeps_grey() -> None:
    y, i, q = colorsys.rgb_to_yiq(0.6, 0.4, 0.4)
    expected = [round(255 * value) for value in colorsys.yiq_to_rgb(y, -i, -q)]
    assert_near(at_most("hue", flat_image(153, 102, 102), 0.5), flat_image(*expected), 2)
    assert_near(at_most("hue", flat_image(90, 90, 90), 0.5), flat_image(90, 90, 90), 0)


def test_a_little_hue_turns_red_towards_yellow() -> None:
    _, green, blue = at_most("hue", flat_image(150, 50, 50), 0.08)[0, 0]
    assert green > 60 > blue


def test_blur_smooths_and_keeps_the_mean() -> None:
    image = noise_image()
    result = at_most("blur", image, 2)
    assert result.std() < image.std() / 4
    assert abs(result.mean() - image.mean()) < 2


def test_erasing_overwrites_that_part_of_the_area_and_nothing_else() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    erased = at_most("erasing", image, 0.25).any(axis=2)
    assert erased[15:45, 15:45].mean() > 0.99
    assert erased.sum() == erased[15:45, 15:45].sum()


def test_the_given_image_is_never_written_to() -> None:
    image = noise_image()
    before = image.copy()
    everything = AugmentConfig(
        **{name: True if "flip" in name else 0.4 for name in TRANSFORMS}  # type: ignore[arg-type]
    )
    augment_view(image, everything, SHA, 1, 0)
    augment_view(image, AugmentConfig(erasing=0.5), SHA, 1, 0)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("other", [name for name in TRANSFORMS if name != "shift"])
def test_switching_one_transform_leaves_what_shift_draws(other: str) -> None:
    """The black margins that a shift leaves show its draw whatever else is on, if faintly."""
    image = np.full((64, 64, 3), 128, np.uint8)
    faint = True if "flip" in other else 0.001
    alone = AugmentConfig(shift=0.4, fill="black")
    both = AugmentConfig.create({"shift": 0.4, "fill": "black", other: faint})
    for view in range(1, 8):
        without = augment_view(image, alone, SHA, view, 0)[..., 0] > 64
        with_other = augment_view(image, both, SHA, view, 0)[..., 0] > 64
        assert (without != with_other).mean() < 0.02


def test_switching_on_hue_leaves_what_erasing_draws() -> None:
    image = noise_image()
    for view in range(1, 5):
        without = augment_view(image, AugmentConfig(erasing=0.3), SHA, view, 0)
        with_hue = augment_view(image, AugmentConfig(erasing=0.3, hue=0.2), SHA, view, 0)
        patch = (without != image).any(axis=2)
        np.testing.assert_array_equal(without[patch], with_hue[patch])


def test_a_strip_runs_from_the_image_as_it_is_to_the_strongest() -> None:
    image = noise_image()
    strip = strength_strip(image, "rotation", 4, strongest=30)
    assert [strength for strength, _ in strip] == [0, 10, 20, 30]
    np.testing.assert_array_equal(strip[0][1], image)
    changes = [np.abs(pixels.astype(int) - image).mean() for _, pixels in strip]
    assert 0 == changes[0] < changes[1]
    again = strength_strip(image, "rotation", 4, strongest=30)
    np.testing.assert_array_equal(strip[3][1], again[3][1])


@pytest.mark.parametrize(
    ("also", "expected"),
    [(15, [0, 15, 60, 120, 180]), (45, [0, 45, 90, 135, 180]), (0, [0, 45, 90, 135, 180])],
    ids=["between", "a step itself", "off"],
)
def test_a_strip_can_have_the_strength_that_is_set_among_its_steps(also, expected) -> None:
    image = noise_image()
    strip = strength_strip(image, "rotation", 5, also=also)
    assert [strength for strength, _ in strip] == pytest.approx(expected)
    np.testing.assert_array_equal(dict(strip)[also], at_most("rotation", image, also))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_two_sided_transform_has_another_strip_to_the_other_side(transform: str) -> None:
    image = noise_image()
    ends = [at_most(transform, image, 0.3, direction=side) for side in (1, -1)]
    assert np.array_equal(*ends) == (transform not in TWO_SIDED)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_has_a_strip_whose_end_differs(transform: str) -> None:
    image = noise_image()
    strip = strength_strip(image, transform)
    assert len(strip) == (2 if "flip" in transform else 7)
    assert not np.array_equal(strip[-1][1], image)


def test_a_flip_strip_is_the_image_and_its_mirror() -> None:
    image = noise_image()
    np.testing.assert_array_equal(strength_strip(image, "vertical_flip")[1][1], image[::-1])


def test_an_unknown_transform_is_named_with_the_nearest_known() -> None:
    with pytest.raises(ConfigError, match=r"'rotate'.*Did you mean 'rotation'"):
        strength_strip(noise_image(), "rotate")


def test_a_strip_beyond_the_settings_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="rotation"):
        strength_strip(noise_image(), "rotation", strongest=400)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(32, 70), st.integers(32, 70)),
    strength=st.floats(0, 1),
    fill=st.sampled_from(["reflect", "edge", "black"]),
    view=st.integers(1, 1000),
    on=st.sets(st.sampled_from(TRANSFORMS)),
)
def test_any_setting_gives_an_image_of_the_same_shape(
    shape: tuple[int, int], strength: float, fill: str, view: int, on: set[str]
) -> None:
    limits = {"rotation": 180, "zoom": 0.9, "shift": 0.5, "shear": 45, "hue": 0.5, "blur": 5}
    limits["erasing"] = 0.5
    values = {
        name: strength > 0.5 if "flip" in name else strength * limits.get(name, 1) for name in on
    }
    config = AugmentConfig.create({**values, "fill": fill})
    result = augment_view(noise_image(*shape), config, SHA, view, 0)
    assert result.shape == (*shape, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
