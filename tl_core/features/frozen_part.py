"""Engines for the frozen part of a split backbone, as run by the pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tl_core import files
from tl_core.backbones.weights import weights_fingerprint
from tl_core.features.engine import AnyEngine, EnginePool, open_engines
from tl_core.features.engine_files import ENGINE_VERSION
from tl_core.features.hardware import choose_device

if TYPE_CHECKING:
    import keras


class _Pixels:
    """The engine of an empty frozen part: it returns the pixels unchanged."""

    batch_size = 1

    def __init__(self, feature_dim: int) -> None:
        self.feature_dim = feature_dim

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return the pixels of images (n, height, width, 3) uint8 as rows (n, dim) float32."""
        return images.reshape(len(images), -1).astype(np.float32)


def open_frozen_part(
    frozen_part: keras.Model,
    backbone: str,
    changed: Mapping[str, np.ndarray],
    cache_dir: Path,
    num_workers: int,
) -> EnginePool:
    """Return engines from uint8 images to the flattened activations at the cut.

    The converted file is cached for the next run with the same cut. ``changed`` are weights of the
    frozen part that differ from the pretrained ones.

    Raises:
        TLError: the cached file is damaged.
    """
    from tl_core.backbones.litert import convert_forward, forward_of

    _, height, width, _ = frozen_part.input.shape
    if not frozen_part.weights and len(frozen_part.layers) <= 1:
        return EnginePool.of(_Pixels(height * width * 3))
    if choose_device() == "gpu":
        from tl_core.features.gpu import TensorFlowEngine

        engine: AnyEngine = TensorFlowEngine.of(forward_of(frozen_part), (height, width))
        return EnginePool.of(engine)
    identity = hashlib.sha256(
        f"{weights_fingerprint(backbone)} {ENGINE_VERSION} {frozen_part.output.shape}".encode()
    )
    identity.update(f"{len(frozen_part.layers)}".encode())
    for name in sorted(changed):
        identity.update(name.encode() + np.ascontiguousarray(changed[name]).tobytes())
    name = f"{backbone}_{height}x{width}_trunk_{identity.hexdigest()[:12]}.tflite"
    path = cache_dir / "engines" / name
    if not path.exists():
        files.write_bytes(path, convert_forward(forward_of(frozen_part), (height, width)))
    return open_engines(path, num_workers)
