"""Heat maps and "none of these" in the page are those of the app."""

import numpy as np
import pytest

from tl_core.export.web.folder import quantize_rows
from tl_core.head.gradcam import class_activation, map_gradient, pool_map, score_gradient
from tl_core.head.out_of_distribution import OODDetector, Scores, Thresholds
from tl_core.inference.explain import spread_heat
from tl_core.inference.rejection import why_none_of_these
from tl_core.metrics.nearest import unit_rows

pytestmark = pytest.mark.browser


def weights_and_layers(rng, dim, widths):
    """Return a head's weights and the same as the page holds them, both after quantization."""
    weights, layers = {}, []
    names = [f"fc_{number}" for number in range(len(widths) - 1)] + ["predictions"]
    for name, inputs, outputs in zip(names, [dim, *widths], widths, strict=False):
        kernel, scales = quantize_rows(rng.normal(size=(inputs, outputs)).astype(np.float32))
        bias = rng.normal(size=outputs).astype(np.float32)
        weights |= {f"{name}/kernel": kernel * scales[:, None], f"{name}/bias": bias}
        layers.append(
            {
                "kernel": kernel.ravel().tolist(),
                "scales": scales.tolist(),
                "bias": bias.tolist(),
                "inputs": inputs,
                "outputs": outputs,
            }
        )
    return weights, layers


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
@pytest.mark.parametrize("widths", [(3,), (7, 3), (8, 5, 4)], ids=str)
def test_the_activation_is_the_apps(call, pooling, widths):
    rng = np.random.default_rng(len(widths))
    rows, columns, channels = 3, 4, 6
    feature_map = np.maximum(rng.normal(size=(rows, columns, channels)), 0).astype(np.float32)
    dim = feature_map.size if pooling == "flatten" else channels
    weights, layers = weights_and_layers(rng, dim, widths)
    features = pool_map(feature_map, pooling)
    for label in range(widths[-1]):
        gradient = score_gradient(weights, features, label)
        expected = class_activation(feature_map, map_gradient(feature_map, gradient, pooling))
        as_js = {
            "data": feature_map.ravel().tolist(),
            "rows": rows,
            "columns": columns,
            "channels": channels,
        }
        body = "return [...m.classActivation(...argument).data]"
        got = call("explain.js", body, [as_js, layers, label, pooling])
        np.testing.assert_allclose(got, expected.ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
@pytest.mark.parametrize("picture", [(120, 80), (50, 90), (64, 64)], ids=str)
def test_heat_lies_over_the_photo_as_in_the_app(call, mode, picture):
    activation = np.random.default_rng(2).random((7, 7)).astype(np.float32)
    expected = spread_heat(activation, (224, 224), mode, picture)
    as_js = {"data": activation.ravel().tolist(), "rows": 7, "columns": 7}
    body = "return [...m.spreadHeat(...argument)]"
    got = call("explain.js", body, [as_js, [224, 224], mode, *picture])
    got = np.reshape(got, expected.shape)
    assert np.abs(got - expected).mean() < 0.01
    np.testing.assert_array_equal(got == 0, expected == 0)


def test_none_of_these_is_decided_as_in_the_app(call):
    rng = np.random.default_rng(3)
    dim, names = 24, ("cat", "dog", "fox")
    anchors = unit_rows(rng.normal(size=(40, dim)))
    empty = Scores(np.empty(0), np.empty(0))
    limits = Thresholds(0.05, max_distance=0.6, min_probability=0.5, false_reject=0, false_accept=0)
    known = OODDetector(
        anchors, np.zeros(40), np.arange(40), empty, empty, np.empty(0), limits, "digest"
    )
    features = np.concatenate([rng.normal(size=(30, dim)), anchors[:10] * 5]).astype(np.float32)
    probabilities = rng.dirichlet((1, 1, 1), 40).astype(np.float32)
    rows, scales = quantize_rows(anchors)
    as_js = {
        "anchors": rows.ravel().tolist(),
        "scales": scales.tolist(),
        "count": 40,
        "dim": dim,
        "maxDistance": limits.max_distance,
        "minProbability": limits.min_probability,
    }
    reasons = why_none_of_these(known, features, probabilities, names)
    distances = known.scores(features, probabilities).distance
    body = "return argument.photos.map(([f, p]) => m.judge(argument.known, f, p, argument.names))"
    photos = [[f.tolist(), p.tolist()] for f, p in zip(features, probabilities, strict=True)]
    got = call("known.js", body, {"known": as_js, "photos": photos, "names": names})
    np.testing.assert_allclose([one["distance"] for one in got], distances, atol=3e-3)
    assert {len(why) for why in reasons} == {0, 1, 2}
    near = np.abs(distances - limits.max_distance) < 3e-3
    for one, why, is_near in zip(got, reasons, near, strict=True):
        assert is_near or len(one["reasons"]) == len(why)


def test_rows_are_kept_to_a_few_thousandths_of_a_cosine():
    rng = np.random.default_rng(4)
    rows = unit_rows(np.maximum(rng.normal(size=(50, 1280)), 0))
    quantized, scales = quantize_rows(rows)
    assert quantized.dtype == np.int8
    others = unit_rows(np.maximum(rng.normal(size=(50, 1280)), 0))
    assert np.abs((quantized * scales[:, None] - rows) @ others.T).max() < 1e-3
    assert not quantize_rows(np.zeros((2, 3)))[0].any()
