"""Frozen backbones on the CPU: LiteRT engines over files converted once per backbone.

An engine takes one image at a time. On several cores the fastest arrangement measured is one
single-threaded engine per core: an image's working set stays in the core's caches, no batch is
padded or waited for, and no result depends on other images of a batch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from tl_core.features.engine_files import engine_error, engine_path, prepare_engine
from tl_core.features.guarded_engine import GuardedEngine
from tl_core.features.hardware import available_bytes

__all__ = [
    "AnyEngine",
    "Engine",
    "EnginePool",
    "engine_path",
    "open_engines",
    "prepare_engine",
]

# Measured: packed weights are a little larger than the file, activations grow with the pixels.
_BYTES_PER_FILE_BYTE = 1.25
_BYTES_PER_PIXEL = 400
_SHARE_OF_MEMORY = 0.5


class AnyEngine(Protocol):
    """The interface of engines, on the CPU or a GPU."""

    batch_size: int
    feature_dim: int

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return features (n, dim) float32 of images (n, height, width, 3) uint8 RGB."""
        ...


class Engine:
    """One converted backbone, opened. Threads that share it run one at a time.

    ``image_size`` is (height, width) in pixels.
    """

    batch_size = 1

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise engine_error(path, error) from error
        (inputs,) = self._interpreter.get_input_details()
        (outputs,) = self._interpreter.get_output_details()
        self._input = inputs["index"]
        self._output = outputs["index"]
        self._lock = threading.Lock()
        self.image_size = (int(inputs["shape"][1]), int(inputs["shape"][2]))
        self.feature_dim = int(outputs["shape"][-1])

    @classmethod
    def open(cls, path: Path, num_threads: int = 1) -> Engine:
        """Open a file that :func:`prepare_engine` made.

        Raises:
            TLError: it cannot be opened. A cached file is removed, so that it is converted again.
        """
        return cls(path, num_threads)

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return features (n, dim) float32 of images (n, height, width, 3) uint8 RGB."""
        features = np.empty((len(images), self.feature_dim), np.float32)
        with self._lock:
            for row, image in enumerate(images):
                self._interpreter.set_tensor(self._input, image[None])
                self._interpreter.invoke()
                features[row] = self._interpreter.get_tensor(self._output)[0]
        return features


class EnginePool:
    """Engines that worker threads borrow, at most ``limit``, opened when first needed."""

    def __init__(self, first: AnyEngine, open_more: Callable[[], AnyEngine], limit: int) -> None:
        self.batch_size = first.batch_size
        self.feature_dim = first.feature_dim
        self.limit = limit
        self._open_more = open_more
        self._num_unopened = limit - 1
        self._lock = threading.Lock()
        self._free: queue.SimpleQueue[AnyEngine] = queue.SimpleQueue()
        self._free.put(first)

    @classmethod
    def of(cls, engine: AnyEngine) -> EnginePool:
        """Return a pool of one engine."""
        return cls(engine, lambda: engine, 1)

    @contextmanager
    def borrow(self) -> Iterator[AnyEngine]:
        """Yield an engine for exclusive use, waiting for one if necessary."""
        engine = self._take()
        try:
            yield engine
        finally:
            self._free.put(engine)

    def _take(self) -> AnyEngine:
        with self._lock:
            try:
                return self._free.get_nowait()
            except queue.Empty:
                may_open = self._num_unopened > 0
                self._num_unopened -= may_open
        return self._open_more() if may_open else self._free.get()


def open_engines(path: Path, num_workers: int, *, is_foreign: bool = False) -> EnginePool:
    """Return engines over one converted backbone for ``num_workers`` threads.

    There is one single-threaded engine per worker or, if so many copies of the weights would
    take more than half of the free memory, fewer with more threads each. The engines of a foreign
    file are guarded processes of one thread each.

    Raises:
        TLError: the file cannot be opened.
    """
    probe = GuardedEngine(path) if is_foreign else Engine.open(path)
    height, width = probe.image_size
    each = path.stat().st_size * _BYTES_PER_FILE_BYTE + height * width * _BYTES_PER_PIXEL
    each += GuardedEngine.PROCESS_BYTES if is_foreign else 0
    limit = max(1, min(num_workers, int(_SHARE_OF_MEMORY * available_bytes() / each)))
    if is_foreign:
        return EnginePool(probe, lambda: GuardedEngine(path), limit)
    num_threads = max(1, num_workers // limit)
    first = probe if num_threads == 1 else Engine.open(path, num_threads)
    return EnginePool(first, lambda: Engine.open(path, num_threads), limit)
