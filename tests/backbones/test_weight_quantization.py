"""8-bit weights: what rounding keeps, and which layers stay at 16 bits."""

import numpy as np
import pytest

from tl_core.backbones.litert import convert_forward
from tl_core.backbones.weight_quantization import quantize_channels, quantize_weights, smallest


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_each_slice_keeps_its_sum_and_no_value_moves_a_step(axis):
    rng = np.random.default_rng(axis)
    values = rng.normal(0.01, rng.uniform(0.01, 5, (1, 1, 1, 6)), (4, 5, 30, 6))
    quantized, scales = quantize_channels(values, axis)
    assert quantized.dtype == np.int8
    assert quantized.shape == values.shape
    others = tuple({0, 1, 2, 3} - {axis})
    np.testing.assert_allclose(scales, np.abs(values).max(axis=others) / 127, rtol=1e-6)
    shape = [-1 if one == axis else 1 for one in range(4)]
    steps = values / scales.reshape(shape)
    assert np.abs(quantized - steps).max() < 1
    assert np.abs((quantized - steps).sum(axis=others)).max() <= 0.5 + 1e-3
    # Rounding each to the nearest would have changed the sums by several steps.
    assert np.abs((np.rint(steps) - steps).sum(axis=others)).max() > 3


def test_nearest_steps_are_kept_where_their_sum_is_right():
    values = np.array([[127.0, 0.4, -0.4, 1.1], [-127.0, 0.0, 0.0, 0.0]])
    quantized, _ = quantize_channels(values, 0)
    assert quantized.tolist() == [[127, 0, 0, 1], [-127, 0, 0, 0]]
    assert quantize_channels(np.zeros((2, 3)), 0)[1].tolist() == [1, 1]


def test_the_smallest_are_taken_while_they_fit():
    assert smallest({1: 700, 2: 100, 3: 101, 4: 99}, 0.2) == {2, 4}
    assert smallest({1: 700, 2: 100, 3: 101, 4: 99}, 0.3) == {2, 3, 4}
    assert smallest({1: 5}, 0.2) == set()
    assert smallest({}, 0.2) == set()


def test_small_layers_keep_16_bits_and_large_ones_their_sums():
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    rng = np.random.default_rng(0)
    small = rng.normal(0, 1, (3, 3, 3, 64)).astype(np.float32)
    large = rng.normal(0, 1, (64, 500)).astype(np.float32)

    def forward(images):
        x = tf.nn.conv2d(tf.cast(images, tf.float32), small, 1, "VALID")
        # Of black images all ones, so that the large layer gives the sums of its channels.
        return tf.matmul(tf.exp(x[:, 0, 0]), large)

    def answer(content):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], np.zeros((1, 3, 3, 3), np.uint8)
        )
        interpreter.invoke()
        (output,) = interpreter.get_output_details()
        return interpreter.get_tensor(output["index"])[0]

    content = convert_forward(forward, (3, 3))
    quantized = quantize_weights(content)
    assert len(quantized) < 0.4 * len(content)
    floats = answer(content)
    np.testing.assert_allclose(floats, large.sum(axis=0), atol=1e-3)
    answers = answer(quantized)
    half_a_step = np.abs(large).max(axis=0) / 127 / 2
    assert (np.abs(answers - floats) <= 1.01 * half_a_step + 1e-4).all()
    assert _stored_types(quantized, (64, 3, 3, 3)) == {np.float16}
    assert _stored_types(quantized, (64,)) == {np.float16}  # its bias: XNNPACK takes both or none
    assert _stored_types(quantized, (500, 64)) == {np.int8}


def _stored_types(content, shape):
    """Return the types of a file's tensors of that shape, the expanded ones aside."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=content).get_tensor_details()
    return {
        one["dtype"]
        for one in details
        if tuple(one["shape"]) == shape and not one["name"].endswith("/expanded")
    }
