"""Queue exports of runs, read their progress and stop them."""

from __future__ import annotations

from typing import Any

from tl_core.export.formats import get_format
from tl_core.export.run_exports import delete_export
from tl_core.jobs import client
from tl_core.jobs.handlers import EXPORT
from tl_core.jobs.queue import JobQueue, JobState
from tl_core.runs.store import Run
from tl_core.workspace import Workspace


def request_export(workspace: Workspace, run: Run, format_name: str) -> None:
    """Queue an export of a run unless it is queued already; deletes an earlier result.

    Raises:
        ConfigError: there is no such format.
    """
    get_format(format_name)
    if export_state(workspace, run, format_name) is None:
        delete_export(run, format_name)
    client.submit(workspace, EXPORT, _payload(workspace, run, format_name))


def export_state(workspace: Workspace, run: Run, format_name: str) -> JobState | None:
    """Return the progress of an export; None if it is not queued."""
    queue = JobQueue(workspace)
    job = queue.find(EXPORT, _payload(workspace, run, format_name))
    return None if job is None else queue.state(job)


def stop_export(workspace: Workspace, run: Run, format_name: str) -> None:
    """Stop an export and discard it."""
    queue = JobQueue(workspace)
    if (job := queue.find(EXPORT, _payload(workspace, run, format_name))) is not None:
        queue.request_stop(job.id)


def _payload(workspace: Workspace, run: Run, format_name: str) -> dict[str, Any]:
    return {"run": workspace.relative(run.run_dir), "format": format_name}
