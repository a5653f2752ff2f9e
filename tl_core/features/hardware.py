"""What this machine has to compute with, as far as this process may use it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

DEVICE_ENVIRONMENT_NAME = "TL_DEVICE"
_NVIDIA_SIGNS = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
_CGROUP_DIR = Path("/sys/fs/cgroup")


def num_cores() -> int:
    """Return how many cores this process may keep busy, by affinity and container quota."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = (_CGROUP_DIR / "cpu.max").read_text().split()
        cores = min(cores, round(int(quota) / int(period)))
    return max(1, cores)


def available_bytes() -> int:
    """Return how much memory can still be taken, by the system and the container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):
        limit = int((_CGROUP_DIR / "memory.max").read_text())
        used = int((_CGROUP_DIR / "memory.current").read_text())
        available = min(available, max(0, limit - used))
    return available


def choose_device() -> Literal["cpu", "gpu"]:
    """Return where backbones run: ``TL_DEVICE`` when it says, else a GPU when there is one.

    Without a sign of an NVIDIA driver the answer is ``"cpu"`` and TensorFlow is not loaded.
    """
    wanted = os.environ.get(DEVICE_ENVIRONMENT_NAME, "auto").strip().lower()
    if wanted in ("cpu", "gpu"):
        return "cpu" if wanted == "cpu" else "gpu"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    if not any(Path(sign).exists() for sign in _NVIDIA_SIGNS):
        return "cpu"
    import tensorflow as tf

    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
