import itertools
import json
import os
import threading
import time

import pytest
from demo_helpers import new_visitor, start_demo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_service import wait_until

from tl_core.backbones.registry import resolve_image_size
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, LimitError
from tl_core.features.engine_files import engine_path
from tl_core.files import read_json
from tl_core.jobs import client, demo_limits, worker, worker_client
from tl_core.jobs.demo_limits import JobClock, check_may_queue
from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.handlers import (
    FIND_LR,
    SWEEP,
    TRAIN,
    JobKind,
)
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.search import request_range_test, resume_sweep, start_sweep
from tl_core.jobs.training import queue_position, resume_training, start_training, stop_run
from tl_core.runs.files import end_run, start_run
from tl_core.runs.store import create_run, list_runs
from tl_core.search.lr_cache import settings_that_matter
from tl_core.search.store import create_sweep
from tl_core.visitors.store import address_key, end_visitor, open_visitor
from tl_core.visitors.tokens import issue_token
from tl_core.workspace import Workspace
from ui.hosted.panel import waiting_jobs


@pytest.fixture
def host(monkeypatch, tmp_path):
    return start_demo(monkeypatch, tmp_path / "demo", backbones="tiny")


def submit(workspace, number, priority=0):
    return JobQueue(workspace).submit("work", {"number": number}, priority=priority)


def end(queue, job):
    """End a job, as a worker does."""
    queue.note_end(job, 1.0)
    queue.queue_of(job).finish(job.id)


def taken(queue, num_jobs):
    """Take jobs one after another, as a worker does."""
    found = []
    for _ in range(num_jobs):
        job = queue.take()
        found.append((job.workspace.root.name, job.payload["number"]))
        end(queue, job)
    return found


@pytest.fixture
def clock(monkeypatch):
    """Let each look at the clock find it later than the one before, on any system."""
    ticks = itertools.count(time.time_ns(), 1000)
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    return ticks


def play(host, steps):
    """Return what a worker serves when these steps happen one after another.

    Args:
        host: the demo.
        steps: ``x1`` is a visitor of address x who queues a job, ``take`` takes one, ``end`` ends
            it, ``run`` does both, and ``x1-`` deletes the visitor's data.
    """
    queue, visitors, names, order, active = FairQueue(host), {}, {}, [], None
    for step in steps.split():
        if step in ("take", "run"):
            active = queue.take()
            order.append(names[active.workspace.root.name])
        if step in ("end", "run"):
            end(queue, active)
            active = None
        elif step.endswith("-"):
            end_visitor(visitors.pop(step[:-1]))
        elif step != "take":
            if step not in visitors:
                visitors[step] = open_visitor(host, issue_token(host), f"192.0.2.{ord(step[0])}")
                names[visitors[step].root.name] = step
            submit(visitors[step], 0)
    rest = [names[job.workspace.root.name] for job in queue.jobs() if not job.active]
    if active is not None:
        end(queue, active)
    served = [taken(queue, 1)[0][0] for _ in rest]
    assert [names[name] for name in served] == rest  # as it was shown
    return " ".join([*order, *rest])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("v1 run v1 x1 x2 x3 run", "v1 v1 x1 x2 x3"),
        ("v1 run x1 v1 x2 x3 run x4 run x5", "v1 x1 v1 x2 x3 x4 x5"),
        ("v1 run x1 x2 x3 v1", "v1 x1 v1 x2 x3"),
        ("x1 x2 x3 v1 v1", "x1 v1 x2 v1 x3"),
        ("v1 run x1 take v1 x1- x2 end x2- x3", "v1 x1 v1 x3"),
        ("x1 x2 x3 take x1- v1 end", "x1 v1 x2 x3"),
        ("x1 x1 take v1 end", "x1 v1 x1"),
        ("v1 v1 take x1 x2 end", "v1 x1 v1 x2"),
        ("x1 x1 take v1", "x1 v1 x1"),
        ("x1 x1 x2 x2 v1 w1 v1", "x1 v1 w1 x2 v1 x1 x2"),
        ("x1 run x1 x2 x3 run x4 x1", "x1 x1 x2 x3 x4 x1"),
        ("v1 run v1 w1 x1 run", "v1 v1 w1 x1"),
    ],
    ids=[
        "fresh visitors do not overtake one who was served before",
        "nor do those who come while others are served",
        "one address has one turn, however many visitors come from it",
        "also when nobody was served before",
        "who deletes data and comes again goes behind those who wait",
        "a turn of an address lasts until its job ends, also when its data are gone",
        "who comes during a job goes before a second one of its visitor",
        "an address that waits alternates with one that has much",
        "and that is shown while the job runs",
        "visitors of one address take turns",
        "with one address for all, visitors take turns, and fresh ones go to the end",
        "who waits longest is next, served before or not",
    ],
)
def test_visitors_are_served_in_this_order(host, clock, steps, expected):
    assert play(host, steps) == expected


