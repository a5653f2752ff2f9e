import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import FakeClock, keep_default_backbone

from tl_core import progress
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, DatasetError, RunError
from tl_core.files import read_json, write_json
from tl_core.jobs import training as jobs_module
from tl_core.jobs import worker as worker_module
from tl_core.jobs import worker_client
from tl_core.jobs.handlers import JobKind
from tl_core.jobs.training import (
    JobQueue,
    end_worker,
    ensure_worker,
    prepare_features,
    queue_position,
    resume_training,
    start_training,
    stop_run,
    worker_log_tail,
    worker_state,
)
from tl_core.jobs.worker import run_worker
from tl_core.jobs.worker_client import LOG_NAME, USERS_FILE, has_users
from tl_core.runs.files import start_run, update_status
from tl_core.runs.store import Run, create_run, list_runs
from tl_core.workspace import Workspace

CONFIG = TrainConfig(backbone="tiny", fc_layers=(8,), epochs=2, learning_rate=0.01)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def queue(workspace):
    return JobQueue(workspace)


def wait_until(condition):
    while not condition():  # pytest's time limit ends a wait in vain
        time.sleep(0.02)


# The queue


def test_jobs_are_taken_by_priority_then_age(queue):
    low = queue.submit("features", {}, priority=-10)
    first = queue.submit("train", {"number": 1})
    second = queue.submit("train", {"number": 2})
    assert [job.id for job in queue.jobs()] == [first.id, second.id, low.id]
    assert [queue.take().id for _ in range(3)] == [first.id, second.id, low.id]
    assert queue.take() is None


def test_a_position_counts_the_jobs_before_it(queue):
    first, second = (queue.submit("train", {}) for _ in range(2))
    assert [queue.position(job.id) for job in (first, second)] == [0, 1]
    queue.take()
    assert [queue.position(job.id) for job in (first, second)] == [0, 1]
    queue.finish(first.id)
    assert [queue.position(job.id) for job in (first, second)] == [None, 0]


def test_an_active_job_that_gives_way_is_not_counted_before_a_more_urgent_one(queue):
    queue.submit("features", {}, priority=-10)
    queue.take()
    urgent = queue.submit("train", {})
    assert queue.position(urgent.id) == 0


def test_a_unique_job_is_queued_once(queue):
    first = queue.submit("features", {"data_dir": "a"}, unique=True)
    queue.take()
    assert queue.submit("features", {"data_dir": "a"}, unique=True).id == first.id
    assert queue.submit("features", {"data_dir": "b"}, unique=True).id != first.id
    assert len(queue.jobs()) == 2


def test_stopping_a_waiting_job_removes_it(queue, workspace):
    job = queue.submit("train", {})
    queue.request_stop(job.id)
    assert queue.jobs() == []
    assert list(workspace.queue_dir.iterdir()) == []


def test_stopping_an_active_job_is_a_request_that_ends_with_it(queue, workspace):
    job = queue.submit("train", {})
    queue.take()
    assert not queue.is_stop_requested(job.id)
    queue.request_stop(job.id)
    assert queue.is_stop_requested(job.id)
    queue.finish(job.id)
    assert list(workspace.queue_dir.iterdir()) == []


def test_a_job_put_back_keeps_its_place(queue):
    first, _ = (queue.submit("train", {}) for _ in range(2))
    queue.put_back(queue.take())
    assert queue.take().id == first.id


def test_a_run_is_found_again_after_the_workspace_moved(queue, workspace, tmp_path):
    job = queue.submit("train", {}, run_dir=workspace.runs_dir / "one")
    workspace.root.rename(tmp_path / "moved")
    moved = Workspace(tmp_path / "moved")
    assert JobQueue(moved).job_of(moved.runs_dir / "one").id == job.id


