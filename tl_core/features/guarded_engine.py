"""An untrusted LiteRT file, opened in a child process with limits on memory and time.

    python -m tl_core.features.guarded_engine FILE

reads images from standard input and writes features to standard output. A malicious file can only
affect the interpreter in that process, which has limited memory, cannot write files, and is killed
when it takes too long.
"""

from __future__ import annotations

import struct
import sys
import threading
from pathlib import Path

import numpy as np

from tl_core.errors import ExportError
from tl_core.guarded_process import ChildEndedError, GuardedProcess, limit_resources

START_SECONDS = 30.0
IMAGE_SECONDS = 30.0
_MIN_BYTES = 2**30
_BYTES_PER_FILE_BYTE = 8
_HEADER = struct.Struct("<4sIII")
_MAGIC = b"TLGE"


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
            if not self._process.is_running:
                self._start()
            for row, image in enumerate(images):
                try:
                    self._process.write(np.ascontiguousarray(image, np.uint8).tobytes())
                    answer = self._process.read(self.feature_dim * 4, IMAGE_SECONDS)
                except ChildEndedError as error:
                    raise self._refusal() from error
                features[row] = np.frombuffer(answer, "<f4")
        return features

    def close(self) -> None:
        """End the process."""
        self._process.close()

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
    while len(data := sys.stdin.buffer.read(size)) == size:
        image = np.frombuffer(data, np.uint8).reshape(1, height, width, 3)
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        out.write(interpreter.get_tensor(target["index"]).astype("<f4").tobytes())
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
