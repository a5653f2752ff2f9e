import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_dataset
from tl_core.errors import ConfigError, LimitError, RunError, Stopped
from tl_core.jobs import handlers, worker_client
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.search import (
    delete_sweep,
    job_of,
    range_test_progress,
    request_range_test,
    resume_sweep,
    start_sweep,
    stop_range_test,
    stop_sweep,
    sweep_progress,
)
from tl_core.jobs.training import resume_training
from tl_core.jobs.worker import run_worker
from tl_core.progress import Monitor
from tl_core.runs.files import end_run, put_back_run, start_run, update_status
from tl_core.runs.store import create_run
from tl_core.search import run as sweep_module
from tl_core.search.lr_cache import RangeFile
from tl_core.search.store import list_sweeps

BASE = TrainConfig(backbone="tiny", epochs=2, test_fraction=0.2)
CONFIG = SweepConfig(search="grid", folds=2, fc_layers=((),), learning_rate=(0.001, 0.01, 0.1))


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset({"cat": 12, "dog": 12})


def work(workspace):
    run_worker(workspace, warm=False, idle_seconds=0)


def test_the_worker_does_a_search_that_was_started(workspace, data_dir):
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    assert sweep.state == "queued"
    assert sweep_progress(workspace, sweep).is_active is False
    work(workspace)
    assert sweep.state == "finished"
    assert len(sweep.trials()) == sweep.num_trials == 3
    assert job_of(sweep) is None
    with pytest.raises(RunError):
        resume_sweep(workspace, sweep)


def test_a_search_that_gives_way_waits_and_goes_on(workspace, data_dir, monkeypatch):
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    add, asked = type(sweep).add, []

    def add_and_ask_for_more(self, trial):
        add(self, trial)
        if not asked:
            asked.append(JobQueue(workspace).submit("unknown", {}))

    monkeypatch.setattr(type(sweep), "add", add_and_ask_for_more)
    states = []
    run_sweep = handlers.run_sweep

    def note(sweep, **rest):
        states.append((sweep.state, len(sweep.trials())))
        run_sweep(sweep, **rest)

    monkeypatch.setattr(handlers, "run_sweep", note)
    monkeypatch.setattr("tl_core.jobs.worker._POLL_SECONDS", 0.0)
    work(workspace)
    assert sweep.state == "finished"
    assert [trial.number for trial in sweep.trials()] == [0, 1, 2]
    assert [state for state, _ in states] == ["queued", "queued"]
    assert states[1][1] in (1, 2)


def test_a_search_that_gave_way_to_another_visitor_can_be_stopped_while_it_waits(
    workspace, data_dir, monkeypatch
):
    """It would be shown as queued for good, without a job."""
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)

    def give_way(sweep, **_):
        start_run(sweep.sweep_dir, "trials")
        update_status(sweep.sweep_dir, is_paused=True)  # as the worker does
        end_run(sweep.sweep_dir, "stopped", "Stopped. The heads tried so far are kept.")
        raise Stopped

    monkeypatch.setattr(handlers, "run_sweep", give_way)
    with pytest.raises(Stopped):
        handlers.run_search(handlers.JobContext(workspace, job_of(sweep), Monitor()))
    assert sweep.state == "queued"
    stop_sweep(workspace, sweep)
    assert sweep.state == "stopped"
    resume_sweep(workspace, sweep)
    assert sweep.state == "queued"


def test_a_search_whose_images_went_while_others_had_their_turn_is_over(workspace, data_dir):
    """It would be queued again for good."""
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    tried = []
    with pytest.raises(Stopped):
        sweep_module.run_sweep(
            sweep, on_trial=tried.append, monitor=Monitor(None, lambda: bool(tried))
        )
    put_back_run(sweep.sweep_dir, is_continued=True)
    (data_dir / "cat" / "0.png").unlink()
    handlers.run_search(handlers.JobContext(workspace, job_of(sweep), Monitor()))
    assert sweep.state == "stopped"
    work(workspace)
    assert JobQueue(workspace).jobs() == []
    assert "'cat/0.png' was changed" in sweep.message
    assert 1 <= len(sweep.trials()) < 3


def test_a_waiting_search_can_be_stopped_and_go_on_later(workspace, data_dir):
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    stop_sweep(workspace, sweep)
    assert (sweep.state, JobQueue(workspace).jobs()) == ("stopped", [])
    resume_sweep(workspace, sweep)
    assert sweep.state == "queued"
    work(workspace)
    assert sweep.state == "finished"


