"""What is wrong with a dataset and what to do about it. Nothing on disk is touched.

Everything is looked at by content: files as the scan saw them, pictures one by one, pictures
against each other, and, where features are given, pictures against their class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tl_core.audit_config import AuditConfig
from tl_core.data.audit_copies import exact_groups, find_copies
from tl_core.data.audit_rules import find_class_sizes, find_grey, find_image_faults
from tl_core.data.dataset import DatasetIndex
from tl_core.data.findings import Finding
from tl_core.data.near_duplicates import find_near_duplicates
from tl_core.data.progress import OnProgress, ShouldStop
from tl_core.data.stats import ImageStats, measure_dataset

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "audit_dataset"]

_SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found, the worst first, and what each image is like.

    Attributes:
        index: what was audited.
        findings: the scan's own among them.
        stats: one for each record of the index, in its order.
        scores: by name, ``(num_images,)`` float32, higher is stranger: ``"outlier"`` and
            ``"wrong_label"``, with features only.
        suggested: the most probable class of each image by the others, ``(num_images,)`` int64;
            None without features.
        groups: group name by sha256 of images that are copies of each other; what
            :func:`~tl_core.data.split.stratified_split` takes to keep them in one part.
    """

    index: DatasetIndex
    findings: tuple[Finding, ...]
    stats: tuple[ImageStats, ...]
    scores: dict[str, np.ndarray]
    suggested: np.ndarray | None
    groups: dict[str, str]

    def table(self) -> pd.DataFrame:
        """Return one row an image: path, class, part, size, light and scores."""
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
    """Look for everything that is wrong with a dataset.

    Args:
        index: the scanned dataset.
        config: what counts as a fault.
        cache_dir: where to keep what was measured of each image.
        features: ``(num_images, dim)`` in the order of the index's records, for the findings
            that need them: outliers, probable wrong labels.
        on_progress: called with stage ``"audit"`` and the images that had to be decoded.
        should_stop: asked often.

    Raises:
        DatasetError: a file is gone or is not the one that was scanned.
        Stopped: ``should_stop`` said so.
    """
    config = config or AuditConfig()
    stats = measure_dataset(index, cache_dir, on_progress, should_stop)
    exact = exact_groups(index)
    near = _near_groups(index, stats, config, should_stop)
    findings = [
        *index.findings,
        *find_copies(index, exact, is_exact=True),
        *find_copies(index, near, is_exact=False),
        *find_image_faults(index, stats, config),
        *find_grey(index, stats, config),
        *find_class_sizes(index, config),
    ]
    return Audit(
        index=index,
        findings=tuple(sorted(findings, key=lambda f: _SEVERITIES.index(f.severity))),
        stats=tuple(stats),
        scores={},
        suggested=None,
        groups=_name_groups(index, near),
    )


def _near_groups(
    index: DatasetIndex,
    stats: Sequence[ImageStats],
    config: AuditConfig,
    should_stop: ShouldStop | None,
) -> list[tuple[int, ...]]:
    """Return groups of positions of at least two contents each."""
    first_with: dict[str, int] = {}
    places_with: dict[str, list[int]] = {}
    for place, record in enumerate(index.records):
        places_with.setdefault(record.sha256, []).append(place)
        if stats[place].contrast >= config.contrast:
            first_with.setdefault(record.sha256, place)
    contents = list(first_with)
    groups = find_near_duplicates(
        [stats[first_with[sha256]].fingerprint for sha256 in contents],
        similarity=config.copy_similarity,
        should_stop=should_stop,
    )
    return [
        tuple(sorted(place for number in group for place in places_with[contents[number]]))
        for group in groups
    ]


def _name_groups(index: DatasetIndex, groups: Sequence[Sequence[int]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for group in groups:
        contents = sorted({index.records[place].sha256 for place in group})
        names |= dict.fromkeys(contents, contents[0])
    return names
