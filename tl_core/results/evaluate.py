"""How good a run is: on the images it kept for testing, or on another folder of its classes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tl_core import metrics
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.decisions import apply_decisions, load_decisions
from tl_core.data.progress import OnProgress, ShouldStop
from tl_core.errors import DatasetError, RunError, did_you_mean
from tl_core.model.head import head_forward
from tl_core.results.predict import load_head
from tl_core.training.run import workspace_of
from tl_core.training.runs import Run, load_run
from tl_core.workspace import default_workspace

ALL_IMAGES = "all"


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class; None where nothing was there to divide by.

    ``precision`` is the share of answers of this class that were right, ``recall`` the share of
    its images that were found, ``support`` the number of its images.
    """

    class_name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a run says about images whose class is known.

    Args:
        class_names: the run's classes, in the order of the labels.
        part: ``train``, ``val`` or ``test`` of the run's own split, or ``all`` of a folder.
        data_dir: the folder the images lie in.
        paths: of each image, relative to ``data_dir``, with slashes.
        labels: (n,) int64, the class each image belongs to.
        probabilities: (n, num_classes) float32.
        skipped: images left out by path, with the reason.
    """

    class_names: tuple[str, ...]
    part: str
    data_dir: Path
    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    skipped: dict[str, str]

    @property
    def num_images(self) -> int:
        """Number of images the figures rest on."""
        return len(self.labels)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image: (n,) int64."""
        return np.argmax(self.probabilities, axis=1)

    @cached_property
    def accuracy(self) -> float:
        """Share of the images whose most probable class is theirs."""
        return metrics.accuracy(self.labels, self.probabilities)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        num_correct = int(np.sum(self.predicted == self.labels))
        return metrics.wilson_interval(num_correct, self.num_images)

    @cached_property
    def log_loss(self) -> float:
        """Mean negative log-likelihood of the true classes, in nats."""
        return metrics.log_loss(self.labels, self.probabilities)

    @cached_property
    def confusion_matrix(self) -> np.ndarray:
        """Counts (num_classes, num_classes) int64: row the true class, column the answer."""
        return metrics.confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def per_class(self) -> tuple[ClassFigures, ...]:
        """The figures of each class, in class order."""
        matrix = self.confusion_matrix
        rows = zip(self.class_names, matrix.diagonal(), matrix.sum(0), matrix.sum(1), strict=True)
        return tuple(
            ClassFigures(
                name,
                precision=_ratio(num_right, num_answers),
                recall=_ratio(num_right, support),
                f1=_ratio(2 * num_right, num_answers + support),
                support=int(support),
            )
            for name, num_right, num_answers, support in rows
        )

    def confusions(self) -> list[tuple[str, str, int]]:
        """Return (true class, answer, number of images) of the mistakes, the most common first."""
        matrix = self.confusion_matrix
        pairs = [(i, j) for i, j in zip(*np.nonzero(matrix), strict=True) if i != j]
        pairs.sort(key=lambda pair: (-matrix[pair], pair))
        return [(self.class_names[i], self.class_names[j], int(matrix[i, j])) for i, j in pairs]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as values that JSON can say, without the single images."""
        return {
            "part": self.part,
            "data_dir": str(self.data_dir),
            "num_images": self.num_images,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "log_loss": self.log_loss,
            "class_names": list(self.class_names),
            "per_class": [vars(figures) for figures in self.per_class],
            "confusion_matrix": self.confusion_matrix.tolist(),
            "skipped": self.skipped,
        }


@dataclass(frozen=True)
class _Chosen:
    """Positions in an index, with the run's label of each, and what was left out."""

    positions: list[int]
    labels: list[int]
    skipped: dict[str, str]


