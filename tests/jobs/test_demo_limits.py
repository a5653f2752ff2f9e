"""What a job of a demo may take of the disk and of the memory, and who is to blame for more."""

import itertools
import threading
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.analysis.effect_cache import KIND as AUGMENT_EFFECT
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.errors import LimitError, MemoryLimitError
from tl_core.features.engine_files import engine_path
from tl_core.files import read_json
from tl_core.jobs import demo_limits, fair_queue, worker
from tl_core.jobs.demo_limits import Ending, JobClock, check_may_queue
from tl_core.jobs.ends import LOST_TEXT
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import (
    CLASSIFY,
    CURVE,
    EVALUATE,
    EXPLORE,
    EXPORT,
    FEATURES,
    FIND_LR,
    KINDS,
    LABEL,
    MEASURE_SPEED,
    SWEEP,
    TRAIN,
    JobKind,
)
from tl_core.jobs.memory import NEEDS, estimate_job, num_bytes_of
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.training import stop_run
from tl_core.runs.files import end_run, start_run, update_status
from tl_core.runs.run import Run
from tl_core.runs.store import create_run, list_runs
from tl_core.search.ranking import Fold
from tl_core.search.store import create_sweep
from tl_core.visitors import usage
from tl_core.visitors.store import address_key, list_visitors, open_visitor
from tl_core.visitors.tokens import issue_token
from tl_core.visitors.usage import check_room
from tl_core.workspace import Workspace

MB = 10**6

