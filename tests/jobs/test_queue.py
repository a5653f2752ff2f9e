import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tl_core.files import write_json
from tl_core.jobs.queue import JobQueue
from tl_core.workspace import Workspace


@pytest.fixture
def windows_queue(tmp_path, monkeypatch):
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


def test_jobs_go_their_way_on_windows_while_others_read_their_files(windows_queue, tmp_path):
    queue = windows_queue
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


@pytest.fixture
def queue(tmp_path):
    return JobQueue(Workspace(tmp_path))


def submit(queue, name, priority=-20):
    """Queue work that is only for a page that shows it."""
    return queue.submit(name, {}, priority=priority, needs_user=True)


def leave(queue, *jobs):
    """Have no page show these jobs any more."""
    for job in jobs:
        for path in queue._dir.glob(f"{job.id}.*"):
            os.utime(path, (time.time() - 60,) * 2)


def order(queue):
    return [job.kind for job in queue.jobs()]


def test_what_a_page_shows_goes_before_what_no_page_shows(queue):
    other, other_features = submit(queue, "other"), submit(queue, "other features", -10)
    leave(queue, other, other_features)
    submit(queue, "shown")
    queue.submit("train", {})
    assert order(queue) == ["train", "shown", "other features", "other"]
    queue.watch(other)
    assert order(queue) == ["train", "other", "shown", "other features"]
    queue.submit("other features", {}, priority=-10, unique=True)
    assert order(queue) == ["train", "other features", "other", "shown"]


def test_work_that_no_page_shows_gives_way_to_what_one_shows_and_not_the_other_way_round(queue):
    submit(queue, "begun")
    begun = queue.take()
    shown = submit(queue, "shown")
    assert not queue.must_give_way(begun)  # both are shown: the first goes on
    leave(queue, begun)
    assert queue.must_give_way(begun)
    assert queue.position(shown.id) == 0
    leave(queue, shown)
    assert not queue.must_give_way(begun)
    queue.submit("train", {}, priority=-5)  # what needs no page is never out of view
    assert queue.must_give_way(begun)


def test_work_that_gave_way_three_times_gives_way_to_trainings_only_and_is_next(queue):
    submit(queue, "long")
    submit_more_urgent = partial(submit, queue, "more urgent", -10)
    for _ in range(3):
        job = queue.take()
        assert job.kind == "long"
        urgent = submit_more_urgent()
        assert queue.must_give_way(job)
        queue.put_back(job, gave_way=True)
        queue.finish(urgent.id)
    submit_more_urgent()
    job = queue.take()
    assert (job.kind, job.num_yields) == ("long", 3)
    assert not queue.must_give_way(job)
    queue.submit("train", {})
    assert queue.must_give_way(job)
    queue.put_back(job, gave_way=True)
    assert order(queue) == ["train", "long", "more urgent"]


def test_giving_way_is_not_asking_for_it(queue):
    submit(queue, "long")
    job = queue.take()
    leave(queue, job)
    queue.put_back(job, gave_way=True)
    assert not queue.jobs()[0].is_in_view


def test_a_job_of_an_earlier_version_is_read(queue, tmp_path):
    job = queue.submit("train", {"number": 1})
    path = tmp_path / "queue" / f"{job.id}.waiting.json"
    write_json(path, {"kind": "train", "payload": {}, "run_dir": None, "priority": 0})
    assert (queue.jobs()[0].rank, queue.jobs()[0].num_yields) == (0, 0)


@pytest.mark.parametrize("moment", ["while the folder is listed", "after it was listed"])
@pytest.mark.parametrize("change", ["taken", "put back"])
def test_a_job_whose_file_is_renamed_while_the_queue_is_read_is_not_missed(
    moment, change, queue, monkeypatch
):
    other, job = queue.submit("train", {}), queue.submit("train", {})
    before, after = ".waiting.json", ".active.json"
    if change == "put back":
        assert queue.take()
        assert queue.take()
        before, after = after, before
    names, hidden = queue._names, [True]

    def rename():
        path = queue._path(job.id, before)
        if path.exists():
            path.rename(queue._path(job.id, after))

    def list_with_a_rename():
        found = names()
        rename()
        if moment == "while the folder is listed" and hidden:
            hidden.clear()
            found = [name for name in found if job.id not in name]  # as readdir may do
        return found

    monkeypatch.setattr(queue, "_names", list_with_a_rename)
    assert {one.id for one in queue.jobs()} == {other.id, job.id}
