"""The limits of a hosted demo for jobs: which may be queued, and when one has to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tl_core.config.limits import (
    MEGABYTE,
    Limits,
    check_config,
    current_limits,
    over,
)
from tl_core.config.training import TrainConfig
from tl_core.errors import LimitError
from tl_core.jobs.fair_queue import is_in_advance
from tl_core.jobs.queue import Job, JobQueue
from tl_core.processes import family_memory
from tl_core.visitors.counters import count
from tl_core.visitors.store import check_disk, usage
from tl_core.workspace import Workspace

GRACE_SECONDS = 60.0
"""How long a job may take that was asked to end; then its process is ended."""


def check_may_queue(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], *, is_unique: bool
) -> None:
    """Check whether a visitor of a demo may queue a job.

    Jobs computed in advance are not counted: when there are too many, the oldest is removed.

    Args:
        workspace: the visitor's.
        kind: the kind of job.
        payload: its arguments; settings and backbone in them are checked.
        is_unique: whether an equal job that waits is not queued again.

    Raises:
        LimitError: the visitor has too many jobs or too much data, or a setting is over its limit.
    """
    limits, host = current_limits(), workspace.host
    if limits is None or host is None:
        return
    try:
        if isinstance(config := payload.get("config"), Mapping):
            check_config(TrainConfig.create(config))
        if (backbone := payload.get("backbone")) is not None:
            check_config(TrainConfig(backbone=str(backbone)))
        used = usage(workspace).num_bytes
        if used >= limits.visitor_mb * MEGABYTE:
            raise over("visitor_mb", used / MEGABYTE, "Delete projects or runs first.")
        check_disk(host)
        queue = JobQueue(workspace)
        if is_unique and queue.find(kind, payload) is not None:
            return
        _make_room(queue, limits)
    except LimitError:
        count(host, "limits_reached")
        raise
    count(host, f"jobs_{kind}")


def _make_room(queue: JobQueue, limits: Limits) -> None:
    jobs = queue.jobs()
    ahead = [job for job in jobs if is_in_advance(job)]
    num_asked = len(jobs) - len(ahead)
    if num_asked >= limits.waiting_jobs:
        raise over("waiting_jobs", num_asked + 1, "Wait until one of yours has ended, or stop one.")
    for job in sorted(ahead, key=lambda job: job.asked)[: max(0, len(ahead) - limits.waiting_jobs)]:
        queue.request_stop(job.id)


class JobClock:
    """How long the active jobs of a demo have been running.

    Outside of a demo no job is over time.
    """

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    def start(self, job: Job) -> None:
        """Note that a job was started."""
        self._started[job.id] = time.monotonic()

    def end(self, job: Job) -> None:
        """Forget a job."""
        self._started.pop(job.id, None)

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


def reason_to_end(clock: JobClock) -> str:
    """Return why the worker's process must end now, a job and all; empty if it need not.

    A job is overdue, or the process and its children hold more memory than a job may.
    """
    limits = current_limits()
    if limits is None:
        return ""
    if clock.overdue():
        return time_message()
    return memory_message() if family_memory() > limits.job_memory_mb * MEGABYTE else ""


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
