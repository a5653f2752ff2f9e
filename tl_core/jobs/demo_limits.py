"""The limits of a hosted demo for jobs: which may be queued, and when one has to end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tl_core.config.limits import (
    MEGABYTE,
    Limits,
    check_config,
    current_limits,
    over,
)
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, LimitError, MemoryLimitError
from tl_core.export.formats import get_format
from tl_core.files import read_json, write_json
from tl_core.jobs.fair_queue import is_in_advance
from tl_core.jobs.handlers import CLASSIFY, EXPORT, FEATURES, work_folder
from tl_core.jobs.memory import EXPORTS, LEAST_EXPORT, estimate_job, num_bytes_of
from tl_core.jobs.queue import Job, JobQueue
from tl_core.processes import family_memory
from tl_core.runs.files import CHECKPOINT_FILE
from tl_core.search.store import FOLDS_FILE, TRIALS_FILE
from tl_core.training.memory import check_need
from tl_core.visitors.counters import count
from tl_core.visitors.usage import check_own_room, check_room, usage
from tl_core.workspace import Workspace

GRACE_SECONDS = 60.0
"""How long a job may take that was asked to end; then its process is ended."""

BESIDE_MB = 200
"""MB that a job may need by its estimate to run beside another one."""

SLICE_SECONDS = 60.0
"""How long a job runs that can be continued, while other visitors wait for theirs."""

FIRST_SECONDS = 20.0
"""How long it runs while others wait who used little of late; more than a default training."""

UNSAVED_SECONDS = 120.0
"""How long others wait for it if it could save nothing, such as an epoch or a fold of a head.

It begins that step again in its next turn, for which they wait twice as long, and so on up to the
limit of all turns together: with that of ten minutes they wait for four at most, and a step that
takes longer than these is never done while others wait.
"""

SHORT_SECONDS = 5.0
"""How long a job runs beside others while one waits for its place; twice as long each next time."""

KEEPS_ALL = frozenset({CLASSIFY, FEATURES})
"""Kinds of jobs that keep each photo's result, and so lose nothing when their turn ends."""

EARLIER_FILE = "earlier.json"
"""In the queue folder of a demo, of each job that is continued: seconds, and turns for nothing."""

_MOST_NEEDS = 1_000  # estimates and earlier turns of jobs that are kept
_NEED_SECONDS = 1.0  # how long an estimate is kept: its visitor may add photos while a job waits
_MOST_DOUBLED = 10  # more would pass any limit
_GONE_SECONDS = 5.0  # after which those who waited do no more; what fits varies with the memory
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
            the job needs more memory than a job may have (a ``MemoryLimitError``).
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
        _check_memory(workspace, kind, payload, run_dir)
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
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None
) -> None:
    """Check the memory that a job needs at its peak.

    Raises:
        MemoryLimitError: it needs more than a job may have.
    """
    estimate = estimate_job(workspace, kind, payload, run_dir)
    if estimate is None:
        return
    try:
        check_need(*estimate)
    except ConfigError as error:
        text, least = str(error), EXPORTS[LEAST_EXPORT]
        if kind == EXPORT and EXPORTS.get(str(payload.get("format"))) != least:
            text += f" Exported as {get_format(LEAST_EXPORT).title} it needs less."
        raise MemoryLimitError(text) from error


def _make_room(queue: JobQueue, limits: Limits) -> None:
    jobs = queue.jobs()
    ahead = [job for job in jobs if is_in_advance(job)]
    num_asked = len(jobs) - len(ahead)
    if num_asked >= limits.waiting_jobs:
        raise over("waiting_jobs", num_asked + 1, "Wait until one of yours has ended, or stop one.")
    for job in sorted(ahead, key=lambda job: job.asked)[: max(0, len(ahead) - limits.waiting_jobs)]:
        queue.request_stop(job.id)


