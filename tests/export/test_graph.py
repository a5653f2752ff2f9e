"""The graph that every format holds answers as the app does."""

import numpy as np
import pytest
from made_export import make_export_run
from PIL import Image

from tl_core.errors import ConfigError
from tl_core.export.graph import build_inference_model, convert_to_litert, freeze_model
from tl_core.features.engine import Engine
from tl_core.inference.predict import load_predictor


@pytest.fixture(scope="module", params=["avg", "max", "flatten"])
def run(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    return make_export_run(root, image_size=(40, 64), pooling=request.param)


@pytest.fixture
def pictures():
    return np.random.default_rng(5).integers(0, 256, (5, 40, 64, 3), dtype=np.uint8)


def app_answers(run, pictures, tmp_path):
    """Return the predictor's probabilities for pixels as they are, saved without loss."""
    paths = []
    for number, picture in enumerate(pictures):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(paths[-1])
    predictions = load_predictor(run.run_dir, run.workspace.cache_dir).predict(paths)
    return np.stack([one.probabilities for one in predictions])


def test_the_model_gives_the_numbers_of_the_app(run, pictures, tmp_path):
    expected = app_answers(run, pictures, tmp_path)
    model = build_inference_model(run)
    np.testing.assert_allclose(model.predict(pictures, verbose=0), expected, atol=1e-5)
    import tensorflow as tf

    (frozen,) = freeze_model(model, None)(tf.constant(pictures))
    np.testing.assert_allclose(frozen, expected, atol=1e-5)


def test_the_feature_map_is_a_second_output(run, pictures):
    both = build_inference_model(run, with_feature_map=True)
    answers = both.predict(pictures, verbose=0)
    assert answers["feature_map"].shape == (5, 5, 8, 32)
    alone = build_inference_model(run).predict(pictures, verbose=0)
    np.testing.assert_allclose(answers["probabilities"], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("float16", 5e-3), ("int8_weights", 2e-2)]
)
def test_litert_files_give_them_too(run, pictures, tmp_path, precision, tolerance):
    expected = app_answers(run, pictures, tmp_path)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert_to_litert(build_inference_model(run), precision))
    np.testing.assert_allclose(Engine.open(path).run(pictures), expected, atol=tolerance)


def test_int8_is_calibrated_on_the_images_given(tmp_path):
    run = make_export_run(tmp_path, image_size=(40, 64))
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (20, 40, 64, 3), dtype=np.uint8)
    model = build_inference_model(run)
    expected = model.predict(photos, verbose=0)
    errors = {}
    for name, images in {"right": photos, "black": np.zeros_like(photos)}.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(convert_to_litert(model, "int8", images))
        errors[name] = np.abs(Engine.open(path).run(photos) - expected).mean()
    assert errors["right"] < 0.05
    assert errors["right"] < errors["black"]
    with pytest.raises(ConfigError, match="photos"):
        convert_to_litert(model, "int8", [])