@pytest.fixture
def addresses(host, monkeypatch):
    """Return visitors of three addresses, and a function that has a job of one take so long."""
    now = [time.time_ns()]

    def clock():
        now[0] += 1000
        return now[0]

    monkeypatch.setattr(time, "time_ns", clock)
    visitors = [open_visitor(host, issue_token(host), f"192.0.2.{number}") for number in range(3)]

    def serve(seconds):
        queue = FairQueue(host)
        job = queue.take()
        now[0] += int(seconds * 1e9)
        queue.note_end(job, seconds)
        queue.queue_of(job).finish(job.id)
        return visitors.index(job.workspace)

    def wait(seconds):
        now[0] += int(seconds * 1e9)

    return visitors, serve, wait


def test_who_used_little_of_late_goes_before_those_with_long_trainings(addresses):
    """Nine addresses had long trainings: another's of five seconds waited a minute for each."""
    (first, second, third), serve, _ = addresses
    for visitor in (first, first, first, second, second, second):
        submit(visitor, 0)
    assert [serve(60) for _ in range(3)] == [0, 1, 0]
    for _ in range(3):
        submit(third, 0)
    # Of 1's minute, 52 s count still; it was first, but 2 used less than 20 s, then no more.
    assert [serve(15) for _ in range(5)] == [2, 2, 1, 0, 2]


def test_half_of_what_an_address_used_is_forgotten_in_five_minutes(addresses):
    (first, second, _), serve, wait = addresses
    submit(first, 0)
    assert serve(39) == 0
    for visitor in (first, second):
        submit(visitor, 0)
    wait(280)
    assert FairQueue(first.host).jobs()[0].workspace == second  # 20.4 s are left
    wait(10)
    assert FairQueue(first.host).jobs()[0].workspace == first  # 19.95


@pytest.mark.parametrize(
    "content", ["", "[]", "3", '{"a": 1}', '{"a": [1, "x"]}', '{"a": [1e999, 1]}']
)
def test_what_was_used_is_nothing_where_it_cannot_be_read(addresses, content):
    (first, second, _), serve, _ = addresses
    for visitor in (first, second):
        submit(visitor, 0)
    (first.host.queue_dir / "used.json").write_text(content)
    assert [serve(1), serve(1)] == [0, 1]


def test_a_job_that_is_taken_and_put_back_waits_as_before(host, clock):
    """As when the worker has to start again for its memory: it does not wait for all others."""
    first, second = (open_visitor(host, issue_token(host), f"192.0.2.{n}") for n in (1, 2))
    for visitor in (first, second, first, second):
        submit(visitor, visitor.root.name)
    queue = FairQueue(host)
    assert [name for name, _ in taken(queue, 2)] == [first.root.name, second.root.name]
    expected, turns = [job.id for job in queue.jobs()], queue._turns()
    job = queue.take()
    assert job.id == expected[0]
    queue.put_back(job)
    assert [job.id for job in FairQueue(host).jobs()] == expected  # another worker
    assert queue._turns() == turns
    assert queue._taken == {}


def test_an_urgent_job_is_the_first_of_its_visitor_who_waits_no_longer_for_it(host, clock):
    a, b = new_visitor(host), new_visitor(host)
    submit(a, 0)
    submit(b, 1)
    submit(a, 2, priority=10)
    assert [number for _, number in taken(FairQueue(host), 3)] == [2, 1, 0]


