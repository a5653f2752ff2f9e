"""The cores, memory and devices that this process may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

DEVICE_ENVIRONMENT_NAME = "TL_DEVICE"
_NVIDIA_SIGNS = ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")
_CGROUP_DIR = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_SYSTEM_EVENTS = Path("/proc/vmstat")


def num_cores() -> int:
    """Return how many cores this process may keep busy, by affinity and container quota."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for group in _control_groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (group / "cpu.max").exists():
                quota, period = map(int, (group / "cpu.max").read_text().split())
            else:
                quota = int((group / "cpu.cfs_quota_us").read_text())
                period = int((group / "cpu.cfs_period_us").read_text())
            if quota > 0:  # version 1 uses -1 for no limit
                cores = min(cores, round(quota / period))
    return max(1, cores)


def available_bytes() -> int:
    """Return how much memory is still available, in bytes, by the system and container limits.

    In a control group the page cache counts as used, but the kernel frees it when memory is needed,
    so it is counted as available here.
    """
    import psutil

    available = int(psutil.virtual_memory().available)
    for group in _control_groups("memory"):
        with suppress(OSError, ValueError):
            if (group / "memory.max").exists():
                names = ("memory.max", "memory.current", "inactive_file")
            else:
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            limit, used = (int((group / name).read_text()) for name in names[:2])
            used -= _statistic(group / "memory.stat", names[2])
            available = min(available, max(0, limit - used))
    return available


def num_memory_kills() -> int:
    """Return how many processes the system has ended for lack of memory since it started.

    Counted are those of the machine and of this process's control groups, as far as the system
    reports them; 0 where it does not.

    References:
        The kernel's documentation, admin-guide/cgroup-v2.rst, on ``memory.events``.
    """
    counts = [_statistic(_SYSTEM_EVENTS, "oom_kill")]
    for group in _control_groups("memory"):
        for name in ("memory.events", "memory.oom_control"):
            counts.append(_statistic(group / name, "oom_kill"))
    return max(counts)


def _control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups whose limits apply to this process.

    The innermost comes first. Version 2 has one tree for all controllers, version 1 one for each.
    Inside a container its own group often appears as the root, and the path reported for the
    process does not exist: then the root is used.

    References:
        The kernel's documentation, admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/memory.rst.
    """
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = _CGROUP_DIR
        elif controller in controllers.split(","):
            root = _CGROUP_DIR / controller
        else:
            continue
        own = root / path.lstrip("/")
        group = own if own.is_dir() and ".." not in own.parts else root
        yield group
        while group != root:
            group = group.parent
            yield group


def _statistic(path: Path, name: str) -> int:
    """Return one value of a file of names and values; 0 if it is not reported."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def choose_device() -> Literal["cpu", "gpu"]:
    """Return the device for backbones: ``TL_DEVICE`` if set, else a GPU if there is one.

    Without an NVIDIA driver it is ``"cpu"``, and TensorFlow is not loaded.
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
