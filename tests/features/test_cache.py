"""The feature cache: float32 vectors come back as stored, below a limit that can be set."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.features.cache import DEFAULT_MAX_BYTES, FeatureCache, open_feature_cache


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache" / "features.sqlite")


def test_vectors_come_back_as_stored_and_only_those_asked_for(cache: FeatureCache) -> None:
    stored = {"a": np.array([0.1, -2.5, np.pi], np.float32), "b": np.zeros(3, np.float32)}
    cache.put_many("space", stored)
    found = cache.get_many("space", ["a", "missing"])
    assert list(found) == ["a"]
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], stored["a"])


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


def test_six_thousand_rows_come_back_by_a_few_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def connect_traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_traced)
    keys = [f"{key:064x}" for key in range(6000)]
    data = np.random.default_rng(0).normal(size=(6000, 8)).astype(np.float32)
    with FeatureCache(tmp_path / "features.sqlite") as cache:
        cache.put_many("space", dict(zip(keys, data, strict=True)))
        statements.clear()
        found = cache.get_many("space", keys)
    assert 1 <= len(statements) <= 6000 / 100
    np.testing.assert_array_equal([found[key] for key in keys], data)


def test_features_of_a_visitor_take_a_third_of_what_a_visitor_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=3)
    mine = new_visitor(host)
    with open_feature_cache(mine.cache_dir) as cache:
        for number in range(40):  # of 0.1 MB each
            cache.put_many("space", {str(number): np.full(25_000, number, np.float32)})
        assert 600_000 < cache.size_bytes <= 1_000_000
        assert "39" in cache.known_keys("space", ["0", "39"])
        assert "0" not in cache.known_keys("space", ["0", "39"])
    assert sum(path.stat().st_size for path in mine.cache_dir.iterdir()) < 1_500_000
    with open_feature_cache(host.cache_dir) as cache:
        assert cache.max_bytes == DEFAULT_MAX_BYTES