def test_visitors_take_turns_where_no_address_is_known(host, clock):
    a, b, c = (new_visitor(host) for _ in range(3))
    for number in range(3):
        submit(a, number)
    submit(b, 0)
    submit(c, 0)
    names = {one.root.name: letter for one, letter in ((a, "a"), (b, "b"), (c, "c"))}
    order = [f"{names[name]}{number}" for name, number in taken(FairQueue(host), 5)]
    assert order == ["a0", "b0", "c0", "a1", "a2"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.lists(st.sampled_from(["fresh", "again", "victim", "serve", "delete"]), max_size=12),
    after=st.lists(st.sampled_from(["fresh", "again", "serve", "delete"]), max_size=20),
)
def test_whatever_one_address_does_another_waits_for_one_of_its_jobs(host, clock, before, after):
    demo = Workspace(host.root / str(next(clock)))  # a new one for each example
    queue = FairQueue(demo)
    victim = open_visitor(demo, issue_token(demo), "192.0.2.1")
    crowd = []

    def do(step):
        if step == "victim":
            submit(victim, 0)
        elif step == "fresh" or (step == "again" and not crowd):
            crowd.append(open_visitor(demo, issue_token(demo), "192.0.2.2"))
            submit(crowd[-1], 0)
        elif step == "again":
            submit(crowd[0], 0)
        elif step == "delete" and crowd:
            end_visitor(crowd.pop(0))
        elif step == "serve" and queue.jobs():
            return taken(queue, 1)[0] == (victim.root.name, 1)
        return False

    for step in before:
        do(step)
    num_own = len(JobQueue(victim).jobs())
    job = submit(victim, 1)
    position = queue.position(victim, job.id)
    assert position <= 2 * num_own + 1
    others = 0
    for step in [*after, *["serve"] * (2 * num_own + 2)]:
        if do(step):
            break
        others += step == "serve"
    assert others <= 2 * num_own + 1
    assert JobQueue(victim).jobs() == []


def test_turns_are_kept_no_longer_than_they_matter_and_no_address_in_clear(host, clock):
    x = open_visitor(host, issue_token(host), "192.0.2.88")
    queue, stored = FairQueue(host), host.queue_dir / "turns.json"
    submit(x, 0)
    submit(x, 1)
    taken(queue, 1)
    turns = read_json(stored)
    assert set(turns) == {x.root.name, address_key(x)}
    assert "192.0.2.88" not in stored.read_text()
    y = open_visitor(host, issue_token(host), "192.0.2.89")
    taken(queue, 1)
    submit(y, 0)
    taken(queue, 1)
    assert set(read_json(stored)) == {y.root.name, address_key(y)}


@pytest.mark.parametrize("content", [None, "", "[]", '{"a": "x"}', '{"a": 1e400}', "ahead"])
def test_turns_that_cannot_be_read_or_lie_ahead_do_no_harm(host, clock, content):
    a, b = (open_visitor(host, issue_token(host), f"192.0.2.{number}") for number in (1, 2))
    submit(a, 0)
    submit(b, 1)
    if content == "ahead":  # the clock was set back
        content = json.dumps({address_key(a): time.time_ns() + 10**15})
    if content is not None:
        (host.queue_dir / "turns.json").write_text(content)
    assert [number for _, number in taken(FairQueue(host), 2)] == [0, 1]


def test_what_somebody_waits_for_goes_before_what_is_computed_in_advance(host):
    a, b = new_visitor(host), new_visitor(host)
    ahead = submit(a, 0, priority=-20)
    submit(b, 1)
    queue = FairQueue(host)
    assert queue.must_give_way(next(job for job in queue.jobs() if job.id == ahead.id))
    assert taken(queue, 2) == [(b.root.name, 1), (a.root.name, 0)]


@pytest.fixture
def wall(monkeypatch):
    """Set the clock of the system by hand."""
    now, ticks = [time.time()], itertools.count(0, 1000)
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "time_ns", lambda: int(now[0] * 1e9) + next(ticks))
    return now


def show(workspace):
    """Have the jobs of a visitor shown by a page at the time of that clock."""
    for path in workspace.queue_dir.glob("*.json"):
        os.utime(path, (time.time(), time.time()))


def test_a_map_that_a_page_shows_takes_turns_with_trainings_after_ten_seconds(host, wall):
    a, b = new_visitor(host), new_visitor(host)
    queue = FairQueue(host)
    for number in range(4):
        submit(a, number)
    JobQueue(b).submit("map", {"number": 9}, priority=-20, needs_user=True)
    seen, served = [], []
    for _ in range(3):
        wall[0] += 6
        show(b)
        job = queue.take()
        served.append(job.payload["number"])
        if job.kind == "map":
            seen.append(queue.must_give_way(job))
            wall[0] += 11
            show(b)
            seen.append(queue.must_give_way(job))  # it is still looked at
            wall[0] += 11
            seen.append(queue.must_give_way(job))  # nobody does any more
        end(queue, job)
        if job.kind == "map":
            break
    assert served == [0, 9]
    assert seen == [False, False, True]


def test_a_map_gives_way_to_what_others_ask_for_in_its_first_seconds(host, wall):
    a, b = new_visitor(host), new_visitor(host)
    queue = FairQueue(host)
    JobQueue(b).submit("map", {"number": 9}, priority=-20, needs_user=True)
    job = queue.take()
    assert not queue.must_give_way(job)
    wall[0] += 5
    submit(a, 0)
    assert queue.must_give_way(job)
    queue.put_back(job, gave_way=True)
    show(b)
    assert [job.payload["number"] for job in queue.jobs()] == [0, 9]