@dataclass
class _Active:
    """What is known of an active job; outside of a demo only when it started."""

    started: float
    saved: list[tuple[int, ...]] = field(default_factory=list)  # what it had saved then
    held: int = 0  # bytes of memory, as it began
    need: int | None = None  # what it needs by its estimate, if that is known
    is_alone: bool = False  # none begins beside it
    looked_at: float = -math.inf  # when the disk was looked at
    reason: str = ""  # why it has to stop
    waited_since: float = math.inf  # when others were first seen to wait, after its turn
    waited_at: float = -math.inf  # and last


@dataclass(frozen=True)
class _Earlier:
    """The earlier turns of a job that is continued."""

    seconds: float = 0.0
    num_unsaved: int = 0  # of how many nothing was kept


class JobClock:
    """How long the active jobs of a demo have been running, and the memory held as they began.

    Outside of a demo no job is over time, and none has to stop.

    Args:
        host: the workspace in whose queue folder the earlier turns are kept, since the worker may
            be replaced between two of them; without it they are forgotten with the clock.
    """

    def __init__(self, host: Workspace | None = None) -> None:
        self._path = None if host is None else host.queue_dir / EARLIER_FILE
        self._lock = threading.Lock()  # jobs begin and end in two threads, a third one looks
        self._active: dict[str, _Active] = {}  # in the order in which they began
        self._earlier = self._read_earlier()  # of jobs that are continued
        self._needs: dict[str, tuple[float, int | None]] = {}  # when estimated, of waiting jobs

    def start(self, job: Job) -> None:
        """Note that a job was started."""
        active = _Active(time.monotonic())
        if current_limits() is not None:
            active.need = self._need(job)
            active.saved, active.held = _saved(job), family_memory()
            active.is_alone = job.num_lost > 0
        with self._lock:
            self._active[job.id] = active

    def end(self, job: Job, *, is_paused: bool = False) -> str:
        """Forget a job, and return why it had to stop, or an empty string.

        What was taken while it ran beside another job is not counted for that one. The time of one
        that is continued later counts then too.
        """
        self._note_turn(job, is_paused=is_paused)
        with self._lock:
            order = list(self._active)
            earlier = order[: order.index(job.id)] if job.id in order else []
            ended = self._active.pop(job.id, None)
            if ended is not None and earlier:
                taken = max(0, family_memory() - ended.held)
                for one in earlier:
                    self._active[one].held += taken
        return "" if ended is None else ended.reason

    def _note_turn(self, job: Job, *, is_paused: bool) -> None:
        """Add the turn of a job to its earlier ones, or forget these if it is not continued."""
        active, earlier = self._active.get(job.id), self._earlier.get(job.id)
        if is_paused and active is not None:
            before = earlier or _Earlier()
            is_unsaved = not _has_saved(job, active)
            kept = list(self._earlier.items())[-_MOST_NEEDS:]  # of jobs that may have been stopped
            turns = _Earlier(before.seconds + self.seconds(job.id), before.num_unsaved + is_unsaved)
            self._earlier = dict([*kept, (job.id, turns)])
        elif earlier is not None:
            self._earlier = {name: one for name, one in self._earlier.items() if name != job.id}
        else:
            return
        if self._path is not None and self._path.parent.is_dir():
            values = {name: [one.seconds, one.num_unsaved] for name, one in self._earlier.items()}
            with suppress(OSError):
                write_json(self._path, values)

    def _read_earlier(self) -> dict[str, _Earlier]:
        if self._path is None:
            return {}
        try:
            stored = read_json(self._path).items()
            return {str(name): _Earlier(float(one), int(num)) for name, (one, num) in stored}
        except (OSError, ValueError, OverflowError, TypeError, AttributeError):
            return {}

    def _earlier_of(self, job_id: str) -> _Earlier:
        return self._earlier.get(job_id) or _Earlier()

    def fits_beside(self, job: Job, main_id: str) -> bool:
        """Whether a job may run beside an active one: what both need by their estimates fits.

        One that may take much waits for a turn of its own, and one during which a worker ended is
        alone. Outside of a demo each may.

        Args:
            job: it waits.
            main_id: the job that is active.
        """
        limits = current_limits()
        if limits is None:
            return True
        need = self._need(job)
        main = self._active.get(main_id)  # None once it has ended, in the other thread
        if main is None or main.is_alone or job.num_lost or need is None:
            return False
        held = family_memory()
        rest = max(0, (main.need or 0) - (held - main.held))
        fits = held + rest + need <= limits.job_memory_mb * MEGABYTE
        return fits and need <= BESIDE_MB * MEGABYTE

    def has_room(self, job: Job) -> bool:
        """Whether a job has room beside what the worker's process holds now.

        It may not, after other jobs, whose memory is not returned to the system. Outside of a demo
        it always has, as it has where its settings cannot be read, which it will say itself.
        """
        limits = current_limits()
        if limits is None:
            return True
        need = self._need(job)
        return need is None or family_memory() + need <= limits.job_memory_mb * MEGABYTE

    def _need(self, job: Job) -> int | None:
        """Return the bytes that a job needs by its estimate, None if that is not known."""
        now = time.monotonic()
        if job.id not in self._needs or now - self._needs[job.id][0] > _NEED_SECONDS:
            if len(self._needs) > _MOST_NEEDS:
                self._needs = {}
            workspace = job.workspace
            need = (
                None
                if workspace is None
                else num_bytes_of(workspace, job.kind, job.payload, job.run_dir)
            )
            self._needs[job.id] = (now, need)
        return self._needs[job.id][1]

    def reason_to_stop(self, job: Job) -> str:
        """Return why a job must stop, or an empty string.

        It has run longer than allowed, or its visitor uses as much of the disk as a visitor may,
        which is looked at every two seconds: several jobs that were queued together, or one that
        writes much, would pass that limit. Once there is a reason, it stays.
        """
        active = self._active.get(job.id)
        if current_limits() is None or active is None:
            return ""
        if not active.reason and self.is_over(job.id):
            active.reason = time_message()
        now = time.monotonic()
        if not active.reason and job.workspace and now - active.looked_at >= _DISK_SECONDS:
            active.looked_at = now
            try:
                check_own_room(job.workspace)
            except LimitError as error:
                active.reason = str(error)
        return active.reason

    def seconds(self, job_id: str) -> float:
        """Return how long a job has been running, without its earlier turns."""
        active = self._active.get(job_id)
        return 0.0 if active is None else time.monotonic() - active.started

    def is_over(self, job_id: str, grace_seconds: float = 0.0) -> bool:
        """Whether a job has run longer than allowed, by more than ``grace_seconds``."""
        limits = current_limits()
        if limits is None or job_id not in self._active:
            return False
        used = self._earlier_of(job_id).seconds + self.seconds(job_id)
        return used > limits.job_minutes * 60 + grace_seconds

    def has_had_turn(
        self, job: Job, is_waited_for: Callable[[], bool], *, is_short: bool = False
    ) -> bool:
        """Whether a job gives way now to other visitors who wait.

        Its turn lasts until it has saved something to go on from, as a training, a search and those
        of :data:`KEEPS_ALL` do. Without that they wait no longer than :data:`UNSAVED_SECONDS`, or
        twice that for each earlier turn of which nothing was kept.

        Args:
            job: the active one.
            is_waited_for: whether another visitor waits for its end.
            is_short: whether it is of a kind that may run beside others. Its turns begin with
                :data:`SHORT_SECONDS` and become no longer than :data:`UNSAVED_SECONDS`.
        """
        active = self._active.get(job.id)
        if active is None or self.seconds(job.id) < (SHORT_SECONDS if is_short else SLICE_SECONDS):
            return False
        now = time.monotonic()
        if not is_waited_for():
            if now - active.waited_at > _GONE_SECONDS:
                active.waited_since = math.inf
            return False
        active.waited_since, active.waited_at = min(active.waited_since, now), now
        doubled = 2 ** max(0, min(self._earlier_of(job.id).num_unsaved, _MOST_DOUBLED))
        if is_short:
            return self.seconds(job.id) >= min(SHORT_SECONDS * doubled, UNSAVED_SECONDS)
        patience = UNSAVED_SECONDS * doubled - SLICE_SECONDS  # of which they waited before
        return now - active.waited_since >= patience or _has_saved(job, active)

    def has_had_first_turn(self, job: Job) -> bool:
        """Whether a job gives way now to others who used little: it has saved something by then."""
        active = self._active.get(job.id)
        if active is None or self.seconds(job.id) < FIRST_SECONDS:
            return False
        return _has_saved(job, active)

    def overdue(self) -> list[str]:
        """Return the ids of jobs that did not end in the time of grace."""
        return [job_id for job_id in list(self._active) if self.is_over(job_id, GRACE_SECONDS)]

    def ending(self, num_bytes: int) -> Ending:
        """Return who is to blame that more memory is held than a job may take.

        Of two that run beside each other nobody can tell whose it is: neither is to blame, and each
        runs alone the next time.

        Args:
            num_bytes: what the process and its children hold now.
        """
        limits = current_limits() or Limits()
        with self._lock:
            held = {name: one.held for name, one in self._active.items()}
        grown = [one for one, before in held.items() if num_bytes - before > limits.job_bytes]
        return Ending(memory_message(), tuple(grown) if len(held) == 1 else ())