FULL = "This demo allows 1 MB of a visitor: photos, runs and caches; this would be "


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_limits, "_DISK_SECONDS", 0.0)  # whenever a job asks
    monkeypatch.setattr(worker, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(demo_limits, "family_memory", lambda: 1000 * MB)  # whatever tests hold
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


@pytest.fixture
def train_in_turns(host, monkeypatch):
    """Run queued trainings of so many epochs, of which every stop is heard; return what happened.

    Each epoch of a training saves a checkpoint, unless it is one of ``unsaved``, which begin again.
    """
    monkeypatch.setattr(demo_limits, "SLICE_SECONDS", 0.0)

    def run_all(num_epochs, unsaved=(), on_epoch=lambda *_: None, on_stop=lambda *_: None):
        events, done = [], {}

        def train(context):
            run_dir = context.job.run_dir
            run_all.begun.append(run_dir)
            if run_dir in unsaved:
                done[run_dir] = 0
            start_run(run_dir, "head")
            while done.setdefault(run_dir, 0) < num_epochs:
                if context.monitor.is_stopped():
                    end_run(run_dir, "stopped", "Stopped on request.")
                    on_stop(context)
                    return
                done[run_dir] += 1
                events.append((run_dir, done[run_dir]))
                if run_dir not in unsaved:
                    (run_dir / "checkpoint.safetensors").write_bytes(bytes(done[run_dir]))
                on_epoch(run_dir, done[run_dir])
            end_run(run_dir, "finished")

        run_jobs(host, train=JobKind(train, keeps_partial=True))
        return events

    run_all.begun = []
    return run_all


def test_trainings_that_take_long_take_turns(host, queued, train_in_turns):
    a, b = new_visitor(host), new_visitor(host)
    first, second = queued(a), queued(b)
    events = train_in_turns(3)
    names = {first.run_dir: "a", second.run_dir: "b"}
    order = ["a1", "b1", "a2", "b2", "a3", "b3"]
    assert [f"{names[run_dir]}{epoch}" for run_dir, epoch in events] == order
    assert first.state == second.state == "finished"
    assert JobQueue(a).jobs() == JobQueue(b).jobs() == []


def test_a_training_that_comes_back_to_a_full_disk_keeps_its_best(host, queued, train_in_turns):
    """It had begun when there was room, so it must not end as one that failed."""
    a, b = new_visitor(host), new_visitor(host)
    first, second = queued(a), queued(b)

    def fill(run_dir, epoch):
        if (run_dir, epoch) == (second.run_dir, 1):
            (a.root / "large").write_bytes(bytes(10**6))

    events = train_in_turns(3, on_epoch=fill)
    assert [epoch for run_dir, epoch in events if run_dir == first.run_dir] == [1]
    assert first.state == "stopped"
    assert first.message.startswith(FULL)
    assert first.message.endswith("The best so far is kept.")
    assert second.state == "finished"


def test_a_training_that_comes_back_to_a_full_demo_goes_on(
    host, queued, train_in_turns, monkeypatch
):
    """What fills it is of others, who may still be stopped; it adds a few megabytes at most."""
    a, other = new_visitor(host), new_visitor(host)
    first, second = queued(a), queued(new_visitor(host))

    def fill(run_dir, epoch):
        if (run_dir, epoch) == (second.run_dir, 1):
            monkeypatch.setenv("TL_DEMO_DISK_MB", "1")
            (other.root / "large").write_bytes(bytes(10**6))
            monkeypatch.setattr(usage, "_totals", {})  # look at once

    train_in_turns(2, on_epoch=fill)
    assert (first.state, second.state) == ("finished", "finished")
    with pytest.raises(LimitError):
        check_room(a)


def test_no_page_sees_a_training_stopped_that_is_continued(host, queued, train_in_turns):
    """It would be shown as over, and its page would not ask again."""
    queued(new_visitor(host))
    queued(new_visitor(host))
    seen = []
    train_in_turns(2, on_stop=lambda context: seen.append(Run(context.job.run_dir).state))
    assert seen == ["queued", "queued"]


def test_a_training_that_is_stopped_as_it_gives_way_is_stopped(host, queued, train_in_turns):
    first, second = queued(new_visitor(host)), queued(new_visitor(host))

    def stop(context):
        if context.job.run_dir == first.run_dir:
            JobQueue(context.workspace).request_stop(context.job.id)

    events = train_in_turns(3, on_stop=stop)
    assert [run_dir for run_dir, _ in events] == [first.run_dir] + [second.run_dir] * 3
    assert (first.state, first.message) == ("stopped", "Stopped.")
    assert FairQueue(host).jobs() == []


def test_a_training_whose_worker_is_killed_as_it_gives_way_is_continued(
    host, queued, train_in_turns
):
    first = queued(new_visitor(host))
    (job,) = FairQueue(host).jobs()
    FairQueue(host).queue_of(job).take_job(job)
    start_run(first.run_dir, "head")
    update_status(first.run_dir, is_paused=True)
    end_run(first.run_dir, "stopped", "Stopped on request.")
    train_in_turns(2)
    assert first.state == "finished"
    start_run(first.run_dir, "head")
    end_run(first.run_dir, "stopped", "Stopped on request.")
    assert first.state == "stopped"  # not paused any more


def test_a_training_gives_way_to_nobody_before_it_got_on(host, queued, train_in_turns):
    first, second = queued(new_visitor(host)), queued(new_visitor(host))
    events = train_in_turns(3, unsaved={first.run_dir})
    assert [run_dir for run_dir, _ in events] == [first.run_dir] * 3 + [second.run_dir] * 3


@pytest.fixture
def now(monkeypatch):
    """The seconds of the clock of the demo's jobs, which the test moves."""
    now = [100.0]
    monkeypatch.setattr(demo_limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_training_that_saves_nothing_gives_way_after_two_minutes_and_has_more_the_next_time(
    host, queued, train_in_turns, now, monkeypatch
):
    """Epochs of 30 s; the first training saves nothing before its fifth, so it begins again."""
    monkeypatch.setattr(demo_limits, "SLICE_SECONDS", 60.0)
    first, second = queued(new_visitor(host)), queued(new_visitor(host))

    def pass_time(run_dir, epoch):
        now[0] += 30

    events = train_in_turns(5, unsaved={first.run_dir}, on_epoch=pass_time)
    names = {first.run_dir: "a", second.run_dir: "b"}
    order = "a1 a2 a3 a4 b1 b2 a1 a2 a3 a4 a5 b3 b4 b5"
    assert [f"{names[run_dir]}{epoch}" for run_dir, epoch in events] == order.split()
    assert first.state == second.state == "finished"


@pytest.fixture
def long_and_short(host, now, monkeypatch):
    """Run a job of six steps of half a minute, for which a short one of another visitor waits.

    The function returns what was done, and what the long one was told.
    """
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 10**9)  # none beside another

    def run(kind):
        events, told, done = [], [], []

        def work(context):
            try:
                while len(done) < 6:
                    context.monitor.check()
                    done.append(1)
                    events.append("step")
                    now[0] += 30
            except LimitError as error:
                told.append(str(error))
                raise

        JobQueue(new_visitor(host)).submit("long", {}, priority=kind.priority)
        time.sleep(0.001)
        JobQueue(new_visitor(host)).submit("short", {})
        short = JobKind(lambda context: events.append("short"))
        run_jobs(host, long=replace(kind, run=work), short=short)
        assert FairQueue(host).jobs() == []
        return events, told

    return run


def test_a_job_that_cannot_go_on_later_ends_after_two_minutes_while_others_wait(long_and_short):
    """Such as a learning-rate test or an export: others waited for its ten minutes."""
    events, told = long_and_short(JobKind(None))
    assert events == ["step"] * 4 + ["short"]
    assert told == [demo_limits.turn_message()]
    assert told[0].startswith("Ended after more than 2 minutes, as other visitors of this demo")


def test_a_job_that_goes_on_later_makes_place_after_two_minutes(long_and_short):
    """Such as a map that a page shows, which gave way to nobody any more."""
    kind = JobKind(None, priority=-5, gives_way=True)
    assert long_and_short(kind) == (["step"] * 4 + ["short"] + ["step"] * 2, [])


def test_nobody_waits_for_a_job_that_runs_beside_another(host, queued, now, monkeypatch):
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    run = queued(new_visitor(host))
    begun, done = threading.Event(), threading.Event()
    JobQueue(new_visitor(host)).submit("look", {})
    JobQueue(new_visitor(host)).submit("later", {})

    def train(context):
        done.wait(60)
        end_run(run.run_dir, "finished")

    def look(context):
        for _ in range(6):
            context.monitor.check()
            now[0] += 30
        begun.set()
        done.set()

    kinds = {"look": JobKind(look, alongside=True), "later": JobKind(lambda context: None)}
    run_jobs(host, train=JobKind(train, keeps_partial=True), **kinds)
    assert begun.is_set()


@pytest.mark.parametrize(
    ("second", "order"),
    [
        # 6 s an epoch. Of who comes after 6 s and used nothing, both epochs are done after 24 s.
        (0.0, "a1 a2 a3 a4 b1 b2 a5 a6 a7 a8 a9 a10 a11 a12"),
        (100.0, "a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 b1 b2 a11 a12"),  # a minute
    ],
)
def test_who_used_little_of_late_waits_twenty_seconds(
    host, queued, now, monkeypatch, second, order
):
    """Nine addresses that came with long trainings had a minute each before anybody else."""
    ticks = itertools.count(time.time_ns(), 1_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    a, b = (open_visitor(host, issue_token(host), f"192.0.2.{number}") for number in range(2))
    FairQueue(host)._note_used(address_key(b), second)
    run, events, done = queued(a), [], {}

    def train(context):
        own = done.setdefault(context.job.run_dir, [])
        name, num_epochs = ("a", 12) if context.job.run_dir == run.run_dir else ("b", 2)
        start_run(context.job.run_dir, "head")
        while len(own) < num_epochs:
            if context.monitor.is_stopped():
                end_run(context.job.run_dir, "stopped", "Stopped on request.")
                return
            own.append(1)
            events.append(f"{name}{len(own)}")
            now[0] += 6
            (context.job.run_dir / "checkpoint.safetensors").write_bytes(bytes(len(own)))
            if events == ["a1"]:
                queued(b)
        end_run(context.job.run_dir, "finished")

    run_jobs(host, train=JobKind(train, keeps_partial=True))
    assert " ".join(events) == order


@pytest.mark.parametrize(
    ("need", "priority", "gives_way"), [(200, 5, False), (201, 5, True), (201, -20, False)]
)
def test_a_training_gives_way_early_to_what_was_asked_for_and_may_not_run_beside_it(
    host, queued, now, monkeypatch, need, priority, gives_way
):
    """A default training of 17 s was put behind minutes of others for a map that a page showed."""
    monkeypatch.setattr(fair_queue, "_PATIENCE_SECONDS", 0.0)
    run = queued(new_visitor(host))
    needs = {TRAIN: 100, "look": need}
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda _, kind, *__: needs[kind] * MB)
    kinds = {TRAIN: JobKind(None, keeps_partial=True), "look": JobKind(None, alongside=True)}
    busy = worker._Worker(host, kinds, 1.0, None, None)
    job = busy._take(False)
    busy._main_id = job.id
    busy._clock.start(job)
    (run.run_dir / "checkpoint.safetensors").write_bytes(b"1")
    JobQueue(new_visitor(host)).submit("look", {}, priority=priority, needs_user=True)
    now[0] += 21
    assert busy._has_had_turn(job) is gives_way


@pytest.fixture
def search_job(host, make_dataset):
    """Return a search of a visitor and its job."""
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    sweep = create_sweep(a, SweepConfig(fc_layers=((),)), TrainConfig(backbone="tiny"), data)
    return sweep, replace(JobQueue(a).submit(SWEEP, {SWEEP: sweep.id}), workspace=a)


def turn_of(clock, job, now, waits=lambda seconds: True, *, is_short=False):
    """Have a job run until its turn is over or it has to end; return how many seconds.

    ``waits`` says whether others wait after so many seconds.
    """
    clock.start(job)
    began = now[0]
    while not clock.reason_to_stop(job):
        if clock.has_had_turn(job, lambda: waits(now[0] - began), is_short=is_short):
            break
        now[0] += 1
    seconds = now[0] - began
    clock.end(job, is_paused=True)
    return seconds


@pytest.mark.parametrize("is_replaced", [False, True], ids=["one worker", "a new worker each time"])
def test_a_job_that_never_saves_anything_ends_after_its_minutes(host, search_job, now, is_replaced):
    """Others wait for four minutes at most, and it does not begin again and again for good."""
    clock, (_, job), turns = JobClock(host), search_job, []
    for _ in range(3):
        turns.append(turn_of(clock, job, now))
        if is_replaced:
            clock = JobClock(host)
    assert turns == [120, 240, 241]  # the last one ends above the ten minutes
    clock.start(job)
    assert clock.reason_to_stop(job) == demo_limits.time_message()


def test_a_search_that_has_kept_a_fold_has_had_its_turn_after_a_minute(host, search_job, now):
    clock, (sweep, job) = JobClock(host), search_job
    assert turn_of(clock, job, now) == 120
    clock.start(job)
    now[0] += 61
    assert not clock.has_had_turn(job, lambda: True)
    sweep.add_fold(Fold(0, 0, 0.5, 0.6, 3))
    assert not clock.has_had_turn(job, lambda: False)
    assert clock.has_had_turn(job, lambda: True)
    clock.end(job, is_paused=True)
    assert turn_of(clock, job, now) == 240  # one was for nothing, and this one is again
    assert turn_of(clock, job, now) == 600 - 120 - 61 - 240 + 1


@pytest.mark.parametrize(
    ("kind", "turns", "num_unsaved"),
    [
        ("features", [60, 60, 60], 0),
        ("classify", [60, 60, 60], 0),
        ("explore", [120, 240, 241], 3),
    ],
)
def test_jobs_that_keep_each_result_give_way_after_a_minute(host, now, kind, turns, num_unsaved):
    """A map is computed again from its beginning, so it is given longer turns."""
    a = new_visitor(host)
    job, clock = replace(JobQueue(a).submit(kind, {}), workspace=a), JobClock(host)
    assert [turn_of(clock, job, now) for _ in turns] == turns
    seconds = sum(turns)
    assert read_json(host.queue_dir / demo_limits.EARLIER_FILE) == {job.id: [seconds, num_unsaved]}


def test_turns_beside_others_begin_short_and_become_no_longer_than_two_minutes(host, now):
    job, clock = (
        replace(JobQueue(new_visitor(host)).submit("label", {}), workspace=host),
        JobClock(),
    )
    turns = [turn_of(clock, job, now, is_short=True) for _ in range(9)]
    assert turns == [
        5,
        10,
        20,
        40,
        80,
        120,
        120,
        120,
        86,
    ]
    assert turn_of(JobClock(), job, now, lambda seconds: seconds > 99, is_short=True) == 100


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        (lambda seconds: seconds % 5 == 0, 120),  # what fits beside it varies with the memory
        (lambda seconds: seconds > 299, 360),  # a minute from 300 on, as from 60 on
        (lambda seconds: seconds < 100 or seconds > 199, 260),  # those who came first left
        (lambda seconds: False, 601),
    ],
    ids=["now and then", "came late", "left", "nobody"],
)
def test_who_comes_late_waits_no_longer_and_the_job_still_has_time_to_save(
    host, search_job, now, waits, seconds
):
    _, job = search_job
    assert turn_of(JobClock(host), job, now, waits) == seconds


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        *[(content, 120) for content in ("{", "[]", '{"JOB": 1}', '{"JOB": [1e999, 0]}')],
        ('{"JOB": [0, -5]}', 120),
        ('{"JOB": [0, 1000000000]}', 601),
    ],
)
def test_earlier_turns_that_cannot_be_read_do_no_harm(host, search_job, now, content, seconds):
    _, job = search_job
    host.queue_dir.mkdir(parents=True, exist_ok=True)
    (host.queue_dir / "earlier.json").write_text(content.replace("JOB", job.id))
    assert turn_of(JobClock(host), job, now) == seconds


