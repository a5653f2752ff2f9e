"""What the server keeps of browsers that are gone, and what it tells strangers."""

from __future__ import annotations

import gc
import weakref

from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.stats import StatsManager

from ui.shell import server


class Session:
    """As Streamlit's: its uploads go when nothing refers to it any more."""

    def __init__(self, name: str) -> None:
        self.session = self
        self.id = name


def test_sessions_whose_time_is_over_are_dropped_with_what_they_hold() -> None:
    now = [0.0]
    storage = MemorySessionStorage(ttl_seconds=120)
    storage._cache._timer = lambda: now[0]
    old, young = Session("old"), Session("young")
    held = weakref.ref(old)
    storage.save(old)
    del old
    now[0] = 100.0
    storage.save(young)
    assert server.drop_expired(storage) == 0
    now[0] = 130.0
    gc.collect()
    assert held() is not None  # Streamlit itself keeps it until another session comes
    assert server.drop_expired(storage) == 1
    assert held() is None
    assert storage.get("young") is young


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
