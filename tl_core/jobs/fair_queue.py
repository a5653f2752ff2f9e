"""The queues of all visitors of a hosted demo as one, in which visitors take turns.

Each visitor has a queue of jobs of their own; one worker serves all. What somebody waits for goes
before what is computed in advance. Of each, the first jobs of all visitors go before anybody's
second; among visitors who wait equally long in this sense, the one served longest ago is next.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from tl_core.files import read_json, write_json
from tl_core.jobs.queue import Job, JobQueue
from tl_core.visitors.store import list_visitors
from tl_core.workspace import Workspace

TURNS_FILE = "turns.json"
PACE_FILE = "pace.json"
_FIRST_PACE = 20.0  # seconds of a job, before any was measured
_NEWEST = 0.3  # weight of the last job in the mean
IN_ADVANCE = -10
"""Jobs of this priority and below are computed before anybody asks."""


class FairQueue:
    """The jobs of a demo and its visitors. Only the worker takes jobs."""

    def __init__(self, host: Workspace) -> None:
        self._host = host

    def queue_of(self, job: Job) -> JobQueue:
        """Return the queue that a job is in."""
        return JobQueue(job.workspace or self._host)

    def jobs(self) -> list[Job]:
        """Return the jobs of all visitors in the order in which they will run."""
        turns = self._turns()
        ordered: list[tuple[tuple[bool, bool, int, float, str], Job]] = []
        for workspace in [self._host, *list_visitors(self._host)]:
            numbers = {False: 0, True: 0}
            turn = turns.get(workspace.root.name, 0.0)
            for job in JobQueue(workspace).jobs():
                is_ahead = is_in_advance(job)
                key = (not job.active, is_ahead, numbers[is_ahead], turn, job.id)
                ordered.append((key, replace(job, workspace=workspace)))
                numbers[is_ahead] += 1
        return [job for _, job in sorted(ordered, key=lambda pair: pair[0])]

    def take(self, *, without_kinds: Collection[str] = ()) -> Job | None:
        """Take the next job, except of the given kinds, and make it active; for the worker."""
        for job in self.jobs():
            if job.active or job.kind in without_kinds:
                continue
            taken = self.queue_of(job).take_job(job)
            if taken is not None and job.workspace is not None:
                self._note_turn(job.workspace)
                return taken
        return None

    def put_back(self, job: Job, *, gave_way: bool = False) -> None:
        """Return an active job to its place in its visitor's queue."""
        self.queue_of(job).put_back(job, gave_way=gave_way)

    def must_give_way(self, job: Job) -> bool:
        """Whether a job waits that is more urgent: of the same visitor, or not in advance."""
        for other in self.jobs():
            if other.active:
                continue
            if other.workspace == job.workspace:
                if other.rank > job.rank:
                    return True
            elif is_in_advance(job) and not is_in_advance(other):
                return True
        return False

    def position(self, workspace: Workspace, job_id: str) -> int | None:
        """Return how many jobs come before a visitor's, 0 for an active one; None if it is over."""
        jobs = self.jobs()
        this = next((j for j in jobs if j.id == job_id and j.workspace == workspace), None)
        if this is None:
            return None
        if this.active:
            return 0
        before = jobs[: jobs.index(this)]
        return sum(not (job.active and is_in_advance(job)) for job in before)

    def wait_seconds(self, num_before: int) -> float:
        """Return about how long so many jobs take, from how long the last ones took."""
        return num_before * self._pace()

    def note_duration(self, seconds: float) -> None:
        """Take into account how long a job took that somebody waited for."""
        pace = (1 - _NEWEST) * self._pace() + _NEWEST * seconds
        with suppress(OSError):
            write_json(self._host.queue_dir / PACE_FILE, {"seconds": pace})

    def _pace(self) -> float:
        try:
            return float(read_json(self._host.queue_dir / PACE_FILE)["seconds"])
        except (OSError, ValueError, TypeError, KeyError):
            return _FIRST_PACE

    def _turns(self) -> dict[str, float]:
        try:
            stored = read_json(self._host.queue_dir / TURNS_FILE)
            return {str(name): float(turn) for name, turn in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _note_turn(self, workspace: Workspace) -> None:
        living = {one.root.name for one in list_visitors(self._host)}
        turns = {name: turn for name, turn in self._turns().items() if name in living}
        turns[workspace.root.name] = time.time()
        with suppress(OSError):
            write_json(self._host.queue_dir / TURNS_FILE, turns)


def is_in_advance(job: Job) -> bool:
    """Whether nobody waits for a job, or its page was closed."""
    return job.priority <= IN_ADVANCE or not job.is_in_view
