"""Queue the classification of folders of photos, read its progress and stop it."""

from __future__ import annotations

from typing import Any

from tl_core.inference.folder_answers import FolderAnswers
from tl_core.jobs import client
from tl_core.jobs.handlers import CLASSIFY
from tl_core.jobs.queue import JobQueue, JobState


def request_answers(answers: FolderAnswers) -> None:
    """Queue the classification of a folder unless it is queued already."""
    client.submit(answers.workspace, CLASSIFY, _payload(answers))


def answers_state(answers: FolderAnswers) -> JobState | None:
    """Return the progress of a classification that a page shows; None if it is not queued."""
    queue = JobQueue(answers.workspace)
    job = queue.find(CLASSIFY, _payload(answers))
    return None if job is None else queue.watch(job)


def stop_answers(answers: FolderAnswers) -> None:
    """Stop a classification; the answers so far are kept."""
    queue = JobQueue(answers.workspace)
    if (job := queue.find(CLASSIFY, _payload(answers))) is not None:
        queue.request_stop(job.id)


def _payload(answers: FolderAnswers) -> dict[str, Any]:
    relative = answers.workspace.relative
    return {"model": relative(answers.model_dir), "photos": relative(answers.photos_dir)}
