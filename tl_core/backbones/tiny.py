"""A backbone of a few layers for tests: no download, no training, built in milliseconds.

Its filters are chosen, not learnt: colour differences and edges by direction, then seeded random
mixtures of them. That is enough for a head to distinguish coloured shapes and stripes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

TINY_VERSION = "1"
TINY_FEATURES = 32
_STEM_FILTERS = 16
_SEED = 20240229


def build_tiny(image_size: tuple[int, int]) -> keras.Model:
    """Build the test backbone up to its feature map.

    Input: pixels (batch, height, width, 3) RGB in 0..255; output: (batch, h/8, w/8, 32). Layer
    names start with their block and an underscore: ``stem``, ``block1a``, ``block2a``.
    """
    import keras
    from keras import layers

    inputs = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocess")(inputs)
    x = layers.Conv2D(
        _STEM_FILTERS, 3, strides=2, padding="same", use_bias=False, name="stem_conv"
    )(x)
    x = layers.ReLU(6, name="stem_relu")(x)
    for block in ("block1a", "block2a"):
        x = layers.Conv2D(
            TINY_FEATURES, 3, strides=2, padding="same", use_bias=False, name=f"{block}_conv"
        )(x)
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{block}_bn")(x)
        x = layers.ReLU(6, name=f"{block}_relu")(x)
    model = keras.Model(inputs, x, name="tiny")
    rng = np.random.default_rng(_SEED)
    model.get_layer("stem_conv").set_weights([_stem_kernel()])
    model.get_layer("block1a_conv").set_weights([_mixing_kernel(_STEM_FILTERS, rng)])
    model.get_layer("block2a_conv").set_weights([_mixing_kernel(TINY_FEATURES, rng)])
    return model


def _stem_kernel() -> np.ndarray:
    """Return (3, 3, 3, 16) filters: 6 of one colour against the others, 10 of edges."""
    kernels = []
    blur = np.full((3, 3), 1 / 9)
    for channel in range(3):
        against = np.full(3, -0.5)
        against[channel] = 1.0
        kernels.append(blur[:, :, None] * against)
    edge = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    diagonal = np.array([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]) / 4
    spot = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / 8
    grey = np.full(3, 1 / 3)
    for pattern in (edge, edge.T, diagonal, diagonal[:, ::-1], spot):
        kernels.append(pattern[:, :, None] * grey)
    return np.stack([sign * kernel for kernel in kernels for sign in (1, -1)], axis=-1)


def _mixing_kernel(num_inputs: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (3, 3, inputs, 32) kernel that blurs 16 channels and mixes the rest."""
    kernel = rng.normal(0, (2 / (9 * num_inputs)) ** 0.5, (3, 3, num_inputs, TINY_FEATURES))
    kernel[:, :, :, :_STEM_FILTERS] = 0
    for channel in range(_STEM_FILTERS):
        kernel[:, :, channel, channel] = 1 / 9
    return kernel
