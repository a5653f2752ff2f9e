"""The table of backbones against Keras itself, and the models built from it."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tl_core.backbones import build, weights
from tl_core.backbones.api import (
    BACKBONES,
    build_base_model,
    get_backbone,
    has_weights,
    list_backbones,
    resolve_image_size,
    weights_fingerprint,
)
from tl_core.backbones.build import build_keras_application
from tl_core.backbones.keras_weights import WEIGHT_FILES, weight_file
from tl_core.backbones.registry import KERAS_TABLE
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, WeightsError
from tl_core.features.benchmark import measure

ROOT = Path(__file__).resolve().parents[2]
KERAS_ROWS = [row for row in list_backbones() if row.weights == "imagenet"]
CHEAP = ("MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "VGG16")


def keras_module(row):
    """Return the module that defines a ``keras.applications`` model."""
    import keras

    return sys.modules[getattr(keras.applications, row.name).__module__]


# --- the table


def test_every_keras_application_is_in_the_table():
    import keras

    public = {name for name, _ in inspect.getmembers(keras.applications, inspect.isfunction)}
    assert len(public) >= 38
    assert {row.name for row in KERAS_ROWS} == public == set(WEIGHT_FILES)


def test_the_bundled_default_comes_first_and_the_test_backbone_is_hidden():
    names = [row.name for row in list_backbones()]
    assert names[0] == TrainConfig().backbone == "EfficientNetLite0"
    assert "tiny" not in names
    assert "tiny" in [row.name for row in list_backbones(include_hidden=True)]
    assert set(BACKBONES) == {*names, "tiny"}


@pytest.mark.parametrize("name", CHEAP)
def test_width_parameters_and_weights_file_are_those_of_keras(name, monkeypatch):
    import keras
    from keras.src.utils import file_utils

    asked = []

    def get_file(fname, origin, file_hash=None, **rest):
        asked.append((origin, fname, file_hash))
        return fname

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setattr(keras.Model, "load_weights", lambda self, path: None)
    row = get_backbone(name)
    model = build_keras_application(row, row.image_size, "imagenet")
    assert model.output.shape[-1] == row.feature_dim
    assert model.count_params() == row.num_params
    file = weight_file(name, row.image_size)
    assert asked == [(file.url, file.file_name, file.checksum)]


def test_mobilenets_take_the_weights_of_their_size_where_keras_publishes_them():
    assert weight_file("MobileNet", (160, 160)).file_name == "mobilenet_1_0_160_tf_no_top.h5"
    assert weight_file("MobileNet", (96, 96)).file_name == "mobilenet_1_0_224_tf_no_top.h5"
    assert "_1.0_96_no_top" in weight_file("MobileNetV2", (96, 96)).url
    assert "_1.0_224_no_top" in weight_file("MobileNetV2", (96, 128)).url


def test_sizes_of_the_table_are_those_of_its_parameters():
    for row in KERAS_ROWS:
        assert row.weights_mb == pytest.approx(row.num_params * 4 / 1e6, abs=0.06)


def test_every_published_accuracy_names_its_source():
    for row in list_backbones():
        assert row.top1 is not None
        assert 0.6 < row.top1 < 0.9
        assert row.top1_source
    # Read off keras.io's table by eye.
    published = {"Xception": 0.79, "ResNet50": 0.749, "NASNetLarge": 0.825, "VGG16": 0.713}
    assert {name: get_backbone(name).top1 for name in published} == published
    assert get_backbone("ResNet50").top1_source == KERAS_TABLE


def test_an_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'MobileNetV2'"):
        get_backbone("mobilenet_v2")
    with pytest.raises(ConfigError, match="tl_core backbones"):
        weights_fingerprint("quite something else")


def test_the_image_size_is_the_settings_else_the_backbones_own():
    assert resolve_image_size(TrainConfig()) == (224, 224)
    assert resolve_image_size(TrainConfig(backbone="Xception")) == (299, 299)
    assert resolve_image_size(TrainConfig(image_size=(96, 128))) == (96, 128)
    with pytest.raises(ConfigError, match="at least 75 pixels a side for InceptionV3"):
        resolve_image_size(TrainConfig(backbone="InceptionV3", image_size=(74, 200)))


# --- preprocessing


@pytest.mark.parametrize("row", KERAS_ROWS, ids=lambda row: row.name)
def test_preprocessing_inside_the_model_is_that_of_the_keras_module(row):
    import keras

    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.float32)
    inputs = keras.Input((5, 4, 3))
    ours = keras.Model(inputs, build._preprocess(inputs, row.preprocessing))
    theirs = keras_module(row).preprocess_input(pixels.copy())
    np.testing.assert_allclose(np.asarray(ours(pixels)), theirs, rtol=1e-5, atol=2e-5)


def test_preprocessing_survives_saving_and_loading_as_plain_keras(tmp_path):
    import keras

    model = build_keras_application(get_backbone("VGG16"), (32, 32), None)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(pixels)), np.asarray(loaded(pixels)))


# --- base models


@pytest.mark.parametrize(
    ("pooling", "shape"),
    [("avg", (None, 32)), ("max", (None, 32)), (None, (None, 5, 8, 32))],
    ids=["avg", "max", "none"],
)
def test_pooling_decides_the_shape_of_the_features(pooling, shape):
    model = build_base_model("tiny", (40, 64), pooling)
    assert model.input.shape == (None, 40, 64, 3)
    assert model.output.shape == shape
    with pytest.raises(ConfigError, match="'avg', 'max' or 'flatten', received 'mean'"):
        build_base_model("tiny", (40, 64), "mean")


def test_a_base_model_is_frozen_in_every_layer():
    model = build_base_model("tiny", None, "avg")
    assert model.trainable_variables == []
    assert not any(layer.trainable for layer in model.layers)


def test_the_tables_row_of_the_test_backbone_is_true():
    row = get_backbone("tiny")
    model = build_base_model("tiny", None, "avg")
    assert (model.count_params(), model.output.shape[-1]) == (row.num_params, row.feature_dim)


def coloured_scene(kind, rng):
    """Draw (32, 32, 3) float32: a square of one colour, or stripes across or along."""
    image = np.full((32, 32, 3), rng.uniform(60, 200), np.float32)
    if kind < 3:
        top, left, side = (*rng.integers(0, 16, 2), rng.integers(10, 16))
        image[top : top + side, left : left + side] = 30
        image[top : top + side, left : left + side, kind] = rng.uniform(180, 255)
    else:
        bright = (np.arange(32) + rng.integers(0, 8)) // 4 % 2 == 0
        image[bright] += 50
        if kind == 4:
            image = image.transpose(1, 0, 2)
    return image + rng.normal(0, 3, image.shape).astype(np.float32)


def test_features_of_the_test_backbone_tell_colours_and_stripes_apart():
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 5
    images = np.stack([coloured_scene(kind, rng) for kind in labels])
    features = np.asarray(build_base_model("tiny", None, "avg")(images))
    np.testing.assert_array_equal(
        features, np.asarray(build_base_model("tiny", None, "avg")(images))
    )
    classifier = LogisticRegression(C=1000, max_iter=2000).fit(features[:100], labels[:100])
    assert classifier.score(features[100:], labels[100:]) > 0.95


def test_measuring_gives_a_rate(tmp_path):
    assert measure("tiny", seconds=0.05, cache_dir=tmp_path) > 0


# --- weights of Keras


def test_without_network_the_file_its_folder_and_the_bundled_backbone_are_named(
    tmp_path, monkeypatch
):
    def no_network(url):
        raise OSError("Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "_open", no_network)
    with pytest.raises(WeightsError) as error:
        build_base_model("ResNet50")
    message = str(error.value)
    file = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    for part in (str(tmp_path / "models" / file), "Name or service not known", "EfficientNetLite0"):
        assert part in message
    assert not has_weights("ResNet50", (224, 224))
    assert list(tmp_path.rglob("*.h5*")) == []


def test_published_weights_are_loaded_and_their_input_is_pixels(tmp_path):
    """In a process of its own, because Keras reads KERAS_HOME when it is imported."""
    code = """
import keras, h5py, numpy as np
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
from tl_core.backbones.api import build_base_model, has_weights, weights_fingerprint
from tl_core.backbones.weights import keras_models_dir

random = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
keras_models_dir().mkdir(parents=True)
path = keras_models_dir() / "mobilenet_1_0_224_tf_no_top.h5"
with h5py.File(path, "w") as file:  # the format that Keras publishes
    save_weights_to_hdf5_group(file, random)
assert has_weights("MobileNet", (64, 64))
model = build_base_model("MobileNet", (64, 64))
pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
expected = random(keras.applications.mobilenet.preprocess_input(pixels.copy()))
np.testing.assert_allclose(np.asarray(model(pixels)), np.asarray(expected), rtol=1e-4, atol=1e-6)
path.write_bytes(b"not weights")
try:
    build_base_model("MobileNet", (64, 64))
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert "WeightsError Expected the ImageNet weights of MobileNet" in finished.stdout
    assert "Delete it" in finished.stdout
