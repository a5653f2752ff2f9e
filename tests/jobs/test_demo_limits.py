"""What a job of a demo writes is limited while it runs, not only when it is queued."""

import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.config.training import TrainConfig
from tl_core.errors import LimitError
from tl_core.jobs import demo_limits, worker
from tl_core.jobs.handlers import TRAIN, JobKind
from tl_core.jobs.queue import JobQueue
from tl_core.runs.files import end_run, start_run
from tl_core.runs.store import create_run

FULL = "This demo allows 1 MB of a visitor: photos, runs and caches; this would be "


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_limits, "_DISK_SECONDS", 0.0)  # whenever a job asks
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.0)
    return start_demo(monkeypatch, tmp_path / "demo", backbones="tiny", visitor_mb=1)


@pytest.fixture
def queued(host, make_dataset):
    """Return a function that queues a training of a visitor."""

    def queue_training(visitor):
        data = visitor.datasets_dir / "pets"
        if not data.exists():
            make_dataset({"cat": 2, "dog": 2}, data)
        run = create_run(visitor.runs_dir, TrainConfig(backbone="tiny"), data)
        JobQueue(visitor).submit(TRAIN, {}, run.run_dir)
        return run

    return queue_training


def run_jobs(host, **kinds):
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds)


def write_until_stopped(context):
    """Train in steps that write 0.25 MB each, at most ten of them."""
    start_run(context.job.run_dir, "head")
    for number in range(10):
        if context.monitor.is_stopped():
            end_run(context.job.run_dir, "stopped", "Stopped on request.")
            return
        (context.job.run_dir / f"{number}.npy").write_bytes(bytes(250_000))
    end_run(context.job.run_dir, "finished")


def test_a_training_is_stopped_when_its_visitor_may_use_no_more_of_the_disk(host, queued):
    a = new_visitor(host)
    run = queued(a)
    run_jobs(host, train=JobKind(write_until_stopped, keeps_partial=True))
    assert len(list(run.run_dir.glob("*.npy"))) == 4  # 1 MB, and 0.01 for each other
    assert run.state == "stopped"
    assert run.message.startswith(FULL)
    assert run.message.endswith("Delete projects or runs first. The best so far is kept.")
    assert JobQueue(a).jobs() == []


def test_trainings_queued_together_do_not_pass_the_limit_one_after_the_other(host, queued):
    a, b = new_visitor(host), new_visitor(host)
    first, second, of_another = queued(a), queued(a), queued(b)
    run_jobs(host, train=JobKind(write_until_stopped, keeps_partial=True))
    assert {first.state, of_another.state} == {"stopped"}
    assert second.state == "failed"  # it has nothing that could be kept
    assert second.message.startswith(FULL)
    assert list(second.run_dir.glob("*.npy")) == []


def test_what_keeps_nothing_when_it_is_stopped_is_told_that_the_disk_is_used(host):
    a = new_visitor(host)
    told = []

    def work(context):
        context.monitor.check()
        (a.root / "large").write_bytes(bytes(10**6))
        try:
            context.monitor.check()
        except LimitError as error:
            told.append(str(error))
            raise

    JobQueue(a).submit("work", {})
    run_jobs(host, work=JobKind(work))
    assert [text.startswith(FULL) for text in told] == [True]


def test_a_job_goes_on_whatever_others_use(host, queued):
    a, b = new_visitor(host), new_visitor(host)
    run = queued(a)
    (b.root / "large").write_bytes(bytes(5 * 10**6))

    def train(context):
        start_run(context.job.run_dir, "head")
        assert not context.monitor.is_stopped()
        end_run(context.job.run_dir, "finished")

    run_jobs(host, train=JobKind(train, keeps_partial=True))
    assert run.state == "finished"
