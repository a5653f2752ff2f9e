"""The one resample: where pixels go, and what shows beyond the edges, by hand-made values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tl_core.data.augmentation.affine import Fill, Linear, warp

EYE = ((1.0, 0.0), (0.0, 1.0))


def ramp(height: int = 4, width: int = 6) -> np.ndarray:
    """Each pixel its own value: 10 times the row plus the column."""
    values = 10 * np.arange(height)[:, None] + np.arange(width)
    return values.astype(np.uint8)[..., None].repeat(3, axis=2)


def warped(
    image: np.ndarray, linear: Linear, shift: tuple[float, float], fill: Fill = "reflect"
) -> list[list[int]]:
    result = np.asarray(warp(Image.fromarray(image), linear, shift, fill))
    assert result.shape == image.shape
    return result[..., 1].tolist()


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("reflect", [1, 0, 0, 1, 2, 3]),
        ("edge", [0, 0, 0, 1, 2, 3]),
        ("black", [0, 0, 0, 1, 2, 3]),
    ],
)
def test_a_shift_to_the_right_shows_its_fill_on_the_left(fill: Fill, expected: list[int]) -> None:
    assert warped(ramp(1), EYE, (2, 0), fill)[0] == expected


@pytest.mark.parametrize(
    ("fill", "expected"),
    [("reflect", [2, 3, 4, 5, 5, 4]), ("edge", [2, 3, 4, 5, 5, 5]), ("black", [2, 3, 4, 5, 0, 0])],
)
def test_a_shift_to_the_left_shows_its_fill_on_the_right(fill: Fill, expected: list[int]) -> None:
    assert warped(ramp(1), EYE, (-2, 0), fill)[0] == expected


@pytest.mark.parametrize(
    ("fill", "shift", "expected"),
    [
        ("reflect", 2, [10, 0, 0, 10]),
        ("reflect", -2, [20, 30, 30, 20]),
        ("edge", 2, [0, 0, 0, 10]),
        ("edge", -2, [20, 30, 30, 30]),
        ("black", -2, [20, 30, 0, 0]),
    ],
)
def test_a_shift_down_or_up_shows_its_fill(fill: Fill, shift: int, expected: list[int]) -> None:
    assert [row[0] for row in warped(ramp(), EYE, (0, shift), fill)] == expected


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = np.array([[[0] * 3, [100] * 3, [200] * 3, [200] * 3]], np.uint8)
    assert warped(image, EYE, (0.5, 0))[0] == [0, 50, 150, 200]
    assert warped(image, EYE, (1.5, 0))[0] == [50, 0, 50, 150]


def test_the_fill_reaches_the_edge_where_the_content_is_enlarged() -> None:
    # The last pixel's centre lies 0.75 outside: three quarters of the first mirrored pixel, which
    # is 0, and a quarter of the second, which is 100.
    row = np.array([[[0] * 3, [100] * 3, [100] * 3, [0] * 3]], np.uint8)
    double = ((2.0, 0.0), (0.0, 2.0))
    for shift in (4, -4):
        assert warped(row, double, (shift, 0))[0] == [25, 0, 0, 25]
        column = warped(row.transpose(1, 0, 2), double, (0, shift))
        assert [value for [value] in column] == [25, 0, 0, 25]


def test_a_mirrored_margin_wider_than_the_picture_repeats_it() -> None:
    # The period is 12: 0..5 and back. A shift of 14 to the right shows the columns -14..-9.
    assert warped(ramp(1), EYE, (14, 0))[0] == [1, 0, 0, 1, 2, 3]
    assert warped(ramp(1), EYE, (-14, 0))[0] == [2, 3, 4, 5, 5, 4]
    assert warped(ramp(1), EYE, (-9, 0))[0] == [2, 1, 0, 0, 1, 2]


def test_corners_are_mirrored_both_ways() -> None:
    assert warped(ramp(), EYE, (1, 1))[0][0] == 0
    assert warped(ramp(), EYE, (2, 2))[0][0] == 11


def test_a_quarter_turn_is_exact() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    turn = ((0.0, 1.0), (-1.0, 0.0))
    assert warped(image, turn, (0, 0)) == np.rot90(image)[..., 1].tolist()


def test_shrinking_to_a_third_averages_nine_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (18, 18, 3), np.uint8)
    mean = image[..., 1].reshape(6, 3, 6, 3).mean(axis=(1, 3))
    result = np.array(warped(image, ((1 / 3, 0.0), (0.0, 1 / 3)), (0, 0)))[6:12, 6:12]
    assert np.abs(result - mean).max() <= 1


def test_shrinking_is_right_along_both_sides_of_a_picture_that_does_not_divide() -> None:
    image = (
        np.arange(0, 180, 10, dtype=np.uint8)[:, None, None].repeat(31, axis=1).repeat(3, axis=2)
    )
    rows = np.array(warped(image, ((1 / 3, 0.0), (0.0, 1 / 3)), (0, 0)))[6:12, 15]
    assert rows.tolist() == [10, 40, 70, 100, 130, 160]


def reference(
    image: np.ndarray, linear: Linear, shift: tuple[float, float], fill: Fill
) -> np.ndarray:
    """The same map written out: every pixel from its four neighbours, wherever they are."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    away = np.stack([x - width / 2 - shift[0], y - height / 2 - shift[1]])
    x, y = np.einsum("ij,jhw->ihw", np.linalg.inv(linear), away)
    x, y = x + width / 2 - 0.5, y + height / 2 - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)

    def pixels(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        inside = []
        for place, size in ((rows, height), (columns, width)):
            if fill == "edge":
                inside.append(place.clip(0, size - 1))
            else:
                around = place % (2 * size)
                inside.append(np.minimum(around, 2 * size - 1 - around))
        return image[inside[0], inside[1], 1].astype(float)

    right, down = x - left, y - top
    upper = pixels(top, left) * (1 - right) + pixels(top, left + 1) * right
    lower = pixels(top + 1, left) * (1 - right) + pixels(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


@settings(max_examples=150, deadline=None)
@given(
    angle=st.floats(-180, 180),
    slant=st.floats(-1, 1),
    scale=st.floats(0.55, 2),
    mirror=st.sampled_from([-1, 1]),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    fill=st.sampled_from(["reflect", "edge"]),
)
def test_any_map_agrees_with_the_same_map_written_out(
    angle: float,
    slant: float,
    scale: float,
    mirror: int,
    shift: tuple[float, float],
    fill: Fill,
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 37, 3), np.uint8)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rotation, flip = [[cos, sin], [-sin, cos]], [[mirror, 0], [0, 1]]
    (a, b), (c, d) = (scale * np.array([[1, slant], [0, 1]]) @ rotation @ flip).tolist()
    result = np.array(warped(image, ((a, b), (c, d)), shift, fill))
    difference = np.abs(result - reference(image, ((a, b), (c, d)), shift, fill))
    assert difference.max() < 1.01  # Pillow cuts fractions off


def test_a_turn_of_45_degrees_fills_the_corners() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    cos = math.cos(math.pi / 4)
    turn = ((cos, cos), (-cos, cos))
    assert np.array(warped(image, turn, (0, 0), "reflect")).min() == 200
    assert np.array(warped(image, turn, (0, 0), "edge")).min() == 200
    black = np.array(warped(image, turn, (0, 0), "black"))
    assert black[0, 0] == black[-1, -1] == black[0, -1] == 0
    assert black[10, 10] == 200