def _has_saved(job: Job, active: _Active) -> bool:
    """Whether a job has saved something to go on from since it began."""
    return job.kind in KEEPS_ALL or _saved(job) != active.saved


def _saved(job: Job) -> list[tuple[int, ...]]:
    """Return what changes when a training or search has saved an epoch, a head or a fold."""
    work = None if job.workspace is None else work_folder(job.workspace, job)
    found: list[tuple[int, ...]] = []
    if work is None:
        return found
    for name in (CHECKPOINT_FILE, TRIALS_FILE, FOLDS_FILE):
        with suppress(OSError):
            facts = (work.folder / name).stat()
            found.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
    return found


@dataclass(frozen=True)
class Ending:
    """Why the worker's process must end now, jobs and all.

    ``to_blame`` are the ids of the jobs because of which; the others are queued again once, and run
    alone. It is empty when none is known to have taken more than a job may, as when two ran beside
    each other, or earlier ones left memory that is not free.
    """

    message: str
    to_blame: tuple[str, ...]


def reason_to_end(clock: JobClock) -> Ending | None:
    """Return why the worker's process must end now; None if it need not.

    A job is overdue, or the process and its children hold more memory than a job may.

    Args:
        clock: knows the active jobs.
    """
    limits = current_limits()
    if limits is None:
        return None
    if overdue := clock.overdue():
        return Ending(time_message(), tuple(overdue))
    held = family_memory()
    return clock.ending(held) if held > limits.job_memory_mb * MEGABYTE else None


def time_message() -> str:
    """Return why a job was ended that ran too long."""
    limits = current_limits() or Limits()
    return f"Ended after {limits.job_minutes:g} minutes, the longest that this demo allows a job."


def turn_message() -> str:
    """Return why a job was ended that others waited for, and that cannot go on later."""
    return (
        f"Ended after more than {UNSAVED_SECONDS / 60:g} minutes, as other visitors of this demo "
        "wait. Try again with fewer photos, a smaller image size or narrower FC layers, or later."
    )


def memory_message() -> str:
    """Return why a job was ended that needed too much memory."""
    limits = current_limits() or Limits()
    return (
        f"It needed more than {limits.job_memory_mb:,} MB of memory, the most that this demo "
        "allows a job. Choose smaller layers, fewer blocks to fine-tune, or a smaller image size."
    )
