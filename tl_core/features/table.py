"""A table of requested features, filled from the cache and by computing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from tl_core.errors import ConfigError
from tl_core.features.cache import FeatureCache
from tl_core.features.hardware import available_bytes
from tl_core.features.spec import FeatureSpec
from tl_core.files import size_text

_FIRST_READ, _MOST_A_READ = 16, 512  # keys
_BYTES_A_READ = 2**24  # once it is known how long a row is
_ROWS_A_WRITE = 64
_WRITE_SECONDS = 2.0


class FeatureTable:
    """The requested rows, filled from the cache and the pipeline; computed rows are saved."""

    def __init__(
        self, cache: FeatureCache, keys: Sequence[str], spec: FeatureSpec, views: int
    ) -> None:
        self._cache = cache
        self._num_rows = len(keys)
        self._views = views
        self._spaces = [spec.space(view) for view in range(views)]
        self._rows_of: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            self._rows_of.setdefault(key, []).append(row)
        self._values: np.ndarray | None = None
        self._unsaved: dict[str, dict[str, np.ndarray]] = {}
        self._num_unsaved = 0
        self._saved = time.monotonic()

    @property
    def values(self) -> np.ndarray:
        """The features (views, rows, dim) float32."""
        if self._values is None:
            return np.empty((self._views, 0, 0), np.float32)
        return self._values

    def read(self) -> dict[str, tuple[int, ...]]:
        """Fill in cached rows; return the missing views by key."""
        keys = list(self._rows_of)
        missing: dict[str, tuple[int, ...]] = {}
        for view, space in enumerate(self._spaces):
            start = 0
            while start < len(keys):
                chunk = keys[start : start + self._num_a_read]
                start += len(chunk)
                found = self._cache.get_many(space, chunk)
                for key in chunk:
                    if key in found:
                        self._fill(key, view, found[key])
                    else:
                        missing[key] = (*missing.get(key, ()), view)
        return missing

    @property
    def _num_a_read(self) -> int:
        """How many rows are read at once, beside the table: those of a feature map are long."""
        if self._values is None:
            return _FIRST_READ
        return min(_MOST_A_READ, max(1, _BYTES_A_READ // (4 * self._values.shape[2])))

    def add(self, key: str, views: Sequence[int], features: np.ndarray) -> None:
        """Add the features (views, dim) of one key."""
        for view, vector in zip(views, features, strict=True):
            self._fill(key, view, vector)
            self._unsaved.setdefault(self._spaces[view], {})[key] = vector
            self._num_unsaved += 1
        if self._num_unsaved >= _ROWS_A_WRITE or time.monotonic() - self._saved >= _WRITE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the rows that are not in the cache yet."""
        for space, vectors in self._unsaved.items():
            self._cache.put_many(space, vectors)
        self._unsaved.clear()
        self._num_unsaved = 0
        self._saved = time.monotonic()

    def _fill(self, key: str, view: int, vector: np.ndarray) -> None:
        if self._values is None:
            shape = (self._views, self._num_rows, len(vector))
            _check_memory(shape)
            self._values = np.empty(shape, np.float32)
        for row in self._rows_of[key]:
            self._values[view, row] = vector


def _check_memory(shape: tuple[int, int, int]) -> None:
    num_bytes = 4 * shape[0] * shape[1] * shape[2]
    available = available_bytes()
    if num_bytes > available:
        raise ConfigError(
            f"The features of {shape[1]} images in {shape[0]} views, {shape[2]} numbers each, take "
            f"{size_text(num_bytes)}; {size_text(available)} of memory are free. "
            "Choose pooling 'avg', fewer views or a smaller image size."
        )
