"""Queue exports of runs, read their progress and stop them."""

from __future__ import annotations

from typing import Any

from tl_core.export.formats import get_format
from tl_core.export.run_exports import forget_failure
from tl_core.jobs import client
from tl_core.jobs.handlers import EXAMPLES, EXPORT
from tl_core.jobs.queue import Job, JobQueue, JobState
from tl_core.runs.store import Run
from tl_core.workspace import Workspace


def request_export(
    workspace: Workspace, run: Run, format_name: str, *, with_examples: bool = False
) -> None:
    """Queue an export of a run unless it is queued already.

    An earlier export stays until the new one is finished.

    Args:
        workspace: where the run is.
        run: the run.
        format_name: a name from :data:`~tl_core.export.formats.FORMATS`.
        with_examples: as for :func:`~tl_core.export.exporter.export_run`.

    Raises:
        ConfigError: there is no such format.
    """
    get_format(format_name)
    if _find(workspace, run, format_name) is not None:
        return
    forget_failure(run, format_name)
    payload = _payload(workspace, run, format_name)
    client.submit(workspace, EXPORT, {**payload, EXAMPLES: True} if with_examples else payload)


def export_state(workspace: Workspace, run: Run, format_name: str) -> JobState | None:
    """Return the progress of an export; None if it is not queued."""
    job = _find(workspace, run, format_name)
    return None if job is None else JobQueue(workspace).state(job)


def stop_export(workspace: Workspace, run: Run, format_name: str) -> None:
    """Stop an export and discard it."""
    if (job := _find(workspace, run, format_name)) is not None:
        JobQueue(workspace).request_stop(job.id)


def _find(workspace: Workspace, run: Run, format_name: str) -> Job | None:
    """Return the queued export of a run in a format, with or without examples."""
    wanted = _payload(workspace, run, format_name)
    return next(
        (
            job
            for job in JobQueue(workspace).jobs()
            if job.kind == EXPORT and wanted.items() <= job.payload.items()
        ),
        None,
    )


def _payload(workspace: Workspace, run: Run, format_name: str) -> dict[str, Any]:
    return {"run": workspace.relative(run.run_dir), "format": format_name}
