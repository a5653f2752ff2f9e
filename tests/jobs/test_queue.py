import os
import sys
from pathlib import Path

import pytest

from tl_core.jobs.queue import JobQueue
from tl_core.workspace import Workspace


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue on Windows where each file is just being read by somebody at the first attempt."""
    monkeypatch.setattr(sys, "platform", "win32")
    for function in ("rename", "unlink", "replace"):
        real, tried = getattr(os, function), set()

        def refuse_once(*args, real=real, tried=tried, **kwargs):
            if Path(args[0]).exists() and args not in tried:
                tried.add(args)
                raise PermissionError(13, "The process cannot access the file")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, function, refuse_once)
    return JobQueue(Workspace(tmp_path))


def test_jobs_go_their_way_on_windows_while_others_read_their_files(queue, tmp_path):
    job = queue.submit("train", {})
    assert queue.take().id == job.id
    queue.report(job.id, {"done": 1})
    queue.put_back(job)
    assert queue.take().active
    queue.request_stop(job.id)
    assert queue.is_stop_requested(job.id)
    queue.finish(job.id)
    waiting = queue.submit("train", {})
    queue.request_stop(waiting.id)
    assert list((tmp_path / "queue").iterdir()) == []
