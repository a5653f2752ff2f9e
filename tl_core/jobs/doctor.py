"""Checks of an installation and a workspace, each with what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from tl_core.backbones.keras_weights import WEIGHT_FILES
from tl_core.backbones.registry import list_backbones
from tl_core.backbones.weights import BUNDLED, damaged_weights, weights_fingerprint
from tl_core.errors import TLError
from tl_core.features.hardware import available_bytes
from tl_core.files import size_text, storage_error
from tl_core.jobs.housekeeping import num_leftovers
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.worker_client import worker_state
from tl_core.runs.store import list_runs
from tl_core.workspace import Workspace

State = Literal["ok", "warning", "error"]

SECURITY_FLOORS = {
    "pillow": ("11.3.0", "CVE-2025-48379"),
    "keras": ("3.11.3", "CVE-2025-9905"),
    "streamlit": ("1.37.0", "CVE-2024-42474"),
    "protobuf": ("6.31.1", "CVE-2025-4565"),
    "pyarrow": ("14.0.1", "CVE-2023-47248"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "python-multipart": ("0.0.18", "CVE-2024-53981"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "filelock": ("3.20.1", "CVE-2025-68146"),
}
"""The least version of each package without a known fault that a stranger could use here."""

_LITTLE_DISK, _NO_DISK = 2 * 10**9, 200 * 10**6
_LITTLE_MEMORY = 1_500 * 10**6


@dataclass(frozen=True)
class Check:
    """The result of one check; ``advice`` is what to do, empty when nothing is wrong."""

    name: str
    state: State
    message: str
    advice: str = ""


def examine(workspace: Workspace) -> list[Check]:
    """Check versions, weights, caches, disk, permissions, memory and what killed processes left.

    Nothing is changed. A check that fails itself is an error of that name.
    """
    found: list[Check] = []
    for name, check in _CHECKS.items():
        try:
            found += check(workspace)
        except (OSError, TLError) as error:
            problem = storage_error(error) if isinstance(error, OSError) else error
            found.append(Check(name, "error", str(problem or error), "Mend this, then look again."))
    return found


def insecure_packages() -> list[Check]:
    """Return the installed packages below their security floor; empty when there are none."""
    found = []
    for package, (floor, reason) in SECURITY_FLOORS.items():
        with suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(package)
            if _parts(version) < _parts(floor):
                found.append(
                    Check(
                        "versions",
                        "error",
                        f"{package} {version} has a known security fault ({reason}).",
                        _install(f"{package}>={floor}"),
                    )
                )
    return found


def _install(requirement: str) -> str:
    return f"Run: {Path(sys.executable).name} -m pip install '{requirement}'"


def _versions(_: Workspace) -> Iterator[Check]:
    from packaging.requirements import Requirement

    yield from insecure_packages()
    try:
        wanted = importlib.metadata.requires("tl-core") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout
        path = Path(__file__).resolve().parents[2] / "requirements.txt"
        wanted = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    num_fitting = 0
    for line in wanted:
        if not line.strip() or line.startswith("#") or "extra ==" in line:
            continue
        requirement = Requirement(line)
        fix = _install(f"{requirement.name}{requirement.specifier}")
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Check("versions", "error", f"{requirement.name} is not installed.", fix)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            num_fitting += 1
        else:
            text = f"{requirement.name} {version} is outside of {requirement.specifier}."
            yield Check("versions", "warning", text, fix)
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("versions", "ok", f"Python {python}, {num_fitting} packages as required.")


def _weights(_: Workspace) -> Iterator[Check]:
    weights_fingerprint(BUNDLED)
    yield Check("weights", "ok", f"{BUNDLED} is bundled.")
    names = [row.name for row in list_backbones() if row.name in WEIGHT_FILES]
    for path in damaged_weights(names):
        text = f"{path.name} is not the published file."
        yield Check("weights", "error", text, f"Delete it, and it is downloaded again: {path}")


def _caches(workspace: Workspace) -> Iterator[Check]:
    num_bytes = 0
    for path in sorted(workspace.cache_dir.glob("*.sqlite")):
        num_bytes += path.stat().st_size
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
                (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            answer = str(error)
        if answer != "ok":
            text = f"{path.name} is damaged ({answer})."
            yield Check("caches", "warning", text, f"Delete it, it is computed again: {path}")
    for path in sorted(workspace.cache_dir.glob("*.damaged")):
        text = f"{path.name} was damaged and has been replaced."
        yield Check("caches", "warning", text, f"Delete it: {path}")
    yield Check("caches", "ok", f"{size_text(num_bytes)} in {workspace.cache_dir}.")


def _disk(workspace: Workspace) -> Iterator[Check]:
    folder = workspace.root
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{size_text(free)} are free for {workspace.root}."
    if free < _LITTLE_DISK:
        state: State = "error" if free < _NO_DISK else "warning"
        yield Check("disk", state, text, "Delete files, or set TL_WORKSPACE to another disk.")
    else:
        yield Check("disk", "ok", text)


def _permissions(workspace: Workspace) -> Iterator[Check]:
    folders = [workspace.root, workspace.datasets_dir, workspace.runs_dir, workspace.cache_dir]
    folders += [workspace.queue_dir, workspace.logs_dir, workspace.decisions_dir]
    num_writable = 0
    for folder in folders:
        if not folder.exists():
            parent = next(place for place in folder.parents if place.exists())
            if os.access(parent, os.W_OK):
                continue
            folder = parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                num_writable += 1
        except OSError as error:
            text = f"Nothing can be written in {folder}: {error.strerror}."
            yield Check("permissions", "error", text, "Change its owner or permissions.")
    home = Path.home()
    if not os.access(home, os.W_OK):
        text = (
            f"The home folder {home} cannot be written; downloaded weights go to a temporary one."
        )
        yield Check(
            "permissions", "warning", text, "Set KERAS_HOME to a folder that can be written."
        )
    yield Check("permissions", "ok", f"{num_writable} folders can be written.")


def _memory(_: Workspace) -> Iterator[Check]:
    free = available_bytes()
    text = f"{size_text(free)} are available."
    if free < _LITTLE_MEMORY:
        yield Check("memory", "warning", text, "Close other programs: training takes about 1.5 GB.")
    else:
        yield Check("memory", "ok", text)


def _leftovers(workspace: Workspace) -> Iterator[Check]:
    again = "Open the studio: it removes them at its start."
    worker = worker_state(workspace)
    if not worker.alive and (workspace.queue_dir / "worker.lock").exists():
        try:
            with FileLock(workspace.queue_dir / "worker.lock", timeout=0):
                pass
        except Timeout:
            text = "The queue is locked, but no worker is known."
            advice = "End the process that runs 'python -m tl_core.jobs', then open the studio."
            yield Check("locks", "error", text, advice)
    if not worker.alive and any(job.active for job in JobQueue(workspace).jobs()):
        text = "A job is marked as active, but its worker has ended."
        yield Check("locks", "warning", text, "Open the studio: a new worker takes care of it.")
    lost = [run.name for run in list_runs(workspace.runs_dir) if run.state == "interrupted"]
    if lost:
        text = f"{len(lost)} runs ended before they were finished, the last one '{lost[0]}'."
        yield Check("locks", "warning", text, "Resume them on the Train page, or delete them.")
    if number := num_leftovers(workspace):
        text = f"{number} unfinished files and folders of processes that have ended."
        yield Check("locks", "warning", text, again)
    yield Check(
        "locks", "ok", "The worker is running." if worker.alive else "No worker is running."
    )


_CHECKS: dict[str, Callable[[Workspace], Iterator[Check]]] = {
    "versions": _versions,
    "weights": _weights,
    "caches": _caches,
    "disk": _disk,
    "permissions": _permissions,
    "memory": _memory,
    "locks": _leftovers,
}


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, as far as they are numbers."""
    parts: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)
