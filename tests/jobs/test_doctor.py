"""What is wrong with an installation or a workspace is named, with what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest
from filelock import FileLock
from packaging.requirements import Requirement
from packaging.version import Version

from tl_core import files
from tl_core.backbones.keras_weights import WEIGHT_FILES
from tl_core.config.training import TrainConfig
from tl_core.jobs import doctor
from tl_core.jobs.doctor import SECURITY_FLOORS, Check, examine, insecure_packages
from tl_core.jobs.queue import JobQueue
from tl_core.runs.files import start_run, update_status
from tl_core.runs.store import create_run
from tl_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    workspace = Workspace(tmp_path / "workspace")
    workspace.cache_dir.mkdir(parents=True)
    workspace.queue_dir.mkdir()
    return workspace


def problems(workspace: Workspace, name: str) -> list[Check]:
    found = [one for one in examine(workspace) if one.name == name and one.state != "ok"]
    assert all(one.message and one.advice for one in found)
    return found


def test_a_sound_workspace_has_no_errors(place: Workspace) -> None:
    checks = examine(place)
    names = ["versions", "weights", "caches", "disk", "permissions", "memory", "locks"]
    assert list(dict.fromkeys(one.name for one in checks)) == names
    assert [one for one in checks if one.state == "error"] == []


def test_no_installed_package_is_below_its_security_floor() -> None:
    assert insecure_packages() == []


def test_no_requirement_admits_a_version_below_its_floor() -> None:
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.name in SECURITY_FLOORS:
                floor = Version(SECURITY_FLOORS[requirement.name][0])
                least = [
                    one.version for one in requirement.specifier if one.operator in (">=", "==")
                ]
                assert max(map(Version, least)) >= floor, line


def test_a_version_below_its_floor_is_an_error_that_says_what_to_install(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    versions = {"pillow": "11.2.1", "numpy": "1.26.0", "keras": "3.15.1rc1"}
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: versions.get(name) or real(name)
    )
    errors = [one for one in problems(place, "versions") if one.state == "error"]
    assert [one.message for one in errors] == [
        "pillow 11.2.1 has a known security fault (CVE-2025-48379)."
    ]
    assert "pillow>=11.3.0" in errors[0].advice
    assert any("numpy 1.26.0 is outside" in one.message for one in problems(place, "versions"))


def test_damaged_caches_and_weights_are_found(place: Workspace, tmp_path: Path) -> None:
    sqlite3.connect(place.cache_dir / "features.sqlite").execute("CREATE TABLE a (b)").close()
    (place.cache_dir / "scans.sqlite").write_bytes(b"no database" * 1000)
    (found,) = problems(place, "caches")
    assert "scans.sqlite is damaged" in found.message
    file = tmp_path / "keras" / "models" / WEIGHT_FILES["EfficientNetB0"].file_name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a download")
    (found,) = problems(place, "weights")
    assert str(file) in found.advice


def test_little_disk_and_memory_are_found(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**9))
    monkeypatch.setattr(doctor, "available_bytes", lambda: 3 * 10**8)
    assert [one.state for one in problems(place, "disk")] == ["warning"]
    assert "300 MB are available" in problems(place, "memory")[0].message
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    assert [one.state for one in problems(place, "disk")] == ["error"]


def test_a_workspace_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert "error" in {one.state for one in examine(Workspace(tmp_path / "file" / "workspace"))}


def test_what_killed_processes_left_is_found(place: Workspace) -> None:
    run = create_run(place.runs_dir, TrainConfig(backbone="tiny"), "data", name="mine")
    start_run(run.run_dir, "head")
    update_status(run.run_dir, pid_create_time=1.0)
    queue = JobQueue(place)
    queue.submit("train", {}, run_dir=run.run_dir)
    queue.take()
    mark = f"{1:08x}{1:08x}{files._machine()}"
    (place.runs_dir / f".half.{mark}{'0' * 12}.tmp").mkdir()
    found = [one.message for one in problems(place, "locks")]
    assert any("worker has ended" in one for one in found)
    assert any("'mine'" in one for one in found)
    assert any("1 unfinished" in one for one in found)
    with FileLock(place.queue_dir / "worker.lock"):
        assert any("no worker is known" in one.message for one in problems(place, "locks"))


def test_the_command_ends_with_1_for_errors_and_0_for_warnings(
    cli, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state, expected in (("ok", 0), ("warning", 0), ("error", 1)):
        checks = [Check("disk", state, "The disk is so.", "" if state == "ok" else "Free space.")]
        monkeypatch.setattr(doctor, "examine", lambda _, checks=checks: checks)
        code, out, _ = cli("doctor", "--workspace", str(place.root))
        assert code == expected
        assert "The disk is so." in out
        assert ("Free space." in out) == (state != "ok")
        code, out, _ = cli("doctor", "--json", "--workspace", str(place.root))
        assert (code, json.loads(out)[0]["state"]) == (expected, state)
