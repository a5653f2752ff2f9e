"""What the machine is taken to have: cores and memory as allowed, a GPU only when there is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tl_core.features import hardware


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hardware, "_CGROUP_DIR", tmp_path)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="containers of Linux")
def test_a_containers_quota_limits_the_cores(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert hardware.num_cores() == 16
    (cgroup / "cpu.max").write_text("max 100000\n")
    assert hardware.num_cores() == 16
    (cgroup / "cpu.max").write_text("250000 100000\n")
    assert hardware.num_cores() == 2
    (cgroup / "cpu.max").write_text("20000 100000\n")
    assert hardware.num_cores() == 1


def test_a_containers_limit_bounds_the_memory(cgroup: Path) -> None:
    free = hardware.available_bytes()
    assert free > 2**20
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("1000\n")
    assert hardware.available_bytes() > 2**20
    (cgroup / "memory.max").write_text("5000\n")
    assert hardware.available_bytes() == 4000


@pytest.mark.parametrize(
    ("environment", "signs", "expected"),
    [
        ({"TL_DEVICE": "gpu"}, [], "gpu"),
        ({"TL_DEVICE": "cpu"}, [__file__], "cpu"),
        ({}, [], "cpu"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, [__file__], "cpu"),
    ],
    ids=["gpu by setting", "cpu by setting", "no driver", "hidden GPU"],
)
def test_the_device_is_told_without_tensorflow_where_no_gpu_can_be(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    signs: list[str],
    expected: str,
) -> None:
    for name in ("TL_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hardware, "_NVIDIA_SIGNS", signs)
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # an import of it would fail
    assert hardware.choose_device() == expected
