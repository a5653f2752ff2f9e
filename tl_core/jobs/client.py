"""Queue jobs and read their progress, without waiting for them.

A job about a data folder is identified by its kind, the relevant settings, and the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl_core.config.training import TrainConfig
from tl_core.errors import LimitError, StorageError
from tl_core.inference.folder_answers import FolderAnswers
from tl_core.jobs import worker_client
from tl_core.jobs.demo_limits import check_may_queue
from tl_core.jobs.fair_queue import IN_ADVANCE
from tl_core.jobs.handlers import CLASSIFY, EVALUATE, KINDS
from tl_core.jobs.queue import Job, JobQueue, JobState
from tl_core.runs.run import Run
from tl_core.runs.state_dir import WorkFolder, delete_work
from tl_core.visitors.store import take_place
from tl_core.workspace import Workspace


def submit(
    workspace: Workspace, kind: str, payload: Mapping[str, Any], run_dir: Path | None = None
) -> Job:
    """Queue a job at the priority of its kind, and make sure that a worker runs.

    A job without a run is queued only once, however often it is requested.

    Raises:
        LimitError: the visitor of a demo has too many jobs, too much data, or gets no place, or
            the job needs too much memory.
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    row = KINDS[kind]
    if workspace.host is not None:
        if row.priority > IN_ADVANCE:
            take_place(workspace)
        check_may_queue(workspace, kind, payload, run_dir, is_unique=run_dir is None)
    job = JobQueue(workspace).submit(
        kind,
        payload,
        run_dir,
        row.priority,
        unique=run_dir is None,
        needs_user=row.needs_user,
    )
    worker_client.ensure_worker(workspace)
    return job


def submit_new(
    workspace: Workspace, work: WorkFolder, kind: str, payload: Mapping[str, Any]
) -> None:
    """Queue a new run or search; it is deleted again when the job cannot be queued.

    Args:
        workspace: where it is.
        work: it has just been created.
        kind: the kind of its job.
        payload: the arguments; a training has none, and its job names the run.

    Raises:
        LimitError: as :func:`submit`.
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    run_dir = None if payload else work.folder
    try:
        submit(workspace, kind, payload, run_dir)
    except (StorageError, LimitError):
        queue = JobQueue(workspace)
        job = queue.find(kind, payload) if run_dir is None else queue.job_of(run_dir)
        if job is not None:
            queue.finish(job.id)
        delete_work(work)
        raise


def request(
    workspace: Workspace, kind: str, config: TrainConfig, data_dir: Path | str, **more: Any
) -> Job:
    """Queue a job about a data folder unless it is queued already."""
    return submit(workspace, kind, _payload(workspace, kind, config, data_dir, **more))


def find(
    workspace: Workspace, kind: str, config: TrainConfig, data_dir: Path | str, **more: Any
) -> Job | None:
    """Return the job, or None if it is not in the queue."""
    return JobQueue(workspace).find(kind, _payload(workspace, kind, config, data_dir, **more))


def state_of(
    workspace: Workspace, kind: str, config: TrainConfig, data_dir: Path | str, **more: Any
) -> JobState | None:
    """Return the progress of a job that a page shows, or None if it is not in the queue."""
    job = find(workspace, kind, config, data_dir, **more)
    return None if job is None else JobQueue(workspace).watch(job)


def stop(
    workspace: Workspace, kind: str, config: TrainConfig, data_dir: Path | str, **more: Any
) -> None:
    """Request the job to stop."""
    job = find(workspace, kind, config, data_dir, **more)
    if job is not None:
        JobQueue(workspace).request_stop(job.id)


def evaluation(
    workspace: Workspace, run: Run, part: str, data_dir: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """Return kind and payload of the job that evaluates a run.

    Its result is read with :class:`~tl_core.evaluation.store.EvaluationFile`.
    """
    folder = None if data_dir is None else workspace.relative(data_dir)
    return EVALUATE, {"run": workspace.relative(run.run_dir), "part": part, "data_dir": folder}


def job_about(workspace: Workspace, kind: str, data_dir: Path) -> Job | None:
    """Return the first job of a kind about that folder, with any settings, or None."""
    wanted = workspace.relative(data_dir)
    jobs = JobQueue(workspace).jobs()
    return next(
        (job for job in jobs if job.kind == kind and job.payload.get("data_dir") == wanted), None
    )


def is_for(job: Job, config: TrainConfig) -> bool:
    """Whether a job about a data folder is for these settings."""
    return bool(job.payload.get("config") == _settings(job.kind, config))


def _payload(
    workspace: Workspace, kind: str, config: TrainConfig, data_dir: Path | str, **more: Any
) -> dict[str, Any]:
    config_values = _settings(kind, config)
    return {"config": config_values, "data_dir": workspace.relative(Path(data_dir)), **more}


def _settings(kind: str, config: TrainConfig) -> dict[str, Any]:
    settings = KINDS[kind].settings
    if settings is None:
        raise ValueError(f"jobs of kind '{kind}' are not about a data folder")
    return settings(config)


def request_answers(answers: FolderAnswers) -> None:
    """Queue the classification of a folder unless it is queued already."""
    submit(answers.workspace, CLASSIFY, _payload_of(answers))


def answers_state(answers: FolderAnswers) -> JobState | None:
    """Return the progress of a classification that a page shows; None if it is not queued."""
    queue = JobQueue(answers.workspace)
    job = queue.find(CLASSIFY, _payload_of(answers))
    return None if job is None else queue.watch(job)


def stop_answers(answers: FolderAnswers) -> None:
    """Stop a classification; the answers so far are kept."""
    queue = JobQueue(answers.workspace)
    if (job := queue.find(CLASSIFY, _payload_of(answers))) is not None:
        queue.request_stop(job.id)


def _payload_of(answers: FolderAnswers) -> dict[str, Any]:
    relative = answers.workspace.relative
    return {"model": relative(answers.model_dir), "photos": relative(answers.photos_dir)}
