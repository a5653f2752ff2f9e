import os
import threading
import time

import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.config.training import TrainConfig
from tl_core.errors import LimitError
from tl_core.jobs import client, demo_limits, worker, worker_client
from tl_core.jobs.demo_limits import JobClock, check_may_queue
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import TRAIN, JobKind
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.training import queue_position, stop_run
from tl_core.runs.files import end_run, start_run
from tl_core.runs.store import create_run
from tl_core.visitors.store import end_visitor


@pytest.fixture
def host(monkeypatch, tmp_path):
    return start_demo(monkeypatch, tmp_path / "demo", backbones="tiny")


def submit(workspace, number, priority=0):
    return JobQueue(workspace).submit("work", {"number": number}, priority=priority)


def taken(queue, num_jobs):
    """Take jobs one after another, as a worker does."""
    found = []
    for _ in range(num_jobs):
        job = queue.take()
        found.append((job.workspace.root.name, job.payload["number"]))
        queue.queue_of(job).finish(job.id)
    return found


def test_visitors_take_turns(host):
    a, b, c = (new_visitor(host) for _ in range(3))
    for number in range(3):
        submit(a, number)
    submit(b, 0)
    submit(c, 0)
    names = {one.root.name: letter for one, letter in ((a, "a"), (b, "b"), (c, "c"))}
    order = [f"{names[name]}{number}" for name, number in taken(FairQueue(host), 5)]
    assert order == ["a0", "b0", "c0", "a1", "a2"]


def test_who_was_served_longest_ago_is_next(host):
    a, b = new_visitor(host), new_visitor(host)
    queue = FairQueue(host)
    submit(a, 0)
    assert taken(queue, 1) == [(a.root.name, 0)]
    submit(a, 1)  # earlier than b's
    submit(b, 0)
    assert taken(queue, 2) == [(b.root.name, 0), (a.root.name, 1)]


def test_what_somebody_waits_for_goes_before_what_is_computed_in_advance(host):
    a, b = new_visitor(host), new_visitor(host)
    ahead = submit(a, 0, priority=-20)
    submit(b, 1)
    queue = FairQueue(host)
    assert queue.must_give_way(next(job for job in queue.jobs() if job.id == ahead.id))
    assert taken(queue, 2) == [(b.root.name, 1), (a.root.name, 0)]


def test_a_visitor_sees_how_many_jobs_of_all_come_before(host, monkeypatch, make_dataset):
    data = make_dataset({"cat": 2, "dog": 2})
    a, b = new_visitor(host), new_visitor(host)
    submit(a, 0)
    submit(a, 1)
    run = create_run(b.runs_dir, TrainConfig(backbone="tiny"), data)
    JobQueue(b).submit(TRAIN, {}, run.run_dir)
    assert queue_position(b, run) == 1  # not behind a's second
    assert [job.kind for job in JobQueue(b).jobs()] == [TRAIN]  # and of these sees no more


def test_waiting_jobs_are_limited_but_not_those_in_advance(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", waiting_jobs=2)
    a, b = new_visitor(host), new_visitor(host)
    for number in range(2):
        check_may_queue(a, "work", {}, is_unique=False)
        submit(a, number)
    with pytest.raises(LimitError, match="allows 2 jobs of a visitor that wait or run"):
        check_may_queue(a, "work", {}, is_unique=False)
    check_may_queue(a, "work", {"number": 1}, is_unique=True)  # the same again
    check_may_queue(b, "work", {}, is_unique=False)
    for number in range(4):
        submit(b, number, priority=-10)
    check_may_queue(b, "work", {}, is_unique=False)
    assert [job.payload["number"] for job in JobQueue(b).jobs()] == [2, 3]


def test_a_backbone_that_is_not_allowed_is_refused_whatever_asks_for_it(host):
    a = new_visitor(host)
    for kind, payload in (
        ("measure_speed", {"backbone": "NASNetLarge"}),
        ("explore", {"config": {"backbone": "ResNet50"}}),
    ):
        with pytest.raises(LimitError, match="trains these backbones: tiny"):
            client.submit(a, kind, payload)
    assert JobQueue(a).jobs() == []


def test_one_worker_runs_the_jobs_of_all_visitors_in_their_workspaces(host):
    a, b = new_visitor(host), new_visitor(host)
    submit(a, 0)
    submit(b, 1)
    found = []
    kinds = {"work": JobKind(lambda context: found.append(context.workspace))}
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds)
    assert found == [a, b]
    assert JobQueue(a).jobs() == JobQueue(b).jobs() == []
    assert worker_client.worker_log_tail(a) == []


