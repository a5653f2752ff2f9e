"""What is done at the start of a server or worker, and between jobs, to use no more than needed."""

from __future__ import annotations

import ctypes
import gc
import logging
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from tl_core.files import delete_stale_files, stale_files
from tl_core.workspace import Workspace

_log = logging.getLogger(__name__)

_JOB_FILE = re.compile(r"([0-9]+-[0-9a-f]+)\.(waiting\.json|active\.json|stop|progress\.json)")
_SETTLED_SECONDS = 60.0  # the files of one job are written one after the other


def sweep_workspace(workspace: Workspace) -> int:
    """Remove what killed processes left unfinished in a workspace; return how many there were.

    These are the folders of uploads and runs that were being written, temporary files, and the
    queue's files about jobs that are gone.
    """
    count = sum(map(delete_stale_files, _folders(workspace))) + _sweep_queue(workspace)
    if count:
        _log.info("removed %d unfinished files and folders", count)
    return count


def num_leftovers(workspace: Workspace) -> int:
    """Return how many unfinished files and folders :func:`sweep_workspace` would remove."""
    return sum(len(stale_files(folder)) for folder in _folders(workspace))


def _folders(workspace: Workspace) -> list[Path]:
    """Return the folders in which unfinished files may lie."""
    folders = [workspace.root, workspace.cache_dir, workspace.decisions_dir, workspace.presets_dir]
    folders += [workspace.datasets_dir, workspace.runs_dir, workspace.sweeps_dir]
    folders += [workspace.trash_dir, workspace.queue_dir]
    for pattern in ("runs/*", "runs/*/exports", "sweeps/*", "cache/*"):
        folders += [path for path in workspace.root.glob(pattern) if path.is_dir()]
    return folders


def _sweep_queue(workspace: Workspace) -> int:
    """Remove stops and progress of jobs that are gone."""
    found: dict[str, list[str]] = {}
    with suppress(OSError):
        for path in workspace.queue_dir.iterdir():
            if match := _JOB_FILE.fullmatch(path.name):
                found.setdefault(match[1], []).append(path.name)
    count = 0
    for names in found.values():
        if any(name.endswith((".waiting.json", ".active.json")) for name in names):
            continue
        for name in names:
            path = workspace.queue_dir / name
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _SETTLED_SECONDS:
                    path.unlink()
                    count += 1
    return count


def return_memory() -> None:
    """Return memory that is no longer used to the system, as far as the C library can."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


def used_bytes() -> int:
    """Return how much memory this process uses."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def warm_up(workspace: Workspace) -> None:
    """Load TensorFlow, prepare the default backbone, and compile the default head once."""
    import numpy as np

    from tl_core.backbones.api import get_backbone, resolve_image_size
    from tl_core.config.training import TrainConfig
    from tl_core.features.engine import prepare_engine
    from tl_core.head.model import build_head, head_weights
    from tl_core.processes import BackgroundImport
    from tl_core.training.head_steps import StepSettings, borrow_steps

    BackgroundImport().wait()
    config = TrainConfig()
    prepare_engine(config.backbone, resolve_image_size(config), config.pooling, workspace.cache_dir)
    dim = get_backbone(config.backbone).feature_dim
    with borrow_steps(dim, config.fc_layers, 3) as steps:
        steps.start(head_weights(build_head(dim, config.dropout, config.fc_layers, 3, 0)))
        features, labels = np.zeros((2, dim), np.float32), np.zeros(2, np.int32)
        settings = StepSettings(config.batch_size, config.learning_rate, config.dropout, 0.0, 0)
        steps.train(features, labels, np.ones(3), np.arange(2), 0, settings)
