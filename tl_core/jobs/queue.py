"""The queue of jobs: one small file per job, independent of any process.

``<id>.waiting.json`` is renamed to ``<id>.active.json`` when the worker takes the job, and deleted
when the job is over; results are in the run directory. ``<id>.stop`` requests an active job to
stop, ``<id>.progress.json`` is its progress. The modification time of a job's file is when a page
last requested it: jobs shown on a page go before those no longer shown.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tl_core.errors import StorageError
from tl_core.files import (
    plain_storage_errors,
    read_json,
    retry_on_windows_lock,
    write_bytes,
    write_json,
)
from tl_core.workspace import Workspace

QUEUED_DIR = "visitors"
"""In the queue folder of a demo, with an empty file for each visitor who has jobs."""

_WAITING = ".waiting.json"
_ACTIVE = ".active.json"
_IN_VIEW_SECONDS = 10.0  # a page requests the jobs it shows about once per second
_LOST_FIRST = 1000  # added to the rank of lost jobs, which only say so
_OUT_OF_VIEW = 1000  # subtracted from the rank of jobs that no page shows
_MAX_YIELDS = 3  # a job that gave way this often gives way to trainings only
_ID = re.compile(r"[0-9]+-[0-9a-f]+")
_LISTINGS = 20  # listings until two in a row agree; a busy queue changes some ten times a second


@dataclass(frozen=True)
class Job:
    """A job of the worker process.

    Attributes:
        id: sorts by age.
        kind: a key of :data:`~tl_core.jobs.handlers.KINDS`.
        payload: its arguments.
        run_dir: the run that it trains, if any.
        priority: a higher number goes first.
        active: whether the worker is running it.
        needs_user: whether it is only useful to a page that shows it.
        num_yields: how often it gave way to other jobs.
        asked: when a page last requested it, in seconds since the epoch.
        workspace: the workspace whose queue it is in, where several queues are served.
        num_lost: how often a worker ended while it ran the job.
        lost: why it is not run again, to be said where it was asked for; else empty.
    """

    id: str
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    run_dir: Path | None = None
    priority: int = 0
    active: bool = False
    needs_user: bool = False
    num_yields: int = 0
    asked: float = 0.0
    workspace: Workspace | None = None
    num_lost: int = 0
    lost: str = ""

    @property
    def submitted(self) -> int:
        """When it was submitted, in nanoseconds since the epoch."""
        return int(self.id.split("-")[0])

    @property
    def is_in_view(self) -> bool:
        """Whether a page shows it, or it does not need one."""
        return not self.needs_user or time.time() - self.asked < _IN_VIEW_SECONDS

    @property
    def rank(self) -> int:
        """The rank of the job: a higher one goes first, and a lower one gives way to it.

        Jobs shown on a page go before others. A job that gave way a few times goes before all but
        trainings, so that it can finish. A lost job goes first, as it ends at once.
        """
        if self.lost:
            return self.priority + _LOST_FIRST
        rank = self.priority if self.num_yields < _MAX_YIELDS else max(self.priority, -1)
        return rank if self.is_in_view else rank - _OUT_OF_VIEW


@dataclass(frozen=True)
class JobState:
    """Whether a job is running, and its last progress: stage, done, total, seconds.

    ``is_stopping`` says that a stop was requested, which the worker has not followed yet.
    """

    is_active: bool
    progress: dict[str, Any]
    is_stopping: bool = False


class JobQueue:
    """The jobs of a workspace. Any process may submit and stop jobs; only the worker takes them."""

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
        needs_user: bool = False,
    ) -> Job:
        """Add a job after those of its rank.

        With ``unique``, an existing job of the same kind and payload is returned and counts as
        requested again.
        """
        if unique and (there := self.find(kind, payload)) is not None:
            self._touch(there.id)
            return there
        job = Job(
            id=f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}",
            kind=kind,
            payload=dict(payload),
            run_dir=None if run_dir is None else run_dir.absolute(),
            priority=priority,
            needs_user=needs_user,
            asked=time.time(),
        )
        stored = None if run_dir is None else self._workspace.relative(run_dir)
        write_json(
            self._path(job.id, _WAITING),
            {
                "kind": kind,
                "payload": job.payload,
                "run_dir": stored,
                "priority": priority,
                "needs_user": needs_user,
            },
        )
        self.note()
        return job

    def note(self) -> None:
        """Have the worker of a demo know that this visitor has jobs, once their files are there."""
        if (host := self._workspace.host) is not None:
            folder = host.queue_dir / QUEUED_DIR
            with plain_storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / self._workspace.root.name).touch()  # no file beside it, even for a moment

    def jobs(self) -> list[Job]:
        """Return the jobs in the order in which they will run, active ones first."""
        names = self._names()
        for _ in range(_LISTINGS):
            found = [self._read(name) for name in names]
            # A listing made while a job is taken or put back, which renames its file, may miss it.
            before, names = names, self._names()
            if names == before:
                break
        return sorted(
            (job for job in found if job is not None),
            key=lambda job: (not job.active, -job.rank, job.id),
        )

    def job_of(self, run_dir: Path) -> Job | None:
        """Return the job that trains this run, or None."""
        wanted = run_dir.absolute()
        return next((job for job in self.jobs() if job.run_dir == wanted), None)

    def find(self, kind: str, payload: Mapping[str, Any]) -> Job | None:
        """Return the first job of exactly this kind and payload, or None."""
        wanted = dict(payload)
        jobs = self.jobs()
        return next((job for job in jobs if job.kind == kind and job.payload == wanted), None)

    def state(self, job: Job) -> JobState:
        """Return the state of a job."""
        return JobState(job.active, self.progress(job.id), self.is_stop_requested(job.id))

    def watch(self, job: Job) -> JobState:
        """Return the state of a job that a page shows, which raises its rank."""
        self._touch(job.id)
        return self.state(job)

    def position(self, job_id: str) -> int | None:
        """Return how many jobs come before it, 0 for the active one; None if it is over.

        An active job that will give way to it is not counted.
        """
        jobs = self.jobs()
        this = next((job for job in jobs if job.id == job_id), None)
        if this is None:
            return None
        before = jobs[: jobs.index(this)]
        return sum(not (job.active and job.rank < this.rank) for job in before)

    def request_stop(self, job_id: str) -> None:
        """Request a job to stop: a waiting one is removed at once, an active one stops soon."""
        write_bytes(self._path(job_id, ".stop"), b"")  # first, for the worker may take it now
        with suppress(FileNotFoundError):
            retry_on_windows_lock(self._path(job_id, _WAITING).unlink)
        if not self._path(job_id, _ACTIVE).exists():
            with suppress(FileNotFoundError):
                retry_on_windows_lock(self._path(job_id, ".stop").unlink)

    def progress(self, job_id: str) -> dict[str, Any]:
        """Return the last progress of an active job; empty before its first report."""
        with suppress(OSError, ValueError, TypeError):
            return dict(read_json(self._path(job_id, ".progress.json")))
        return {}

    def take(
        self, *, without_kinds: Collection[str] = (), fits: Callable[[Job], bool] | None = None
    ) -> Job | None:
        """Take the next job, except of the given kinds, and make it active; for the worker.

        With ``fits``, those are passed over for which it returns False.
        """
        for job in self.jobs():
            if job.active or job.kind in without_kinds or (fits is not None and not fits(job)):
                continue
            if (taken := self.take_job(job)) is not None:
                return taken
        return None

    def take_job(self, job: Job) -> Job | None:
        """Make a waiting job active; None if it was just cancelled."""
        try:
            self._rename(job.id, _WAITING, _ACTIVE)
        except FileNotFoundError:
            return None
        return replace(job, active=True)

    def queue_of(self, job: Job) -> JobQueue:
        """Return the queue that a job is in: this one."""
        return self

    def put_back(self, job: Job, *, gave_way: bool = False) -> None:
        """Return an active job to its place in the queue; ``gave_way`` is counted."""
        with suppress(FileNotFoundError):
            if gave_way:
                with suppress(StorageError):
                    path = self._path(job.id, _ACTIVE)
                    times = path.stat()
                    write_json(path, {**read_json(path), "num_yields": job.num_yields + 1})
                    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            self._rename(job.id, _ACTIVE, _WAITING)

    def put_back_lost(self, job: Job, reason: str = "", *, is_counted: bool = True) -> None:
        """Return a job to the queue whose worker ended while it ran.

        Args:
            job: an active one.
            reason: why it is not run again; empty to run it once more.
            is_counted: whether that may have been because of it.

        Raises:
            StorageError: the disk is full or read-only, or writing is not allowed.
        """
        with suppress(FileNotFoundError):
            path = self._path(job.id, _ACTIVE)
            num_lost = job.num_lost + is_counted
            write_json(path, {**read_json(path), "num_lost": num_lost, "lost": reason})
            retry_on_windows_lock(
                lambda: self._path(job.id, ".progress.json").unlink(missing_ok=True)
            )
            self._rename(job.id, _ACTIVE, _WAITING)

    def finish(self, job_id: str) -> None:
        """Remove the files of a finished job."""
        for suffix in (_WAITING, _ACTIVE, ".stop", ".progress.json"):
            with suppress(FileNotFoundError):
                retry_on_windows_lock(self._path(job_id, suffix).unlink)

    def report(self, job_id: str, progress: Mapping[str, Any]) -> None:
        """Save the progress of an active job, except on a full or read-only disk."""
        with suppress(StorageError):
            write_json(self._path(job_id, ".progress.json"), dict(progress))

    def is_stop_requested(self, job_id: str) -> bool:
        """Whether an active job was requested to stop."""
        return self._path(job_id, ".stop").exists()

    def must_give_way(self, job: Job) -> bool:
        """Whether a job of a higher rank is waiting."""
        jobs = self.jobs()
        now = next((one for one in jobs if one.id == job.id), job)  # as now requested by pages
        return any(other.rank > now.rank and not other.active for other in jobs)

    def _names(self) -> list[str]:
        """Return the names of the files of the jobs, as the folder lists them now."""
        try:
            names = [path.name for path in self._dir.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name.endswith((_WAITING, _ACTIVE)))

    def _touch(self, job_id: str) -> None:
        for suffix in (_WAITING, _ACTIVE):
            with suppress(FileNotFoundError):
                os.utime(self._path(job_id, suffix))

    def _rename(self, job_id: str, before: str, after: str) -> None:
        path, target = self._path(job_id, before), self._path(job_id, after)
        retry_on_windows_lock(lambda: path.rename(target))

    def _path(self, job_id: str, suffix: str) -> Path:
        if not _ID.fullmatch(job_id):
            raise ValueError(f"'{job_id}' is not a job id")
        return self._dir / f"{job_id}{suffix}"

    def _read(self, name: str) -> Job | None:
        """Read a job's file; None if it was just taken or is not a valid job."""
        try:
            path = self._dir / name
            stored, asked = read_json(path), path.stat().st_mtime
            run_dir = stored["run_dir"]
            return Job(
                id=_ID.fullmatch(name.split(".")[0])[0],  # type: ignore[index]
                kind=str(stored["kind"]),
                payload=dict(stored["payload"]),
                run_dir=None if run_dir is None else self._workspace.resolve(run_dir),
                priority=int(stored["priority"]),
                active=name.endswith(_ACTIVE),
                needs_user=bool(stored.get("needs_user")),
                num_yields=int(stored.get("num_yields", 0)),
                num_lost=int(stored.get("num_lost", 0)),
                lost=str(stored.get("lost") or ""),
                asked=asked,
            )
        except (OSError, ValueError, OverflowError, KeyError, TypeError):
            return None
