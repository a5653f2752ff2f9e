"""The layers on top of a backbone: as the recipe says, and the same in NumPy."""

import numpy as np
import pytest
from safetensors import SafetensorError

from tl_core.backbones.api import build_base_model
from tl_core.errors import RunError
from tl_core.head.model import (
    build_finetune_model,
    build_head,
    head_forward,
    head_weights,
    load_weights,
    load_weights_metadata,
    save_weights,
    set_head_weights,
)


def pixels(count, side=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, side, side, 3)).astype(np.float32)


def hand_made_weights():
    """Two features, one hidden layer of two, two classes."""
    return {
        "fc_0/kernel": np.array([[1, 0], [0, -1]], np.float32),
        "fc_0/bias": np.array([0, 1], np.float32),
        "predictions/kernel": np.array([[1, 0], [0, 1]], np.float32),
        "predictions/bias": np.array([0, 0], np.float32),
    }


# --- the recipe's model


def test_the_finetune_model_is_the_recipes_layer_by_layer():
    base = build_base_model("tiny", (32, 32))
    model = build_finetune_model(base, dropout=0.3, fc_layers=[8, 4], num_classes=3)
    top = model.layers[len(base.layers) :]
    kinds = [type(layer).__name__ for layer in top]
    assert kinds == ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert model.layers[: len(base.layers)] == base.layers
    assert model.input is base.input
    dense = [layer for layer in top if type(layer).__name__ == "Dense"]
    assert [layer.units for layer in dense] == [8, 4, 3]
    assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "softmax"]
    assert [layer.rate for layer in top if type(layer).__name__ == "Dropout"] == [0.3, 0.3]
    assert top[1].kernel.shape == (4 * 4 * 32, 8)


def test_every_base_layer_is_frozen_and_every_new_one_is_not():
    base = build_base_model("tiny")
    base.trainable = True
    model = build_finetune_model(base, 0.5, (8,), 2)
    names = [variable.path for variable in model.trainable_variables]
    assert names == ["fc_0/kernel", "fc_0/bias", "predictions/kernel", "predictions/bias"]


def test_no_fc_layers_leave_the_softmax_alone():
    model = build_finetune_model(build_base_model("tiny", None, "avg"), 0.5, (), 4)
    assert list(head_weights(model)) == ["predictions/kernel", "predictions/bias"]
    assert model.output.shape == (None, 4)


def test_training_changes_no_output_of_the_base_nor_its_batch_statistics():
    base = build_base_model("tiny", None, "avg")
    model = build_finetune_model(base, 0.5, (8,), 2)
    model.compile("adam", "sparse_categorical_crossentropy")
    images, labels = pixels(16), np.arange(16) % 2
    features = np.asarray(base(images))
    base_weights = [np.array(weight) for weight in base.get_weights()]
    before = head_weights(model)
    model.fit(images, labels, batch_size=4, epochs=2, verbose=0)
    assert not np.array_equal(
        before["predictions/kernel"], head_weights(model)["predictions/kernel"]
    )
    np.testing.assert_array_equal(features, np.asarray(base(images)))
    for old, new in zip(base_weights, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("pooling", ["avg", None], ids=["pooled", "flattened"])
def test_cached_features_and_head_predict_like_the_whole_model(pooling):
    base = build_base_model("tiny", None, pooling)
    model = build_finetune_model(base, 0.5, (16, 8), 3)
    images = pixels(5)
    whole = np.asarray(model(images, training=False))
    features = np.asarray(base(images)).reshape(5, -1)
    head = build_head(features.shape[1], 0.5, (16, 8), 3, seed=1)
    set_head_weights(head, head_weights(model))
    np.testing.assert_allclose(np.asarray(head(features, training=False)), whole, atol=1e-4)
    np.testing.assert_allclose(head_forward(head_weights(model), features), whole, atol=1e-4)


def test_trained_head_weights_move_into_the_whole_model():
    base = build_base_model("tiny", None, "avg")
    head = build_head(32, 0.2, (8,), 3, seed=5)
    model = build_finetune_model(base, 0.2, (8,), 3)
    set_head_weights(model, head_weights(head))
    images = pixels(4)
    expected = head_forward(head_weights(head), np.asarray(base(images)))
    np.testing.assert_allclose(np.asarray(model(images, training=False)), expected, atol=1e-4)


# --- seeds


def test_the_same_seed_gives_the_same_weights_and_dropout():
    features = np.ones((4, 6), np.float32)
    first, second = (build_head(6, 0.5, (16, 16), 3, seed=2**31 - 1) for _ in range(2))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        np.asarray(first(features, training=True)), np.asarray(second(features, training=True))
    )


