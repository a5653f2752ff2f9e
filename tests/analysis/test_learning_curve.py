"""The learning curve: measured on nested parts, fitted by a law whose values are known here."""

from __future__ import annotations

import numpy as np
import pytest

from tl_core.analysis.learning_curve import (
    CurvePoint,
    LearningCurve,
    _fit,
    _hold_out,
    learning_curve,
)
from tl_core.errors import DatasetError, Stopped
from tl_core.progress import Monitor


def clouds(num_per_class: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], num_per_class)
    features = rng.normal(size=(2 * num_per_class, 20)).astype(np.float32)
    features[:, 0] += distance * labels
    return features, labels


def test_the_fit_finds_the_law_that_made_the_points() -> None:
    sizes = (20, 40, 80, 160, 320)
    points = [CurvePoint(size, (1 - (0.05 + 2.0 * size**-0.7),)) for size in sizes]
    assert _fit(points) == pytest.approx((0.05, 2.0, 0.7), rel=0.05)
    curve = LearningCurve(tuple(points), 0.05, 2.0, 0.7)
    assert curve.accuracy_at(640) == pytest.approx(0.95 - 2.0 * 640**-0.7)
    assert curve.gain() == pytest.approx(2.0 * (320**-0.7 - 640**-0.7))


def test_a_curve_that_falls_is_taken_as_flat_for_more_data_does_no_harm() -> None:
    points = [CurvePoint(10, (0.9,)), CurvePoint(20, (0.85,)), CurvePoint(40, (0.8,))]
    curve = LearningCurve(tuple(points), *_fit(points))
    assert curve.gain() == pytest.approx(0, abs=1e-9)
    assert curve.accuracy_at(40) == pytest.approx(0.85)


def test_points_grow_stratified_up_to_three_quarters_of_the_images() -> None:
    features, labels = clouds(80, 3.0)
    curve = learning_curve(features, labels)
    assert [point.num_images for point in curve.points] == [12, 24, 42, 72, 120]
    assert all(len(point.accuracies) == 3 for point in curve.points)
    assert curve.points[-1].mean > 0.9 > curve.points[0].mean
    low, high = curve.points[0].spread
    assert low <= curve.points[0].mean <= high


def test_noise_stays_at_chance_and_promises_nothing() -> None:
    features, labels = clouds(80, 0.0)
    curve = learning_curve(features, labels)
    assert 0.3 < curve.points[-1].mean < 0.7
    assert curve.gain() < 0.1


def test_copies_are_held_out_together_so_that_doubled_noise_is_still_noise() -> None:
    features = np.random.default_rng(0).normal(size=(160, 300)).astype(np.float32)
    labels = np.repeat([0, 1], 80)
    twice, both = np.concatenate([features, features]), np.concatenate([labels, labels])
    apart = learning_curve(twice, both)
    assert apart.points[-1].mean > 0.7  # what not knowing the copies would promise
    curve = learning_curve(twice, both, groups=np.tile(np.arange(160), 2))
    assert 0.3 < curve.points[-1].mean < 0.6
    assert [point.num_images for point in curve.points] == [24, 48, 84, 144, 240]


def test_every_point_has_all_repeats_though_groups_of_copies_differ_in_size() -> None:
    features, labels = clouds(40, 1.0)
    groups = np.concatenate([np.repeat([0, 1, 2], 7), np.arange(100, 159)])
    curve = learning_curve(features, labels, groups=groups)
    assert [len(point.accuracies) for point in curve.points] == [3] * 5


def test_a_picture_in_two_classes_is_on_one_side() -> None:
    labels = np.repeat([0, 1], 12)
    groups = np.concatenate([np.arange(12), np.arange(6), np.arange(20, 26)])
    for seed in range(20):
        order, held_out = _hold_out(labels, groups, np.random.default_rng(seed))
        trained = np.concatenate(order)
        assert set(groups[trained]).isdisjoint(groups[held_out])
        assert sorted([*trained, *held_out]) == list(range(24))
        assert np.bincount(labels[held_out], minlength=2).min() >= 3


def test_a_small_class_of_pictures_that_another_has_too_is_trained_on_and_held_out() -> None:
    labels = np.repeat([0, 1], [60, 4])
    groups = np.concatenate([np.arange(60), np.arange(4)])
    for seed in range(300):
        order, held_out = _hold_out(labels, groups, np.random.default_rng(seed))
        assert np.bincount(labels[np.concatenate(order)])[1] == 3
        assert np.bincount(labels[held_out]).tolist() == [15, 1]


def test_the_same_seed_gives_the_same_curve() -> None:
    features, labels = clouds(20, 1.0)
    assert learning_curve(features, labels) == learning_curve(features, labels)
    assert learning_curve(features, labels, seed=1) != learning_curve(features, labels)


def test_too_small_a_class_and_a_stop_are_said() -> None:
    features, labels = clouds(3, 1.0)
    with pytest.raises(DatasetError, match="found 3"):
        learning_curve(features, labels)
    features, labels = clouds(6, 1.0)
    with pytest.raises(DatasetError, match=r"4 different images .* found 3"):
        learning_curve(features, labels, groups=np.arange(12) // 2)
    features, labels = clouds(10, 1.0)
    with pytest.raises(Stopped):
        learning_curve(features, labels, monitor=Monitor(None, lambda: True))
