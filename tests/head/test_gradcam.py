import numpy as np
import pytest

from tl_core.head.gradcam import (
    class_activation,
    find_pooling,
    map_gradient,
    pool_map,
    score_gradient,
)

ROWS, COLUMNS, DIM, NUM_CLASSES = 3, 4, 6, 3


def made_head(fc_layers, dim=DIM, seed=0):
    """Return random weights of a head."""
    rng = np.random.default_rng(seed)
    widths, weights = [dim, *fc_layers, NUM_CLASSES], {}
    names = [*(f"fc_{number}" for number in range(len(fc_layers))), "predictions"]
    for name, inputs, outputs in zip(names, widths[:-1], widths[1:], strict=True):
        weights[f"{name}/kernel"] = rng.normal(size=(inputs, outputs)).astype(np.float32)
        weights[f"{name}/bias"] = rng.normal(size=outputs).astype(np.float32)
    return weights


def score(weights, features, label):
    """Return a class's score before the softmax, written out."""
    x = features.astype(np.float64)
    for number in range(len(weights) // 2 - 1):
        x = np.maximum(x @ weights[f"fc_{number}/kernel"] + weights[f"fc_{number}/bias"], 0)
    return (x @ weights["predictions/kernel"] + weights["predictions/bias"])[label]


def made_map(seed=1):
    return np.random.default_rng(seed).random((ROWS, COLUMNS, DIM)).astype(np.float32)


@pytest.mark.parametrize("fc_layers", [(), (8,), (8, 5)], ids=["none", "one", "two"])
@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_the_gradient_at_the_map_is_the_measured_slope(pooling, fc_layers):
    feature_map = made_map()
    weights = made_head(fc_layers, dim=ROWS * COLUMNS * DIM if pooling == "flatten" else DIM)
    gradient = score_gradient(weights, pool_map(feature_map, pooling), label=1)
    at_map = map_gradient(feature_map, gradient, pooling)
    measured = np.zeros(feature_map.shape)
    step = 1e-5
    for place in np.ndindex(feature_map.shape):
        ends = []
        for sign in (-1, 1):
            moved = feature_map.astype(np.float64)
            moved[place] += sign * step
            ends.append(score(weights, pool_map(moved, pooling), 1))
        measured[place] = (ends[1] - ends[0]) / (2 * step)
    np.testing.assert_allclose(at_map, measured, atol=1e-5)


def test_max_pooling_shares_the_gradient_among_equal_places():
    feature_map = np.zeros((2, 2, 1), np.float32)
    feature_map[0, 0] = feature_map[1, 1] = 5
    at_map = map_gradient(feature_map, np.array([6.0]), "max")
    assert at_map[..., 0].tolist() == [[3, 0], [0, 3]]


def test_grad_cam_is_the_weighted_map_without_what_speaks_against():
    feature_map = np.zeros((1, 3, 2), np.float32)
    feature_map[0, 0, 0] = 2  # for the class
    feature_map[0, 1, 1] = 3  # against it
    feature_map[0, 2] = (2, 1)
    gradient = np.broadcast_to([1.0, -1.0], feature_map.shape)
    assert class_activation(feature_map, gradient).tolist() == [[2, 0, 1]]


def test_grad_cam_plus_plus_follows_the_papers_formula():
    feature_map, rng = made_map(), np.random.default_rng(7)
    gradient = rng.normal(size=feature_map.shape)
    expected = np.zeros((ROWS, COLUMNS))
    for channel in range(DIM):
        total, weight = feature_map[..., channel].sum(), 0.0
        for row in range(ROWS):
            for column in range(COLUMNS):
                slope = gradient[row, column, channel]
                alpha = slope**2 / (2 * slope**2 + total * slope**3)
                weight += alpha * max(slope, 0)
        expected += weight * feature_map[..., channel]
    heat = class_activation(feature_map, gradient, "grad_cam++")
    np.testing.assert_allclose(heat, np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam++"])
def test_a_class_that_nothing_speaks_for_has_no_heat(method):
    feature_map = made_map()
    heat = class_activation(feature_map, np.zeros(feature_map.shape), method)
    assert heat.tolist() == np.zeros((ROWS, COLUMNS)).tolist()


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_the_pooling_is_found_by_what_it_gives(pooling):
    feature_map = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    features = {"avg": [5, 6], "max": [10, 11], "flatten": list(range(12))}[pooling]
    assert find_pooling(feature_map, np.array(features, np.float32)) == pooling
    assert find_pooling(feature_map, np.array(features, np.float32) + 1) is None