def test_a_foreign_or_broken_file_in_the_queue_disturbs_nothing(queue, workspace):
    job = queue.submit("train", {})
    (workspace.queue_dir / "0001-aa.waiting.json").write_text('{"kind":')
    (workspace.queue_dir / "notes.waiting.json").write_text("{}")
    assert [found.id for found in queue.jobs()] == [job.id]


def test_a_job_id_is_never_a_path(queue):
    with pytest.raises(ValueError, match="not a job id"):
        queue.request_stop("../../runs/one")


def test_progress_is_empty_until_reported(queue):
    job = queue.submit("train", {})
    assert queue.progress(job.id) == {}
    queue.report(job.id, {"done": 3, "total": 4})
    assert queue.progress(job.id) == {"done": 3, "total": 4}


# Starting and cancelling, without a worker


@pytest.fixture
def no_worker(monkeypatch):
    monkeypatch.setattr("tl_core.jobs.worker_client.ensure_worker", lambda workspace: None)


def test_starting_queues_a_named_run(no_worker, workspace, make_dataset):
    run = start_training(workspace, CONFIG, make_dataset({"a": 1, "b": 1}), name="first")
    assert (run.state, run.name, queue_position(workspace, run)) == ("queued", "first", 0)
    assert list_runs(workspace.runs_dir) == [run]


def test_what_can_only_fail_is_refused_before_there_is_a_run(no_worker, workspace, make_dataset):
    data_dir = make_dataset({"a": 1, "b": 1})
    with pytest.raises(ConfigError, match="tinny"):
        start_training(workspace, CONFIG.updated(backbone="tinny"), data_dir)
    with pytest.raises(ConfigError, match="32"):
        start_training(
            workspace, CONFIG.updated(backbone="Xception", image_size=(32, 32)), data_dir
        )
    with pytest.raises(DatasetError, match="nowhere"):
        start_training(workspace, CONFIG, data_dir / "nowhere")
    with pytest.raises(DatasetError, match="folder of its own"):
        start_training(workspace, CONFIG, data_dir / "a")
    assert list_runs(workspace.runs_dir) == []
    assert JobQueue(workspace).jobs() == []


def test_features_of_the_same_config_and_data_are_prepared_once(no_worker, workspace, make_dataset):
    data_dir = make_dataset({"a": 1, "b": 1})
    jobs = [prepare_features(workspace, CONFIG, data_dir) for _ in range(2)]
    assert jobs[0].id == jobs[1].id


def test_a_page_that_knows_the_classes_has_no_label_file_parsed_for_their_features(
    no_worker, workspace, tmp_path, monkeypatch
):
    monkeypatch.setattr(jobs_module, "plan_layout", lambda *_: pytest.fail("it was parsed"))
    (tmp_path / "heap").mkdir()
    assert prepare_features(workspace, CONFIG, tmp_path / "heap").kind == "features"
    with pytest.raises(DatasetError, match="found none"):
        prepare_features(workspace, CONFIG, tmp_path / "nowhere")


def test_a_queued_run_is_cancelled(no_worker, workspace, make_dataset):
    run = start_training(workspace, CONFIG, make_dataset({"a": 1, "b": 1}))
    stop_run(workspace, run)
    assert (run.state, run.message) == ("stopped", "Cancelled before it started.")
    assert JobQueue(workspace).jobs() == []
    stop_run(workspace, run)
    assert run.state == "stopped"


def test_a_run_trained_elsewhere_is_not_stopped_from_here(no_worker, workspace):
    run = create_run(workspace.runs_dir, CONFIG, "data")
    start_run(run.run_dir, "head")
    with pytest.raises(RunError, match="Stop it where it was started"):
        stop_run(workspace, run)
    assert run.state == "running"


# The worker's loop, in a thread with jobs of our own


