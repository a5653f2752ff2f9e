"""The last feature map of a backbone, read from the converted file used for its features.

The interpreter preserves intermediate tensors, so that explanations need no second conversion and
use exactly the backbone that predicts, including a fine-tuned one. It is slower than
:mod:`tl_core.features.engine` and meant for single images.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import TLError
from tl_core.features.engine_files import engine_error
from tl_core.features.inner_tensors import open_preserving


class MapEngine:
    """One converted backbone with access to its feature map. Threads run one at a time."""

    def __init__(self, path: Path, feature_dim: int) -> None:
        self._lock = threading.Lock()
        try:
            self._interpreter = open_preserving(path)
        except (ValueError, RuntimeError) as error:
            raise engine_error(path, error) from error
        (inputs,) = self._interpreter.get_input_details()
        self._input = inputs["index"]
        self._map = _find_map(self._interpreter.get_tensor_details(), feature_dim, path)

    def run(self, image: np.ndarray) -> np.ndarray:
        """Return the map (rows, columns, dim) float32 of an image (height, width, 3) uint8 RGB."""
        with self._lock:
            self._interpreter.set_tensor(self._input, image[None])
            self._interpreter.invoke()
            feature_map: np.ndarray = self._interpreter.get_tensor(self._map)[0]
            return feature_map.copy()


@functools.lru_cache(maxsize=1)
def open_map_engine(path: Path, feature_dim: int) -> MapEngine:
    """Return the engine of a file, cached for the next explanation.

    Raises:
        TLError: the file is damaged or has no feature map.
    """
    return MapEngine(path, feature_dim)


def _find_map(tensors: list[dict[str, Any]], feature_dim: int, path: Path) -> int:
    """Return the last tensor of a feature map's shape (1, rows, columns, dim)."""
    maps = [
        int(tensor["index"])
        for tensor in tensors
        if len(tensor["shape"]) == 4
        and int(tensor["shape"][0]) == 1
        and int(tensor["shape"][-1]) == feature_dim
        and tensor["dtype"] == np.float32
        and tensor["name"]
    ]
    if not maps:
        raise TLError(f"The converted backbone '{path.name}' has no feature map to explain.")
    return max(maps)