def evaluate_run(
    run_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    part: str = "test",
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Evaluation:
    """Compute a run's figures, from cached features where there are any.

    Args:
        run_dir: a run with weights.
        data_dir: a folder of class folders, all of whose images count; by default the run's own
            data, of which only ``part`` counts.
        part: ``test``, which falls back to ``val`` in a run without test images, ``val`` or
            ``train``; images are always taken as they are, never augmented.
        cache_dir: where scans and features are kept; by default the default workspace's.
        on_progress: told of the scan and of the features.
        should_stop: asked meanwhile.

    Raises:
        RunError: there is no such run, or it has no weights.
        DatasetError: the folder is gone, or has no image to evaluate.
        Stopped: ``should_stop`` said so.
    """
    from tl_core.model.features import FeatureSpec, extract_features

    run = load_run(Path(run_dir))
    weights = load_head(run)
    cache_dir = cache_dir or default_workspace().cache_dir
    index = scan_dataset(
        run.data_dir if data_dir is None else data_dir,
        cache_dir=cache_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    index = apply_decisions(index, load_decisions(workspace_of(run.run_dir), index.data_dir))
    if data_dir is None:
        part, chosen = _choose_part(run, index, part)
    else:
        part, chosen = ALL_IMAGES, _choose_all(run, index)
    features = extract_features(
        index,
        np.array(chosen.positions, np.int64),
        FeatureSpec.from_config(run.config),
        cache_dir=cache_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )[0]
    return Evaluation(
        class_names=run.class_names,
        part=part,
        data_dir=index.data_dir,
        paths=tuple(index.records[position].path for position in chosen.positions),
        labels=np.array(chosen.labels, np.int64),
        probabilities=head_forward(weights, features),
        skipped=chosen.skipped,
    )


def _choose_part(run: Run, index: DatasetIndex, part: str) -> tuple[str, _Chosen]:
    """Find the images of the run's own split again, by content.

    Their label is the one they had then, unless a decision has changed it since.
    """
    rows = run.split()
    present = {row.part for row in rows}
    if part == "test" and part not in present:
        part = "val"
    if part not in present:
        raise RunError(
            f"Expected a part out of {', '.join(sorted(present)) or 'a split'} in run "
            f"'{run.name}', received '{part}'."
        )
    by_path = {record.path: i for i, record in enumerate(index.records)}
    by_content = {record.sha256: i for i, record in enumerate(index.records)}
    label_of = {name: label for label, name in enumerate(run.class_names)}
    chosen = _Chosen([], [], {})
    for row in rows:
        if row.part != part:
            continue
        position, name = by_path.get(row.path), row.class_name
        if position is not None and index.decisions_fingerprint:
            name = index.class_names[index.records[position].label]
        if position is None or index.records[position].sha256 != row.sha256:
            position = by_content.get(row.sha256)
        if position is None:
            chosen.skipped[row.path] = "excluded, changed or gone since the run was trained"
        elif name not in label_of:
            chosen.skipped[row.path] = f"the run has no class '{name}'"
        else:
            chosen.positions.append(position)
            chosen.labels.append(label_of[name])
    if not chosen.positions:
        raise DatasetError(
            f"Expected the {len(chosen.skipped)} {part} images of run '{run.name}' in "
            f"'{index.data_dir}', found none of them. Evaluate it on another folder instead."
        )
    return part, chosen


def _choose_all(run: Run, index: DatasetIndex) -> _Chosen:
    """Take every image of a class that the run knows."""
    label_of = {name: label for label, name in enumerate(run.class_names)}
    chosen = _Chosen([], [], {})
    for position, record in enumerate(index.records):
        name = index.class_names[record.label]
        if name in label_of:
            chosen.positions.append(position)
            chosen.labels.append(label_of[name])
        else:
            hint = did_you_mean(name, run.class_names)
            chosen.skipped[record.path] = f"the run has no class '{name}'.{hint}"
    if not chosen.positions:
        raise DatasetError(
            f"Expected class folders named {', '.join(run.class_names)} in '{index.data_dir}', "
            f"found {', '.join(index.class_names)}. Rename the folders to the run's classes."
        )
    return chosen


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
