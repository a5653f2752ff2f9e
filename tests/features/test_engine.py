"""The engines: the same numbers as Keras, whatever else is in the batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tl_core.backbones.api import build_base_model
from tl_core.backbones.litert import convert_backbone
from tl_core.errors import TLError
from tl_core.features import engine as engine_module
from tl_core.features.engine import Engine, EnginePool, engine_path, open_engines
from tl_core.features.feature_map import MapEngine
from tl_core.features.gpu import TensorFlowEngine


def photos(num: int, height: int, width: int) -> np.ndarray:
    """Return noise over colour gradients: (num, height, width, 3) uint8."""
    rng = np.random.default_rng(num)
    slope = np.linspace(0, 1, height)[:, None, None] * rng.uniform(0, 200, (num, 1, 1, 3))
    return (slope + rng.uniform(0, 55, (num, height, width, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines") / "tiny.tflite"
    convert_backbone("tiny", (40, 48), "avg", path)
    return path


@pytest.mark.parametrize(
    ("backbone", "image_size", "pooling"),
    [
        ("tiny", (40, 48), "avg"),
        ("tiny", (40, 48), "max"),
        ("tiny", (40, 48), "flatten"),
        ("EfficientNetLite0", (224, 224), "avg"),
    ],
)
def test_features_are_those_of_the_keras_model_on_the_same_pixels(
    tmp_path: Path, backbone: str, image_size: tuple[int, int], pooling
) -> None:
    path = tmp_path / "backbone.tflite"
    convert_backbone(backbone, image_size, pooling, path)
    engine = Engine.open(path)
    images = photos(3, *image_size)
    model = build_base_model(backbone, image_size, None if pooling == "flatten" else pooling)
    expected = model.predict(images.astype(np.float32), verbose=0).reshape(3, -1)
    features = engine.run(images)
    assert features.dtype == np.float32
    assert features.shape == (3, engine.feature_dim)
    assert expected.std() > 0.01
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_an_image_has_the_same_features_alone_and_anywhere_in_a_batch(tiny_path: Path) -> None:
    engine = Engine.open(tiny_path)
    images = photos(5, 40, 48)
    together = engine.run(images)
    np.testing.assert_array_equal(engine.run(images[::-1])[::-1], together)
    for number in range(5):
        np.testing.assert_array_equal(engine.run(images[number : number + 1])[0], together[number])
    assert engine.run(images[:0]).shape == (0, 32)


def test_threads_that_share_an_engine_get_their_own_features(tiny_path: Path) -> None:
    engine = Engine.open(tiny_path, num_threads=2)
    images = photos(24, 40, 48)
    expected = engine.run(images)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda image: engine.run(image[None])[0], images))
    np.testing.assert_array_equal(np.stack(found), expected)


def test_a_damaged_file_is_an_error_that_mends_itself(tmp_path: Path) -> None:
    path = engine_path("tiny", (40, 48), "avg", tmp_path)
    for open_file in (Engine.open, lambda path: MapEngine(path, 32)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"TFL3 of another kind" * 10)
        with pytest.raises(TLError, match="damaged and was removed"):
            open_file(path)
        assert not path.exists()


def test_the_backbone_of_a_fine_tuned_run_stays_whatever_keeps_it_from_opening(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs" / "one" / "backbone-0123456789abcdef.tflite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"TFL3 of another kind" * 10)
    for open_file in (Engine.open, lambda path: MapEngine(path, 32)):
        with pytest.raises(TLError, match=r"cannot be opened.*copy the run's folder") as raised:
            open_file(path)
        assert "anew" not in str(raised.value)
        assert path.exists()


@pytest.mark.parametrize(
    ("engines_that_fit", "expected"),
    [(100, [1, 1, 1, 1]), (2, [2, 2]), (0, [4])],
    ids=["plenty of memory", "room for two", "room for none"],
)
def test_engines_are_as_many_as_fit_into_memory(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, engines_that_fit: int, expected: list[int]
) -> None:
    each = tiny_path.stat().st_size * 1.25 + 40 * 48 * 400
    monkeypatch.setattr(
        engine_module, "available_bytes", lambda: int(2 * (engines_that_fit + 0.5) * each)
    )
    opened: list[int] = []
    real_open = Engine.open

    def open_and_note(path: Path, num_threads: int = 1) -> Engine:
        opened.append(num_threads)
        return real_open(path, num_threads)

    monkeypatch.setattr(Engine, "open", open_and_note)
    pool = open_engines(tiny_path, 4)
    borrowed = [pool.borrow() for _ in expected]
    engines = [engine.__enter__() for engine in borrowed]
    assert len(set(map(id, engines))) == len(expected)
    assert opened[-len(expected) :] == expected
    for engine in borrowed:
        engine.__exit__(None, None, None)


def test_an_engine_given_back_is_used_again_before_another_is_opened(tiny_path: Path) -> None:
    pool = open_engines(tiny_path, 4)
    with pool.borrow() as first:
        pass
    with pool.borrow() as second:
        assert second is first


def test_tensorflow_engines_agree_and_mind_no_uneven_batch(tiny_path: Path) -> None:
    engine = TensorFlowEngine("tiny", (40, 48), "avg")
    engine.batch_size = 4
    images = photos(6, 40, 48)
    features = engine.run(images)
    np.testing.assert_allclose(features, Engine.open(tiny_path).run(images), atol=1e-4)
    np.testing.assert_allclose(engine.run(images[5:]), features[5:], atol=1e-5)
    assert engine.run(images[:0]).shape == (0, 32)
    assert EnginePool.of(engine).feature_dim == 32


def test_tensorflow_engines_halve_their_batches_when_memory_does_not_suffice(
    tiny_path: Path,
) -> None:
    engine = TensorFlowEngine("tiny", (40, 48), "avg")
    engine.batch_size = 8
    forward = engine._forward

    def fail_above_two(images):
        if len(images) > 2:
            raise engine._tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return forward(images)

    engine._forward = fail_above_two
    images = photos(7, 40, 48)
    np.testing.assert_allclose(engine.run(images), Engine.open(tiny_path).run(images), atol=1e-4)
    assert engine.batch_size == 2
