"""Calibration of a run as tables: reliability diagram, thresholds and coverage."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.evaluation.report import Evaluation
from tl_core.head.out_of_distribution import load_detector
from tl_core.head.temperature import Calibration
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import Reliability, complete_reliability
from tl_core.metrics.calibration import NUM_BINS, reliability_table
from tl_core.progress import SILENT, Monitor
from tl_core.runs.images import load_images_of
from tl_core.runs.store import load_run
from tl_core.workspace import default_workspace

__all__ = ["Calibration", "calibrate_run", "coverage_rows", "reliability_rows", "threshold_rows"]

_MAX_ROWS = 200
_TARGETS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


def calibrate_run(
    run_dir: str | os.PathLike[str], *, cache_dir: Path | None = None, monitor: Monitor = SILENT
) -> Reliability:
    """Compute a run's temperature and out-of-distribution detector if they are missing.

    Raises:
        RunError: there is no such run, or it has no weights.
        DatasetError: the images it was trained on are missing.
        Stopped: ``monitor`` was asked to stop.
    """
    run = load_run(Path(run_dir))
    cache_dir = cache_dir or default_workspace().cache_dir
    return complete_reliability(
        run,
        load_head(run),
        load_images_of(run, cache_dir=cache_dir, monitor=monitor),
        cache_dir=cache_dir,
        monitor=monitor,
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


def threshold_rows(run_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return thresholds and error rates for several targets, as rows ready for a DataFrame.

    Columns: ``target``, ``max_distance``, ``min_probability``, ``false_reject`` and
    ``false_accept`` on validation images; empty if the run has no detector yet.
    """
    detector = load_detector(Path(run_dir))
    return [] if detector is None else [vars(detector.choose(target)) for target in _TARGETS]


def coverage_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the coverage/accuracy curve as rows ready for a DataFrame, from strict to lenient.

    Columns: ``coverage`` (share of images accepted), ``accuracy`` among them, ``num_answered``,
    ``strictness`` (divisor of the limits; 1 is the run's own setting) and ``is_chosen`` for the
    row nearest to that. Without thresholds photos are rejected by probability alone, and
    ``strictness`` is the lowest accepted probability.
    """
    score = evaluation.unfamiliarity
    key = 1 - evaluation.confidence if score is None else score
    order = np.argsort(key, kind="stable")
    num_right = np.cumsum(evaluation.is_right[order])
    last = np.flatnonzero(np.diff(key[order], append=np.inf))
    if len(last) > _MAX_ROWS:
        last = last[np.linspace(0, len(last) - 1, _MAX_ROWS).astype(np.int64)]
    inside = last[key[order[last]] <= 1]
    chosen = int(inside[-1]) if score is not None and len(inside) else -1
    return [
        {
            "coverage": float((at + 1) / len(order)),
            "accuracy": float(num_right[at] / (at + 1)),
            "num_answered": int(at + 1),
            "strictness": _strictness(float(key[order[at]]), score is None),
            "is_chosen": int(at) == chosen,
        }
        for at in last
    ]


def _strictness(key: float, is_probability: bool) -> float:
    return 1 - key if is_probability else 1 / max(key, 1e-6)
