"""Cached learning-rate tests, one small file per settings and dataset content."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.files import keep_newest, read_json, write_json
from tl_core.search.lr_finder import LearningRateTest

_VERSION = 2
"""Incremented when the test gives another rate for the same settings, to discard cached ones."""

_NUM_KEPT = 50
_CURVES = ("learning_rates", "losses", "smoothed")
_WITHOUT_EFFECT = {
    "learning_rate",
    "epochs",
    "early_stopping",
    "cutmix",
    "mixed_precision",
    "tensorboard",
}


def settings_that_matter(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that influence the result of the test."""
    values = config.model_dump(mode="json")
    return {
        name: value
        for name, value in values.items()
        if name not in _WITHOUT_EFFECT and not name.startswith("fine_tune_")
    }


class RangeFile:
    """The saved test of one set of settings on one dataset."""

    def __init__(self, cache_dir: Path, index: DatasetIndex, config: TrainConfig) -> None:
        wanted = [_VERSION, index.fingerprint, settings_that_matter(config)]
        digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        self._path = cache_dir / "learning_rates" / f"{digest[:24]}.json"

    def write(self, test: LearningRateTest) -> None:
        """Keep a test."""
        values = vars(test) | {name: getattr(test, name).tolist() for name in _CURVES}
        write_json(self._path, values)
        keep_newest(self._path.parent, "*.json", _NUM_KEPT)

    def write_failure(self, message: str) -> None:
        """Save why the test failed."""
        write_json(self._path, {"failure": message})

    def read(self) -> LearningRateTest | None:
        """Return the saved test, or None."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = read_json(self._path)
            return LearningRateTest(
                **{name: np.array(stored[name]) for name in _CURVES},
                suggestion=stored["suggestion"],
                reason=str(stored["reason"]),
            )
        return None

    def read_failure(self) -> str | None:
        """Return why the test failed, or None."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(read_json(self._path)["failure"])
        return None

    def forget(self) -> None:
        """Discard the result, so that the test runs again."""
        self._path.unlink(missing_ok=True)
