"""How fast backbones are on this machine: measured when asked for, and remembered."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tl_core.files import read_json, write_json
from tl_core.model.backbones import measure
from tl_core.workspace import Workspace


def known_speeds(workspace: Workspace) -> dict[str, float]:
    """Return photos a second by backbone, as far as they were measured here."""
    try:
        speeds = read_json(_path(workspace))
    except (OSError, ValueError):
        return {}
    return {name: float(speed) for name, speed in speeds.items()}


def measure_here(workspace: Workspace, backbone: str) -> float:
    """Measure a backbone and remember the result.

    In a process of its own, so that neither a large backbone nor TensorFlow, which converts it
    the first time, stays in the memory of the web server.

    Raises:
        WeightsError: its weights cannot be had.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        speed = pool.submit(measure, backbone, cache_dir=workspace.cache_dir).result()
    write_json(_path(workspace), {**known_speeds(workspace), backbone: round(speed, 1)})
    return speed


def _path(workspace: Workspace) -> Path:
    return workspace.cache_dir / "speeds.json"
