"""The converted file of a backbone: created once, cached, shared by all processes.

A process that has loaded TensorFlow converts directly; any other uses a child process, so that it
need not load TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from tl_core import errors
from tl_core.backbones.registry import get_backbone
from tl_core.backbones.weights import fetch_weights, weights_fingerprint
from tl_core.config.limits import current_limits
from tl_core.config.training import Pooling
from tl_core.processes import child_environment, module_command, parse_error, run_watched
from tl_core.progress import SILENT, Monitor, Stage
from tl_core.workspace import shared_cache_dir

ENGINE_VERSION = 1
"""Incremented when conversion of the same weights changes, so that old files are not used."""

STAGE = "backbone"
_DIR_NAME = "engines"
_POLL_SECONDS = 0.1

_Result = TypeVar("_Result")


def engine_path(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, cache_dir: Path
) -> Path:
    """Return the path of the converted backbone, whether it exists or not.

    In a demo the visitors share those of the sizes of pretraining; one of another size lies in the
    visitor's own cache, where it counts, as there could be any number of them.

    Raises:
        ConfigError: no backbone has that name.
        WeightsError: its weights are in a package that is not installed.
    """
    if image_size == get_backbone(backbone).image_size:
        cache_dir = shared_cache_dir(cache_dir)
    identity = json.dumps([weights_fingerprint(backbone), ENGINE_VERSION])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    height, width = image_size
    name = f"{backbone}_{height}x{width}_{pooling}_{digest}.tflite"
    return cache_dir / _DIR_NAME / name


def engine_error(path: Path, reason: Exception) -> errors.TLError:
    """Return the error for a converted file that cannot be opened, and remove a cached one.

    A cached file is converted again when needed. The file of a fine-tuned run is the only copy and
    is kept, since too little memory causes the same error as damage.
    """
    if path.parent.name == _DIR_NAME:
        path.unlink(missing_ok=True)
        return errors.TLError(
            f"The converted backbone '{path.name}' is damaged and was removed ({reason}). "
            "Start again to convert it."
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
    monitor: Monitor = SILENT,
) -> Path:
    """Return the converted backbone's file, converting it first if necessary.

    Args:
        backbone: the name of a registered backbone.
        image_size: (height, width) in pixels.
        pooling: ``"avg"``, ``"max"`` or ``"flatten"``.
        cache_dir: the cache folder.
        monitor: reports the weights' download, then the stage ``"backbone"``. A stop ends a
            download or a child process at once, a conversion in this process when it is done.

    Raises:
        ConfigError: no backbone has that name, or the image size is too small for it.
        WeightsError: its weights are not available.
        Stopped: ``monitor`` was asked to stop.
        TLError: the conversion failed.
    """
    path = engine_path(backbone, image_size, pooling, cache_dir)
    if path.exists():
        with suppress(OSError):  # removed or read-only
            os.utime(path)  # used last
        return path
    fetch_weights(backbone, image_size, monitor)
    stage = monitor.stage(STAGE, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    while True:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
            break
        except Timeout:  # another process is converting it
            stage.look()
    try:
        if not path.exists():
            stage.look()
            if "tensorflow" in sys.modules:
                from tl_core.backbones.litert import convert_backbone

                convert_backbone(backbone, image_size, pooling, path)
            else:
                _convert_in_child(backbone, image_size, pooling, path, stage)
    finally:
        lock.release()
    if shared_cache_dir(cache_dir) not in path.parents:
        _remove_oldest(path)
    stage.advance()
    return path


def in_background(work: Callable[[], _Result], name: str) -> Future[_Result]:
    """Run ``work`` in a daemon thread and return its future."""
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


def _remove_oldest(newest: Path) -> None:
    """Remove those of a demo's visitor that were used least recently, if all take too much."""
    limits = current_limits()
    if limits is None:
        return
    facts = {path: path.stat() for path in newest.parent.glob("*.tflite")}
    used = sum(one.st_size for one in facts.values())
    for path in sorted(facts, key=lambda path: facts[path].st_mtime_ns):
        if used <= limits.cache_bytes or path == newest:
            return
        path.unlink(missing_ok=True)
        Path(f"{path}.lock").unlink(missing_ok=True)
        used -= facts[path].st_size


def _convert_in_child(
    backbone: str, image_size: tuple[int, int], pooling: Pooling, path: Path, stage: Stage
) -> None:
    # Converting computes nothing, so no GPU is needed.
    environment = child_environment(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    command = module_command(
        "tl_core.backbones.litert", backbone, *map(str, image_size), pooling, str(path)
    )
    ended = run_watched(command, stage.look, environment=environment)
    if ended.returncode != 0 or not path.exists():
        # Raise the child's error as ours; its other output goes to the log.
        if (said := parse_error(ended.out.strip().rpartition("\n")[2])) is not None:
            raise said
        raise errors.TLError(f"Backbone {backbone} could not be converted: {ended.reason}.")
