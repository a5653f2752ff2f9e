"""The feature cache: one SQLite file with features keyed by image content."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tl_core.config.limits import current_limits
from tl_core.sqlite_cache import SqliteCache
from tl_core.workspace import shared_cache_dir

LIMIT_ENVIRONMENT_NAME = "TL_CACHE_GIB"
DEFAULT_MAX_BYTES = 4 * 2**30
FILE_NAME = "features.sqlite"


class FeatureCache(SqliteCache):
    """Float32 vectors by namespace and key, as :class:`~tl_core.sqlite_cache.SqliteCache`.

    What is not found is looked up in ``shared``, which is only read.
    """

    def __init__(
        self, path: Path, max_bytes: int | None = None, shared: FeatureCache | None = None
    ) -> None:
        super().__init__(path, _limit() if max_bytes is None else max_bytes)
        self._shared = shared

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        super().close()
        if self._shared is not None:
            self._shared.close()

    def get_many(self, space: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the stored vectors by key, each (dim,) float32 and read-only."""
        found = self.read_many(space, keys)
        if self._shared is not None and (missing := [key for key in keys if key not in found]):
            found |= self._shared.read_many(space, missing)
        return {key: np.frombuffer(data, "<f4") for key, data in found.items()}

    def known_keys(self, space: str | bytes, keys: Collection[str]) -> set[str]:
        """Return those of the keys that have a vector in a namespace, here or in ``shared``."""
        found = super().known_keys(space, keys)
        return found if self._shared is None else found | self._shared.known_keys(space, keys)

    def put_many(self, space: str, vectors: Mapping[str, np.ndarray]) -> None:
        """Store vectors in one transaction, replacing existing ones."""
        self.write_many(
            space,
            {key: np.ascontiguousarray(one, "<f4").tobytes() for key, one in vectors.items()},
        )


def open_feature_cache(cache_dir: Path) -> FeatureCache:
    """Return the feature cache in ``cache_dir``.

    That of a demo's visitor also finds the features of the sample set, which all visitors share.
    It takes at most a third of what a visitor may use, as only photos and runs can be deleted.
    """
    path, shared_dir = cache_dir / FILE_NAME, shared_cache_dir(cache_dir)
    if shared_dir == cache_dir:
        return FeatureCache(path)
    max_bytes, limits = _limit(), current_limits()
    if limits is not None:
        max_bytes = min(max_bytes, limits.cache_bytes)
    return FeatureCache(path, max_bytes, FeatureCache(shared_dir / FILE_NAME))


def _limit() -> int:
    """Return the size limit in bytes: ``TL_CACHE_GIB`` if it is a number, else the default."""
    with suppress(ValueError, OverflowError):  # the latter for "inf"
        gibibytes = float(os.environ.get(LIMIT_ENVIRONMENT_NAME, ""))
        if gibibytes > 0:
            return int(gibibytes * 2**30)
    return DEFAULT_MAX_BYTES