def test_a_map_that_nobody_looks_at_waits_for_all_that_was_asked_for(host, wall):
    a, b = new_visitor(host), new_visitor(host)
    JobQueue(b).submit("map", {"number": 9}, priority=-20, needs_user=True)
    wall[0] += 60
    for number in range(2):
        submit(a, number)
    assert [job.payload["number"] for job in FairQueue(host).jobs()] == [0, 1, 9]


def test_what_nobody_asked_for_and_no_page_shows_is_forgotten_after_a_minute(host, wall):
    """Each page opened with a fresh cookie left two jobs, which were all read each time."""
    gone, shown, asked = [new_visitor(host) for _ in range(3)]
    for visitor in (gone, shown):
        JobQueue(visitor).submit("map", {}, priority=-20, needs_user=True)
    JobQueue(asked).submit("look", {}, priority=5, needs_user=True)
    JobQueue(asked).submit("train", {})
    for visitor in (gone, shown, asked):
        show(visitor)
    queue = FairQueue(host)
    wall[0] += 59
    queue.take(fits=lambda _: False)
    assert len(queue.jobs()) == 4
    show(shown)
    wall[0] += 2
    queue.take(fits=lambda _: False)
    assert JobQueue(gone).jobs() == []
    assert sorted(job.kind for job in queue.jobs()) == ["look", "map", "train"]


def test_whoever_has_no_jobs_reads_none_of_others(host, monkeypatch):
    """Each page of everybody read all jobs of all visitors twice."""
    mine, other = new_visitor(host), new_visitor(host)
    submit(other, 0)
    submit(mine, 0, priority=-20)
    with monkeypatch.context() as patch:
        patch.setattr(FairQueue, "jobs", lambda _: pytest.fail("all jobs were read"))
        assert waiting_jobs(mine, host) == []
    submit(mine, 1)
    assert waiting_jobs(mine, host) == [1]
    assert FairQueue(host).take().workspace == other
    assert waiting_jobs(mine, host) == [1]
    assert waiting_jobs(other, host) == [0]


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


def test_who_may_use_no_more_of_the_disk_gets_no_job(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=1)
    a, b = new_visitor(host), new_visitor(host)
    (a.root / "large").write_bytes(bytes(10**6))
    with pytest.raises(LimitError, match="allows 1 MB of a visitor"):
        check_may_queue(a, "work", {}, is_unique=False)
    check_may_queue(b, "work", {}, is_unique=False)


def test_a_backbone_that_is_not_allowed_is_refused_whatever_asks_for_it(host):
    a = new_visitor(host)
    for kind, payload in (
        ("measure_speed", {"backbone": "NASNetLarge"}),
        ("explore", {"config": {"backbone": "ResNet50"}}),
    ):
        with pytest.raises(LimitError, match="trains these backbones: tiny"):
            client.submit(a, kind, payload)
    assert JobQueue(a).jobs() == []


def queued_names(host):
    return {path.name for path in (host.queue_dir / "visitors").iterdir()}


def test_only_visitors_who_have_jobs_are_looked_at(host, monkeypatch):
    """A page does so each time it is drawn, and a demo may hold thousands who have none."""
    a, b, _ = (new_visitor(host) for _ in range(3))
    submit(a, 0)
    submit(b, 1)
    looked = []
    jobs = JobQueue.jobs

    def note(queue):
        looked.append(queue._workspace.root.name)
        return jobs(queue)

    monkeypatch.setattr(JobQueue, "jobs", note)
    queue = FairQueue(host)
    assert [job.payload["number"] for job in queue.jobs()] == [0, 1]
    assert set(looked) == {host.root.name, a.root.name, b.root.name}
    taken(queue, 2)
    assert queue.jobs() == []
    assert queued_names(host) == set()
    looked.clear()
    queue.jobs()
    assert looked == [host.root.name]


def test_a_job_that_comes_as_its_visitor_is_forgotten_is_not(host, monkeypatch):
    a = new_visitor(host)
    submit(a, 0)
    queue = FairQueue(host)
    taken(queue, 1)
    jobs, looks = JobQueue.jobs, []

    def look(one):
        found = jobs(one)
        if one._workspace == a:
            looks.append(len(found))
            if len(looks) == 1:  # the page writes its job just after this
                submit(a, 1)
        return found

    monkeypatch.setattr(JobQueue, "jobs", look)
    assert [job.payload["number"] for job in queue.jobs()] == [1]
    assert looks == [0, 1]
    assert queued_names(host) == {a.root.name}