def test_a_training_goes_on_while_only_its_own_visitor_waits(host, queued, train_in_turns):
    a = new_visitor(host)
    first, second = queued(a), queued(a)
    events = train_in_turns(2)
    assert [run_dir for run_dir, _ in events] == [first.run_dir] * 2 + [second.run_dir] * 2
    assert train_in_turns.begun == [first.run_dir, second.run_dir]


def test_a_turn_lasts_a_minute(host, queued, train_in_turns, monkeypatch):
    monkeypatch.setattr(demo_limits, "SLICE_SECONDS", 60.0)
    first, second = queued(new_visitor(host)), queued(new_visitor(host))
    events = train_in_turns(2)
    assert [run_dir for run_dir, _ in events] == [first.run_dir] * 2 + [second.run_dir] * 2


def test_a_training_that_waits_for_its_next_turn_can_be_stopped(host, queued, train_in_turns):
    a, b = new_visitor(host), new_visitor(host)
    first, second = queued(a), queued(b)

    def stop(run_dir, epoch):
        if run_dir == second.run_dir and epoch == 1:
            assert first.state == "queued"  # as it is shown meanwhile
            stop_run(a, first)

    events = train_in_turns(3, on_epoch=stop)
    assert [run_dir for run_dir, _ in events] == [first.run_dir] + [second.run_dir] * 3
    assert (first.state, second.state) == ("stopped", "finished")


