"""Searches and learning-rate tests from the outside: ask the worker for them, without waiting."""

from __future__ import annotations

from pathlib import Path

from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.errors import RunError
from tl_core.jobs import client
from tl_core.jobs import training as training_jobs
from tl_core.jobs.handlers import FIND_LR, SWEEP
from tl_core.jobs.queue import Job, JobQueue, JobState
from tl_core.runs.files import end_run, update_status
from tl_core.runs.state_dir import delete_work
from tl_core.search.store import Sweep, create_sweep
from tl_core.workspace import Workspace


def check_sweep(config: SweepConfig, base: TrainConfig, data_dir: Path | str) -> None:
    """Refuse at once what could only fail in the worker.

    Raises:
        ConfigError: a backbone is unknown, or does not suit the image size.
        DatasetError: there is no such folder, or nothing in it.
    """
    for backbone in config.backbone or (base.backbone,):
        training_jobs.check_start(base.updated(backbone=backbone), Path(data_dir))


def start_sweep(
    workspace: Workspace, config: SweepConfig, base: TrainConfig, data_dir: Path | str
) -> Sweep:
    """Queue a search and return it at once.

    Raises:
        ConfigError: there are too many combinations, or a backbone does not suit the image size.
        DatasetError: there is no such folder, or nothing in it.
    """
    check_sweep(config, base, data_dir)
    sweep = create_sweep(workspace, config, base, data_dir)
    client.submit(workspace, SWEEP, {SWEEP: sweep.id})
    return sweep


def job_of(sweep: Sweep) -> Job | None:
    """Return the job that does a search, or None when there is none any more."""
    return JobQueue(sweep.workspace).find(SWEEP, {SWEEP: sweep.id})


def delete_sweep(sweep: Sweep) -> None:
    """Delete a search's folder; from the first moment on it is no longer listed.

    Raises:
        RunError: it is under way or waits for its turn, or there is no such folder.
    """
    if sweep.state == "running" or job_of(sweep) is not None:
        raise RunError("This search is under way. Stop it, then delete it.")
    delete_work(sweep)


def check_resumable(workspace: Workspace, sweep: Sweep) -> None:
    """Refuse to go on with a search that has nothing left to try, or is being done.

    Raises:
        RunError: it is finished, under way, or cannot be read.
    """
    if job_of(sweep) is not None or sweep.state in ("running", "finished", "damaged"):
        raise RunError(f"Expected a search that ended early, but '{sweep.id}' is {sweep.state}.")


def resume_sweep(workspace: Workspace, sweep: Sweep) -> None:
    """Queue the heads of a search that ended early and were not tried yet.

    Raises:
        RunError: it is finished, under way, or cannot be read.
    """
    check_resumable(workspace, sweep)
    update_status(sweep.sweep_dir, state="queued", message="")
    client.submit(workspace, SWEEP, {SWEEP: sweep.id})


def stop_sweep(workspace: Workspace, sweep: Sweep) -> None:
    """Ask for the end of a search; the heads tried so far are kept."""
    job = job_of(sweep)
    if job is None and sweep.state == "running":
        raise RunError("This search is not the studio's. Stop it where it was started.")
    if job is not None:
        JobQueue(workspace).request_stop(job.id)
    if sweep.state == "queued":
        end_run(sweep.sweep_dir, "stopped", "Stopped. The heads tried so far are kept.")


def sweep_progress(workspace: Workspace, sweep: Sweep) -> JobState | None:
    """Return how far the search's job is, or None when there is none."""
    job = job_of(sweep)
    return None if job is None else JobQueue(workspace).state(job)


def request_range_test(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> None:
    """Queue a learning-rate test of these settings unless it is there already.

    Raises:
        ConfigError: the backbone is unknown or the image size does not suit it.
        DatasetError: there is no such folder, or nothing in it.
    """
    training_jobs.check_start(config, Path(data_dir))
    client.request(workspace, FIND_LR, config, data_dir)


def stop_range_test(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> None:
    """Ask for the end of the test of these settings."""
    client.stop(workspace, FIND_LR, config, data_dir)


def range_test_progress(
    workspace: Workspace, config: TrainConfig, data_dir: Path | str
) -> JobState | None:
    """Return how far the test of these settings is, or None when it is not in the queue."""
    return client.state_of(workspace, FIND_LR, config, data_dir)