def test_noting_a_visitor_makes_no_other_file_even_for_a_moment(host, monkeypatch):
    """The worker looks ten times a second, and takes each file there for a visitor."""
    a = new_visitor(host)
    folder = host.queue_dir / "visitors"
    folder.mkdir(parents=True)
    fsync, seen = os.fsync, set()

    def look(descriptor):
        seen.update(path.name for path in folder.iterdir())
        FairQueue(host).jobs()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    submit(a, 0)
    assert seen <= {a.root.name}
    assert queued_names(host) == {a.root.name}


def test_visitors_are_noted_while_the_worker_looks(host):
    a, ended = new_visitor(host), threading.Event()

    def look():
        while not ended.is_set():
            FairQueue(host).jobs()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(200):
            job = submit(a, number)
            wait_until(lambda: queued_names(host) == {a.root.name})
            JobQueue(a).finish(job.id)
    finally:
        ended.set()
        thread.join()


def test_jobs_that_were_never_noted_are_found(host):
    a, b = new_visitor(host), new_visitor(host)
    submit(a, 0)
    submit(b, 1)
    for name in queued_names(host):
        (host.queue_dir / "visitors" / name).unlink()
    queue = FairQueue(host)
    assert queue.jobs() == []
    queue.find_unnoted()
    assert [job.payload["number"] for job in queue.jobs()] == [0, 1]
    end_visitor(a)
    assert [job.payload["number"] for job in queue.jobs()] == [1]
    assert queued_names(host) == {b.root.name}


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


MB = 10**6


@pytest.mark.parametrize(("held", "num_restarts"), [(2071, 0), (2072, 1)])
def test_a_training_begins_in_a_new_process_where_earlier_jobs_left_too_little_memory(
    host, monkeypatch, make_dataset, held, num_restarts
):
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    wide = TrainConfig(backbone="tiny", fc_layers=(2000, 2000))  # 228.03 MB: 2,071.97 are left
    converted = engine_path("tiny", resolve_image_size(wide), wide.pooling, a.cache_dir)
    converted.parent.mkdir(parents=True)
    converted.touch()
    monkeypatch.setattr(demo_limits, "family_memory", lambda: held * MB)
    began = []

    def train(context):
        began.append(len(restarts))
        end_run(context.job.run_dir, "finished")

    for _ in range(2):  # the first has this process to itself
        JobQueue(a).submit(TRAIN, {}, create_run(a.runs_dir, wide, data).run_dir)
    restarts = []
    kinds = {TRAIN: JobKind(train)}
    worker.run_worker(
        host, warm=False, idle_seconds=0.1, kinds=kinds, restart=lambda: restarts.append(1)
    )
    assert began == [0, num_restarts]
    assert JobQueue(a).jobs() == []


def test_what_needs_more_memory_than_a_job_may_have_is_not_queued(
    monkeypatch, tmp_path, make_dataset
):
    host = start_demo(monkeypatch, tmp_path / "demo", backbones="tiny", job_memory_mb=1000)
    a = new_visitor(host)
    data = make_dataset({"cat": 2, "dog": 2}, a.datasets_dir / "pets")
    wide = TrainConfig(backbone="tiny", fc_layers=(2000, 2000))  # 228 MB, of 100
    base = wide.updated(fc_layers=())
    search = SweepConfig(fc_layers=((2000, 2000), ()), dropout=(0.0,), learning_rate=(0.01,))
    for start in (
        lambda: start_training(a, wide, data),
        lambda: request_range_test(a, wide, data),
        lambda: start_sweep(a, search, base, data),
    ):
        with pytest.raises(ConfigError, match=r"100 MB are available of the 1,000 MB"):
            start()
    assert list_runs(a.runs_dir) == []
    assert not a.sweeps_dir.exists()
    # Whoever asks: those that were made before the limit was lower, and what a page left out.
    run, sweep = create_run(a.runs_dir, wide, data), create_sweep(a, search, base, data)
    for kind, payload, run_dir in (
        (TRAIN, {}, run.run_dir),
        (SWEEP, {SWEEP: sweep.id}, None),
        (FIND_LR, {"config": settings_that_matter(wide), "data_dir": "datasets/pets"}, None),
    ):
        with pytest.raises(LimitError, match=r"100 MB are available of the 1,000 MB"):
            client.submit(a, kind, payload, run_dir)
    for folder in (run.run_dir, sweep.sweep_dir):
        end_run(folder, "stopped")
    with pytest.raises(ConfigError, match="Training with these settings needs about 229 MB"):
        resume_training(a, run)
    with pytest.raises(ConfigError, match="A search with these settings needs about"):
        resume_sweep(a, sweep)
    assert run.state == sweep.state == "stopped"
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