def test_the_minutes_of_a_job_are_those_of_all_its_turns(host, queued, now, monkeypatch):
    monkeypatch.setenv("TL_DEMO_JOB_MINUTES", "1")
    queued(new_visitor(host))
    (job,) = FairQueue(host).jobs()
    clock = JobClock()
    for _ in range(2):
        clock.start(job)
        now[0] += 25
        assert clock.reason_to_stop(job) == ""
        clock.end(job, is_paused=True)
        now[0] += 1000  # of others
    clock.start(job)
    now[0] += 9
    assert clock.reason_to_stop(job) == ""
    now[0] += 2
    assert clock.reason_to_stop(job) == demo_limits.time_message()
    clock.end(job)
    clock.start(job)
    now[0] += 59
    assert not clock.is_over(job.id)


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


@pytest.fixture
def end_worker(host, monkeypatch):
    """Run a training and a job alongside until the worker ends; return what is left then.

    The function takes the MB held as the training begins, as the other one begins, and at last. It
    returns of each job that is queued how often it was lost
    and why, and state and message of the run.
    """

    def run(at_start, alongside, at_end, is_alone=False, before_the_end=None, at_the_end=None):
        held, has_grown = [at_start], threading.Event()

        def need_of(workspace, kind, payload, run_dir):
            assert kind != "look" or has_grown.wait(60)  # looked at before it runs beside
            return 0

        monkeypatch.setattr(demo_limits, "family_memory", lambda: held[0] * MB)
        monkeypatch.setattr(demo_limits, "num_bytes_of", need_of)
        monkeypatch.setattr(worker, "end_children", lambda: None)
        monkeypatch.setattr(worker, "_LIMITS_SECONDS", 0.01)
        begun, ended, done = threading.Event(), threading.Event(), []

        def train(context):
            if done:
                return
            start_run(context.job.run_dir, "head")
            held[0] = alongside
            has_grown.set()
            assert is_alone or begun.wait(60)
            if before_the_end is not None:
                before_the_end()
            held[0] = at_end
            assert ended.wait(60)
            done.append(context.job.kind)

        def look(context):
            begun.set()
            assert ended.wait(60)

        def end_process():
            if ended.is_set():  # a process is ended once; this one goes on
                return
            if at_the_end is not None:
                at_the_end()
            for job in FairQueue(host).jobs():
                found[job.kind] = (job.num_lost, job.lost)
            for run in (
                one for visitor in list_visitors(host) for one in list_runs(visitor.runs_dir)
            ):
                found["run"] = (run.state, run.message)
            held[0] = 0
            ended.set()

        found = {}
        kinds = {TRAIN: JobKind(train, keeps_partial=True), "look": JobKind(look, alongside=True)}
        worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds, end_process=end_process)
        return found

    return run


