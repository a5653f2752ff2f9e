"""The queues of all visitors of a hosted demo as one, in which addresses and visitors take turns.

Each visitor has a queue of jobs of their own; one worker serves all. What somebody waits for goes
before what is computed in advance; after some seconds a page that shows it waits as well. Of each,
the network addresses that visitors come from take turns, one job each or a minute of one that can
be continued, and so do the visitors of one address. Whoever has just come, or was just served, goes
behind all who wait: nobody gets before them by a new cookie. But addresses that used less than 20 s
of late go before others, and for these a turn lasts 20 s: a short training does not wait for
a minute of each long one.
Where all visitors have one address, as behind a proxy that is not trusted, visitors take turns.

References:
    J. Nagle, "On packet switches with infinite storage", RFC 970, 1985: a queue for each source,
    served in turn. M. Shreedhar and G. Varghese, "Efficient fair queuing using deficit round
    robin", IEEE/ACM Transactions on Networking 4(3), 1996: a list of those who wait, at whose end
    come new ones and those just served; here each job costs one turn. J. Bennett and H. Zhang,
    "Hierarchical packet fair queueing algorithms", SIGCOMM 1996: one such queue within another.
    F. Corbató, M. Merwin-Daggett and R. Daley, "An experimental time-sharing system", AFIPS 1962:
    a queue for those who used little, before that of the others.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from tl_core.files import read_json, write_json
from tl_core.jobs.queue import QUEUED_DIR, Job, JobQueue
from tl_core.visitors.store import address_key, exists, list_visitors
from tl_core.workspace import Workspace

TURNS_FILE = "turns.json"
PACE_FILE = "pace.json"
USED_FILE = "used.json"
"""In the queue folder of a demo: seconds of jobs of each address, and when that was noted."""

LITTLE_SECONDS = 20.0
"""Of jobs; an address that used less of late goes before those that used more."""

_HALF_LIFE_SECONDS = 300.0  # in which half of what an address used is forgotten
_FORGOTTEN_SECONDS = 1.0  # what is not kept any more
_FIRST_PACE = 20.0  # seconds of a job, before any was measured
_NEWEST = 0.3  # weight of the last job in the mean
_PATIENCE_SECONDS = 10.0  # until what was begun in advance, and a page shows, takes turns
_LATER = 2**64  # nanoseconds since the epoch, later than any job
UNWATCHED_SECONDS = 60.0
"""After which what nobody asked for is forgotten if no page shows it."""

IN_ADVANCE = -10
"""Jobs of this priority and below are computed before anybody asks."""


@dataclass(frozen=True)
class _Taken:
    """A job that was taken: whose it is, also after data were deleted, and their turns before."""

    whose: tuple[str, str]
    before: dict[str, int]


class FairQueue:
    """The jobs of a demo and its visitors. Only the worker takes jobs."""

    def __init__(self, host: Workspace) -> None:
        self._host = host
        self._noting = threading.Lock()  # the worker takes jobs in two threads
        self._taken: dict[str, _Taken] = {}  # by job

    def queue_of(self, job: Job) -> JobQueue:
        """Return the queue that a job is in."""
        return JobQueue(job.workspace or self._host)

    def jobs(self) -> list[Job]:
        """Return the jobs of all visitors in the order in which they will run."""
        active: list[Job] = []
        asked: list[Job] = []
        ahead: list[Job] = []
        queues = [(self._host, JobQueue(self._host).jobs())]
        queues += [(visitor, self._jobs_of(visitor)) for visitor in self._visitors()]
        for workspace, jobs in queues:
            for job in jobs:
                group = active if job.active else asked if _waits(job) else ahead
                group.append(replace(job, workspace=workspace))
        active.sort(key=lambda job: (not _waits(job), job.id))
        turns, ticks = self._turns(), itertools.count(_LATER)
        for job in active:
            if _takes_turns(job):  # its turn lasts until it ends
                turns.update(dict.fromkeys(self._whose(job), next(ticks)))
        return [
            *active,
            *self._in_turn(asked, turns, ticks),
            *self._in_turn(ahead, turns, ticks),
        ]

    def find_unnoted(self) -> None:
        """Look for jobs in the folders of all visitors, as of an earlier version of the app."""
        for workspace in list_visitors(self._host):
            if (queue := JobQueue(workspace)).jobs():
                queue.note()

    def take(
        self, *, without_kinds: Collection[str] = (), fits: Callable[[Job], bool] | None = None
    ) -> Job | None:
        """Take the next job as :meth:`.JobQueue.take` does, of all visitors."""
        jobs = self._without_unwatched(self.jobs())
        for job in jobs:
            if job.active or job.kind in without_kinds or (fits is not None and not fits(job)):
                continue
            whose = self._whose(job)
            taken = self.queue_of(job).take_job(job)
            if taken is not None:
                turns = self._turns()
                before = {name: turns[name] for name in whose if name in turns}
                self._taken[job.id] = _Taken(whose, before)
                self._note_turn(whose, jobs)
                return taken
        return None

    def _without_unwatched(self, jobs: list[Job]) -> list[Job]:
        """Remove what nobody asked for and no page has shown for a minute.

        Who opens pages with fresh cookies leaves two of them each time, and all are read again at
        each look. A page that is opened again asks for them again.
        """
        latest, kept = time.time() - UNWATCHED_SECONDS, []
        for job in jobs:
            is_unwatched = job.needs_user and job.priority <= IN_ADVANCE and job.asked < latest
            if job.active or not is_unwatched:
                kept.append(job)
            else:
                with suppress(OSError):
                    self.queue_of(job).request_stop(job.id)
        return kept

    def put_back(self, job: Job, *, gave_way: bool = False) -> None:
        """Return an active job to its place in its visitor's queue; it had no turn if it never ran.

        Args:
            job: the active one.
            gave_way: whether it ran.
        """
        self.queue_of(job).put_back(job, gave_way=gave_way)
        if not gave_way and (taken := self._taken.pop(job.id, None)) is not None:
            self._give_turn_back(taken)

    def must_give_way(self, job: Job) -> bool:
        """Whether a job waits that is more urgent: of the same visitor, or not in advance."""
        jobs = self.jobs()
        now = next((one for one in jobs if one.id == job.id), job)  # as now shown by pages
        for other in jobs:
            if other.active:
                continue
            if other.workspace == job.workspace:
                if other.rank > now.rank:
                    return True
            elif not _waits(now) and _waits(other):
                return True
        return False

    def is_waited_for(self, job: Job, is_passed_over: Callable[[Job], bool]) -> bool:
        """Whether another visitor waits for the end of an active job.

        Args:
            job: the active one.
            is_passed_over: whether a job that waits needs no turn.
        """
        return any(
            not other.active
            and other.workspace != job.workspace
            and _waits(other)
            and not is_passed_over(other)
            for other in self.jobs()
        )

    def used_little(self) -> Callable[[Job], bool]:
        """Return what tells whether somebody asked for a job whose address used little of late."""
        used = self._used()
        return lambda job: (
            job.priority > IN_ADVANCE and used.get(self._whose(job)[0], 0.0) < LITTLE_SECONDS
        )

    def position(self, workspace: Workspace, job_id: str) -> int | None:
        """Return how many jobs come before a visitor's, 0 for an active one; None if it is over."""
        jobs = self.jobs()
        for number, job in enumerate(jobs):
            if job.id == job_id and job.workspace == workspace:
                return _num_before(jobs, number)
        return None

    def positions(self, workspace: Workspace) -> list[int]:
        """Return the same for each job that a visitor asked for, in order."""
        jobs = self.jobs()
        return [
            _num_before(jobs, number)
            for number, job in enumerate(jobs)
            if job.workspace == workspace and not is_in_advance(job)
        ]

    def wait_seconds(self, num_before: int) -> float:
        """Return about how long so many jobs take, from how long the last ones took."""
        return num_before * self._pace()

    def note_end(self, job: Job, seconds: float) -> None:
        """Note that a turn is over, and how long a job took that somebody waited for."""
        taken = self._taken.pop(job.id, None)
        if taken is not None and _takes_turns(job):
            self._note_turn(taken.whose, self.jobs())
            self._note_used(taken.whose[0], seconds)
        if not is_in_advance(job):
            pace = (1 - _NEWEST) * self._pace() + _NEWEST * seconds
            with suppress(OSError):
                write_json(self._host.queue_dir / PACE_FILE, {"seconds": pace})

    def _visitors(self) -> list[Workspace]:
        """Return the workspaces in which there may be jobs; there may be thousands of others."""
        try:
            names = sorted(path.name for path in (self._host.queue_dir / QUEUED_DIR).iterdir())
        except OSError:
            return []
        return [Workspace(self._host.visitors_dir / name) for name in names]

    def _jobs_of(self, visitor: Workspace) -> list[Job]:
        """Return the jobs of a visitor, who is forgotten here after the last one."""
        queue = JobQueue(visitor)
        jobs = queue.jobs() if exists(visitor) else []
        if jobs:
            return jobs
        with suppress(OSError):
            (self._host.queue_dir / QUEUED_DIR / visitor.root.name).unlink(missing_ok=True)
            if exists(visitor) and (jobs := queue.jobs()):  # came between the two
                queue.note()
        return jobs

    def _pace(self) -> float:
        try:
            return float(read_json(self._host.queue_dir / PACE_FILE)["seconds"])
        except (OSError, ValueError, TypeError, KeyError):
            return _FIRST_PACE

    def _in_turn(
        self, jobs: Iterable[Job], turns: dict[str, int], ticks: Iterator[int]
    ) -> list[Job]:
        """Return waiting jobs in the order in which they will run if no other comes.

        Args:
            jobs: those of each visitor in their order.
            turns: when each address and each visitor had a turn last; those to come are added.
            ticks: the times of the turns to come.
        """
        waiting: dict[str, dict[str, list[Job]]] = {}  # by address, by visitor
        for job in jobs:
            address, visitor = self._whose(job)
            waiting.setdefault(address, {}).setdefault(visitor, []).append(job)

        def since(name: str, own: Iterable[Job]) -> int:
            """Return since when an address or a visitor waits for a turn."""
            return max(turns.get(name, 0), min(job.submitted for job in own))

        used_little, ordered = self.used_little(), list[Job]()
        while waiting:
            *_, address = min(
                (
                    not any(map(used_little, itertools.chain(*visitors.values()))),
                    since(name, itertools.chain(*visitors.values())),
                    name,
                )
                for name, visitors in waiting.items()
            )
            visitors = waiting[address]
            _, visitor = min((since(name, own), name) for name, own in visitors.items())
            ordered.append(visitors[visitor].pop(0))
            turns[address] = turns[visitor] = next(ticks)
            if not visitors[visitor]:
                del visitors[visitor]
            if not visitors:
                del waiting[address]
        return ordered

    def _whose(self, job: Job) -> tuple[str, str]:
        """Return the names by which turns are noted: of the address, a hash, and of the visitor."""
        workspace = job.workspace or self._host
        own = workspace.root.name
        return (own if workspace == self._host else address_key(workspace)), own

    def _turns(self) -> dict[str, int]:
        """Return when each address and visitor had a turn last, in nanoseconds since the epoch."""
        now = time.time_ns()
        try:
            stored = read_json(self._host.queue_dir / TURNS_FILE)
            turns = {str(name): int(turn) for name, turn in stored.items()}
        except (OSError, ValueError, OverflowError, TypeError, AttributeError):
            return {}
        return {name: turn for name, turn in turns.items() if turn <= now}  # the clock was set back

    def _note_turn(self, whose: tuple[str, str], jobs: Iterable[Job]) -> None:
        """Note a turn that began or ended now; forget those that are older than all jobs."""
        oldest = min((job.submitted for job in jobs), default=_LATER)
        with self._noting, suppress(OSError):
            turns = {name: turn for name, turn in self._turns().items() if turn > oldest}
            turns.update(dict.fromkeys(whose, time.time_ns()))
            write_json(self._host.queue_dir / TURNS_FILE, turns)

    def _used(self) -> dict[str, float]:
        """Return how many seconds of jobs each address used of late."""
        now = time.time_ns()
        try:
            stored = read_json(self._host.queue_dir / USED_FILE)
            used = {
                str(name): float(seconds)
                * 0.5 ** (max(0, now - int(at)) / 1e9 / _HALF_LIFE_SECONDS)
                for name, (seconds, at) in stored.items()
            }
        except (OSError, ValueError, OverflowError, TypeError, AttributeError):
            return {}
        return {name: seconds for name, seconds in used.items() if seconds >= _FORGOTTEN_SECONDS}

    def _note_used(self, address: str, seconds: float) -> None:
        with self._noting, suppress(OSError):
            used, now = self._used(), time.time_ns()
            used[address] = used.get(address, 0.0) + seconds
            values = {name: [one, now] for name, one in used.items()}
            write_json(self._host.queue_dir / USED_FILE, values)

    def _give_turn_back(self, taken: _Taken) -> None:
        """Note that a turn was not used: whose it was waits as before."""
        with self._noting, suppress(OSError):
            turns = {name: turn for name, turn in self._turns().items() if name not in taken.whose}
            write_json(self._host.queue_dir / TURNS_FILE, {**turns, **taken.before})


def _num_before(jobs: list[Job], number: int) -> int:
    if jobs[number].active:
        return 0
    return sum(not job.active or _waits(job) for job in jobs[:number])


def _waits(job: Job) -> bool:
    """Whether somebody waits for a job."""
    return job.is_in_view and _takes_turns(job)


def _takes_turns(job: Job) -> bool:
    """Whether a job was asked for, or has been waited for long enough by whoever looks at it."""
    if job.priority > IN_ADVANCE:
        return True
    return job.needs_user and time.time_ns() - job.submitted > _PATIENCE_SECONDS * 1e9


def is_in_advance(job: Job) -> bool:
    """Whether nobody asked for a job, or its page was closed."""
    return job.priority <= IN_ADVANCE or not job.is_in_view
