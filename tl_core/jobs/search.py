"""Queue searches and learning-rate tests, and read their progress, without waiting."""

from __future__ import annotations

from pathlib import Path

from tl_core.config.search import SweepConfig, draw_trials
from tl_core.config.training import TrainConfig
from tl_core.errors import RunError
from tl_core.jobs import client
from tl_core.jobs import training as training_jobs
from tl_core.jobs.handlers import FIND_LR, SWEEP
from tl_core.jobs.queue import Job, JobQueue, JobState
from tl_core.runs.files import end_run, put_back_run
from tl_core.runs.state_dir import delete_work, kept_unless_queued
from tl_core.search.store import Sweep, create_sweep
from tl_core.training.memory import check_search_memory
from tl_core.workspace import Workspace


def check_sweep(
    workspace: Workspace, config: SweepConfig, base: TrainConfig, data_dir: Path | str
) -> None:
    """Check a search before it is queued.

    Raises:
        ConfigError: a backbone is unknown or does not suit the image size, or the largest heads
            need more memory than is free.
        DatasetError: the folder is missing or empty.
    """
    check_search_memory(draw_trials(config, base), config.folds)
    for backbone in config.backbone or (base.backbone,):
        training_jobs.check_start(workspace, base.updated(backbone=backbone), Path(data_dir))


def start_sweep(
    workspace: Workspace, config: SweepConfig, base: TrainConfig, data_dir: Path | str
) -> Sweep:
    """Queue a search and return it at once.

    Raises:
        ConfigError: there are too many combinations, or a backbone does not suit the image size.
        DatasetError: the folder is missing or empty.
        StorageError: the disk is full or read-only, or writing is not allowed.
        LimitError: as :func:`~tl_core.jobs.client.submit`.
    """
    check_sweep(workspace, config, base, data_dir)
    sweep = create_sweep(workspace, config, base, data_dir)
    client.submit_new(workspace, sweep, SWEEP, {SWEEP: sweep.id})
    return sweep


def job_of(sweep: Sweep) -> Job | None:
    """Return the job of a search, or None."""
    return JobQueue(sweep.workspace).find(SWEEP, {SWEEP: sweep.id})


def delete_sweep(sweep: Sweep) -> None:
    """Delete a search's folder; it disappears from lists at once.

    Raises:
        RunError: it is running or queued, or there is no such folder.
    """
    if sweep.state == "running" or job_of(sweep) is not None:
        raise RunError("This search is queued or running. Stop it, then delete it.")
    delete_work(sweep)


def check_resumable(workspace: Workspace, sweep: Sweep) -> None:
    """Check that a search ended early, so that it can be resumed.

    Raises:
        RunError: it is finished or running, or cannot be read.
    """
    if job_of(sweep) is not None or sweep.state in ("running", "finished", "damaged"):
        raise RunError(f"Expected a search that ended early, but '{sweep.id}' is {sweep.state}.")


def resume_sweep(workspace: Workspace, sweep: Sweep) -> None:
    """Queue the remaining heads of a search that ended early.

    Raises:
        RunError: it is finished or running, or cannot be read.
        ConfigError: its largest heads need more memory than is free.
        LimitError: as :func:`~tl_core.jobs.client.submit`; it stays as it was.
    """
    check_resumable(workspace, sweep)
    check_search_memory(draw_trials(sweep.config, sweep.base), sweep.config.folds)
    with kept_unless_queued(sweep):
        put_back_run(sweep.sweep_dir, is_continued=False)
        client.submit(workspace, SWEEP, {SWEEP: sweep.id})


def stop_sweep(workspace: Workspace, sweep: Sweep) -> None:
    """Stop a search; the heads tried so far are kept."""
    job = job_of(sweep)
    if job is None and sweep.state == "running":
        raise RunError("This search is not the studio's. Stop it where it was started.")
    if job is not None:
        JobQueue(workspace).request_stop(job.id)
    if sweep.state == "queued":
        end_run(sweep.sweep_dir, "stopped", "Stopped. The heads tried so far are kept.")


def sweep_progress(workspace: Workspace, sweep: Sweep) -> JobState | None:
    """Return the progress of a search's job, or None if there is none."""
    job = job_of(sweep)
    return None if job is None else JobQueue(workspace).state(job)


def request_range_test(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> None:
    """Queue a learning-rate test of these settings unless it is queued already.

    Raises:
        ConfigError: the backbone is unknown or the image size does not suit it.
        DatasetError: the folder is missing or empty.
    """
    training_jobs.check_start(workspace, config, Path(data_dir))
    client.request(workspace, FIND_LR, config, data_dir)


def stop_range_test(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> None:
    """Stop the test of these settings."""
    client.stop(workspace, FIND_LR, config, data_dir)


def range_test_progress(
    workspace: Workspace, config: TrainConfig, data_dir: Path | str
) -> JobState | None:
    """Return the progress of the test of these settings, or None if it is not queued."""
    return client.state_of(workspace, FIND_LR, config, data_dir)