def test_a_waiting_search_is_deleted_only_when_its_job_was_lost(workspace, data_dir):
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    with pytest.raises(RunError, match="queued or running"):
        delete_sweep(sweep)
    JobQueue(workspace).finish(job_of(sweep).id)
    assert sweep.state == "queued"
    delete_sweep(sweep)
    assert list_sweeps(workspace) == []


def test_a_search_that_a_dead_worker_held_is_done_if_it_had_not_begun_and_else_interrupted(
    workspace, data_dir
):
    fresh, broken = (start_sweep(workspace, CONFIG, BASE, data_dir) for _ in range(2))
    start_run(broken.sweep_dir, "sweep")
    update_status(broken.sweep_dir, pid_create_time=1.0)
    for _ in range(2):
        JobQueue(workspace).take()
    work(workspace)
    assert (fresh.state, broken.state) == ("finished", "interrupted")
    assert broken.status["state"] == "interrupted"
    assert JobQueue(workspace).jobs() == []


def test_a_search_whose_job_fails_before_it_begins_waits_no_longer(
    workspace, data_dir, monkeypatch
):
    def fail(*_, **__):
        raise RunError("The well has run dry.")

    monkeypatch.setattr(handlers, "run_sweep", fail)
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    work(workspace)
    assert (sweep.state, sweep.message) == ("failed", "The well has run dry.")


def test_an_active_search_stops_where_it_is(workspace, data_dir, monkeypatch):
    monkeypatch.setattr("tl_core.jobs.worker._POLL_SECONDS", 0.0)  # small heads are done in less
    sweep = start_sweep(workspace, CONFIG, BASE, data_dir)
    add = type(sweep).add

    def add_and_stop(self, trial):
        add(self, trial)
        stop_sweep(workspace, self)

    monkeypatch.setattr(type(sweep), "add", add_and_stop)
    work(workspace)
    assert sweep.state == "stopped"
    assert 1 <= len(sweep.trials()) < 3
    assert JobQueue(workspace).jobs() == []


def test_what_is_refused_is_as_it_was_before(monkeypatch, tmp_path, make_dataset):
    """A search or run that waits without a job would wait for good."""
    host = start_demo(monkeypatch, tmp_path / "demo", backbones="tiny", waiting_jobs=1)
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *_, **__: None)
    visitor = new_visitor(host)
    data = make_dataset({"cat": 12, "dog": 12}, visitor.datasets_dir / "pets")
    first = start_sweep(visitor, CONFIG, BASE, data)
    JobQueue(visitor).finish(job_of(first).id)
    update_status(first.sweep_dir, state="stopped", message="Stopped.")
    JobQueue(visitor).submit("other", {})
    run = create_run(visitor.runs_dir, BASE, data)
    end_run(run.run_dir, "failed", "No more memory.")
    before = first.status, run.status
    with pytest.raises(LimitError):
        start_sweep(visitor, CONFIG, BASE, data)
    assert [one.id for one in list_sweeps(visitor)] == [first.id]
    with pytest.raises(LimitError):
        resume_sweep(visitor, first)
    with pytest.raises(LimitError):
        resume_training(visitor, run)
    assert (first.status, run.status) == before


def test_a_backbone_that_is_unknown_starts_nothing(workspace, data_dir):
    with pytest.raises(ConfigError, match="received 'tinny'"):
        start_sweep(workspace, CONFIG.updated(backbone=("tinny",)), BASE, data_dir)
    assert not workspace.sweeps_dir.exists()


def test_a_range_test_is_asked_for_once_and_its_result_is_kept(workspace, data_dir):
    for epochs in (2, 5):  # which it does not depend on
        request_range_test(workspace, BASE.updated(epochs=epochs), data_dir)
    assert len(JobQueue(workspace).jobs()) == 1
    assert range_test_progress(workspace, BASE, data_dir).is_active is False
    kept = RangeFile(workspace.cache_dir, load_dataset(data_dir, workspace), BASE)
    assert kept.read() is None
    work(workspace)
    assert range_test_progress(workspace, BASE, data_dir) is None
    assert len(kept.read().losses) > 20


def test_a_range_test_can_be_called_off(workspace, data_dir):
    request_range_test(workspace, BASE, data_dir)
    stop_range_test(workspace, BASE, data_dir)
    assert JobQueue(workspace).jobs() == []


def test_a_range_test_that_fails_says_why(workspace, make_dataset):
    data_dir = make_dataset({"train/a": 5, "train/c": 5, "val/a": 3, "val/b": 3})
    request_range_test(workspace, BASE, data_dir)
    work(workspace)
    kept = RangeFile(workspace.cache_dir, load_dataset(data_dir, workspace), BASE)
    assert "none of 'b'" in kept.read_failure()
