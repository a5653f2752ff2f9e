"""An untrusted LiteRT file, opened in a child process with limits on memory and time.

    python -m tl_core.features.guarded_engine FILE

reads images from standard input and writes features to standard output. A malicious file can only
affect the interpreter in that process, which has limited memory, cannot write files, and is killed
when it takes too long.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np

from tl_core.errors import ExportError
from tl_core.processes import child_environment, module_command

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
        self._start()

    def _start(self) -> None:
        child = subprocess.Popen(
            module_command("tl_core.features.guarded_engine", str(self._path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        )
        self._child = child
        if child.stdin is None or child.stdout is None:
            raise self._refusal()
        self._in, self._out = child.stdin, child.stdout
        weakref.finalize(self, _end, self._child)
        head = self._read(_HEADER.size, START_SECONDS)
        magic, height, width, dim = _HEADER.unpack(head)
        if magic != _MAGIC:
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
            if self._child.poll() is not None:
                self._start()
            for row, image in enumerate(images):
                try:
                    self._in.write(np.ascontiguousarray(image, np.uint8).tobytes())
                    self._in.flush()
                except OSError as error:
                    raise self._refusal() from error
                answer = self._read(self.feature_dim * 4, IMAGE_SECONDS)
                features[row] = np.frombuffer(answer, "<f4")
        return features

    def close(self) -> None:
        """End the process."""
        _end(self._child)

    def _read(self, num_bytes: int, limit_seconds: float) -> bytes:
        """Return the child's output; the child is killed when it takes too long."""
        watchdog = threading.Timer(limit_seconds, self._child.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            answer = self._out.read(num_bytes)
        finally:
            watchdog.cancel()
        if len(answer) < num_bytes:
            raise self._refusal()
        return bytes(answer)

    def _refusal(self) -> ExportError:
        _end(self._child)
        return ExportError(
            f"The model's file '{self._path.name}' does not work: it is damaged, or asks for more "
            "memory or time than a model needs. It was not used."
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


def _limit(path: Path) -> None:
    """Limit the resources of this process, where the system supports it."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    memory = _MIN_BYTES + _BYTES_PER_FILE_BYTE * path.stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may be written
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: Path) -> int:
    """Process images until standard input ends."""
    from ai_edge_litert.interpreter import Interpreter

    out = sys.stdout.buffer
    _limit(path)
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
