"""What the machine is taken to have: cores and memory as allowed, a GPU only when there is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tl_core.features import hardware


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = tmp_path / "own_cgroups"
    own.write_text("0::/\n")
    monkeypatch.setattr(hardware, "_OWN_CGROUPS", own)
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


def test_the_page_cache_is_available_memory(cgroup: Path) -> None:
    (cgroup / "memory.max").write_text("10000\n")
    (cgroup / "memory.current").write_text("9900\n")
    (cgroup / "memory.stat").write_text("anon 1500\nfile 8300\ninactive_file 8000\n")
    assert hardware.available_bytes() == 10000 - (9900 - 8000)


def test_every_enclosing_group_limits_the_memory(cgroup: Path) -> None:
    (cgroup / "own_cgroups").write_text("0::/service/inner\n")
    inner = cgroup / "service" / "inner"
    inner.mkdir(parents=True)
    for group, limit, used in ((inner, "max", 100), (inner.parent, "6000", 1000)):
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text(str(used))
    assert hardware.available_bytes() == 5000
    (inner / "memory.max").write_text("2100")
    assert hardware.available_bytes() == 2000


@pytest.mark.parametrize("path", ["/", "/docker/abc"], ids=["own group is the root", "unseen path"])
def test_control_groups_of_version_1_are_read(
    cgroup: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cgroup / "own_cgroups").write_text(f"9:cpu,cpuacct:{path}\n5:memory:{path}\n0::{path}\n")
    memory, cpu = cgroup / "memory", cgroup / "cpu"
    for folder in (memory, cpu):
        folder.mkdir()
    (memory / "memory.limit_in_bytes").write_text("8000")
    (memory / "memory.usage_in_bytes").write_text("7000")
    (memory / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 4000\n")
    (cpu / "cpu.cfs_quota_us").write_text("-1")
    (cpu / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    assert hardware.available_bytes() == 8000 - (7000 - 4000)
    assert hardware.num_cores() == 8
    (cpu / "cpu.cfs_quota_us").write_text("300000")
    assert hardware.num_cores() == 3


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


def test_kills_for_lack_of_memory_are_counted_in_the_system_and_the_group(monkeypatch, tmp_path):
    (tmp_path / "vmstat").write_text("oom_kill_other 9\noom_kill 2\n")
    monkeypatch.setattr(hardware, "_SYSTEM_EVENTS", tmp_path / "vmstat")
    monkeypatch.setattr(hardware, "_CGROUP_DIR", tmp_path)
    monkeypatch.setattr(hardware, "_OWN_CGROUPS", tmp_path / "none")
    assert hardware.num_memory_kills() == 2
    (tmp_path / "memory.events").write_text("max 12\noom 3\noom_kill 3\n")
    assert hardware.num_memory_kills() == 3