@pytest.fixture
def run(host, make_dataset):
    """A queued training of a visitor, beside which another visitor waits for an evaluation."""
    a, b = new_visitor(host), new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    run = create_run(a.runs_dir, TrainConfig(backbone="tiny"), data)
    JobQueue(a).submit(TRAIN, {}, run.run_dir)
    time.sleep(0.001)
    JobQueue(b).submit("look", {})
    return run


# A job may take 1,300 MB of 2,300, as the worker holds up to 1,000 without one.


@pytest.mark.parametrize(("at_start", "alongside"), [(800, 900), (800, 2000), (1001, 2300)])
def test_of_two_jobs_none_is_to_blame_and_each_runs_alone_then(
    run, end_worker, at_start, alongside
):
    """Whoever took it: a training may not fail because of another visitor's job."""
    left = end_worker(at_start, alongside, 2301)
    assert left == {TRAIN: (1, ""), "look": (1, ""), "run": ("queued", "")}


@pytest.mark.parametrize(
    ("at_start", "num_lost", "state", "message"),
    [
        (1000, 0, "failed", demo_limits.memory_message),
        (1000, 1, "failed", demo_limits.memory_message),
        (1001, 0, "queued", str),
        (1001, 1, "failed", lambda: LOST_TEXT),
    ],
    ids=["too much", "too much again", "little was free", "little was free again"],
)
def test_a_job_that_was_alone_is_to_blame_for_what_it_took(
    run, end_worker, at_start, num_lost, state, message
):
    (look,) = (
        job for job in FairQueue(Workspace(run.run_dir.parents[3])).jobs() if not job.run_dir
    )
    FairQueue(Workspace(run.run_dir.parents[3])).queue_of(look).finish(look.id)
    queue = JobQueue(Workspace(run.run_dir.parents[1]))
    if num_lost:
        queue.put_back_lost(queue.take())
    left = end_worker(at_start, at_start, 2301, is_alone=True)
    assert left.pop("run") == (state, message())
    assert left == ({TRAIN: (1, "")} if state == "queued" else {})


def test_who_ended_the_worker_comes_after_those_who_asked_meanwhile(run, end_worker):
    host = Workspace(run.run_dir.parents[3])
    late = new_visitor(host)
    order = []

    def ask():
        JobQueue(late).submit("later", {})

    def look():
        order.extend(job.kind for job in FairQueue(host).jobs() if not job.active)

    end_worker(800, 900, 2301, before_the_end=ask, at_the_end=look)
    assert order[0] == "later"


def test_of_jobs_that_overrun_only_these_are_told_so(run, end_worker, monkeypatch):
    looks = {job.id for job in FairQueue(Workspace(run.run_dir.parents[3])).jobs()}
    looks -= {job.id for job in JobQueue(Workspace(run.run_dir.parents[1])).jobs()}
    monkeypatch.setattr(JobClock, "overdue", lambda self: sorted(looks & set(self._active)))
    left = end_worker(0, 0, 0)
    assert left == {
        TRAIN: (1, ""),
        "look": (1, demo_limits.time_message()),
        "run": ("queued", ""),
    }


@pytest.fixture
def clock(host, monkeypatch):
    """Return a clock, and a function that has a job begin: with its need, while so much is held."""
    clock, needs, held = JobClock(), {}, [0]
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda _, kind, *__: needs[kind] * MB)
    monkeypatch.setattr(demo_limits, "family_memory", lambda: held[0] * MB)

    def begin(name, need, now, **more):
        needs[name], held[0] = need, now
        clock.start(Job(name, name, workspace=host, **more))

    def fits(need, now, **more):
        needs["new"], held[0] = need, now
        clock._needs.pop("new", None)
        return clock.fits_beside(Job("new", "new", workspace=host, **more), "main")

    def end(name, now):
        held[0] = now
        clock.end(Job(name, name, workspace=host))

    clock.begin, clock.fits, clock.end_at, clock.host = begin, fits, end, host
    return clock


def test_what_a_job_took_beside_another_is_not_counted_for_that_one(clock):
    clock.begin("main", 0, 1000)
    clock.begin("beside", 0, 1100)
    clock.end_at("beside", 1500)  # 400 are left, as memory is not always returned
    message = demo_limits.memory_message()
    assert clock.ending(2700 * MB) == Ending(message, ())
    assert clock.ending(2701 * MB) == Ending(message, ("main",))


