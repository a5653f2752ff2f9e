"""Have a backbone's converted file at hand: made once, kept, shared by every process.

A process that has TensorFlow loaded converts by itself; any other has a child process do it and
stays without.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from tl_core import errors
from tl_core.backbones.weights import fetch_weights, weights_fingerprint
from tl_core.config.training import Pooling
from tl_core.processes import child_environment, ended_by, module_command, said_error
from tl_core.progress import OnProgress, Progress, ShouldStop

ENGINE_VERSION = 1
"""Raised when the same weights are converted to another file, so that old files are not used."""

STAGE = "backbone"
_DIR_NAME = "engines"
_POLL_SECONDS = 0.1
_REPORT_SECONDS = 0.5

_Result = TypeVar("_Result")


def engine_path(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, cache_dir: Path
) -> Path:
    """Return where the converted backbone is kept, whether it is there yet or not.

    Raises:
        WeightsError: its weights come with a package that is not installed.
    """
    identity = json.dumps([weights_fingerprint(backbone), ENGINE_VERSION])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    height, width = image_size
    name = f"{backbone}_{height}x{width}_{pooling}_{digest}.tflite"
    return cache_dir / _DIR_NAME / name


def cannot_open(path: Path, reason: Exception) -> errors.TLError:
    """Return what to say about a converted file that does not open, and see to the next try.

    A file of the cache is removed, for it is converted again when needed. A fine-tuned run's is
    the only one of its kind and stays: memory that did not suffice makes it fail as damage does.
    """
    if path.parent.name == _DIR_NAME:
        path.unlink(missing_ok=True)
        return errors.TLError(
            f"The converted backbone '{path.name}' is damaged and was removed ({reason}). "
            "Start again; it is then converted anew."
        )
    return errors.TLError(
        f"The converted backbone '{path.name}' in '{path.parent}' cannot be opened ({reason}). "
        "It is left as it is. Close other programs if memory is short and try again; if that does "
        "not help, copy the run's folder again from where it still works, or train it again."
    )


def prepare_engine(
    backbone: str,
    image_size: tuple[int, int],
    pooling: Pooling,
    cache_dir: Path,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Path:
    """Return the converted backbone's file, converting it first if nobody has.

    Args:
        backbone: a name from the table of backbones.
        image_size: (height, width) in pixels.
        pooling: ``"avg"``, ``"max"`` or ``"flatten"``.
        cache_dir: the folder of what can be computed again.
        on_progress: told of the weights' download, then of the stage ``"backbone"``.
        should_stop: polled; a download or a child process ends at once, a conversion in this
            process at its end.

    Raises:
        ConfigError: no backbone has that name, or the image size is too small for it.
        WeightsError: its weights cannot be had.
        Stopped: ``should_stop`` said so.
        TLError: the conversion failed.
    """
    path = engine_path(backbone, image_size, pooling, cache_dir)
    if path.exists():
        return path
    watch = _Watch(on_progress, should_stop)
    fetch_weights(backbone, image_size, on_progress, should_stop)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    while True:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
            break
        except Timeout:  # another process is converting it
            watch.look()
    try:
        if not path.exists():
            watch.look()
            if "tensorflow" in sys.modules:
                from tl_core.backbones.litert import convert_backbone

                convert_backbone(backbone, image_size, pooling, path)
            else:
                _convert_in_child(backbone, image_size, pooling, path, watch)
    finally:
        lock.release()
    watch.end()
    return path


def in_background(work: Callable[[], _Result], name: str) -> Future[_Result]:
    """Do ``work`` in a thread that keeps no process alive, and return its future."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    future.set_running_or_notify_cancel()
    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class _Watch:
    """Reports that a conversion is under way, and asks whether to stop it."""

    def __init__(self, on_progress: OnProgress | None, should_stop: ShouldStop | None) -> None:
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._started = time.monotonic()
        self._reported = float("-inf")

    def look(self) -> None:
        """Report from time to time; raise :class:`~tl_core.errors.Stopped` when asked to stop."""
        if self._should_stop is not None and self._should_stop():
            raise errors.Stopped
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            self._report(0)

    def end(self) -> None:
        """Report that the backbone is ready."""
        self._report(1)

    def _report(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(STAGE, done, 1, time.monotonic() - self._started))


def _convert_in_child(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, path: Path, watch: _Watch
) -> None:
    # Nothing is computed, so no GPU need be woken.
    environment = child_environment(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    command = module_command(
        "tl_core.backbones.litert", backbone, *map(str, image_size), pooling, str(path)
    )
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment
        )
        try:
            while child.poll() is None:
                watch.look()
                time.sleep(_POLL_SECONDS)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        out.seek(0)
        log.seek(0)
        if child.returncode != 0 or not path.exists():
            raise _child_error(backbone, child.returncode, out.read(), log.read())


def _child_error(backbone: str, returncode: int, out: str, log: str) -> errors.TLError:
    """Return what the child process failed with, as the error that it was there."""
    if (said := said_error(out.strip().rpartition("\n")[2])) is not None:
        return said
    reason = ended_by(returncode) or (log.strip().splitlines() or ["no reason was given"])[-1]
    return errors.TLError(f"Backbone {backbone} could not be converted: {reason}.")
