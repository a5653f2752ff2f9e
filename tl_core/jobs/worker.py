"""The worker: preloads slow imports, then runs one job after another.

It runs in a process of its own, ``python -m tl_core.jobs``, which
:func:`tl_core.jobs.worker_client.ensure_worker` starts, one per workspace. It exits after a
long idle time, when the processes that use it have ended and no training or search is queued, or
when its workspace was deleted.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from filelock import FileLock, Timeout

from tl_core.config.mode import current_mode
from tl_core.errors import LimitError, RunError, Stopped, TLError
from tl_core.files import storage_error, write_json
from tl_core.jobs.demo_limits import JobClock, reason_to_end, turn_message
from tl_core.jobs.ends import LOST_TEXT, MAX_LOST, JobEnds
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import KINDS, JobContext, JobKind
from tl_core.jobs.housekeeping import return_memory, sweep_workspace, used_bytes, warm_up
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.worker_client import WORKER_FILE, chosen_idle_seconds, has_users, spawn_lock
from tl_core.logs import log_context
from tl_core.processes import end_children, own_identity, run_at_low_priority
from tl_core.progress import Monitor
from tl_core.runs.files import is_continued, update_status
from tl_core.visitors.store import remove_remains
from tl_core.visitors.usage import check_room
from tl_core.workspace import Workspace

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_LIMITS_SECONDS = 1.0
_LOCK_SECONDS = 10.0  # how long to wait for a previous worker that is exiting
_REPORT_SECONDS = 0.5
_USERS_SECONDS = 1.0
_SHRINK_SECONDS = 20.0  # after the last job
_SPARE_BYTES = 400 * 2**20
_TENSORFLOW_BYTES = 800 * 2**20
_UNUSED_SECONDS = 2.0  # so that a restarted server finds its worker


def run_worker(
    workspace: Workspace,
    *,
    warm: bool = True,
    idle_seconds: float | None = None,
    kinds: Mapping[str, JobKind] | None = None,
    restart: Callable[[], None] | None = None,
    end_process: Callable[[], None] | None = None,
) -> None:
    """Run jobs until idle for ``idle_seconds``; return at once if another worker is running.

    When the last process that uses the worker has ended, it runs the queued trainings and searches
    and exits; other jobs wait for the next worker.

    Args:
        workspace: the workspace of the queue.
        warm: load TensorFlow and prepare the default backbone while idle.
        idle_seconds: by default ``TL_WORKER_IDLE_SECONDS`` or half an hour.
        kinds: the kinds of jobs; by default all kinds of the studio.
        restart: replaces this process by a new worker. Called when a job left much memory in use
            that cannot be returned to the system otherwise, once it has been idle for a while.
        end_process: ends this process at once. Called in a demo when a job goes over its limits of
            time or memory and does not stop by itself; another worker is started. Without it such
            a job goes on, as it must where the worker is a thread of another program.
    """
    if idle_seconds is None:
        idle_seconds = chosen_idle_seconds()
    workspace.queue_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.queue_dir / "worker.lock")
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        _log.info("another worker lives; leaving")
        return
    try:
        _Worker(workspace, kinds or KINDS, idle_seconds, restart, end_process).work(warm)
    finally:
        lock.release()


class _Worker:
    def __init__(
        self,
        workspace: Workspace,
        kinds: Mapping[str, JobKind],
        idle_seconds: float,
        restart: Callable[[], None] | None,
        end_process: Callable[[], None] | None,
    ) -> None:
        self._workspace = workspace
        self._kinds = kinds
        self._idle_seconds = idle_seconds
        self._queue: JobQueue | FairQueue = JobQueue(workspace)
        if current_mode() == "demo":
            self._queue = FairQueue(workspace)
        self._ends = JobEnds(workspace, self._queue, kinds)
        self._clock = JobClock(workspace)
        self._record: dict[str, Any] = {**own_identity(), "warm": False, "message": ""}
        self._record_lock = threading.Lock()
        self._left = threading.Event()
        self._warming: threading.Thread | None = None
        self._is_blocked = False  # by a job that does not give way to all
        self._has_worked = False
        self._beside = threading.Lock()  # held while a job may run beside another
        self._paused: set[str] = set()  # active jobs that give way to other visitors
        self._main_id = ""  # of the active job that is not run alongside another
        self._beside_id = ""  # of the one that is
        self._lone_id = ""  # of a job that waits until no other runs
        self._used_at = self._users_seen_at = time.monotonic()
        self._restart = restart
        self._end_process = end_process
        self._idle_bytes: int | None = None  # in use before the first job

    def work(self, warm: bool) -> None:
        """Run jobs until it is time to exit."""
        self._publish(state="idle", job_id=None)
        if self._end_process is not None:
            loop = functools.partial(self._limits_loop, self._end_process)
            threading.Thread(target=loop, name="limits", daemon=True).start()
        if warm:
            self._warming = threading.Thread(target=self._warm_up, name="warm-up", daemon=True)
            self._warming.start()
        self._ends.recover()
        sweep_workspace(self._workspace)
        beside = threading.Thread(target=self._work_alongside, name="alongside", daemon=True)
        beside.start()
        idle_since = time.monotonic()
        try:
            while self._workspace.root.is_dir():
                unused = self._is_unused()
                self._ends.save()
                job = self._take(unused)
                is_idle = time.monotonic() - idle_since >= self._idle_seconds
                if job is not None and not self._has_room(job):
                    self._queue.put_back(job)
                    self._replace()
                elif job is not None:
                    self._note_idle_size()
                    self._publish(state="busy", job_id=job.id)
                    self._is_blocked = not self._gives_way(job)
                    self._main_id = job.id
                    message = self._do(job)
                    self._has_worked = True
                    self._is_blocked, self._main_id = False, ""
                    self._publish(state="idle", job_id=None, message=message)
                    idle_since = time.monotonic()
                    return_memory()
                elif time.monotonic() - idle_since >= _SHRINK_SECONDS and self._is_swollen():
                    self._replace()
                elif (is_idle or (unused and not self._is_warming)) and self._may_leave(unused):
                    return
                else:
                    time.sleep(_POLL_SECONDS)
        finally:
            self._left.set()
            beside.join()

    def _take(self, unused: bool) -> Job | None:
        """Take the next job that can begin now.

        While a job runs that was begun beside an earlier one, those that need a new process or run
        alone cannot. They keep their place: others begin before them, but none beside these.
        """
        passed_over: list[str] = []

        def may_begin(job: Job) -> bool:
            if not self._beside_id or not isinstance(self._queue, FairQueue):
                return True
            if job.id == self._beside_id:  # it was just put back, and is about to be over
                return False
            if self._has_room(job) and not job.num_lost:
                return True
            passed_over.append(job.id)
            return False

        kinds = self._kinds_for_users if unused else ()
        job = self._queue.take(without_kinds=kinds, fits=may_begin)
        self._lone_id = passed_over[0] if passed_over else ""
        return job

    def _note_idle_size(self) -> None:
        if self._idle_bytes is None and not self._is_warming:
            self._idle_bytes = used_bytes()

    def _is_swollen(self) -> bool:
        """Whether jobs left much memory in use; TensorFlow never returns all that it took."""
        if self._restart is None or self._idle_bytes is None or self._is_warming:
            return False
        allowed = _SPARE_BYTES if self._record["warm"] else _SPARE_BYTES + _TENSORFLOW_BYTES
        return used_bytes() - self._idle_bytes > allowed

    def _has_room(self, job: Job) -> bool:
        """Whether a job has memory in this process, or would have no more in a new one."""
        is_new = not self._has_worked or self._restart is None
        return is_new or self._clock.has_room(job)

    def _replace(self) -> None:
        """Replace this process by a new worker, unless that is not possible or a job runs in it."""
        if not self._beside.acquire(timeout=_REPORT_SECONDS):
            return
        restart, self._restart = self._restart, None
        _log.info("starting again to return %d MB", used_bytes() // 2**20)
        self._publish(state="starting", warm=False)
        with suppress(OSError):
            if restart is not None:
                restart()
        self._beside.release()
        self._publish(state="idle", warm="tensorflow" in sys.modules)

    def _work_alongside(self) -> None:
        """Run short jobs in parallel with a job that does not give way to them."""
        while not self._left.wait(_POLL_SECONDS):
            try:
                with self._beside:
                    if self._is_blocked and (job := self._queue.take(fits=self._fits_alongside)):
                        self._beside_id = job.id
                        self._do(job)
                        return_memory()
            except Exception:  # this thread has to go on for the next job
                _log.exception("working beside a job failed")
            finally:
                self._beside_id = ""

    def _gives_way(self, job: Job) -> bool:
        """Whether a job gives way to all that is more urgent; in a demo only to some of others."""
        kind = self._kinds.get(job.kind)
        return kind is None or (kind.gives_way and not isinstance(self._queue, FairQueue))

    def _fits_alongside(self, job: Job) -> bool:
        kind = self._kinds.get(job.kind)
        if kind is None or not kind.alongside or self._lone_id:
            return False
        return self._clock.fits_beside(job, self._main_id)

    def _is_unused(self) -> bool:
        """Whether the processes that use this worker have ended, after a grace period."""
        now = time.monotonic()
        if now - self._users_seen_at >= _USERS_SECONDS:
            self._users_seen_at = now
            if has_users(self._workspace):
                self._used_at = now
        return now - self._used_at >= _USERS_SECONDS + _UNUSED_SECONDS

    @property
    def _is_warming(self) -> bool:
        """Whether the warm-up is running, which starts a child process."""
        return self._warming is not None and self._warming.is_alive()

    @property
    def _kinds_for_users(self) -> frozenset[str]:
        """The kinds of jobs that wait while the app is closed."""
        return frozenset(name for name, kind in self._kinds.items() if kind.needs_user)

    def _do(self, job: Job) -> str:
        """Run a job and return why it failed, or an empty string."""
        with log_context(job=job.id, run=None if job.run_dir is None else job.run_dir.name):
            return self._do_logged(job)

    def _do_logged(self, job: Job) -> str:
        _log.info("job %s: %s", job.id, job.kind)
        message = ""
        queue = self._queue.queue_of(job)
        self._clock.start(job)
        try:
            self._run(job)
        except Stopped:
            if not queue.is_stop_requested(job.id) and self._ends.workspace_of(job).root.is_dir():
                _log.info("job %s gives way", job.id)
                queue.put_back(job, gave_way=True)
                return ""
        except TLError as error:
            message = str(error)
            _log.warning("job %s failed: %s", job.id, error)
        except Exception as error:  # the worker must survive for the next job
            problem = storage_error(error) if isinstance(error, OSError) else None
            message = str(problem or f"Unexpected error: {type(error).__name__}: {error}")
            _log.exception("job %s failed", job.id)
        finally:
            if isinstance(self._queue, FairQueue):
                self._queue.note_end(job, self._clock.seconds(job.id))
            is_paused = job.id in self._paused
            self._paused.discard(job.id)
            reason = self._clock.end(job, is_paused=is_paused)
        work = self._ends.work_of(job)
        if is_paused and not message and work is not None and work.state == "queued":
            _log.info("job %s is continued later", job.id)
            self._ends.put_back(job, work, is_counted=False)
            return ""
        self._ends.close(job, message)
        if reason and work is not None and work.state == "stopped":
            with suppress(OSError, RunError):  # it took too long, or too much of the disk
                update_status(work.folder, message=f"{reason} The best so far is kept.")
        with suppress(OSError):  # on a read-only disk its files stay, as an active job
            queue.finish(job.id)
        remove_remains(self._ends.workspace_of(job))
        return message

    def _run(self, job: Job) -> None:
        """Run a job, at low priority if its kind gives way.

        Until TensorFlow is loaded all jobs run at normal priority: threads that a low-priority
        thread starts on loading would slow down later trainings.
        """
        kind = self._kind_of(job)
        queue = self._queue.queue_of(job)
        monitor = Monitor(
            lambda progress: queue.report(job.id, asdict(progress)),
            lambda: self._must_stop(job),
            report_seconds=_REPORT_SECONDS,
            poll_seconds=_POLL_SECONDS,
        )
        work = self._ends.work_of(job)
        # What is computed in one go, and what goes on from earlier, says itself why it is stopped.
        if kind.keeps_partial and not (work is not None and is_continued(work.folder)):
            check_room(self._ends.workspace_of(job))
        context = JobContext(self._ends.workspace_of(job), job, monitor)
        if kind.gives_way and self._record["warm"]:
            run_at_low_priority(lambda: kind.run(context))
        else:
            kind.run(context)

    def _kind_of(self, job: Job) -> JobKind:
        if job.kind not in self._kinds:
            raise TLError(f"Jobs of kind '{job.kind}' are unknown to this version.")
        return self._kinds[job.kind]

    def _must_stop(self, job: Job) -> bool:
        """Whether the job was stopped, has to give way, or is no longer needed."""
        kind = self._kind_of(job)
        queue = self._queue.queue_of(job)
        if queue.is_stop_requested(job.id) or not self._ends.workspace_of(job).root.is_dir():
            return True
        if reason := self._clock.reason_to_stop(job):
            if not kind.keeps_partial:
                raise LimitError(reason)
            queue.request_stop(job.id)
            return True
        if self._has_had_turn(job):
            if not (kind.keeps_partial or kind.gives_way or kind.alongside):
                raise LimitError(turn_message())
            self._pause(job)
            return True
        if kind.needs_user and self._is_unused():
            return True
        return kind.gives_way and self._queue.must_give_way(job)

    def _has_had_turn(self, job: Job) -> bool:
        """Whether other visitors of a demo have waited long enough for the end of a job."""
        if not isinstance(self._queue, FairQueue):
            return False
        is_beside = job.id == self._beside_id
        is_passed_over = self._waits_for_main if is_beside else self._fits_alongside
        if self._clock.has_had_first_turn(job):
            used_little = self._queue.used_little()
            if self._queue.is_waited_for(
                job, lambda other: not used_little(other) or is_passed_over(other)
            ):
                return True
        is_waited_for = functools.partial(self._queue.is_waited_for, job, is_passed_over)
        is_short = self._kind_of(job).alongside
        return self._clock.has_had_turn(job, is_waited_for, is_short=is_short)

    def _waits_for_main(self, job: Job) -> bool:
        """Whether a waiting job does not begin when the one ends that runs beside."""
        kind = self._kinds.get(job.kind)
        return job.id != self._lone_id and (kind is None or not kind.alongside)

    def _pause(self, job: Job) -> None:
        """Have a job that is about to stop be queued for all who look at it."""
        if job.id in self._paused:
            return
        self._paused.add(job.id)
        if work := self._ends.work_of(job):
            update_status(work.folder, is_paused=True)

    def _may_leave(self, unused: bool) -> bool:
        """Announce the exit, unless there is a new job or, with ``unused``, a new user.

        No other process can start a worker meanwhile.
        """
        with spawn_lock(self._workspace):
            if unused and has_users(self._workspace):
                return False
            waiting = {job.kind for job in self._queue.jobs()}
            if waiting - (self._kinds_for_users if unused else set()):
                return False
            self._publish(state="exiting")
            return True

    def _warm_up(self) -> None:
        started = time.monotonic()
        try:
            warm_up(self._workspace)
        except Exception as error:  # training will fail with the same error and report it
            _log.warning("warming up failed", exc_info=error)
            return
        _log.info("warm after %.1f s", time.monotonic() - started)
        self._publish(warm=True)

    def _limits_loop(self, end_process: Callable[[], None]) -> None:
        while not self._left.wait(_LIMITS_SECONDS):
            self._watch_limits(end_process)

    def _watch_limits(self, end_process: Callable[[], None]) -> None:
        """End this process when a job of a demo cannot be ended otherwise.

        Only the job that caused it gets the reason; where nobody can tell they are queued again.
        """
        ending = reason_to_end(self._clock)
        if ending is None:
            return
        _log.error("leaving: %s", ending.message)
        for job in self._queue.jobs():
            if not job.active:
                continue
            work = self._ends.work_of(job)
            is_to_blame = job.id in ending.to_blame
            message = ending.message if is_to_blame else LOST_TEXT
            if isinstance(self._queue, FairQueue):
                self._queue.note_end(job, self._clock.seconds(job.id))
            if not is_to_blame and job.num_lost < MAX_LOST:
                self._ends.put_back(job, work, is_counted=True)
            elif work is None:
                self._ends.put_back_lost(job, message)
            else:
                self._ends.end(work.folder, "failed", message)
                self._queue.queue_of(job).finish(job.id)
        end_children()
        end_process()

    def _publish(self, **changes: Any) -> None:
        with self._record_lock:
            self._record.update(changes)
            if self._workspace.queue_dir.is_dir():  # do not create a deleted workspace again
                with suppress(OSError):
                    write_json(self._workspace.queue_dir / WORKER_FILE, self._record)
