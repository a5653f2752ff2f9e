"""Asks the worker to look at a dataset, and says how far it is; for pages that must not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tl_core.config.training import TrainConfig
from tl_core.jobs import training as training_jobs
from tl_core.jobs.queue import JobQueue, JobState
from tl_core.workspace import Workspace

ExploreKind = Literal["explore", "curve"]

_PRIORITY = -20  # behind training and behind the features that training waits for


def request(
    workspace: Workspace, kind: ExploreKind, config: TrainConfig, data_dir: Path | str
) -> None:
    """Queue the job unless it is there already."""
    queue = JobQueue(workspace)
    queue.submit(kind, _payload(workspace, config, data_dir), priority=_PRIORITY, unique=True)
    training_jobs.ensure_worker(workspace)


def state_of(
    workspace: Workspace, kind: ExploreKind, config: TrainConfig, data_dir: Path | str
) -> JobState | None:
    """Return how far the job is, or None when it is not in the queue."""
    queue = JobQueue(workspace)
    job = queue.find(kind, _payload(workspace, config, data_dir))
    return None if job is None else queue.state(job)


def _payload(workspace: Workspace, config: TrainConfig, data_dir: Path | str) -> dict[str, Any]:
    """Name only what decides the result, so that equal wishes are one job."""
    return {
        "config": config.model_dump(
            mode="json", include={"backbone", "image_size", "resize", "pooling"}
        ),
        "data_dir": workspace.relative(Path(data_dir)),
    }
