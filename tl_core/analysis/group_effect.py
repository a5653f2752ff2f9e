"""How much accuracy is overestimated when images of one group are on both sides of a split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tl_core.data.audit.findings import Finding
from tl_core.data.audit.label_errors import check_labels
from tl_core.data.dataset import DatasetIndex
from tl_core.data.layout.groups import group_paths
from tl_core.data.layout.plan import plan_layout, read_layout
from tl_core.progress import SILENT, Monitor

_MIN_DIFFERENCE = 0.02  # of accuracy: smaller differences are noise


def groups_of(index: DatasetIndex) -> Mapping[str, str]:
    """Return the group of each image by path: from the dataset, else guessed from file names."""
    own = {record.path: record.group for record in index.records if record.group is not None}
    if own:
        return own
    proposed = plan_layout(index.data_dir, index.layout).groups
    if proposed is None or proposed.spec.startswith("column:"):
        return {}
    return group_paths(read_layout(index.data_dir, layout=index.layout), proposed.spec)


def measure_group_effect(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, monitor: Monitor = SILENT
) -> tuple[float, float]:
    """Return the accuracy of a linear probe with groups separated, and with groups mixed.

    Args:
        features: ``(num_images, dim)``.
        labels: ``(num_images,)`` integer.
        groups: ``(num_images,)`` integer.
        monitor: counts the probes trained.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    num_classes = int(labels.max()) + 1
    shares = []
    for together in (groups, None):
        check = check_labels(features, labels, num_classes, groups=together, monitor=monitor)
        shares.append(float(np.mean(check.probabilities.argmax(axis=1) == labels)))
    return shares[0], shares[1]


def find_group_effect(
    index: DatasetIndex, features: np.ndarray, monitor: Monitor = SILENT
) -> list[Finding]:
    """Return a finding on how much groups matter, or None if there are none or they do not.

    Args:
        index: the dataset.
        features: ``(num_images, dim)`` in the order of its records.
        monitor: counts the probes trained.
    """
    group_of = groups_of(index)
    names = [group_of.get(record.path, record.path) for record in index.records]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(numbers) == len(names) or len(numbers) < 2 * index.num_classes:
        return []
    groups = np.array([numbers[name] for name in names])
    apart, mixed = measure_group_effect(features, index.labels, groups, monitor)
    if mixed - apart < _MIN_DIFFERENCE:
        return []
    are_kept = any(record.group is not None for record in index.records)
    advice = (
        "They are kept apart in every split."
        if are_kept
        else "Keep each group in one part of the split."
    )
    message = (
        f"The images come in {len(numbers):,} groups. A simple classifier is right on "
        f"{100 * apart:.0f} % of them with groups apart, and seems right on {100 * mixed:.0f} % "
        f"with groups mixed. {advice}"
    )
    return [Finding("group_effect", "info" if are_kept else "warning", message, ())]