class Worker:
    """A worker in a thread, with job kinds given by a test."""

    def __init__(self, workspace, kinds, idle_seconds=60.0, restart=None):
        self.thread = threading.Thread(
            target=run_worker,
            args=(workspace,),
            kwargs={
                "warm": False,
                "idle_seconds": idle_seconds,
                "kinds": kinds,
                "restart": restart,
            },
        )
        self.thread.start()

    def has_left(self):
        return not self.thread.is_alive()


@pytest.fixture
def start_worker(workspace):
    workers = []

    def start(idle_seconds=60.0, restart=None, **kinds):
        workers.append(Worker(workspace, kinds, idle_seconds, restart))
        return workers[-1]

    yield start
    if workspace.root.exists():
        workspace.root.rename(workspace.root.with_name("gone"))  # which ends them
    for worker in workers:
        worker.thread.join(300)
        assert worker.has_left()


def test_a_worker_does_all_jobs_and_leaves_when_idle(queue, start_worker, workspace):
    done = []
    for number in range(3):
        queue.submit("note", {"number": number})
    worker = start_worker(
        idle_seconds=0.2, note=JobKind(lambda context: done.append(context.job.payload["number"]))
    )
    wait_until(worker.has_left)
    assert done == [0, 1, 2]
    assert queue.jobs() == []
    assert worker_state(workspace).state == "exiting"


@pytest.mark.parametrize("text", ["abc", "nan", "-5"])
def test_a_worker_takes_the_usual_idle_time_when_the_environment_says_none(
    text, workspace, monkeypatch, caplog
):
    monkeypatch.setenv("TL_WORKER_IDLE_SECONDS", text)
    monkeypatch.setattr(worker_client, "DEFAULT_IDLE_SECONDS", 0.1)
    run_worker(workspace, warm=False, kinds={"none": None})
    assert worker_state(workspace).state == "exiting"
    assert f"expected seconds such as 600, received '{text}'" in caplog.text


def test_a_failing_job_fails_its_run_and_not_the_worker(queue, start_worker, workspace):
    def fail(context):
        raise ZeroDivisionError("boom")

    runs = [create_run(workspace.runs_dir, CONFIG, "data") for _ in range(2)]
    queue.submit("fail", {}, run_dir=runs[0].run_dir)
    queue.submit("unheard_of", {}, run_dir=runs[1].run_dir)
    start_worker(fail=JobKind(fail))
    wait_until(lambda: not queue.jobs())
    assert [run.state for run in runs] == ["failed", "failed"]
    assert "ZeroDivisionError: boom" in runs[0].message
    assert "kind 'unheard_of'" in runs[1].message
    wait_until(lambda: worker_state(workspace).state == "idle")


def wait_for_stop(context):
    while True:
        context.monitor.check()
        time.sleep(0.02)


def test_a_job_in_the_background_gives_way_and_goes_on_later(queue, start_worker):
    begun = []

    def background(context):
        begun.append("background")
        if len(begun) == 1:
            wait_for_stop(context)  # for ever, unless it has to give way

    kinds = {
        "background": JobKind(background, gives_way=True),
        "urgent": JobKind(lambda context: begun.append("urgent")),
    }
    start_worker(**kinds)
    queue.submit("background", {}, priority=-10)
    wait_until(lambda: begun)
    queue.submit("urgent", {})
    wait_until(lambda: not queue.jobs())
    assert begun == ["background", "urgent", "background"]


def test_every_job_ends_and_keeps_what_it_has_though_more_urgent_ones_keep_coming(
    queue, start_worker
):
    steps = []

    def long(context):
        while steps.count("step") < 5:
            queue.submit("urgent", {}, priority=-10)
            context.monitor.check()
            time.sleep(0.15)
            context.monitor.check()
            steps.append("step")  # what would be kept in a cache

    kinds = {
        "long": JobKind(long, gives_way=True),
        "urgent": JobKind(lambda context: steps.append("urgent"), gives_way=True),
    }
    queue.submit("long", {}, priority=-20)
    start_worker(**kinds)
    wait_until(lambda: not queue.jobs())
    num_later = len(steps) - 7
    assert steps == ["urgent"] * 2 + ["step"] * 5 + ["urgent"] * num_later
    assert num_later > 0


