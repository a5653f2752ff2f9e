"""The SQLite cache: what comes back, what is dropped, and what no fault may break."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tl_core import sqlite_cache
from tl_core.sqlite_cache import SqliteCache

PROJECT_DIR = Path(__file__).resolve().parents[1]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SqliteCache]:
    with opened(tmp_path / "cache" / "features.sqlite") as one:
        yield one


def opened(path: Path, max_bytes: int = 2**30) -> SqliteCache:
    return SqliteCache(path, max_bytes)


def entries_of(keys: range, size: int = 32) -> dict[str, bytes]:
    return {f"key{key}": bytes([key % 256]) * size for key in keys}


def test_a_space_does_not_see_another_spaces_vectors(cache: SqliteCache) -> None:
    cache.write_many("one", {"a": b"11"})
    assert cache.read_many("two", ["a"]) == {}


def test_entries_and_whole_namespaces_are_deleted(cache: SqliteCache) -> None:
    cache.write_many("one", entries_of(range(3)))
    cache.write_many(b"two\xff", entries_of(range(2)))
    cache.delete_many("one", ["key0", "missing"])
    assert cache.read_many("one").keys() == {"key1", "key2"}
    assert set(cache.spaces()) == {"one", b"two\xff"}
    cache.delete_many("one")
    assert cache.spaces() == [b"two\xff"]
    assert cache.read_many(b"two\xff") == entries_of(range(2))


def test_a_read_only_file_is_read_though_its_entries_are_old(
    cache: SqliteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_many("space", entries_of(range(2)))
    monkeypatch.setattr(sqlite_cache.time, "time", lambda: 4e9)
    cache._open(cache.path).execute("PRAGMA query_only = 1")
    assert cache.read_many("space", ["key1"]) == entries_of(range(1, 2))


def test_without_a_path_nothing_is_kept() -> None:
    cache = SqliteCache(None, 100)
    cache.write_many("space", entries_of(range(2)))
    assert (cache.read_many("space"), cache.num_rows) == ({}, 0)


def test_a_key_stored_again_takes_the_new_vector_and_stays_one_row(cache: SqliteCache) -> None:
    cache.write_many("space", {"a": b"00"})
    cache.write_many("space", {"a": b"1111"})
    assert cache.num_rows == 1
    assert cache.read_many("space", ["a"]) == {"a": b"1111"}


def test_vectors_outlive_the_process_that_stored_them(tmp_path: Path) -> None:
    with opened(tmp_path / "features.sqlite") as first:
        first.write_many("space", entries_of(range(3)))
    with opened(tmp_path / "features.sqlite") as second:
        assert second.num_rows == 3


def test_clear_drops_everything_and_gives_the_disk_back(cache: SqliteCache) -> None:
    cache.write_many("space", entries_of(range(200), size=16384))
    assert cache.size_bytes > 200 * 4096 * 4
    cache.clear()
    assert (cache.num_rows, cache.size_bytes) == (0, 0)
    assert cache.path.stat().st_size < 200_000
    cache.write_many("space", entries_of(range(1)))
    assert cache.num_rows == 1


def test_past_the_limit_the_vectors_not_used_for_longest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    limit = 2_000_000
    with opened(tmp_path / "features.sqlite", max_bytes=limit) as cache:
        for step, keys in enumerate((range(100), range(100, 200))):  # 1.6 MB
            monkeypatch.setattr(sqlite_cache.time, "time", lambda step=step: now + step)
            cache.write_many("space", entries_of(keys, size=8192))
        monkeypatch.setattr(sqlite_cache.time, "time", lambda: now + 7200)
        kept_warm = [f"key{key}" for key in range(50)]
        assert len(cache.read_many("space", kept_warm)) == 50
        cache.write_many("space", entries_of(range(200, 270), size=8192))

        assert cache.size_bytes <= limit
        assert len(cache.read_many("space", kept_warm)) == 50
        assert len(cache.read_many("space", [f"key{key}" for key in range(200, 270)])) == 70
        assert len(cache.read_many("space", [f"key{key}" for key in range(50, 100)])) < 25


def _random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def _foreign_schema(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def _damaged_pages(path: Path) -> None:
    with opened(path) as cache:
        cache.write_many("space", entries_of(range(300), size=4096))
    content = bytearray(path.read_bytes())
    content[16384:] = os.urandom(len(content) - 16384)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_random_bytes, _foreign_schema, _damaged_pages])
def test_a_file_that_is_no_sound_cache_is_set_aside_and_replaced(tmp_path: Path, damage) -> None:
    path = tmp_path / "features.sqlite"
    damage(path)
    size = path.stat().st_size
    with opened(path) as cache:
        assert cache.read_many("space", ["key1"]) == {}
        cache.write_many("space", entries_of(range(2)))
        assert cache.num_rows == 2
    assert path.with_name("features.sqlite.damaged").stat().st_size >= size > 0


def test_a_file_deleted_under_an_open_cache_is_begun_anew(cache: SqliteCache) -> None:
    cache.write_many("space", entries_of(range(2)))
    for path in cache.path.parent.iterdir():
        path.unlink()
    assert cache.read_many("space", ["key1"]) == {}
    cache.write_many("space", entries_of(range(1)))
    with opened(cache.path) as other:
        assert other.num_rows == 1


def test_a_cache_that_cannot_be_written_is_a_warning_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = opened(tmp_path / "file" / "features.sqlite")
    cache.write_many("space", entries_of(range(1)))
    assert cache.read_many("space", ["key0"]) == {}
    assert "was not written" in caplog.text


_WRITER = """
import sys
from pathlib import Path
from tl_core.sqlite_cache import SqliteCache
first = int(sys.argv[2])
with SqliteCache(Path(sys.argv[1]), 2**30) as cache:
    for start in range(first, first + 400, 8):
        rows = {f"key{k}": bytes([k % 256]) * 5000 for k in range(start, start + 8)}
        cache.write_many("space", rows)
        cache.read_many("space", list(rows))
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(first)],
            cwd=PROJECT_DIR,
            stderr=subprocess.PIPE,
            text=True,
        )
        for first in (0, 200, 400)  # overlapping keys
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert errors == ["", "", ""]
    with opened(path) as cache:
        found = cache.read_many("space", [f"key{key}" for key in range(800)])
    assert len(found) == 800
    assert all(found[f"key{key}"][0] == key % 256 for key in range(800))
