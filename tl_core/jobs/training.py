"""Start, stop and prepare training in the worker, without waiting for it.

Everything here returns within two seconds, needs no TensorFlow, and reads its state from disk, so
that a page may be closed, reloaded or served by a restarted server.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl_core.backbones.blocks import check_settings
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_decisions, with_kept_layout
from tl_core.data.dataset import check_folder_name
from tl_core.data.layout.plan import plan_layout
from tl_core.errors import DatasetError, RunError
from tl_core.jobs.client import request, submit, submit_new
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import FEATURES, TRAIN
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.worker_client import (
    WorkerState,
    end_worker,
    ensure_worker,
    worker_log_tail,
    worker_state,
)
from tl_core.runs.files import end_run
from tl_core.runs.state_dir import kept_unless_queued
from tl_core.runs.store import Run, create_run
from tl_core.training.memory import check_memory
from tl_core.training.resume import continue_run, queue_again
from tl_core.workspace import Workspace

__all__ = [
    "Job",
    "JobQueue",
    "WorkerState",
    "check_start",
    "continue_training",
    "end_worker",
    "ensure_worker",
    "prepare_features",
    "queue_position",
    "resume_training",
    "start_training",
    "stop_run",
    "worker_log_tail",
    "worker_state",
]

_PATIENCE_SECONDS = 1.5
_POLL_SECONDS = 0.05


def start_training(
    workspace: Workspace, config: TrainConfig, data_dir: Path | str, name: str | None = None
) -> Run:
    """Queue a training run and return it at once; the worker trains it.

    Raises:
        ConfigError: the backbone is unknown or the image size does not suit it.
        DatasetError: the folder is missing or empty.
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    check_start(workspace, config, Path(data_dir))
    config = with_kept_layout(config, workspace, data_dir)
    run = create_run(workspace.runs_dir, config, Path(data_dir), name=name)
    submit_new(workspace, run, TRAIN, {})
    return run


def resume_training(workspace: Workspace, run: Run) -> None:
    """Queue a run that was stopped, failed or interrupted, to be resumed.

    Raises:
        RunError: the run is finished, queued, or being trained.
        ConfigError: it needs more memory than is free.
        LimitError: as :func:`~tl_core.jobs.client.submit`; it stays as it was.
    """
    check_memory(run.config)
    with kept_unless_queued(run):
        queue_again(run)
        queue = JobQueue(workspace)
        if (left := queue.job_of(run.run_dir)) is not None:  # of a worker that was killed
            queue.finish(left.id)
        submit(workspace, TRAIN, {}, run.run_dir)


def continue_training(
    workspace: Workspace, run: Run, changes: Mapping[str, Any], name: str | None = None
) -> Run:
    """Queue a new run that fine-tunes from a run's best weights, and return it at once.

    Raises:
        ConfigError: the changes need other layers or another split, or train no block.
        RunError: the run cannot be continued.
    """
    config = run.config.updated(**changes)
    check_settings(config)
    check_memory(config)
    new = continue_run(run, changes, name=name)
    submit_new(workspace, new, TRAIN, {})
    return new


def prepare_features(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> Job:
    """Queue the extraction of the features that this training would need, after all training.

    A page calls it once the data is known, so that training can start with cached features. Calling
    it again while the job exists has no effect.

    Raises:
        ConfigError: the backbone is unknown or the image size does not suit it.
        DatasetError: the folder is missing, or its path is not UTF-8.
    """
    _check_settings(config, Path(data_dir))
    return request(workspace, FEATURES, config, data_dir)


def queue_position(workspace: Workspace, run: Run) -> int | None:
    """Return how many jobs come before the run's, 0 if it is active; None if it has no job."""
    queue = JobQueue(workspace)
    job = queue.job_of(run.run_dir)
    if job is not None and workspace.host is not None:
        return FairQueue(workspace.host).position(workspace, job.id)
    return None if job is None else queue.position(job.id)


def stop_run(workspace: Workspace, run: Run) -> None:
    """Stop a run within two seconds, keeping its best weights; a queued one is cancelled.

    A worker that does not react, for example during an import, is killed and a new one started;
    but not the one that the visitors of a demo share.

    Raises:
        RunError: the run is trained by another process than the workspace's worker.
    """
    queue = JobQueue(workspace)
    job = queue.job_of(run.run_dir)
    if job is None:
        if run.state == "running":
            raise RunError(
                f"Run '{run.name}' is trained by process {run.status['pid']}, not by the studio. "
                "Stop it where it was started."
            )
        if run.state == "queued":  # its job was lost, so it will never be trained
            end_run(run.run_dir, "stopped", _stop_message(run))
        return
    queue.request_stop(job.id)
    if not _has_ended(queue, run):
        if workspace.host is not None:  # the worker of all visitors stops it as soon as it can
            return
        end_worker(workspace)
    if run.state in ("queued", "running", "interrupted"):
        end_run(run.run_dir, "stopped", _stop_message(run))
    queue.finish(job.id)
    ensure_worker(workspace)


def _has_ended(queue: JobQueue, run: Run) -> bool:
    """Wait briefly for the worker to end the run; return False if it does not."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        job = queue.job_of(run.run_dir)
        if job is None or not (job.active and run.is_active):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _stop_message(run: Run) -> str:
    if run.status["started"] is None:
        return "Cancelled before it started."
    return "Stopped. " + (
        "The best weights so far are kept." if run.is_loadable else "There were no weights yet."
    )


def check_start(workspace: Workspace, config: TrainConfig, data_dir: Path) -> None:
    """Check a training before it is queued.

    Raises:
        ConfigError: as :func:`~tl_core.backbones.blocks.check_settings` and
            :func:`~tl_core.training.memory.check_memory`.
        DatasetError: the folder is missing or empty, or its path is not UTF-8.
    """
    _check_settings(config, data_dir)
    with os.scandir(data_dir) as entries:
        has_folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    if not has_folders:  # classes may come from a label file, the files' names, or a person
        chosen = plan_layout(data_dir, config.layout).chosen
        names = set() if chosen is None else set(chosen.class_counts)
        labels = load_decisions(workspace, data_dir).labels
        if len(names | {one.class_name for one in labels.values()}) < 2:
            raise DatasetError(
                f"Expected class folders in '{data_dir}', found none. "
                "Put the images of each class in a folder of its own."
            )


def _check_settings(config: TrainConfig, data_dir: Path) -> None:
    check_settings(config)
    check_memory(config)
    check_folder_name(data_dir)
    if not data_dir.is_dir():
        raise DatasetError(f"Expected a folder of class folders at '{data_dir}', found none.")