def test_a_job_runs_beside_another_only_if_what_both_need_fits(clock):
    assert not clock.fits(1, 1000)  # the other has not begun
    clock.begin("main", 900, 1000)
    assert clock.fits(200, 1100)  # 800 of the other are to come: 2,100
    assert not clock.fits(201, 1100)  # it waits for its turn
    assert not clock.fits(1, 1100, num_lost=1)
    assert clock.fits(200, 2100)  # the other has all that it needs
    assert not clock.fits(200, 2101)


def test_a_job_during_which_a_worker_ended_runs_alone(clock):
    clock.begin("main", 100, 1000, num_lost=1)
    assert not clock.fits(1, 1100)
    clock.end_at("main", 1100)
    clock.begin("main", 100, 1000)
    assert clock.fits(1, 1100)
    assert not clock.fits(1, 1100, num_lost=1)


def test_a_job_may_end_while_it_is_asked_what_fits_beside_it(clock, host, monkeypatch):
    clock.begin("main", 900, 1000)
    job = Job("main", "main", workspace=host)
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    monkeypatch.setattr(demo_limits, "family_memory", lambda: clock.end(job) or 1000 * MB)
    new = Job("new", "new", workspace=host)
    clock.fits_beside(new, "main")  # whatever it says
    assert "main" not in clock._active
    assert not clock.fits_beside(new, "main")


def test_work_beside_a_training_goes_on_after_an_error(host, queued, monkeypatch):
    a, b = new_visitor(host), new_visitor(host)
    run = queued(a)
    JobQueue(b).submit("look", {})
    fits, begun, tries = JobClock.fits_beside, threading.Event(), []

    def fail_once(clock, job, main_id):
        tries.append(job.kind)
        if len(tries) == 1:
            raise RuntimeError("once")
        return fits(clock, job, main_id)

    monkeypatch.setattr(JobClock, "fits_beside", fail_once)
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)

    def train(context):
        assert begun.wait(60)
        end_run(run.run_dir, "finished")

    beside = JobKind(lambda context: begun.set(), alongside=True)
    run_jobs(host, train=JobKind(train), look=beside)
    assert tries[:2] == ["look", "look"]
    assert FairQueue(host).jobs() == []


@pytest.mark.parametrize(
    "kind",
    [
        JobKind(None, priority=-5, gives_way=True, keeps_partial=True),
        JobKind(None, priority=-20, gives_way=True, needs_user=True),
    ],
)
def test_what_is_short_is_done_beside_all_that_does_not_give_way_to_others(
    host, queued, monkeypatch, kind
):
    """A search, and a map that has been waited for, give way to jobs of their own visitor alone."""
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    monkeypatch.setattr(fair_queue, "_PATIENCE_SECONDS", 0.0)
    begun, ended = threading.Event(), []

    def work(context):
        ended.append(begun.wait(10))

    JobQueue(new_visitor(host)).submit(
        "long", {}, priority=kind.priority, needs_user=kind.needs_user
    )
    time.sleep(0.001)
    JobQueue(new_visitor(host)).submit("look", {}, priority=5)
    look = JobKind(lambda context: begun.set(), priority=5, alongside=True)
    run_jobs(host, long=replace(kind, run=work), look=look)
    assert ended == [True]


@pytest.fixture
def beside(host, queued, monkeypatch):
    """Return what runs a training, a grouping beside it, and then others while that goes on.

    It takes the names of the jobs of other visitors, the seconds between two looks of the grouping
    at whether it has to stop, and what has to happen before it ends; it returns what happened.
    """
    now = [0.0]
    monkeypatch.setattr(demo_limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    monkeypatch.setattr(worker, "_REPORT_SECONDS", 0.01)

    def run(others, seconds, until, events=None, **more):
        events = [] if events is None else events
        begun, mine = threading.Event(), queued(new_visitor(host))
        time.sleep(0.001)
        JobQueue(new_visitor(host)).submit("group", {})

        def train(context):
            assert begun.wait(60)
            for name in others:
                time.sleep(0.001)
                visitor = new_visitor(host)
                job = JobQueue(visitor).submit(name, {})
                if name == "lost":
                    JobQueue(visitor).take()
                    JobQueue(visitor).put_back_lost(job)
            end_run(mine.run_dir, "finished")

        def group(context):
            events.append("group")
            begun.set()
            for _ in range(2_000):
                if set(until) <= set(events):
                    break
                now[0] += seconds * (mine.state == "finished")
                time.sleep(0.02)
                context.monitor.check()
            events.append("grouped")

        def note(context):
            events.append(context.job.kind)

        monkeypatch.setattr(
            JobClock, "has_room", lambda _, job: job.kind != "large" or "new" in events
        )
        kinds = {
            TRAIN: JobKind(train),
            "group": JobKind(group, alongside=True),
            **{name: JobKind(note) for name in ("small", "large", "lost")},
            **more,
        }
        restart = partial(events.append, "new")
        worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds, restart=restart)
        return events

    return run


def test_a_job_that_needs_a_new_process_keeps_no_other_waiting(beside):
    """The main place stood empty for it, for as long as a grouping ran that had begun before."""
    assert beside(["large", "small"], 0, ["small"]) == ["group", "small", "grouped", "new", "large"]


