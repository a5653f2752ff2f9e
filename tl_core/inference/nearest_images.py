"""The training images nearest to a photo by its features, which help explain a prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tl_core.data.images.images import ImageSource
from tl_core.features.extract import extract_images
from tl_core.inference.predict import Predictor, load_predictor
from tl_core.metrics.nearest import highest
from tl_core.runs.store import load_run

__all__ = ["Neighbour", "nearest_training_images", "nearest_with"]


@dataclass(frozen=True)
class Neighbour:
    """A training image near a photo.

    ``path`` is relative to the run's data folder; ``similarity`` is the cosine similarity of the
    features, 1 for the same image. ``sha256`` identifies the file if it was moved.
    """

    path: str
    class_name: str
    similarity: float
    sha256: str


def nearest_training_images(
    run_dir: str | os.PathLike[str],
    images: Sequence[ImageSource],
    count: int = 5,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
) -> list[list[Neighbour]]:
    """Return for each photo the nearest training images, nearest first.

    Empty for a photo that cannot be read, and for all if the run has no detector yet
    (:func:`~tl_core.evaluation.reliability_rows.calibrate_run` computes it).

    Raises:
        RunError: there is no such run, or it has no weights.
    """
    return nearest_with(load_predictor(run_dir, cache_dir), images, count)


def nearest_with(
    predictor: Predictor, images: Sequence[ImageSource], count: int = 5
) -> list[list[Neighbour]]:
    """Do the same as :func:`nearest_training_images` with a loaded predictor."""
    detector = predictor.reliability.detector
    if detector is None:
        return [[] for _ in images]
    features, errors = extract_images(images, predictor.spec, predictor.cache_dir)
    rows = [row for row in load_run(predictor.run_dir).split() if row.part == "train"]
    found = []
    for error, anchors, cosines in zip(
        errors, *highest(detector.similarity(features), count), strict=True
    ):
        nearest = (
            [] if error else zip([rows[detector.rows[a]] for a in anchors], cosines, strict=True)
        )
        found.append(
            [Neighbour(row.path, row.class_name, float(one), row.sha256) for row, one in nearest]
        )
    return found
