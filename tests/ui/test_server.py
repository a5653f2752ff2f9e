"""What the server keeps of browsers that are gone, and what it tells strangers."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator

import pytest
from streamlit import net_util
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests
from streamlit.runtime.stats import StatsManager
from streamlit.web.server.server_util import is_url_from_allowed_origins

from ui.hosted.internals import ask_for_no_address
from ui.shared import memory
from ui.shell import server


class Session:
    """As Streamlit's: its uploads go when nothing refers to it any more."""

    def __init__(self, name: str) -> None:
        self.session = self
        self.id = name


class Manager:
    """As Streamlit's of sessions, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self._session_storage = MemorySessionStorage(ttl_seconds=120)
        self._session_storage._cache._timer = lambda: self.now
        self._active_session_info_by_id: dict[str, Session] = {}


@pytest.mark.parametrize("is_spared", [False, True])
def test_sessions_whose_time_is_over_are_dropped_with_what_they_hold(
    monkeypatch, is_spared
) -> None:
    manager = Manager()
    storage = manager._session_storage
    old, young = Session("old"), Session("young")
    held = weakref.ref(old)
    storage.save(old)
    del old
    if is_spared:  # by an import while it was open
        monkeypatch.setattr(memory._Collected, "at", -math.inf)
        monkeypatch.setattr(memory._Collected, "num_modules", 0)
        memory.collect_garbage()
    manager.now = 100.0
    storage.save(young)
    known = server.drop_ended(manager, frozenset())
    assert known == {"old", "young"}
    manager.now = 130.0
    gc.collect()
    assert held() is not None  # Streamlit itself keeps it until another session comes
    assert server.drop_ended(manager, known) == {"young"}
    assert held() is None
    assert storage.get("young") is young


def test_garbage_is_collected_when_a_session_has_ended_and_only_then(monkeypatch) -> None:
    collected = []
    monkeypatch.setattr(server, "collect_ended", lambda: collected.append(1))
    manager = Manager()
    manager._active_session_info_by_id["a"] = Session("a")
    known = server.drop_ended(manager, frozenset())
    manager._session_storage.save(manager._active_session_info_by_id.pop("a"))
    manager._active_session_info_by_id["b"] = Session("b")
    known = server.drop_ended(manager, known)
    assert (known, collected) == ({"a", "b"}, [])
    del manager._active_session_info_by_id["b"]  # such as by a log-out
    known = server.drop_ended(manager, known)
    assert (known, collected) == ({"a"}, [1])
    assert server.drop_ended(manager, known) == {"a"}
    assert collected == [1]


def test_the_metrics_of_the_server_are_empty(monkeypatch) -> None:
    manager = StatsManager()

    class Provider:
        stats_families = ("sessions",)

        def get_stats(self, family_names=None):
            raise AssertionError("published")

    manager.register_provider(Provider())

    class Server:
        stats_mgr = manager

    monkeypatch.setattr(server.runtime, "exists", lambda: True)
    monkeypatch.setattr(server.runtime, "get_instance", Server)
    server.tidy_server()
    assert manager.registered_families() == []
    assert manager.get_stats() == {}


def test_a_page_of_another_site_has_no_service_asked_for_this_machines_address(monkeypatch) -> None:
    monkeypatch.setattr(net_util, "get_external_ip", net_util.get_external_ip)
    asked = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, **_: asked.append(url))
    ask_for_no_address()
    assert not is_url_from_allowed_origins("http://evil.example")
    assert asked == []


@pytest.fixture
def mended() -> Iterator[None]:
    """Streamlit's classes mended for one test."""
    server.drop_late_polls()
    yield
    for (owner, name), method in server._mended.items():
        setattr(owner, name, method)
    server._mended.clear()


def poll_of(page: str) -> RerunData:
    return RerunData(page_script_hash=page, fragment_id="bar", is_auto_rerun=True)


def test_a_poll_of_the_page_that_is_left_does_not_lead_back(mended) -> None:
    requests = ScriptRequests()
    requests.request_rerun(RerunData(page_script_hash="train", query_string="run=1"))
    assert requests.request_rerun(poll_of("data"))
    taken = requests.on_scriptrunner_ready().rerun_data
    assert (taken.page_script_hash, taken.query_string) == ("train", "run=1")
    assert requests.request_rerun(poll_of("data"))  # while the other page is drawn
    assert requests.on_scriptrunner_yield() is None
    assert requests.on_scriptrunner_ready().type.name == "STOP"


def test_a_poll_of_the_page_in_view_is_taken(mended) -> None:
    requests = ScriptRequests()
    requests.request_rerun(RerunData(page_script_hash="train"))
    requests.on_scriptrunner_ready()
    assert requests.request_rerun(poll_of("train"))
    taken = requests.on_scriptrunner_ready().rerun_data
    assert taken.fragment_id_queue == ["bar"]


def test_a_poll_of_a_page_that_was_left_starts_no_run(mended, monkeypatch) -> None:
    asked = []
    session = AppSession.__new__(AppSession)
    monkeypatch.setattr(AppSession, "__del__", lambda _: None, raising=False)
    session._client_state = ClientState(page_script_hash="train")
    session._state = None
    session._scriptrunner = None
    session.has_fragment = lambda _: True
    session._create_scriptrunner = asked.append
    state = ClientState(page_script_hash="data", fragment_id="bar", is_auto_rerun=True)
    session.request_rerun(state)
    assert asked == []
    state.page_script_hash = "train"
    session.request_rerun(state)
    assert [one.page_script_hash for one in asked] == ["train"]