def test_a_job_that_runs_alone_waits_for_what_was_begun_beside_another(beside):
    """It began beside that one, of which it could not be told apart."""
    assert beside(["lost", "small"], 0, ["small"]) == ["group", "small", "grouped", "lost"]


def test_nothing_more_begins_beside_others_while_a_job_waits_to_be_alone(beside):
    events = []

    def small(context):
        events.append("small")
        while "grouped" not in events:
            time.sleep(0.01)
        time.sleep(0.3)  # in which the other could begin
        events.append("smalled")

    kinds = {
        "small": JobKind(small),
        "glance": JobKind(lambda context: events.append("glance"), alongside=True),
    }
    beside(["large", "small", "glance"], 0, ["small"], events, **kinds)
    assert events == ["group", "small", "grouped", "smalled", "new", "large", "glance"]


@pytest.mark.parametrize("name", ["large", "lost"])
def test_what_runs_beside_others_gives_way_to_one_that_has_to_be_alone(beside, name):
    """Others wait for it for seconds, and it goes on where it was."""
    new = ["new"] * (name == "large")
    assert beside([name], 10, [name]) == ["group", *new, name, "group", "grouped"]


def test_what_runs_beside_a_training_gives_way_to_what_could_run_there(host, queued, monkeypatch):
    """An evaluation waited for a grouping of another visitor that may take ten minutes."""
    now, events, done = [0.0], [], threading.Event()
    monkeypatch.setattr(demo_limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    run = queued(new_visitor(host))
    time.sleep(0.001)
    JobQueue(new_visitor(host)).submit("group", {})

    def train(context):
        assert done.wait(60)
        end_run(run.run_dir, "finished")

    def group(context):
        if not events:
            JobQueue(new_visitor(host)).submit("look", {})
        events.append("group")
        while "looked" not in events:
            now[0] += 30
            context.monitor.check()
            time.sleep(0.01)
        done.set()

    kinds = {"group": JobKind(group, alongside=True)}
    kinds["look"] = JobKind(lambda context: events.append("looked"), alongside=True)
    run_jobs(host, train=JobKind(train), **kinds)
    assert events == ["group", "looked", "group"]
    assert 5 <= now[0] <= 60  # looked at each 30 s


def test_photos_that_are_added_while_a_job_waits_count(clock, monkeypatch, now):
    clock.begin("main", 100, 1000)
    assert clock.fits(100, 1100)
    needs = {"new": 300}
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda _, kind, *__: needs[kind] * MB)
    job = Job("new", "new", workspace=new_visitor(clock.host))
    now[0] += 2
    assert not clock.fits_beside(job, "main")


@pytest.mark.parametrize("reason", ["swollen", "no room"])
def test_the_worker_is_not_replaced_while_a_job_runs_in_it(host, queued, monkeypatch, reason):
    """A grouping of another visitor, beside which a training had ended, was ended with it."""
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda *_: 0)
    monkeypatch.setattr(worker, "_REPORT_SECONDS", 0.01)
    monkeypatch.setattr(worker, "_SHRINK_SECONDS", 0.0)
    run, events = queued(new_visitor(host)), []
    beside, tried, calls = threading.Event(), threading.Event(), []
    JobQueue(new_visitor(host)).submit("look", {})

    def train(context):
        assert beside.wait(60)
        end_run(run.run_dir, "finished")
        if reason == "no room":
            JobQueue(new_visitor(host)).submit("large", {})

    def look(context):
        beside.set()
        assert tried.wait(60)
        events.append("looked")

    def is_in_the_way(*_):
        if not beside.is_set() or run.state != "finished":
            return False
        calls.append(1)
        if len(calls) > 1:  # it was in the way once, and is again
            tried.set()
        return "restarted" not in events

    if reason == "swollen":
        monkeypatch.setattr(worker._Worker, "_is_swollen", is_in_the_way)
    else:
        monkeypatch.setattr(JobClock, "has_room", lambda *_: not is_in_the_way())
    kinds = {
        TRAIN: JobKind(train),
        "look": JobKind(look, alongside=True),
        "large": JobKind(lambda context: events.append("large")),
    }
    restart = partial(events.append, "restarted")
    worker.run_worker(host, warm=False, idle_seconds=0.1, kinds=kinds, restart=restart)
    assert events == ["looked", "restarted"] + ["large"] * (reason == "no room")


def test_what_needs_much_waits_while_another_trains(host, queued, monkeypatch):
    needs = {TRAIN: 100, "small": 200, "large": 201}
    monkeypatch.setattr(demo_limits, "num_bytes_of", lambda _, kind, *__: needs[kind] * MB)
    a, b, c = new_visitor(host), new_visitor(host), new_visitor(host)
    run = queued(a)
    events, begun = [], threading.Event()
    for visitor, kind in ((b, "large"), (c, "small")):
        time.sleep(0.001)
        JobQueue(visitor).submit(kind, {})

    def train(context):
        assert begun.wait(60)
        events.append("trained")
        end_run(run.run_dir, "finished")

    def look(context):
        events.append(context.job.kind)
        begun.set()

    beside = JobKind(look, alongside=True)
    run_jobs(host, train=JobKind(train), small=beside, large=beside)
    assert events == ["small", "trained", "large"]


def test_the_need_of_every_kind_of_job_is_known():
    assert set(NEEDS) | {TRAIN, FIND_LR, SWEEP} == set(KINDS)


