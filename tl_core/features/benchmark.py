"""Measure the speed of a backbone on this machine, with the engine that training uses."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tl_core.backbones.registry import check_image_size, get_backbone
from tl_core.files import read_json, write_json
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import default_workspace, shared_cache_dir

_SPEEDS_FILE = "speeds.json"


def measure(
    name: str,
    image_size: tuple[int, int] | None = None,
    seconds: float = 2.0,
    cache_dir: Path | None = None,
    monitor: Monitor = SILENT,
) -> float:
    """Measure how many images per second the backbone turns into pooled features.

    Decoding is excluded; the pixels are noise. A backbone not yet converted is converted first,
    which takes longer than the measurement.

    Args:
        name: the name of a registered backbone.
        image_size: (height, width) in pixels; None uses the backbone's default.
        seconds: how long to measure.
        cache_dir: the folder of converted backbones; None uses the workspace's.
        monitor: reports fetching and converting the backbone; checked before the measurement.

    Raises:
        ConfigError: no backbone has that name, or the image size is too small for it.
        WeightsError: its weights are not available.
    """
    from tl_core.features.engine import EnginePool, open_engines, prepare_engine
    from tl_core.features.hardware import choose_device, num_cores

    height, width = check_image_size(get_backbone(name), image_size)
    num_workers = num_cores()
    if choose_device() == "gpu":
        from tl_core.features.gpu import TensorFlowEngine

        pool = EnginePool.of(TensorFlowEngine(name, (height, width), "avg"))
    else:
        folder = default_workspace().cache_dir if cache_dir is None else cache_dir
        pool = open_engines(
            prepare_engine(name, (height, width), "avg", folder, monitor), num_workers
        )
    monitor.check()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (pool.batch_size, height, width, 3), np.uint8)

    def run(until: float) -> int:
        num_images = 0
        while True:
            with pool.borrow() as engine:
                engine.run(images)
            num_images += len(images)
            if time.monotonic() >= until:
                return num_images

    with ThreadPoolExecutor(num_workers) as workers:
        list(workers.map(run, [0.0] * num_workers))  # the first run of an engine is slower
        started = time.monotonic()
        counts = list(workers.map(run, [started + seconds] * num_workers))
        return sum(counts) / (time.monotonic() - started)


def known_speeds(cache_dir: Path) -> dict[str, float]:
    """Return photos per second of each backbone measured on this machine."""
    try:
        speeds = read_json(shared_cache_dir(cache_dir) / _SPEEDS_FILE)
        return {name: float(speed) for name, speed in speeds.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember_speed(cache_dir: Path, name: str, speed: float) -> None:
    """Save the result of :func:`measure` for a backbone."""
    speeds = {**known_speeds(cache_dir), name: round(speed, 1)}
    write_json(shared_cache_dir(cache_dir) / _SPEEDS_FILE, speeds)


def remember_failure(cache_dir: Path, name: str, message: str) -> None:
    """Save why a backbone could not be measured, to show it on the page."""
    write_json(_failure_path(cache_dir, name), {"message": message})


def take_failure(cache_dir: Path, name: str) -> str | None:
    """Return and delete the saved reason why a backbone could not be measured, if any."""
    path = _failure_path(cache_dir, name)
    try:
        message = str(read_json(path)["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    path.unlink(missing_ok=True)
    return message


def _failure_path(cache_dir: Path, name: str) -> Path:
    return cache_dir / f"speed_{name}.failed.json"
