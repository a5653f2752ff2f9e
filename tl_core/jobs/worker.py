"""The worker process: loads everything slow ahead of need, then does one job after another.

Started by :func:`tl_core.jobs.training.ensure_worker`; one lives for each workspace. It leaves when
it had nothing to do for long, when the processes that use it have ended and no training or search
is left, or when its workspace is gone.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from tl_core.config.training import TrainConfig
from tl_core.errors import Stopped, TLError
from tl_core.files import write_json
from tl_core.jobs.handlers import KINDS, JobContext, JobKind, work_folder
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.worker_client import (
    DEFAULT_IDLE_SECONDS,
    IDLE_ENVIRONMENT_NAME,
    WORKER_FILE,
    has_users,
    spawn_lock,
)
from tl_core.processes import own_identity
from tl_core.progress import Monitor
from tl_core.runs.files import end_run
from tl_core.workspace import Workspace

_NICENESS = 10  # a page then answers about as fast among busy workers as on an idle machine


def run_at_low_priority(work: Callable[[], None]) -> None:
    """Do ``work`` at low priority and return when it is done.

    On Linux each thread has a priority of its own, which it may lower but not raise, and hands on
    to the threads it starts. So a thread is started for the work alone. Elsewhere the work is done
    as any other.

    Raises:
        Exception: whatever ``work`` raised.
    """
    if sys.platform != "linux":
        work()
        return
    with ThreadPoolExecutor(1, "background", initializer=_lower_own_priority) as thread:
        thread.submit(work).result()


def _lower_own_priority() -> None:
    with suppress(OSError):  # a system may refuse; then the work is done as any other
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, max(own, _NICENESS))


_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_HEARTBEAT_SECONDS = 1.0
_LOCK_SECONDS = 10.0  # how long a predecessor that was told to leave may take
_REPORT_SECONDS = 0.5
_USERS_SECONDS = 1.0
_UNUSED_SECONDS = 2.0  # a server that is started again finds its worker


def run_worker(
    workspace: Workspace,
    *,
    warm: bool = True,
    idle_seconds: float | None = None,
    kinds: Mapping[str, JobKind] | None = None,
) -> None:
    """Work until there was nothing to do for ``idle_seconds``; not at all if another worker does.

    When the last process that uses the worker has ended, it does the trainings and searches that
    are queued and leaves; other jobs wait for the next worker.

    Args:
        workspace: whose queue to work on.
        warm: load TensorFlow and prepare the default backbone while waiting.
        idle_seconds: by default ``TL_WORKER_IDLE_SECONDS`` or half an hour.
        kinds: how to do jobs, by their kind; by default all kinds of the studio.
    """
    if idle_seconds is None:
        idle_seconds = _idle_seconds()
    workspace.queue_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.queue_dir / "worker.lock")
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        _log.info("another worker lives; leaving")
        return
    try:
        _Worker(workspace, kinds or KINDS, idle_seconds).work(warm)
    finally:
        lock.release()


def _idle_seconds() -> float:
    """Return ``TL_WORKER_IDLE_SECONDS`` when it says a time, else the default."""
    text = os.environ.get(IDLE_ENVIRONMENT_NAME, "").strip()
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    if text:
        _log.warning(
            "%s: expected seconds such as 600, received '%s'; %g is taken instead",
            IDLE_ENVIRONMENT_NAME,
            text,
            DEFAULT_IDLE_SECONDS,
        )
    return DEFAULT_IDLE_SECONDS


class _Worker:
    def __init__(
        self, workspace: Workspace, kinds: Mapping[str, JobKind], idle_seconds: float
    ) -> None:
        self._workspace = workspace
        self._kinds = kinds
        self._idle_seconds = idle_seconds
        self._queue = JobQueue(workspace)
        self._record: dict[str, Any] = {**own_identity(), "warm": False, "message": ""}
        self._record_lock = threading.Lock()
        self._left = threading.Event()
        self._warming: threading.Thread | None = None
        self._is_blocked = False  # by a job that does not give way
        self._used_at = self._users_seen_at = time.monotonic()

    def work(self, warm: bool) -> None:
        """Do jobs until it is time to leave."""
        self._publish(state="idle", job_id=None)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        if warm:
            self._warming = threading.Thread(target=self._warm_up, name="warm-up", daemon=True)
            self._warming.start()
        self._recover()
        beside = threading.Thread(target=self._work_alongside, name="alongside", daemon=True)
        beside.start()
        idle_since = time.monotonic()
        try:
            while self._workspace.root.is_dir():
                unused = self._is_unused()
                job = self._queue.take(without_kinds=self._kinds_for_users if unused else ())
                is_idle = time.monotonic() - idle_since >= self._idle_seconds
                if job is not None:
                    self._publish(state="busy", job_id=job.id)
                    self._is_blocked = (
                        job.kind in self._kinds and not self._kinds[job.kind].gives_way
                    )
                    message = self._do(job)
                    self._is_blocked = False
                    self._publish(state="idle", job_id=None, message=message)
                    idle_since = time.monotonic()
                elif (is_idle or (unused and not self._is_warming)) and self._may_leave(unused):
                    return
                else:
                    time.sleep(_POLL_SECONDS)
        finally:
            self._left.set()
            beside.join()

    def _work_alongside(self) -> None:
        """Do what is short beside a job that does not give way, so that nobody waits for it."""
        while not self._left.wait(_POLL_SECONDS):
            if not self._is_blocked:
                continue
            waiting = [job.kind for job in self._queue.jobs() if not job.active]
            others = {kind for kind in waiting if not self._is_done_alongside(kind)}
            if len(others) < len(set(waiting)):
                job = self._queue.take(without_kinds=others)
                if job is not None and self._is_done_alongside(job.kind):
                    self._do(job)
                elif job is not None:  # it came this very moment
                    self._queue.put_back(job)

    def _is_done_alongside(self, kind: str) -> bool:
        return kind in self._kinds and self._kinds[kind].alongside

    def _is_unused(self) -> bool:
        """Whether the processes that use this worker have ended a moment ago or longer."""
        now = time.monotonic()
        if now - self._users_seen_at >= _USERS_SECONDS:
            self._users_seen_at = now
            if has_users(self._workspace):
                self._used_at = now
        return now - self._used_at >= _USERS_SECONDS + _UNUSED_SECONDS

    @property
    def _is_warming(self) -> bool:
        """Whether the warm-up runs, which starts a process that must not be left alone."""
        return self._warming is not None and self._warming.is_alive()

    @property
    def _kinds_for_users(self) -> frozenset[str]:
        """The kinds of job that wait while the app is closed."""
        return frozenset(name for name, kind in self._kinds.items() if kind.needs_user)

    def _do(self, job: Job) -> str:
        """Do a job and return why it failed, or nothing."""
        _log.info("job %s: %s %s", job.id, job.kind, job.run_dir or "")
        message = ""
        try:
            self._run(job)
        except Stopped:
            if not self._queue.is_stop_requested(job.id):
                _log.info("job %s gives way", job.id)
                self._queue.put_back(job, gave_way=True)
                return ""
        except TLError as error:
            message = str(error)
            _log.warning("job %s failed: %s", job.id, error)
        except Exception as error:  # the worker must live on for the next job
            message = f"Unexpected error: {type(error).__name__}: {error}"
            _log.exception("job %s failed", job.id)
        self._close_work(job, message)
        self._queue.finish(job.id)
        return message

    def _run(self, job: Job) -> None:
        """Do a job, one that gives way at low priority.

        Before TensorFlow is loaded every job is done at the usual one: what is loaded by a thread
        of low priority would stay slow for the trainings after it.
        """
        kind = self._kind_of(job)
        monitor = Monitor(
            lambda progress: self._queue.report(job.id, asdict(progress)),
            lambda: self._must_stop(job),
            report_seconds=_REPORT_SECONDS,
            poll_seconds=_POLL_SECONDS,
        )
        context = JobContext(self._workspace, job, monitor)
        if kind.gives_way and self._record["warm"]:
            run_at_low_priority(lambda: kind.run(context))
        else:
            kind.run(context)

    def _kind_of(self, job: Job) -> JobKind:
        if job.kind not in self._kinds:
            raise TLError(f"Jobs of kind '{job.kind}' are unknown to this version.")
        return self._kinds[job.kind]

    def _close_work(self, job: Job, message: str) -> None:
        """See to it that a run or search does not wait for ever for a job that is over."""
        work = work_folder(self._workspace, job)
        if work is None or not work.is_active:
            return
        if self._queue.is_stop_requested(job.id):
            end_run(work.folder, "stopped", "Cancelled before it started.")
        else:
            end_run(work.folder, "failed", message or "Its job ended without doing it.")

    def _must_stop(self, job: Job) -> bool:
        """Whether the job was stopped, has to give way, or has nobody left to work for."""
        kind = self._kind_of(job)
        if self._queue.is_stop_requested(job.id) or not self._workspace.root.is_dir():
            return True
        if kind.needs_user and self._is_unused():
            return True
        return kind.gives_way and self._queue.must_give_way(job)

    def _recover(self) -> None:
        """Deal with jobs that a worker held when it died."""
        for job in self._queue.jobs():
            if not job.active:
                continue
            work = work_folder(self._workspace, job)
            if work is not None and work.state == "queued" and job.kind in self._kinds:
                self._queue.put_back(job)  # it died before it began
                continue
            if work is not None and work.state == "interrupted":
                end_run(work.folder, "interrupted", work.message)
            _log.warning("job %s was interrupted", job.id)
            self._queue.finish(job.id)

    def _may_leave(self, unused: bool) -> bool:
        """Announce leaving, unless a job or, with ``unused``, a user came in.

        Nobody starts a worker or asks for one meanwhile.
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
        except Exception as error:  # training will meet it again, and tell the user
            _log.warning("warming up failed: %s", error)
            return
        _log.info("warm after %.1f s", time.monotonic() - started)
        self._publish(warm=True)

    def _beat(self) -> None:
        while not self._left.wait(_HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(self._workspace.queue_dir / WORKER_FILE)

    def _publish(self, **changes: Any) -> None:
        with self._record_lock:
            self._record.update(changes)
            if self._workspace.queue_dir.is_dir():  # writing must not bring back a workspace
                with suppress(OSError):
                    write_json(self._workspace.queue_dir / WORKER_FILE, self._record)


def warm_up(workspace: Workspace) -> None:
    """Load TensorFlow, prepare the default backbone, and compile the default head once."""
    from tl_core.backbones.api import get_backbone, resolve_image_size
    from tl_core.features.engine import prepare_engine
    from tl_core.head.model import build_head, head_weights
    from tl_core.processes import BackgroundImport
    from tl_core.training.head_steps import StepSettings, borrow_steps

    BackgroundImport().wait()
    config = TrainConfig()
    prepare_engine(config.backbone, resolve_image_size(config), config.pooling, workspace.cache_dir)
    dim = get_backbone(config.backbone).feature_dim
    with borrow_steps(dim, config.fc_layers, 3) as steps:
        steps.start(head_weights(build_head(dim, config.dropout, config.fc_layers, 3, 0)))
        features, labels = np.zeros((2, dim), np.float32), np.zeros(2, np.int32)
        settings = StepSettings(config.batch_size, config.learning_rate, config.dropout, 0.0, 0)
        steps.train(features, labels, np.ones(3), np.arange(2), 0, settings)


def main() -> None:
    """Run the worker of the workspace named on the command line."""
    parser = argparse.ArgumentParser(description="Train what is queued in a workspace.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cold", action="store_true", help="load nothing ahead of need")
    arguments = parser.parse_args()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    run_worker(Workspace(arguments.workspace.absolute()), warm=not arguments.cold)


if __name__ == "__main__":
    main()
