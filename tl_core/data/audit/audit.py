"""Audit a dataset: find problems and propose what to do about them. No file is changed.

The audit checks the files as scanned, each image, pairs of images and, if features are given, each
image against its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.copies import exact_groups, find_copies
from tl_core.data.audit.findings import Finding, summarise
from tl_core.data.audit.image_rules import (
    find_class_sizes,
    find_grey,
    find_image_faults,
    find_odd_sizes,
)
from tl_core.data.audit.image_stats import ImageStats, measure_dataset
from tl_core.data.audit.label_errors import check_labels, dissimilarity
from tl_core.data.audit.labels import find_outliers, find_wrong_labels
from tl_core.data.dataset import DatasetIndex
from tl_core.data.near_duplicates.search import Group, find_near_duplicates
from tl_core.errors import DatasetError
from tl_core.metrics.nearest import take_rows
from tl_core.progress import Monitor, OnProgress, ShouldStop

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "audit_dataset"]

_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit.

    Attributes:
        index: the audited dataset.
        findings: all findings including those of the scan, most severe first.
        stats: one for each record of the index, in its order.
        scores: by name, ``(num_images,)`` float32, higher is more suspicious: ``"outlier"`` and
            ``"wrong_label"``, with features only.
        suggested: the most probable class of each image judged by the others, ``(num_images,)``
            int64; None without features.
        groups: group name by sha256 of images that are copies of each other, for
            :func:`~tl_core.data.split.stratified_split` to keep them in one part.
    """

    index: DatasetIndex
    findings: tuple[Finding, ...]
    stats: tuple[ImageStats, ...]
    scores: dict[str, np.ndarray]
    suggested: np.ndarray | None
    groups: dict[str, str]

    @property
    def summary(self) -> str:
        """Such as "4 duplicates, 1 photo in two classes, 2 very dark"; "" for nothing of note."""
        return summarise(self.findings)

    def table(self) -> pd.DataFrame:
        """Return one row per image: path, class, part, size, brightness and scores."""
        import pandas as pd

        records = self.index.records
        names = self.index.class_names
        columns: dict[str, object] = {
            "path": [record.path for record in records],
            "class": [names[record.label] for record in records],
            "part": [record.part for record in records],
            "width": [record.width for record in records],
            "height": [record.height for record in records],
            "num_bytes": [record.num_bytes for record in records],
        }
        for name in ("brightness", "contrast", "sharpness", "colourfulness", "entropy"):
            columns[name] = [getattr(stats, name) for stats in self.stats]
        columns |= self.scores
        if self.suggested is not None:
            columns["suggested"] = [names[label] for label in self.suggested]
        return pd.DataFrame(columns)


def audit_dataset(
    index: DatasetIndex,
    config: AuditConfig | None = None,
    *,
    cache_dir: Path | None = None,
    features: np.ndarray | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Audit:
    """Audit a dataset.

    Args:
        index: the scanned dataset.
        config: the thresholds.
        cache_dir: the folder of the cache of image measurements.
        features: ``(num_images, dim)`` in the order of the index's records, for the findings
            that need them: probable wrong labels, outliers, strongly cropped copies.
        on_progress: called with stage ``"audit"`` and the images that had to be decoded; with
            stage ``"copies"`` and the images compared; with features, with stage ``"labels"`` and
            the probes trained.
        should_stop: polled several times a second.

    Raises:
        DatasetError: a file is missing or has changed since the scan, or the features do not match
            the images.
        Stopped: ``should_stop`` returned True.

    Examples:
        >>> from tl_core import audit_dataset, scan_dataset
        >>> audit = audit_dataset(scan_dataset("photos"))
        >>> [finding.paths for finding in audit.findings if finding.kind == "duplicate"]
        [('dog/0.png', 'dog/copy.png')]
    """
    monitor = Monitor(on_progress, should_stop)
    config = config or AuditConfig()
    given = None if features is None else _check_features(index, features)
    stats = measure_dataset(index, cache_dir, monitor)
    exact = exact_groups(index)
    near = _near_groups(index, stats, config, given, monitor)
    check = None
    if given is not None:
        check = check_labels(
            given,
            index.labels,
            index.num_classes,
            groups=_number_groups(len(index.records), (*exact, *near)),
            monitor=monitor,
        )
    probabilities = None if check is None else check.probabilities
    findings = [
        *index.findings,
        *find_copies(index, exact, is_exact=True, probabilities=probabilities),
        *find_copies(index, near, is_exact=False, probabilities=probabilities),
        *find_image_faults(index, stats, config),
        *find_grey(index, stats, config),
        *find_odd_sizes(index, config),
        *find_class_sizes(index, config),
    ]
    scores: dict[str, np.ndarray] = {}
    if given is not None and check is not None:
        scores = {"outlier": dissimilarity(given, index.labels), "wrong_label": check.scores}
        in_two = [finding for finding in findings if finding.kind.endswith("two_classes")]
        wrong = find_wrong_labels(index, check, config, _paths_of(in_two))
        findings += wrong
        findings += find_outliers(index, scores["outlier"], config, _paths_of(in_two + wrong))
    return Audit(
        index=index,
        findings=tuple(sorted(findings, key=lambda one: _SEVERITIES.index(one.severity))),
        stats=tuple(stats),
        scores=scores,
        suggested=None if check is None else check.suggested,
        groups=_name_groups(index, near),
    )


def _check_features(index: DatasetIndex, features: np.ndarray) -> np.ndarray:
    if features.ndim != 2 or len(features) != len(index.records):
        raise DatasetError(
            f"Expected features of {len(index.records):,} images, one row each, received an array "
            f"of shape {features.shape}. Compute them for this dataset."
        )
    return features


def _near_groups(
    index: DatasetIndex,
    stats: Sequence[ImageStats],
    config: AuditConfig,
    features: np.ndarray | None,
    monitor: Monitor,
) -> list[Group]:
    """Return groups of positions that show the same picture in at least two files' bytes."""
    places_with: dict[str, list[int]] = {}
    for place, record in enumerate(index.records):
        places_with.setdefault(record.sha256, []).append(place)
    copies = list(places_with.values())
    if features is not None:
        features = take_rows(features, [places[0] for places in copies])
    groups = find_near_duplicates(
        [stats[places[0]].fingerprint for places in copies],
        features=features,
        similarity=config.copy_similarity,
        monitor=monitor,
    )
    return [tuple(sorted(place for one in group for place in copies[one])) for group in groups]


def _number_groups(num: int, groups: Sequence[Group]) -> np.ndarray:
    """Return a number for each position, the same for those in one group: (num,) int64."""
    numbers = np.arange(num)
    for group in groups:  # near groups come last and hold whole exact ones
        numbers[list(group)] = group[0]
    return numbers


def _name_groups(index: DatasetIndex, groups: Sequence[Group]) -> dict[str, str]:
    names: dict[str, str] = {}
    for group in groups:
        contents = {index.records[place].sha256 for place in group}
        names |= dict.fromkeys(contents, min(contents))
    return names


def _paths_of(findings: Sequence[Finding]) -> set[str]:
    return {path for finding in findings for path in finding.paths}