def test_another_seed_and_another_layer_start_elsewhere():
    first, other = (build_head(16, 0.5, (16, 16), 16, seed=seed) for seed in (0, 1))
    kernels = [weights for weights in first.get_weights() if weights.ndim == 2]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])
    assert not np.array_equal(kernels[0], other.get_weights()[0])


# --- NumPy


def test_forward_by_hand():
    # Hidden: (2, relu(1 - 3)) = (2, 0); softmax of (2, 0) is (e^2, 1) / (e^2 + 1).
    (probabilities,) = head_forward(hand_made_weights(), np.array([[2, 3]], np.float32))
    assert probabilities == pytest.approx([0.8807971, 0.1192029], abs=1e-6)
    assert probabilities.dtype == np.float32


def test_forward_equals_keras():
    head = build_head(20, 0.5, (32, 16), 7, seed=3)
    features = np.random.default_rng(0).normal(0, 3, (50, 20)).astype(np.float32)
    expected = np.asarray(head(features, training=False))
    np.testing.assert_allclose(head_forward(head_weights(head), features), expected, atol=1e-6)


def test_forward_of_huge_logits_is_finite_and_leaves_the_features_as_they_were():
    weights = {
        "predictions/kernel": np.eye(2, dtype=np.float32),
        "predictions/bias": np.zeros(2, np.float32),
    }
    features = np.array([[1e30, -1e30], [500, 501]], np.float32)
    kept = features.copy()
    probabilities = head_forward(weights, features)
    np.testing.assert_allclose(probabilities, [[1, 0], [0.26894143, 0.7310586]], atol=1e-6)
    np.testing.assert_array_equal(features, kept)


def test_forward_of_no_images_gives_no_rows():
    assert head_forward(hand_made_weights(), np.empty((0, 2), np.float32)).shape == (0, 2)


def test_forward_refuses_features_of_another_width():
    with pytest.raises(RunError, match="Expected features of width 2"):
        head_forward(hand_made_weights(), np.zeros((1, 3), np.float32))


def test_forward_refuses_a_bias_that_does_not_fit():
    weights = {**hand_made_weights(), "fc_0/bias": np.zeros(3, np.float32)}
    with pytest.raises(RunError, match=r"'fc_0' to be a matrix and its bias"):
        head_forward(weights, np.zeros((1, 2), np.float32))


def test_forward_refuses_a_missing_name_and_a_foreign_one():
    weights = hand_made_weights()
    del weights["fc_0/bias"]
    with pytest.raises(RunError, match="but they are missing"):
        head_forward(weights, np.zeros((1, 2), np.float32))
    with pytest.raises(RunError, match="'other' belong to no layer"):
        head_forward({**hand_made_weights(), "other": np.zeros(1)}, np.zeros((1, 2), np.float32))


# --- files


def test_saved_weights_come_back_equal_with_their_metadata(tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = hand_made_weights()
    weights["fc_0/kernel"] = np.asfortranarray(weights["fc_0/kernel"] + [[0, 5], [0, 0]])
    save_weights(path, weights, {"backbone": "tiny"})
    loaded = load_weights(path)
    assert set(loaded) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert load_weights_metadata(path) == {"backbone": "tiny"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, hand_made_weights())
    with pytest.raises(SafetensorError):
        save_weights(path, {"fc_0/kernel": np.array([object()])})
    assert set(load_weights(path)) == set(hand_made_weights())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 40], ids=["missing", "empty", "garbage"])
def test_an_unreadable_file_is_a_run_error_that_names_it(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    for read in (load_weights, load_weights_metadata):
        with pytest.raises(RunError, match=r"weights\.safetensors"):
            read(path)


def test_weights_of_another_model_are_refused_and_change_nothing():
    head = build_head(2, 0.5, (2,), 2, seed=0)
    before = head_weights(head)
    weights = hand_made_weights()
    with pytest.raises(RunError, match=r"'predictions/bias' of shape \(2,\), received \(3,\)"):
        set_head_weights(head, {**weights, "predictions/bias": np.zeros(3, np.float32)})
    del weights["predictions/kernel"]
    with pytest.raises(RunError, match="'predictions/kernel'"):
        set_head_weights(head, weights)
    with pytest.raises(RunError, match="'fc_1/kernel' belong to no layer"):
        set_head_weights(head, {**hand_made_weights(), "fc_1/kernel": np.zeros((2, 2))})
    for name, array in head_weights(head).items():
        np.testing.assert_array_equal(array, before[name])
