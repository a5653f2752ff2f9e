"""The store of what was measured: shared, bounded, and never a reason for an audit to fail."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

from tl_core.data.audit import image_stats_cache
from tl_core.data.audit.image_stats_cache import StatsStore


def put(cache_dir, entries, max_rows=100):
    with closing(StatsStore(cache_dir, max_rows)) as store:
        store.put_many(entries)


def get(cache_dir, *keys):
    with closing(StatsStore(cache_dir)) as store:
        return store.get_many(keys)


def test_entries_come_back_as_they_were_put(tmp_path):
    put(tmp_path, {"a": b"one", "b": b"two"})
    put(tmp_path, {"b": b"three"})

    assert get(tmp_path, "a", "b", "c") == {"a": b"one", "b": b"three"}


def test_many_keys_are_asked_for_at_once(tmp_path):
    entries = {f"{number}": b"x" for number in range(1234)}
    put(tmp_path, entries, max_rows=5000)

    assert get(tmp_path, *entries) == entries


def test_what_was_not_used_for_longest_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(image_stats_cache, "_today", lambda: 1)
    put(tmp_path, {"a": b"", "b": b"", "c": b""})
    monkeypatch.setattr(image_stats_cache, "_today", lambda: 2)
    assert set(get(tmp_path, "a")) == {"a"}
    put(tmp_path, {"d": b"", "e": b""}, max_rows=3)

    assert set(get(tmp_path, *"abcde")) == {"a", "d", "e"}


def test_a_file_that_is_no_database_is_begun_anew(tmp_path):
    (tmp_path / "stats.sqlite").write_bytes(b"no database at all" * 100)
    put(tmp_path, {"a": b"one"})

    assert get(tmp_path, "a") == {"a": b"one"}


def test_entries_measured_otherwise_are_dropped(tmp_path):
    put(tmp_path, {"a": b"one"})
    with closing(sqlite3.connect(tmp_path / "stats.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 999")

    assert get(tmp_path, "a") == {}


def test_a_store_that_cannot_be_written_costs_nothing_but_time(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where a folder should be")
    put(tmp_path / "cache", {"a": b"one"})

    assert get(tmp_path / "cache", "a") == {}
    assert "without the store" in caplog.text


def test_a_table_that_breaks_meanwhile_is_given_up(tmp_path, caplog):
    store = StatsStore(tmp_path)
    with closing(sqlite3.connect(tmp_path / "stats.sqlite")) as connection:
        connection.execute("DROP TABLE stats")
    store.put_many({"a": b"one"})

    assert store.get_many(["a"]) == {}
    assert "on without the store" in caplog.text


def test_two_writers_do_not_lose_entries(tmp_path):
    def write(name: str) -> None:
        for number in range(20):
            put(tmp_path, {f"{name}{number}": b"x"})

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(get(tmp_path, *(f"{name}{number}" for name in "ab" for number in range(20)))) == 40
