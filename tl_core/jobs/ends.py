"""How jobs end without having finished: those of a worker that was killed, and those put back."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from tl_core.errors import RunError, StorageError
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import JobKind, work_folder
from tl_core.jobs.queue import Job, JobQueue
from tl_core.runs.files import RunState, end_run, put_back_run
from tl_core.runs.state_dir import WorkFolder
from tl_core.workspace import Workspace

LOST_TEXT = (
    "The process that worked on it ended unexpectedly. Try again; if it happens again, close other "
    "programs, as the system may have ended it for lack of memory."
)
MAX_LOST = 1
"""How often a job that can be resumed is run again after its worker was killed."""

_SAVE_SECONDS = 2.0  # between two tries to write on a full disk

_log = logging.getLogger(__name__)


class JobEnds:
    """Ends the work of jobs in their folders and queues.

    Args:
        workspace: of the worker.
        queue: from which it takes jobs.
        kinds: of jobs.
    """

    def __init__(
        self, workspace: Workspace, queue: JobQueue | FairQueue, kinds: Mapping[str, JobKind]
    ) -> None:
        self._workspace = workspace
        self._queue = queue
        self._kinds = kinds
        self._unsaved: dict[Path, tuple[RunState, str]] = {}  # ends that could not be written
        self._saved_at = 0.0

    def workspace_of(self, job: Job) -> Workspace:
        """Return the workspace of a job: a visitor's, or that of the worker."""
        return job.workspace or self._workspace

    def work_of(self, job: Job) -> WorkFolder | None:
        """Return the run or the search of a job; None for jobs without one."""
        return work_folder(self.workspace_of(job), job)

    def recover(self) -> None:
        """Handle the active jobs of a worker that was killed."""
        for job in self._queue.jobs():
            if not job.active:
                continue
            work = self.work_of(job)
            if work is not None and work.state == "queued" and job.kind in self._kinds:
                self._queue.put_back(job)  # killed before it started
                continue
            _log.warning("job %s was interrupted", job.id)
            if work is None:
                self.put_back_lost(job)
                continue
            if work.state == "interrupted":
                self.end(work.folder, "interrupted", work.message)
            self._queue.queue_of(job).finish(job.id)

    def put_back_lost(self, job: Job, reason: str = "") -> None:
        """Run a job again that can be resumed, and have others say why they ended.

        Only its own function knows where the reason has to be kept, so the job is queued for that.
        It is run again only once, as it may be what ended the worker.

        Args:
            job: an active one without a run or search, whose worker ended.
            reason: why it must not be run again; by default it is unknown why the worker ended.
        """
        queue = self._queue.queue_of(job)
        kind = self._kinds.get(job.kind)
        if kind is None or job.lost or queue.is_stop_requested(job.id):
            queue.finish(job.id)
            return
        if not reason and not (kind.gives_way and job.num_lost < MAX_LOST):
            reason = LOST_TEXT
        try:
            queue.put_back_lost(job, reason)
        except OSError as error:
            _log.warning("job %s could not be queued again: %s", job.id, error)
            queue.finish(job.id)

    def put_back(self, job: Job, work: WorkFolder | None, *, is_counted: bool) -> None:
        """Run a job again, from where it was, that has to end because of another one."""
        queue = self._queue.queue_of(job)
        try:
            if work is not None:
                put_back_run(work.folder, is_continued=True)
            if queue.is_stop_requested(job.id):
                if work is not None:
                    self.end(work.folder, "stopped", "Stopped.")
                queue.finish(job.id)
                return
            queue.put_back_lost(job, is_counted=is_counted)
        except (OSError, RunError, StorageError) as error:
            _log.warning("job %s could not be queued again: %s", job.id, error)
            queue.finish(job.id)

    def close(self, job: Job, message: str) -> None:
        """End a run or search whose job is over without having finished it."""
        work = self.work_of(job)
        if work is None or not work.is_active:
            return
        if self._queue.queue_of(job).is_stop_requested(job.id):
            self.end(work.folder, "stopped", "Cancelled before it started.")
        else:
            self.end(work.folder, "failed", message or "Its job ended without doing it.")

    def end(self, folder: Path, state: RunState, message: str) -> None:
        """Mark a run or search as over; on a full disk this is done as soon as it is possible."""
        try:
            end_run(folder, state, message)
        except (OSError, RunError) as error:
            _log.warning("the end of %s could not be written: %s", folder.name, error)
            self._unsaved[folder] = (state, message)

    def save(self) -> None:
        """Try again to write what :meth:`end` could not; what was deleted is forgotten."""
        if not self._unsaved or time.monotonic() - self._saved_at < _SAVE_SECONDS:
            return
        self._saved_at = time.monotonic()
        unsaved, self._unsaved = self._unsaved, {}
        for folder, (state, message) in unsaved.items():
            if folder.is_dir():
                self.end(folder, state, message)
