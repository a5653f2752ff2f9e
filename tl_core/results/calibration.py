"""How far a run's probabilities can be taken at their word, before and after its temperature."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tl_core.data.dataset import scan_dataset
from tl_core.data.decisions import apply_decisions, load_decisions
from tl_core.data.progress import OnProgress, ShouldStop
from tl_core.metrics_calibration import NUM_BINS, reliability_table
from tl_core.model.calibration import Calibration
from tl_core.results.evaluation import Evaluation
from tl_core.results.predict import load_head
from tl_core.results.trust import Trust, complete_trust
from tl_core.training.runs import load_run
from tl_core.workspace import default_workspace

__all__ = ["Calibration", "calibrate_run", "reliability_rows"]


def calibrate_run(
    run_dir: str | os.PathLike[str],
    *,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Trust:
    """Give a run the temperature and the photos it knows, where it has none yet.

    Raises:
        RunError: there is no such run, or it has no weights.
        DatasetError: the images it was trained on are gone.
        Stopped: ``should_stop`` said so.
    """
    run = load_run(Path(run_dir))
    cache_dir = cache_dir or default_workspace().cache_dir
    index = scan_dataset(
        run.data_dir, cache_dir=cache_dir, on_progress=on_progress, should_stop=should_stop
    )
    return complete_trust(
        run,
        load_head(run),
        apply_decisions(index, load_decisions(run.workspace, index.data_dir)),
        cache_dir=cache_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )


def reliability_rows(evaluation: Evaluation, num_bins: int = NUM_BINS) -> list[dict[str, Any]]:
    """Return the reliability diagram as rows ready for a DataFrame.

    Bins are of equal width over [0, 1]. ``stage`` is ``"before"`` or ``"after"`` scaling;
    ``confidence`` and ``accuracy`` are None in a bin without images.
    """
    stages = {"before": evaluation.uncalibrated, "after": evaluation.probabilities}
    return [
        {"stage": stage, **asdict(one)}
        for stage, probabilities in stages.items()
        for one in reliability_table(evaluation.labels, probabilities, num_bins)
    ]
