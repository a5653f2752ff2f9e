"""The feature cache: what comes back, what is dropped, and what no fault may break."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tl_core.features import cache as cache_module
from tl_core.features.cache import FeatureCache, open_feature_cache

PROJECT_DIR = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[FeatureCache]:
    with FeatureCache(tmp_path / "cache" / "features.sqlite") as opened:
        yield opened


def vectors_of(keys: range, dim: int = 8) -> dict[str, np.ndarray]:
    return {f"key{key}": np.full(dim, key, np.float32) for key in keys}


def test_vectors_come_back_as_stored_and_only_those_asked_for(cache: FeatureCache) -> None:
    stored = {"a": np.array([0.1, -2.5, np.pi], np.float32), "b": np.zeros(3, np.float32)}
    cache.put_many("space", stored)
    found = cache.get_many("space", ["a", "missing"])
    assert list(found) == ["a"]
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], stored["a"])


def test_a_space_does_not_see_another_spaces_vectors(cache: FeatureCache) -> None:
    cache.put_many("one", {"a": np.ones(2, np.float32)})
    assert cache.get_many("two", ["a"]) == {}


def test_a_key_stored_again_takes_the_new_vector_and_stays_one_row(cache: FeatureCache) -> None:
    cache.put_many("space", {"a": np.zeros(2, np.float32)})
    cache.put_many("space", {"a": np.ones(4, np.float32)})
    assert cache.num_rows == 1
    np.testing.assert_array_equal(cache.get_many("space", ["a"])["a"], np.ones(4))


def test_vectors_outlive_the_process_that_stored_them(tmp_path: Path) -> None:
    with open_feature_cache(tmp_path) as first:
        first.put_many("space", vectors_of(range(3)))
    with open_feature_cache(tmp_path) as second:
        assert second.num_rows == 3


def test_clear_drops_everything_and_gives_the_disk_back(cache: FeatureCache) -> None:
    cache.put_many("space", vectors_of(range(200), dim=4096))
    assert cache.size_bytes > 200 * 4096 * 4
    cache.clear()
    assert (cache.num_rows, cache.size_bytes) == (0, 0)
    assert cache.path.stat().st_size < 200_000
    cache.put_many("space", vectors_of(range(1)))
    assert cache.num_rows == 1


def test_past_the_limit_the_vectors_not_used_for_longest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    limit = 2_000_000
    with FeatureCache(tmp_path / "features.sqlite", max_bytes=limit) as cache:
        for step, keys in enumerate((range(100), range(100, 200))):  # 1.6 MB
            monkeypatch.setattr(cache_module.time, "time", lambda step=step: now + step)
            cache.put_many("space", vectors_of(keys, dim=2048))
        monkeypatch.setattr(cache_module.time, "time", lambda: now + 7200)
        kept_warm = [f"key{key}" for key in range(50)]
        assert len(cache.get_many("space", kept_warm)) == 50
        cache.put_many("space", vectors_of(range(200, 270), dim=2048))

        assert cache.size_bytes <= limit
        assert len(cache.get_many("space", kept_warm)) == 50
        assert len(cache.get_many("space", [f"key{key}" for key in range(200, 270)])) == 70
        assert len(cache.get_many("space", [f"key{key}" for key in range(50, 100)])) < 25


def test_the_limit_is_four_gibibytes_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TL_CACHE_GIB", raising=False)
    assert open_feature_cache(tmp_path).max_bytes == 4 * 2**30
    monkeypatch.setenv("TL_CACHE_GIB", "0.5")
    assert open_feature_cache(tmp_path).max_bytes == 2**29
    for no_limit in ("much", "inf", "nan", "-1"):
        monkeypatch.setenv("TL_CACHE_GIB", no_limit)
        assert open_feature_cache(tmp_path).max_bytes == 4 * 2**30


def _random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def _foreign_schema(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def _damaged_pages(path: Path) -> None:
    with FeatureCache(path) as cache:
        cache.put_many("space", vectors_of(range(300), dim=1024))
    content = bytearray(path.read_bytes())
    content[16384:] = os.urandom(len(content) - 16384)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_random_bytes, _foreign_schema, _damaged_pages])
def test_a_file_that_is_no_sound_cache_is_set_aside_and_replaced(tmp_path: Path, damage) -> None:
    path = tmp_path / "features.sqlite"
    damage(path)
    size = path.stat().st_size
    with FeatureCache(path) as cache:
        assert cache.get_many("space", ["key1"]) == {}
        cache.put_many("space", vectors_of(range(2)))
        assert cache.num_rows == 2
    assert path.with_name("features.sqlite.damaged").stat().st_size >= size > 0


def test_a_file_deleted_under_an_open_cache_is_begun_anew(cache: FeatureCache) -> None:
    cache.put_many("space", vectors_of(range(2)))
    for path in cache.path.parent.iterdir():
        path.unlink()
    assert cache.get_many("space", ["key1"]) == {}
    cache.put_many("space", vectors_of(range(1)))
    with FeatureCache(cache.path) as other:
        assert other.num_rows == 1


def test_a_cache_that_cannot_be_written_is_a_warning_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = FeatureCache(tmp_path / "file" / "features.sqlite")
    cache.put_many("space", vectors_of(range(1)))
    assert cache.get_many("space", ["key0"]) == {}
    assert "feature cache" in caplog.text


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from tl_core.features.cache import FeatureCache
first = int(sys.argv[2])
with FeatureCache(Path(sys.argv[1])) as cache:
    for start in range(first, first + 400, 8):
        rows = {f"key{k}": np.full(1280, k, np.float32) for k in range(start, start + 8)}
        cache.put_many("space", rows)
        cache.get_many("space", list(rows))
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
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == ["", "", ""]
    with FeatureCache(path) as cache:
        found = cache.get_many("space", [f"key{key}" for key in range(800)])
    assert len(found) == 800
    assert all(found[f"key{key}"][0] == key for key in range(800))


def test_six_thousand_rows_are_read_fast(cache: FeatureCache) -> None:
    keys = [f"{key:064x}" for key in range(6000)]
    data = np.random.default_rng(0).normal(size=(6000, 1280)).astype(np.float32)
    cache.put_many("space", dict(zip(keys, data, strict=True)))
    started = time.process_time()
    found = cache.get_many("space", keys)
    assert time.process_time() - started < 0.3
    np.testing.assert_array_equal(found[keys[-1]], data[-1])
