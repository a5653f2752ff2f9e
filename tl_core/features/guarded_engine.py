"""An untrusted LiteRT file, opened in a child process with limits on memory and time.

    python -m tl_core.features.guarded_engine FILE

reads images from standard input, each after one byte that says what is asked for, and writes
features, or the last feature map before them, to standard output. A malicious file can only affect
the interpreter in that process, which has limited memory, cannot write files, and is killed when it
takes too long.
"""

from __future__ import annotations

import math
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tl_core.errors import ExportError
from tl_core.features.inner_tensors import read_pooled_map
from tl_core.guarded_process import ChildEndedError, GuardedProcess, limit_resources
from tl_core.head.gradcam import find_pooling

if TYPE_CHECKING:
    from tl_core.config.training import Pooling

START_SECONDS = 30.0
IMAGE_SECONDS = 30.0
_MIN_BYTES = 2**30
_BYTES_PER_FILE_BYTE = 8
_HEADER = struct.Struct("<4sIII")
_MAP_HEADER = struct.Struct("<III")
_MAGIC = b"TLGE"
_FEATURES, _MAP = b"F", b"M"
_MAX_MAP_BYTES = 2**26


class GuardedEngine:
    """An :class:`~tl_core.features.engine.AnyEngine` over a file that is not trusted.

    A process that ended, as one that took too long, is started again for the next image.

    Raises:
        ExportError: the file cannot be opened within the limits.
    """

    PROCESS_BYTES = 80 * 2**20
    """Memory of a process beside what its model takes."""

    batch_size = 1

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._process = GuardedProcess("tl_core.features.guarded_engine", str(path))
        self._start()

    def _start(self) -> None:
        self._process.start()
        try:
            magic, height, width, dim = _HEADER.unpack(
                self._process.read(_HEADER.size, START_SECONDS)
            )
        except ChildEndedError as error:
            raise self._refusal() from error
        if magic != _MAGIC:
            self._process.close()
            raise self._refusal()
        self.image_size = (height, width)
        self.feature_dim = dim

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return features (n, dim) float32 of images (n, height, width, 3) uint8 RGB.

        Raises:
            ExportError: the file gives no result within the limits.
        """
        features = np.empty((len(images), self.feature_dim), np.float32)
        with self._lock:
            for row, image in enumerate(images):
                try:
                    self._ask(_FEATURES, image)
                    features[row] = self._read_floats(self.feature_dim)
                except ChildEndedError as error:
                    raise self._refusal() from error
        return features

    def read_map(self, image: np.ndarray) -> tuple[np.ndarray, Pooling]:
        """Return the last feature map of an image, and how it becomes features.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            (rows, columns, dim) float32, and the pooling.

        Raises:
            ExportError: the file has no such map, or gives no result within the limits.
        """
        with self._lock:
            try:
                self._ask(_MAP, image)
                header = self._process.read(_MAP_HEADER.size, IMAGE_SECONDS)
                shape = _MAP_HEADER.unpack(header)
                if 4 * math.prod(shape) > _MAX_MAP_BYTES:
                    self._process.close()
                    raise self._refusal()
                feature_map = self._read_floats(math.prod(shape)).reshape(shape)
                features = self._read_floats(self.feature_dim)
            except ChildEndedError as error:
                raise self._refusal() from error
        pooling = find_pooling(feature_map, features)
        if pooling is None:
            raise ExportError(
                f"The model's file '{self._path.name}' has no feature map to explain."
            )
        return feature_map, pooling

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _ask(self, what: bytes, image: np.ndarray) -> None:
        if not self._process.is_running:
            self._start()
        self._process.write(what, np.ascontiguousarray(image, np.uint8).tobytes())

    def _read_floats(self, count: int) -> np.ndarray:
        return np.frombuffer(self._process.read(4 * count, IMAGE_SECONDS), "<f4")

    def _refusal(self) -> ExportError:
        return ExportError(
            f"The model's file '{self._path.name}' does not work: it is damaged, or asks for more "
            "memory or time than a model needs. It was not used."
        )


def main(path: Path) -> int:
    """Process images until standard input ends."""
    from ai_edge_litert.interpreter import Interpreter

    out = sys.stdout.buffer
    limit_resources(_MIN_BYTES + _BYTES_PER_FILE_BYTE * path.stat().st_size)
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, _ = (int(side) for side in source["shape"])
    rows, dim = (int(side) for side in target["shape"])
    if rows != 1 or source["dtype"] is not np.uint8 or target["dtype"] is not np.float32:
        return 2
    out.write(_HEADER.pack(_MAGIC, height, width, dim))
    out.flush()
    size = height * width * 3
    while len(data := sys.stdin.buffer.read(1 + size)) == 1 + size:
        image = np.frombuffer(data, np.uint8, offset=1).reshape(1, height, width, 3)
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        features = interpreter.get_tensor(target["index"])[0]
        if data[:1] == _MAP:
            feature_map = read_pooled_map(path, image[0], features)
            out.write(_MAP_HEADER.pack(*feature_map.shape))
            out.write(feature_map.astype("<f4").tobytes())
        out.write(features.astype("<f4").tobytes())
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