def test_what_is_short_is_done_beside_a_training_and_not_beside_what_gives_way(queue, start_worker):
    events, may_end = [], threading.Event()

    def train(context):
        events.append("training begins")
        may_end.wait(60)
        events.append("training ends")

    def evaluate(context):
        events.append("evaluation")
        may_end.set()

    queue.submit("train", {})
    worker = start_worker(
        train=JobKind(train),
        evaluate=JobKind(evaluate, priority=5, alongside=True),
        later=JobKind(lambda context: events.append("later")),
    )
    wait_until(lambda: events)
    queue.submit("later", {})
    queue.submit("evaluate", {}, priority=5)
    wait_until(lambda: not queue.jobs())
    assert events == ["training begins", "evaluation", "training ends", "later"]
    assert not worker.has_left()


def test_whether_to_give_way_is_asked_several_times_a_second(queue, start_worker, monkeypatch):
    clock = FakeClock()
    asked = []
    monkeypatch.setattr(JobQueue, "must_give_way", lambda *_: asked.append(clock.now))

    def ask_for_ten_seconds(context):
        with monkeypatch.context() as patch:
            patch.setattr(progress, "time", clock)
            while clock.now < 10:
                assert not context.monitor.is_stopped()
                clock.sleep(0.01)

    queue.submit("background", {})
    start_worker(background=JobKind(ask_for_ten_seconds, gives_way=True))
    wait_until(lambda: not queue.jobs())
    assert clock.now >= 10
    assert 2 * 10 <= len(asked) <= 11 * 10


def test_an_asked_stop_ends_a_job_for_good(queue, start_worker):
    job = queue.submit("endless", {})
    start_worker(endless=JobKind(wait_for_stop, gives_way=True))
    wait_until(lambda: any(found.active for found in queue.jobs()))
    queue.request_stop(job.id)
    wait_until(lambda: not queue.jobs())


def test_a_worker_leaves_with_its_workspace_and_does_not_bring_it_back(
    queue, start_worker, workspace
):
    worker = start_worker(endless=JobKind(wait_for_stop))
    queue.submit("endless", {})
    wait_until(lambda: any(found.active for found in queue.jobs()))
    workspace.root.rename(workspace.root.with_name("elsewhere"))
    wait_until(worker.has_left)
    assert not workspace.root.exists()


