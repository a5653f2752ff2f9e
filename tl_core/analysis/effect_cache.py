"""Cached measurements of augmentation effects, one file per setting.

The files are stored with the other feature-based results of a dataset, named by augmentation, seed
and run. They can be computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tl_core.analysis.augment_effect import TransformEffect
from tl_core.analysis.cache import ExploreFiles
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import TLError
from tl_core.features.spec import FeatureSpec
from tl_core.files import keep_newest, read_json, write_json
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.run import Run
from tl_core.runs.store import list_runs

KIND = "augment_effect"
_VERSION = 1  # incremented when the same settings would give other results
_PREFIX = "effect_"
_NUM_KEPT = 40


@dataclass(frozen=True)
class EffectRecord:
    """Measured effects, the augmentation measured, and the run that classified the photos.

    ``run_id`` is None if photos were assigned to the class with the nearest mean feature.
    """

    augment: AugmentConfig
    effects: tuple[TransformEffect, ...]
    run_id: str | None


class EffectFiles:
    """The measurements of one dataset with one backbone and preprocessing.

    Raises:
        ConfigError, WeightsError: no features can be computed with these settings.
    """

    def __init__(self, cache_dir: Path, index: DatasetIndex, config: TrainConfig) -> None:
        self._config = config
        self.explore = ExploreFiles(cache_dir, index, FeatureSpec.from_config(config))

    def write(self, record: EffectRecord, run: Run | None) -> None:
        """Save the effects measured for the settings' augmentation and seed, and a run."""
        values = {
            "augment": record.augment.model_dump(mode="json"),
            "effects": [asdict(effect) for effect in record.effects],
            "run": record.run_id,
        }
        write_json(self._path(run), values)
        keep_newest(self.explore.dir, f"{_PREFIX}*.json", _NUM_KEPT)

    def read(self, run: Run | None) -> EffectRecord | None:
        """Return the effects measured for exactly these settings and this run, or None."""
        return _read(self._path(run))

    def read_latest(self) -> EffectRecord | None:
        """Return the latest measurement, with any augmentation and run, or None."""
        records = (_read(path) for path in self._newest_first())
        return next((record for record in records if record is not None), None)

    def _path(self, run: Run | None) -> Path:
        identity = {
            "version": _VERSION,
            "augment": self._config.augment.model_dump(mode="json", exclude_defaults=True),
            "seed": self._config.seed,
            "run": None if run is None else [run.id, *_stamp_of(run)],
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return self.explore.dir / f"{_PREFIX}{digest}.json"

    def _newest_first(self) -> Iterator[Path]:
        with suppress(OSError):
            paths = self.explore.dir.glob(f"{_PREFIX}*.json")
            yield from sorted(paths, key=lambda path: -path.stat().st_mtime_ns)


def newest_run(runs_dir: Path, config: TrainConfig, index: DatasetIndex) -> Run | None:
    """Return the newest trained run with these classes and the same preprocessing.

    Backbone, image size, resize and pooling have to match; a run may have fine-tuned that backbone.
    Runs still in training are ignored, since their weights change.
    """
    wanted = _pixels(config)
    for run in list_runs(runs_dir):
        with suppress(TLError, OSError):
            if (
                _pixels(run.config) == wanted
                and run.is_loadable
                and not run.is_active
                and run.class_names == index.class_names
            ):
                return run
    return None


def _pixels(config: TrainConfig) -> FeatureSpec:
    return replace(FeatureSpec.from_config(config), augment=AugmentConfig(), seed=0)


def _stamp_of(run: Run) -> tuple[int, ...]:
    """Return a value that changes with a run's weights, for example when training is resumed."""
    with suppress(OSError):
        facts = (run.run_dir / WEIGHTS_FILE).stat()
        return facts.st_mtime_ns, facts.st_size
    return ()


def _read(path: Path) -> EffectRecord | None:
    try:
        stored = read_json(path)
        return EffectRecord(
            AugmentConfig.create(stored["augment"]),
            tuple(TransformEffect(**effect) for effect in stored["effects"]),
            stored["run"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
