"""Counting costs no wait for the disk: strangers can cause many, within the loop of the server."""

import json
import threading
import time

import pytest
from made_service import wait_until

from tl_core.visitors import counters
from tl_core.visitors.counters import count, read_counters, write_counters
from tl_core.workspace import Workspace


@pytest.fixture
def host(tmp_path):
    write_counters()
    return Workspace(tmp_path / "demo")


@pytest.fixture
def writers(monkeypatch):
    """Return the names of the threads that write, one for each time."""
    names, write_json = [], counters.write_json

    def note(path, content):
        names.append(threading.current_thread().name)
        write_json(path, content)

    monkeypatch.setattr(counters, "write_json", note)
    return names


def today():
    return time.strftime("%Y-%m-%d", time.gmtime())


def test_many_counts_are_one_write_by_another_thread(host, writers, monkeypatch):
    timers = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: timers.append(timer))
    for _ in range(1_000):
        count(host, "limits_reached")
    count(host, "visitors", 2)
    assert writers == []
    assert not host.root.exists()
    (timer,) = timers
    assert timer.interval == counters.WRITE_SECONDS
    timer.function()
    assert json.loads((host.root / "counters.json").read_text()) == {
        today(): {"limits_reached": 1_000, "visitors": 2}
    }
    assert len(writers) == 1
    count(host, "visitors")  # and the next one is written as well
    assert len(timers) == 2


def test_they_are_written_without_being_asked_for(host, writers, monkeypatch):
    monkeypatch.setattr(counters, "WRITE_SECONDS", 0.01)
    count(host, "visitors")
    wait_until((host.root / "counters.json").exists)
    assert writers != [threading.current_thread().name]


def test_reading_has_what_is_not_written_yet_and_what_others_wrote(host):
    host.root.mkdir()
    stored = {"2026-08-01": {"visitors": 12}, today(): {"visitors": 1}}
    (host.root / "counters.json").write_text(json.dumps(stored))
    count(host, "visitors")
    assert read_counters(host) == {"2026-08-01": {"visitors": 12}, today(): {"visitors": 2}}


def test_what_cannot_be_written_ends_nothing(host):
    host.root.write_text("no folder")
    count(host, "visitors")
    write_counters()
    assert read_counters(host) == {}
