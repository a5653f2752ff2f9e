import os
import subprocess
import sys
import threading

import pytest

from tl_core.jobs import worker
from tl_core.jobs.handlers import JobKind
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.worker_client import worker_state
from tl_core.processes import run_at_low_priority

linux = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux'")


def own_priority():
    return os.getpriority(os.PRIO_PROCESS, 0)


@linux
def test_background_work_and_the_threads_it_starts_are_of_low_priority():
    before, found = own_priority(), []

    def work():
        found.append(own_priority())
        lane = threading.Thread(target=lambda: found.append(own_priority()))
        lane.start()
        lane.join()

    run_at_low_priority(work)
    assert found == [10, 10]
    assert own_priority() == before  # nothing of it stays


@linux
def test_background_work_is_done_where_the_system_refuses(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    done = []
    run_at_low_priority(lambda: done.append(True))
    assert done == [True]


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_what_background_work_raises_arrives(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(ZeroDivisionError):
        run_at_low_priority(lambda: 1 // 0)


@linux
@pytest.mark.parametrize(
    ("warm", "gives_way", "expected"),
    [(True, True, 10), (True, False, 0), (False, True, 0)],
    ids=["warm, gives way", "warm, urgent", "cold, gives way"],
)
def test_a_warm_worker_does_what_gives_way_at_low_priority(
    workspace, monkeypatch, warm, gives_way, expected
):
    found = []

    def look(context):
        if warm and not worker_state(workspace).warm:
            JobQueue(workspace).submit("look", {})  # again, when it is
        else:
            found.append(own_priority() - before)

    before = own_priority()
    monkeypatch.setattr(worker, "warm_up", lambda _: None)
    JobQueue(workspace).submit("look", {})
    kinds = {"look": JobKind(look, gives_way=gives_way)}
    worker.run_worker(workspace, warm=warm, idle_seconds=0.1, kinds=kinds)
    assert found == [max(before, expected) - before]


TELL = """
import os
from tl_core.jobs import __main__ as worker

def tell(*_, **more):
    print(os.getpriority(os.PRIO_PROCESS, 0))

worker.run_worker = tell
worker.main()  # as of a worker that replaces itself, the second time
worker.main()
"""


@linux
@pytest.mark.parametrize(("mode", "expected"), [("studio", 0), ("demo", 10)])
def test_in_a_demo_the_worker_is_of_low_priority(tmp_path, mode, expected):
    """Trainings made the pages of all visitors slow; in a studio who trains waits for that."""
    run, environment = [sys.executable, "-c", TELL, str(tmp_path)], {**os.environ, "TL_MODE": mode}
    ended = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    assert [int(line) for line in ended.stdout.split()] == 2 * [max(own_priority(), expected)]
