"""The queue of jobs: one small file a job, so that it outlives every process.

``<id>.waiting.json`` becomes ``<id>.active.json`` by rename when the worker takes the job, and
goes when the job is over: what came out lies in the run directory. ``<id>.stop`` asks an active
job to stop, ``<id>.progress.json`` says how far it is.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tl_core.files import patiently, read_json, write_bytes, write_json
from tl_core.workspace import Workspace

_WAITING = ".waiting.json"
_ACTIVE = ".active.json"
_ID = re.compile(r"[0-9]+-[0-9a-f]+")


@dataclass(frozen=True)
class Job:
    """Work for the worker process: ``kind`` names what to do, ``payload`` says with what."""

    id: str
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    run_dir: Path | None = None
    priority: int = 0
    active: bool = False


@dataclass(frozen=True)
class JobState:
    """Whether the worker is at a job, and what it last reported: stage, done, total, seconds."""

    is_active: bool
    progress: dict[str, Any]


class JobQueue:
    """The jobs of a workspace. Any process may submit and stop; only the worker takes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._dir = workspace.queue_dir

    def submit(
        self,
        kind: str,
        payload: Mapping[str, Any],
        run_dir: Path | None = None,
        priority: int = 0,
        *,
        unique: bool = False,
    ) -> Job:
        """Put a job at the end of those of its priority; a higher number goes first.

        With ``unique`` a job of the same kind and payload that is there already is returned.
        """
        if unique and (there := self.find(kind, payload)) is not None:
            return there
        job = Job(
            id=f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}",
            kind=kind,
            payload=dict(payload),
            run_dir=None if run_dir is None else run_dir.absolute(),
            priority=priority,
        )
        stored = None if run_dir is None else self._workspace.relative(run_dir)
        write_json(
            self._path(job.id, _WAITING),
            {"kind": kind, "payload": job.payload, "run_dir": stored, "priority": priority},
        )
        return job

    def jobs(self) -> list[Job]:
        """Return the jobs in the order in which they will be done, active ones first."""
        try:
            names = sorted(path.name for path in self._dir.iterdir())
        except FileNotFoundError:
            return []
        found = [self._read(name) for name in names if name.endswith((_WAITING, _ACTIVE))]
        return sorted(
            (job for job in found if job is not None),
            key=lambda job: (not job.active, -job.priority, job.id),
        )

    def job_of(self, run_dir: Path) -> Job | None:
        """Return the job that trains this run, or None when there is none any more."""
        wanted = run_dir.absolute()
        return next((job for job in self.jobs() if job.run_dir == wanted), None)

    def find(self, kind: str, payload: Mapping[str, Any]) -> Job | None:
        """Return the first job of exactly this kind and payload, or None."""
        wanted = dict(payload)
        jobs = self.jobs()
        return next((job for job in jobs if job.kind == kind and job.payload == wanted), None)

    def state(self, job: Job) -> JobState:
        """Return how far a job is."""
        return JobState(job.active, self.progress(job.id))

    def position(self, job_id: str) -> int | None:
        """Return how many jobs come before it, 0 for the active one; None when it is over.

        An active job that has to give way to it is not counted.
        """
        jobs = self.jobs()
        this = next((job for job in jobs if job.id == job_id), None)
        if this is None:
            return None
        before = jobs[: jobs.index(this)]
        return sum(not (job.active and job.priority < this.priority) for job in before)

    def request_stop(self, job_id: str) -> None:
        """Ask for the end of a job: a waiting one goes at once, an active one soon."""
        write_bytes(self._path(job_id, ".stop"), b"")  # first, for the worker may take it now
        with suppress(FileNotFoundError):
            patiently(self._path(job_id, _WAITING).unlink)
        if not self._path(job_id, _ACTIVE).exists():
            with suppress(FileNotFoundError):
                patiently(self._path(job_id, ".stop").unlink)

    def progress(self, job_id: str) -> dict[str, Any]:
        """Return what the active job last reported; empty before its first report."""
        with suppress(OSError, ValueError):
            return dict(read_json(self._path(job_id, ".progress.json")))
        return {}

    def take(self, *, without_kinds: Collection[str] = ()) -> Job | None:
        """Take the next job of another kind than these, which becomes active; for the worker."""
        for job in self.jobs():
            if not job.active and job.kind not in without_kinds:
                with suppress(FileNotFoundError):  # cancelled this very moment: try the next
                    self._rename(job.id, _WAITING, _ACTIVE)
                    return replace(job, active=True)
        return None

    def put_back(self, job: Job) -> None:
        """Make an active job wait again, in its old place."""
        with suppress(FileNotFoundError):
            self._rename(job.id, _ACTIVE, _WAITING)

    def finish(self, job_id: str) -> None:
        """Remove what is left of a job."""
        for suffix in (_WAITING, _ACTIVE, ".stop", ".progress.json"):
            with suppress(FileNotFoundError):
                patiently(self._path(job_id, suffix).unlink)

    def report(self, job_id: str, progress: Mapping[str, Any]) -> None:
        """Say how far an active job is."""
        write_json(self._path(job_id, ".progress.json"), dict(progress))

    def is_stop_requested(self, job_id: str) -> bool:
        """Whether an active job was asked to stop."""
        return self._path(job_id, ".stop").exists()

    def must_give_way(self, job: Job) -> bool:
        """Whether a job of a higher priority waits."""
        return any(other.priority > job.priority and not other.active for other in self.jobs())

    def _rename(self, job_id: str, before: str, after: str) -> None:
        path, target = self._path(job_id, before), self._path(job_id, after)
        patiently(lambda: path.rename(target))

    def _path(self, job_id: str, suffix: str) -> Path:
        if not _ID.fullmatch(job_id):
            raise ValueError(f"'{job_id}' is no job id")
        return self._dir / f"{job_id}{suffix}"

    def _read(self, name: str) -> Job | None:
        """Read a job's file; None when it was just taken or is no job of ours."""
        try:
            stored = read_json(self._dir / name)
            run_dir = stored["run_dir"]
            return Job(
                id=_ID.fullmatch(name.split(".")[0])[0],  # type: ignore[index]
                kind=str(stored["kind"]),
                payload=dict(stored["payload"]),
                run_dir=None if run_dir is None else self._workspace.resolve(run_dir),
                priority=int(stored["priority"]),
                active=name.endswith(_ACTIVE),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