# 10 x 10 places of 1,280 values of 4 bytes are 0.512 MB of a photo; 100 MB are allowed
FLAT = {
    "backbone": "EfficientNetLite0",
    "image_size": [320, 320],
    "pooling": "flatten",
    "fc_layers": [],
}
ABOUT_PHOTOS = {"data_dir": "datasets/pets", "config": FLAT}


@pytest.fixture
def small_demo(monkeypatch, tmp_path):
    """A visitor of a demo that allows 100 MB, and a function that makes so many photos."""
    a = new_visitor(start_demo(monkeypatch, tmp_path / "small", job_memory_mb=1000))
    folder = a.datasets_dir / "pets" / "cat"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("no photo")
    for size, pooling in ((320, "flatten"), (320, "avg"), (224, "avg")):  # converted already
        path = engine_path("EfficientNetLite0", (size, size), pooling, a.cache_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def make(num_photos):
        for number in range(num_photos):
            (folder / f"{number}.PNG").write_bytes(b"")
        return a

    return make


@pytest.mark.parametrize(
    ("kind", "payload", "most"),
    [
        (FEATURES, ABOUT_PHOTOS, 95),  # a row each and 100: 99.8 MB, of 96 photos 100.4
        (LABEL, ABOUT_PHOTOS, 11),  # two and 15: 95.7, 104.4
        (EXPLORE, ABOUT_PHOTOS, 10),  # three and 15: 92.2, 101.4
        (CURVE, ABOUT_PHOTOS, 10),
        (AUGMENT_EFFECT, {**ABOUT_PHOTOS, "run": None}, 13),  # 15: 99.8, 107.5
        # The head has 256,002 weights: two copies take 2.0 MB, fourteen 14.3.
        (EVALUATE, {"part": "test", "data_dir": None}, 95),  # two: 97.3 and 2.0, 98.3 and 2.0
        (EVALUATE, {"part": "test", "data_dir": "datasets/pets"}, 95),
        (TRAIN, {}, 83),  # two: 85.0 and 14.3, 86.0 and 14.3
        (FIND_LR, ABOUT_PHOTOS, 83),
    ],
)
def test_each_kind_is_refused_that_needs_more_memory_than_a_job_may_have(
    small_demo, kind, payload, most
):
    a = small_demo(most)
    run = create_run(a.runs_dir, TrainConfig.create(FLAT), a.datasets_dir / "pets")
    payload = {**payload, "run": a.relative(run.run_dir)} if kind == EVALUATE else payload
    run_dir = run.run_dir if kind == TRAIN else None
    check_may_queue(a, kind, payload, run_dir, is_unique=True)
    small_demo(most + 1)
    about = r"needs about 10\d MB of memory; 100 MB are available of the 1,000 MB"
    with pytest.raises(MemoryLimitError, match=about):
        check_may_queue(a, kind, payload, run_dir, is_unique=True)


def test_few_features_and_copies_of_the_head_are_counted_where_a_model_answers(small_demo):
    a, row = small_demo(3), 128_000 * 4
    run = create_run(a.runs_dir, TrainConfig.create(FLAT), a.datasets_dir / "pets")
    to_classify = {"model": a.relative(run.run_dir), "photos": "datasets/pets"}
    head = (128_000 * 2 + 2) * 4
    assert num_bytes_of(a, CLASSIFY, to_classify, None) == 45 * row + 2 * head
    small_demo(50)
    assert num_bytes_of(a, CLASSIFY, to_classify, None) == 64 * row + 2 * head
    wide = create_run(a.runs_dir, TrainConfig.create({**FLAT, "fc_layers": [64]}), run.data_dir)
    to_classify["model"] = a.relative(wide.run_dir)
    check_may_queue(a, CLASSIFY, to_classify, is_unique=True)  # two copies of 32.8 MB


def test_pooled_features_of_many_photos_are_computed(small_demo):
    a = small_demo(300)
    pooled = {**ABOUT_PHOTOS, "config": {**FLAT, "pooling": "avg"}}
    for kind in (FEATURES, LABEL, EXPLORE, CURVE, AUGMENT_EFFECT):
        check_may_queue(a, kind, {**pooled, "run": None}, is_unique=True)
    row = 1280 * 4
    assert num_bytes_of(a, LABEL, pooled, None) == (2 * 300 + 450) * row
    assert num_bytes_of(a, CURVE, pooled, None) == (3 * 300 + 1200) * row


def test_features_ahead_of_a_training_are_counted_in_each_view(small_demo):
    a = small_demo(10)
    augmented = {**FLAT, "pooling": "avg", "views": 5, "augment": {"horizontal_flip": True}}
    payload = {**ABOUT_PHOTOS, "config": augmented}
    assert num_bytes_of(a, FEATURES, payload, None) == (5 * 10 + 100) * 1280 * 4


def test_what_is_gone_or_measures_one_picture_needs_nothing_that_is_known(small_demo):
    a = small_demo(1)
    assert estimate_job(a, EXPORT, {"run": "runs/gone", "format": "keras"}, None) is None
    assert num_bytes_of(a, EVALUATE, {}, a.runs_dir / "gone") is None
    assert num_bytes_of(a, MEASURE_SPEED, {"backbone": "EfficientNetLite0"}, None) == 0
