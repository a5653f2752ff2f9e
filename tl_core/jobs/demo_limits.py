"""The limits of a hosted demo for jobs: which may be queued, and when one has to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_core.config.limits import (
    MEGABYTE,
    Limits,
    check_config,
    current_limits,
    over,
)
from tl_core.config.search import draw_trials
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, LimitError, TLError
from tl_core.jobs.fair_queue import is_in_advance
from tl_core.jobs.handlers import FIND_LR, SWEEP
from tl_core.jobs.queue import Job, JobQueue
from tl_core.processes import family_memory
from tl_core.runs.run import Run
from tl_core.search.store import Sweep
from tl_core.training.memory import (
    check_feature_memory,
    check_memory,
    check_search_memory,
    estimate_memory,
    estimate_search_memory,
)
from tl_core.visitors.counters import count
from tl_core.visitors.usage import check_own_room, check_room, usage
from tl_core.workspace import Workspace

GRACE_SECONDS = 60.0
"""How long a job may take that was asked to end; then its process is ended."""

_DISK_SECONDS = 2.0  # between two looks at what a job's visitor uses of the disk


def check_may_queue(
    workspace: Workspace,
    kind: str,
    payload: Mapping[str, Any],
    run_dir: Path | None = None,
    *,
    is_unique: bool,
) -> None:
    """Check whether a visitor of a demo may queue a job.

    Jobs computed in advance are not counted: when there are too many, the oldest is removed.

    Args:
        workspace: the visitor's.
        kind: the kind of job.
        payload: its arguments; settings and backbone in them are checked.
        run_dir: the run that it trains, if any.
        is_unique: whether an equal job that waits is not queued again.

    Raises:
        LimitError: the visitor has too many jobs or too much data, a setting is over its limit, or
            the job needs more memory than a job may have.
        RunError: the run or the search to be queued cannot be read.
    """
    limits, host = current_limits(), workspace.host
    if limits is None or host is None:
        return
    try:
        if isinstance(config := payload.get("config"), Mapping):
            check_config(TrainConfig.create(config))
        if (backbone := payload.get("backbone")) is not None:
            check_config(TrainConfig(backbone=str(backbone)))
        own = usage(workspace)
        _check_memory(workspace, kind, payload, run_dir, own.num_photos)
        check_room(workspace, own)
        queue = JobQueue(workspace)
        if is_unique and queue.find(kind, payload) is not None:
            return
        _make_room(queue, limits)
    except LimitError:
        count(host, "limits_reached")
        raise
    count(host, f"jobs_{kind}")


def _check_memory(
    workspace: Workspace,
    kind: str,
    payload: Mapping[str, Any],
    run_dir: Path | None,
    num_photos: int,
) -> None:
    """Check the memory of a job: what it trains, or the features of a visitor's photos.

    Raises:
        LimitError: it needs more than a job may have.
    """
    trials, num_folds = _trials(workspace, kind, payload, run_dir)
    try:
        if num_folds:
            check_search_memory(trials, num_folds)
        elif trials:
            check_memory(trials[0])
        elif isinstance(config := payload.get("config"), Mapping):
            check_feature_memory(TrainConfig.create(config), num_photos)
    except ConfigError as error:
        raise LimitError(str(error)) from error


def _trials(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> tuple[list[TrainConfig], int]:
    """Return the settings that a job trains with, and the folds of a search; else 0."""
    if run_dir is not None:
        return [Run(run_dir).config], 0
    if kind == SWEEP:
        sweep = Sweep(workspace.sweeps_dir / str(payload[SWEEP]))
        return draw_trials(sweep.config, sweep.base), sweep.config.folds
    if kind == FIND_LR:
        return [TrainConfig.create(payload["config"])], 0
    return [], 0


def has_room(job: Job, workspace: Workspace) -> bool:
    """Whether a job that trains has room beside what the worker's process holds now.

    It may not, after other jobs, whose memory is not returned to the system. Outside of a demo it
    always has, as it has where its settings cannot be read, which it will say itself.
    """
    limits = current_limits()
    if limits is None:
        return True
    try:
        trials, num_folds = _trials(workspace, job.kind, job.payload, job.run_dir)
        if not trials:
            return True
        if num_folds:
            need = estimate_search_memory(trials, num_folds)
        else:
            need = estimate_memory(trials[0])
    except TLError:
        return True
    return family_memory() + need.total <= limits.job_memory_mb * MEGABYTE


def _make_room(queue: JobQueue, limits: Limits) -> None:
    jobs = queue.jobs()
    ahead = [job for job in jobs if is_in_advance(job)]
    num_asked = len(jobs) - len(ahead)
    if num_asked >= limits.waiting_jobs:
        raise over("waiting_jobs", num_asked + 1, "Wait until one of yours has ended, or stop one.")
    for job in sorted(ahead, key=lambda job: job.asked)[: max(0, len(ahead) - limits.waiting_jobs)]:
        queue.request_stop(job.id)


class JobClock:
    """How long the active jobs of a demo have been running, and the memory held as they began.

    Outside of a demo no job is over time, and none has to stop.
    """

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._held: dict[str, int] = {}
        self._looked: dict[str, float] = {}  # when the disk was looked at
        self._reasons: dict[str, str] = {}

    def start(self, job: Job) -> None:
        """Note that a job was started."""
        if current_limits() is not None:
            self._held[job.id] = family_memory()
        self._started[job.id] = time.monotonic()

    def end(self, job: Job) -> str:
        """Forget a job, and return why it had to stop, or an empty string."""
        self._started.pop(job.id, None)
        self._held.pop(job.id, None)
        self._looked.pop(job.id, None)
        return self._reasons.pop(job.id, "")

    def reason_to_stop(self, job: Job) -> str:
        """Return why a job must stop, or an empty string.

        It has run longer than allowed, or its visitor uses as much of the disk as a visitor may,
        which is looked at every two seconds: several jobs that were queued together, or one that
        writes much, would pass that limit. Once there is a reason, it stays.
        """
        if current_limits() is None:
            return ""
        if job.id not in self._reasons:
            if self.is_over(job.id):
                self._reasons[job.id] = time_message()
            elif message := self._disk_message(job):
                self._reasons[job.id] = message
        return self._reasons.get(job.id, "")

    def _disk_message(self, job: Job) -> str:
        now = time.monotonic()
        if job.workspace is None or now - self._looked.get(job.id, -_DISK_SECONDS) < _DISK_SECONDS:
            return ""
        self._looked[job.id] = now
        try:
            check_own_room(job.workspace)
        except LimitError as error:
            return str(error)
        return ""

    def seconds(self, job_id: str) -> float:
        """Return how long a job has been running."""
        return time.monotonic() - self._started.get(job_id, time.monotonic())

    def is_over(self, job_id: str, grace_seconds: float = 0.0) -> bool:
        """Whether a job has run longer than allowed, by more than ``grace_seconds``."""
        limits, started = current_limits(), self._started.get(job_id)
        if limits is None or started is None:
            return False
        return time.monotonic() - started > limits.job_minutes * 60 + grace_seconds

    def overdue(self) -> list[str]:
        """Return the ids of jobs that did not end in the time of grace."""
        return [job_id for job_id in list(self._started) if self.is_over(job_id, GRACE_SECONDS)]

    def grown(self, num_bytes: int) -> list[str]:
        """Return the ids of jobs since whose start more memory was taken than a job may.

        Args:
            num_bytes: what the process and its children hold now.
        """
        limits = current_limits()
        most = float("inf") if limits is None else limits.job_bytes
        return [job_id for job_id, held in list(self._held.items()) if num_bytes - held > most]


@dataclass(frozen=True)
class Ending:
    """Why the worker's process must end now, jobs and all.

    ``to_blame`` are the ids of the jobs because of which. It is empty when none took more than a
    job may, as when earlier ones left memory that is not free.
    """

    message: str
    to_blame: tuple[str, ...]


def reason_to_end(clock: JobClock, main_id: str) -> Ending | None:
    """Return why the worker's process must end now; None if it need not.

    A job is overdue, or the process and its children hold more memory than a job may.

    Args:
        clock: knows the active jobs.
        main_id: the job that others run alongside of, if any. These take little memory, so it is
            to blame if either may be.
    """
    limits = current_limits()
    if limits is None:
        return None
    if overdue := clock.overdue():
        return Ending(time_message(), tuple(overdue))
    held = family_memory()
    if held <= limits.job_memory_mb * MEGABYTE:
        return None
    grown = clock.grown(held)
    return Ending(memory_message(), (main_id,) if main_id in grown else tuple(grown[:1]))


def time_message() -> str:
    """Return why a job was ended that ran too long."""
    limits = current_limits() or Limits()
    return f"Ended after {limits.job_minutes:g} minutes, the longest that this demo allows a job."


def memory_message() -> str:
    """Return why a job was ended that needed too much memory."""
    limits = current_limits() or Limits()
    return (
        f"It needed more than {limits.job_memory_mb:,} MB of memory, the most that this demo "
        "allows a job. Choose smaller layers, fewer blocks to fine-tune, or a smaller image size."
    )
