"""Frozen backbones on a GPU with TensorFlow, which is loaded when an engine is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import numpy as np

from tl_core.backbones.litert import build_forward
from tl_core.config.training import Pooling

_BATCH_SIZE = 64
_BATCH_PIXELS = 64 * 384 * 384  # larger images are run in smaller batches


class TensorFlowEngine:
    """One backbone as a compiled TensorFlow function over batches of one fixed size.

    Computes in full float32, so that features agree with the CPU's. If the GPU runs out of memory,
    the batch size is halved from then on.
    """

    def __init__(self, backbone: str, image_size: tuple[int, int], pooling: Pooling) -> None:
        self._open(lambda: build_forward(backbone, image_size, pooling), image_size)

    @classmethod
    def of(cls, forward: Callable[[Any], Any], image_size: tuple[int, int]) -> Self:
        """Return an engine from a function of uint8 images that returns rows (n, dim)."""
        engine = cls.__new__(cls)
        engine._open(lambda: forward, image_size)
        return engine

    def _open(self, build: Callable[[], Callable[[Any], Any]], image_size: tuple[int, int]) -> None:
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            with suppress(RuntimeError):  # memory is already configured
                tf.config.experimental.set_memory_growth(device, True)
        # TensorFloat-32 rounds the inputs of products to 10 bits, off by 1e-3.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._tf = tf
        self._forward = tf.function(build())
        self._lock = threading.Lock()
        height, width = image_size
        self.batch_size = max(1, min(_BATCH_SIZE, _BATCH_PIXELS // (height * width)))
        shape = tf.TensorSpec((1, height, width, 3), tf.uint8)
        self.feature_dim = int(self._forward.get_concrete_function(shape).output_shapes[-1])

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return features (n, dim) float32 of images (n, height, width, 3) uint8 RGB."""
        with self._lock:
            rows: list[np.ndarray] = []
            start = 0
            while start < len(images):
                batch = images[start : start + self.batch_size]
                missing = self.batch_size - len(batch)
                padded = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
                try:
                    features = self._forward(self._tf.constant(padded)).numpy()
                except self._tf.errors.ResourceExhaustedError:
                    if self.batch_size == 1:
                        raise
                    self.batch_size //= 2
                    continue
                rows.append(features[: len(batch)])
                start += len(batch)
            return np.concatenate(rows) if rows else np.empty((0, self.feature_dim), np.float32)