def test_a_job_that_overruns_is_ended_and_says_why(host, monkeypatch):
    a = new_visitor(host)
    monkeypatch.setattr(JobClock, "is_over", lambda self, job_id, grace=0.0: not grace)
    told = []

    def work(context):
        try:
            context.monitor.check()
        except LimitError as error:
            told.append(str(error))
            raise

    submit(a, 0)
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds={"work": JobKind(work)})
    assert told == [demo_limits.time_message()]
    assert "10 minutes" in told[0]


def test_a_training_that_overruns_is_stopped_and_says_why(host, monkeypatch, make_dataset):
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    run = create_run(a.runs_dir, TrainConfig(backbone="tiny"), data)
    JobQueue(a).submit(TRAIN, {}, run.run_dir)
    monkeypatch.setattr(JobClock, "is_over", lambda self, job_id, grace=0.0: not grace)

    def train(context):
        start_run(context.job.run_dir, "head")
        if context.monitor.is_stopped():
            end_run(context.job.run_dir, "stopped", "Stopped on request.")

    kinds = {TRAIN: JobKind(train, keeps_partial=True)}
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds)
    assert run.state == "stopped"
    assert run.message == f"{demo_limits.time_message()} The best so far is kept."
    assert JobQueue(a).jobs() == []


def test_a_training_that_needs_too_much_memory_ends_with_its_process(
    host, monkeypatch, make_dataset
):
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    run = create_run(a.runs_dir, TrainConfig(backbone="tiny"), data)
    JobQueue(a).submit(TRAIN, {}, run.run_dir)
    limits = demo_limits.current_limits()
    needed = [0]
    monkeypatch.setattr(demo_limits, "family_memory", lambda: needed[0])
    monkeypatch.setattr(worker, "end_children", lambda: None)
    monkeypatch.setattr(worker, "_LIMITS_SECONDS", 0.01)
    ended = threading.Event()

    def train(context):
        start_run(context.job.run_dir, "head")
        needed[0] = limits.job_memory_mb * 10**6 + 1
        assert ended.wait(60)

    kinds = {TRAIN: JobKind(train, keeps_partial=True)}
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds, end_process=ended.set)
    assert (run.state, run.message) == ("failed", demo_limits.memory_message())
    assert JobQueue(a).jobs() == []


def test_a_worker_inside_another_program_does_not_end_it(host, monkeypatch):
    a = new_visitor(host)
    monkeypatch.setattr(demo_limits, "family_memory", lambda: 10**15)
    monkeypatch.setattr(worker, "_LIMITS_SECONDS", 0.01)
    ended = []
    monkeypatch.setattr(worker, "end_children", lambda: ended.append("children"))
    monkeypatch.setattr(os, "_exit", ended.append)
    submit(a, 0)
    kinds = {"work": JobKind(lambda context: time.sleep(0.1))}
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds)
    assert ended == []


def test_a_job_of_a_deleted_workspace_stops(host):
    a = new_visitor(host)
    submit(a, 0)
    rounds = []

    def work(context):
        end_visitor(a)
        for _ in range(100):
            rounds.append(1)
            context.monitor.check()
            time.sleep(0.02)

    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds={"work": JobKind(work)})
    assert len(rounds) < 100
    assert not a.root.exists()


def test_stopping_a_run_leaves_the_shared_worker_alone(host, monkeypatch, make_dataset):
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    run = create_run(a.runs_dir, TrainConfig(backbone="tiny"), data)
    job = JobQueue(a).submit(TRAIN, {}, run.run_dir)
    FairQueue(host).take()
    ended = threading.Event()
    monkeypatch.setattr("tl_core.jobs.training.end_worker", lambda *_: ended.set())
    monkeypatch.setattr("tl_core.jobs.training._PATIENCE_SECONDS", 0.1)
    stop_run(a, run)
    assert not ended.is_set()
    assert JobQueue(a).is_stop_requested(job.id)