@pytest.fixture
def users(workspace, monkeypatch):
    """Return a set of names; the worker is in use while it has one."""
    names = {"server"}
    monkeypatch.setattr(worker_module, "has_users", lambda _: bool(names))
    monkeypatch.setattr(worker_module, "_USERS_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "_UNUSED_SECONDS", 0.1)
    return names


def test_an_idle_worker_leaves_soon_after_the_last_process_that_uses_it(
    start_worker, workspace, users
):
    worker = start_worker()
    wait_until(lambda: worker_state(workspace).state == "idle")
    users.clear()
    wait_until(worker.has_left)
    assert worker_state(workspace).state == "exiting"


def test_an_unused_worker_does_its_trainings_first_and_leaves_what_is_only_looked_at(
    queue, start_worker, workspace, users
):
    begun = []

    def look(context):
        begun.append("look")
        wait_for_stop(context)

    worker = start_worker(
        look=JobKind(look, gives_way=True, needs_user=True),
        train=JobKind(lambda context: begun.append("train")),
    )
    look_job = queue.submit("look", {})
    wait_until(lambda: begun)
    users.clear()
    queue.submit("train", {}, priority=-1)
    wait_until(worker.has_left)
    assert begun == ["look", "train"]
    assert [(job.id, job.active) for job in queue.jobs()] == [(look_job.id, False)]


def test_a_worker_in_use_stays_while_idle(start_worker, workspace, users):
    worker = start_worker(idle_seconds=60)
    wait_until(lambda: worker_state(workspace).state == "idle")
    time.sleep(0.3)
    assert not worker.has_left()


def test_there_is_one_worker_for_a_workspace(start_worker, workspace, monkeypatch):
    monkeypatch.setattr(worker_module, "_LOCK_SECONDS", 0.1)
    first = start_worker()
    wait_until(lambda: worker_state(workspace).state == "idle")
    second = start_worker()
    wait_until(second.has_left)
    assert not first.has_left()


def test_what_a_dead_worker_held_is_begun_if_it_had_not_and_else_left_interrupted(
    queue, start_worker, workspace
):
    trained = []
    fresh, broken = (create_run(workspace.runs_dir, CONFIG, "data") for _ in range(2))
    start_run(broken.run_dir, "head")
    update_status(broken.run_dir, pid_create_time=1.0)
    for run in (fresh, broken):
        queue.submit("train", {}, run_dir=run.run_dir)
        queue.take()

    def train(context):
        trained.append(context.job.run_dir)
        update_status(context.job.run_dir, state="finished")

    start_worker(train=JobKind(train))
    wait_until(lambda: not queue.jobs())
    assert trained == [fresh.run_dir]
    assert broken.status["state"] == "interrupted"


# The real thing


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A workspace with a drawn dataset; whatever worker it has ends with the module."""
    workspace = Workspace(tmp_path_factory.mktemp("studio"))
    keep_default_backbone(workspace)
    yield workspace
    end_worker(workspace)


@pytest.fixture
def data_dir(studio, make_dataset):
    return make_dataset({"a": 12, "b": 12, "c": 12}, root=studio.datasets_dir / "abc")


ENDLESS = CONFIG.updated(epochs=1000, fc_layers=(512, 512))


def wait_for_weights(run):
    wait_until(lambda: run.is_loadable or not run.is_active)
    assert run.state == "running", (run.message, run.log_tail(5))


def test_a_worker_process_ends_after_the_process_that_started_it(workspace):
    code = """
import pathlib, sys
from tl_core.jobs.training import ensure_worker
from tl_core.workspace import Workspace
ensure_worker(Workspace(pathlib.Path(sys.argv[1])), warm=False)
"""
    subprocess.run([sys.executable, "-c", code, str(workspace.root)], check=True)
    assert worker_state(workspace).alive
    wait_until(lambda: not worker_state(workspace).alive)
    assert "Traceback" not in "".join(worker_log_tail(workspace))


def test_the_processes_that_use_a_worker_are_known_and_ended_ones_forgotten(workspace, monkeypatch):
    this_process = SimpleNamespace(pid=os.getpid())
    monkeypatch.setattr(worker_client, "_spawn", lambda *args: this_process)
    assert has_users(workspace)  # nobody asked for it, so nobody can be gone
    users_file = workspace.queue_dir / USERS_FILE
    write_json(users_file, [[os.getpid(), 1.0]])  # its number is in use again
    assert not has_users(workspace)
    ensure_worker(workspace)
    ensure_worker(workspace)
    assert [pid for pid, _ in read_json(users_file)] == [os.getpid()]
    assert has_users(workspace)
    users_file.write_text("[1")
    assert has_users(workspace)


def test_a_worker_process_trains_and_stops_when_asked(studio, data_dir, monkeypatch):
    monkeypatch.setattr(jobs_module, "_PATIENCE_SECONDS", 60)  # other programs may hold it up
    ensure_worker(studio, warm=False)
    pid = worker_state(studio).pid
    ensure_worker(studio, warm=False)
    assert worker_state(studio).pid == pid
    finished = start_training(studio, CONFIG, data_dir)
    endless = start_training(studio, ENDLESS, data_dir)
    wait_until(lambda: not finished.is_active)
    assert finished.state == "finished", (finished.message, worker_log_tail(studio))
    assert finished.metrics["test_accuracy"] is not None
    records = map(json.loads, (studio.logs_dir / LOG_NAME).read_text("utf-8").splitlines())
    messages = {(record["from"], record.get("run")): record["message"] for record in records}
    assert messages["tl_core.jobs.worker", finished.name].endswith(": train")
    wait_for_weights(endless)
    stop_run(studio, endless)
    assert endless.state == "stopped"
    assert endless.is_loadable
    assert endless.metrics["test_accuracy"] is not None
    assert worker_state(studio).pid == pid


@pytest.mark.skipif(sys.platform == "win32", reason="cannot suspend a process")
def test_a_worker_that_does_not_react_for_two_seconds_is_ended_and_the_run_stopped(
    studio, data_dir, monkeypatch
):
    run = start_training(studio, ENDLESS, data_dir)
    wait_for_weights(run)
    pid = worker_state(studio).pid
    os.kill(pid, signal.SIGSTOP)
    clock = FakeClock()
    monkeypatch.setattr(jobs_module, "time", clock)
    stop_run(studio, run)
    assert 1 < clock.now < 2
    assert (run.state, run.is_loadable) == ("stopped", True)
    assert worker_state(studio).alive
    assert worker_state(studio).pid != pid


def test_a_killed_worker_leaves_an_interrupted_run_and_the_next_one_goes_on(studio, data_dir):
    broken = start_training(studio, ENDLESS, data_dir)
    waiting = start_training(studio, CONFIG, data_dir)
    wait_for_weights(broken)
    end_worker(studio)
    assert broken.state == "interrupted"
    assert "head epoch" in broken.log_tail()[-1]
    assert broken.is_loadable
    assert waiting.state == "queued"
    code = """
import pathlib, sys
from tl_core.jobs.training import ensure_worker
from tl_core.workspace import Workspace
ensure_worker(Workspace(pathlib.Path(sys.argv[1])))
"""
    subprocess.run([sys.executable, "-c", code, str(studio.root)], check=True)  # another server
    wait_until(lambda: not waiting.is_active)
    assert waiting.state == "finished"
    assert Run(broken.run_dir).state == "interrupted"
    wait_until(lambda: worker_state(studio).warm)


def test_resuming_after_a_kill_leaves_one_job(queue, start_worker, workspace, monkeypatch):
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *_, **__: None)
    run = create_run(workspace.runs_dir, CONFIG, "data")
    queue.submit("train", {}, run_dir=run.run_dir)
    queue.take()  # by a worker that is killed now
    start_run(run.run_dir, "head")
    update_status(run.run_dir, pid_create_time=1.0)
    resume_training(workspace, run)
    (job,) = queue.jobs()
    assert not job.active
    trained = []

    def train(context):
        trained.append(context.job.run_dir)
        update_status(context.job.run_dir, state="finished")

    start_worker(train=JobKind(train))
    wait_until(lambda: not queue.jobs())
    assert trained == [run.run_dir]


def test_a_worker_left_large_by_a_job_starts_again_once_it_is_idle(
    queue, start_worker, workspace, monkeypatch
):
    used, restarts = [1000 * 2**20], []
    monkeypatch.setattr(worker_module, "used_bytes", lambda: used[0])
    monkeypatch.setattr(worker_module, "_SHRINK_SECONDS", 0.0)

    def grow(context):
        used[0] += context.job.payload["mb"] * 2**20

    worker = start_worker(train=JobKind(grow), restart=lambda: restarts.append(used[0]))
    queue.submit("train", {"mb": 1100})  # TensorFlow itself, which a cold worker loads
    wait_until(lambda: not queue.jobs())
    wait_until(lambda: worker_state(workspace).state == "idle")
    assert restarts == []
    queue.submit("train", {"mb": 900})
    wait_until(lambda: restarts)
    assert len(restarts) == 1
    assert not worker.has_left()
