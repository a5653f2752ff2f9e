"""How long a search for a head takes, from nothing to the last of its heads.

    python -m benchmarks.sweep FOLDER [--heads 30] [--folds 3] [--warm]

Prints the seconds that were estimated before it began, those of each stage and of the whole, then
the head that the search suggests and what it is worth on the test part, beside the default head.
The folder is scanned before, as a page does; ``--warm`` begins with the features there as well.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tl_core.config.search import SweepConfig, draw_trials
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.progress import Monitor, Progress
from tl_core.search.estimate import estimate_seconds
from tl_core.search.run import run_sweep
from tl_core.search.store import Sweep, create_sweep
from tl_core.training.trainer import train
from tl_core.workspace import Workspace


class _Stages:
    """Adds up the seconds of each stage by what is reported."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "start", time.perf_counter()

    def take(self, progress: Progress) -> None:
        """Note the stage of a report."""
        if progress.stage != self._stage:
            self.end()
            self._stage = progress.stage

    def end(self) -> None:
        """Count what the stage under way took so far."""
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._since = now


def measure(place: Workspace, data_dir: Path, config: SweepConfig) -> tuple[Sweep, dict[str, Any]]:
    """Search once and return the search with its seconds, estimated and measured."""
    index = scan_dataset(data_dir, cache_dir=place.cache_dir)
    sweep = create_sweep(place, config, TrainConfig(), data_dir)
    trials = draw_trials(config, sweep.base)
    estimate = estimate_seconds(trials, config.folds, index, place.cache_dir)
    stages = _Stages()
    started = time.perf_counter()
    run_sweep(sweep, monitor=Monitor(stages.take, report_seconds=0))
    total = time.perf_counter() - started
    stages.end()
    return sweep, {
        "estimated_seconds": estimate,
        "total_seconds": total,
        "seconds": stages.seconds,
    }


def accuracy_of_run(place: Workspace, data_dir: Path, config: TrainConfig, name: str) -> float:
    """Return what a run of this config reaches on the test part."""
    index = scan_dataset(data_dir, cache_dir=place.cache_dir)
    run = train(config, index, place.runs_dir / name, cache_dir=place.cache_dir)
    return float(run.metrics["test_accuracy"])


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--heads", type=int, default=30)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--warm", action="store_true")
    options = parser.parse_args()
    config = SweepConfig(num_trials=options.heads, folds=options.folds)
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder))
        if options.warm:
            measure(place, options.data_dir, config.updated(num_trials=1, fc_layers=((),)))
        sweep, row = measure(place, options.data_dir, config)
        ranking = sweep.ranking()
        best = ranking.best
        row |= {
            "data_dir": options.data_dir.name,
            "num_images": sweep.num_images,
            "num_heads": len(ranking.trials),
            "folds": options.folds,
        }
        if best is not None:
            chosen = next(one for one in ranking.trials if one.number == ranking.suggested)
            row |= {
                "best_val_accuracy": best.val_accuracy,
                "standard_error": ranking.standard_error,
                "num_ties": len(ranking.tied),
                "suggested": chosen.settings,
                "suggested_val_accuracy": chosen.val_accuracy,
                "test_accuracy": {
                    "default": accuracy_of_run(place, options.data_dir, sweep.base, "default"),
                    "suggested": accuracy_of_run(
                        place, options.data_dir, chosen.config(sweep.base), "suggested"
                    ),
                    "best": accuracy_of_run(
                        place, options.data_dir, best.config(sweep.base), "best"
                    ),
                },
            }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
