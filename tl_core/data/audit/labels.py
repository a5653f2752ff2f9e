"""Findings about probable wrong labels and outliers, from features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import numpy as np

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.findings import Finding
from tl_core.data.audit.label_errors import LabelCheck
from tl_core.data.dataset import DatasetIndex


def find_wrong_labels(
    index: DatasetIndex, check: LabelCheck, config: AuditConfig, covered: Collection[str] = ()
) -> list[Finding]:
    """Return a finding for each pair of a given and a more likely class, most images first.

    Confident learning says how many labels are wrong. Named are as many images, but those whose
    label is least probable: at the same number more of them are wrong.

    Args:
        index: the dataset.
        check: the result of the label check.
        config: by how much the other class must be more probable, to be counted.
        covered: paths that another finding already covers.
    """
    places = np.arange(len(index.records))
    margins = (
        check.probabilities[places, check.confident] - check.probabilities[places, index.labels]
    )
    is_counted = (check.confident != index.labels) & (margins >= config.label_margin)
    scores = np.where(check.suggested != index.labels, check.scores, 0)
    doubted = np.argsort(-scores, kind="stable")[: is_counted.sum()]
    doubted = doubted[scores[doubted] > 0]
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place in doubted.tolist():
        if index.records[place].path not in covered:
            pairs[int(index.labels[place]), int(check.suggested[place])].append(place)
    findings = []
    for (given, likely), members in sorted(pairs.items(), key=lambda pair: -len(pair[1])):
        paths = tuple(index.records[place].path for place in members)
        photos = "1 photo" if len(paths) == 1 else f"{len(paths):,} photos"
        look, them = ("looks", "it") if len(paths) == 1 else ("look", "them")
        target = index.class_names[likely]
        message = (
            f"{photos} in '{index.class_names[given]}' {look} like '{target}'. "
            f"Move {them} there if so."
        )
        findings.append(Finding("wrong_label", "warning", message, paths, "relabel", paths, target))
    return findings


def find_outliers(
    index: DatasetIndex,
    scores: np.ndarray,
    config: AuditConfig,
    covered: Collection[str] = (),
) -> list[Finding]:
    """Return the finding about images that are unlike the rest of their class, farthest first.

    Args:
        index: the dataset.
        scores: from :func:`~tl_core.data.audit.label_errors.dissimilarity`.
        config: the lowest score to report.
        covered: paths that another finding already covers.
    """
    order = np.argsort(-scores, kind="stable")
    odd = [index.records[place].path for place in order if scores[place] >= config.outlier]
    paths = tuple(path for path in odd if path not in covered)
    if not paths:
        return []
    photos = "1 photo looks" if len(paths) == 1 else f"{len(paths):,} photos look"
    its = "its class" if len(paths) == 1 else "their class"
    advice = "Exclude what does not belong; keep what is merely rare."
    message = f"{photos} unlike the rest of {its}. {advice}"
    return [Finding("outlier", "info", message, paths)]
