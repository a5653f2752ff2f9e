"""Findings seen against the decisions: which of their pictures still wait for one.

The audit looks at the folder as it is; what was decided since is taken off here, so that a click
shows at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.image_rules import find_class_sizes
from tl_core.data.dataset import Finding
from ui.datasets.dataset_view import DatasetView
from ui.datasets.decisions import settled

CLASS_KINDS = ("small_class", "imbalance")  # of the counts as they are under the decisions
UNREADABLE = "unreadable"  # as the scan has them: about files, which can be settled like pictures
_WORDS = {
    UNREADABLE: "files that cannot be read",
    "two_classes": "the same photo in two classes",
    "near_two_classes": "nearly the same photo in two classes",
    "across_parts": "the same photo in train and in val or test",
    "near_across_parts": "nearly the same photo in train and in val or test",
    "duplicate": "duplicates",
    "near_duplicate": "near duplicates",
    "dark": "dark photos",
    "bright": "bright photos",
    "uniform": "even surfaces",
    "blurry": "blurry photos",
    "tiny": "tiny photos",
    "extreme_aspect": "long photos",
    "exif_rotated": "turned photos",
    "greyscale": "grey photos",
    "outlier": "odd photos",
    "wrong_label": "probable wrong labels",
}


@dataclass(frozen=True)
class FindingItem:
    """Pictures of a finding that are decided about together: a group of copies, or one alone."""

    paths: tuple[str, ...]
    proposed: tuple[str, ...]
    target: str | None

    @property
    def key(self) -> str:
        """A name for widgets, of these pictures alone: a click on it never acts on others."""
        return content_key(self.paths)


@dataclass(frozen=True)
class OpenFinding:
    """A finding and those of its items that wait for a decision.

    ``items`` is empty for a finding about files that are no pictures of the dataset, but for those
    that cannot be read.
    """

    finding: Finding
    items: tuple[FindingItem, ...]
    num_settled: int

    @property
    def key(self) -> str:
        """A name for widgets, the same as long as the finding is."""
        content = content_key((*self.finding.paths[:1], self.finding.target or ""))
        return f"{self.finding.kind}_{content}"

    @property
    def action_key(self) -> str:
        """A name for the buttons about all items: another as soon as there are others."""
        paths = [path for item in self.items for path in (*item.paths, "", *item.proposed, "")]
        return f"{self.finding.kind}_{content_key(paths)}"

    @property
    def is_open(self) -> bool:
        """Whether there is something to decide or to know."""
        return bool(self.items) or self.num_settled == 0

    @property
    def proposed(self) -> tuple[str, ...]:
        """All pictures that the proposed action is for."""
        return tuple(path for item in self.items for path in item.proposed)


def content_key(texts: Iterable[str]) -> str:
    """Return a short key that differs for other texts, or for another order of them."""
    return hashlib.sha256(os.fsencode("\0".join(texts))).hexdigest()[:12]


def open_findings(view: DatasetView) -> list[OpenFinding]:
    """Return all findings, each with what is open of it; before the audit, the scan's own."""
    findings = view.raw.findings if view.measured is None else view.measured.findings
    lasting = [one for one in findings if one.kind not in (*CLASS_KINDS, UNREADABLE)]
    lasting += [one for one in view.raw.findings if one.kind == UNREADABLE]
    lasting += [one for one in view.index.findings if one.kind == "stale_decisions"]
    lasting += find_class_sizes(view.index, AuditConfig())
    is_settled = settled(view)
    found = [_open(view, finding, is_settled) for finding in lasting]
    order = ("error", "warning", "info")
    return sorted(found, key=lambda one: order.index(one.finding.severity))


def kind_words(kind: str) -> str:
    """Return the name of a kind of finding."""
    return _WORDS.get(kind, kind.replace("_", " "))


def _open(
    view: DatasetView, finding: Finding, is_settled: Callable[[str, str], bool]
) -> OpenFinding:
    groups = finding.groups or tuple((path,) for path in finding.paths)
    if finding.kind != UNREADABLE:
        groups = tuple(group for group in groups if all(path in view.raw_place for path in group))
    proposed = set(finding.action_paths)
    target = finding.target if finding.action == "relabel" else None
    items = []
    for group in groups:
        left = tuple(path for path in group if not is_settled(finding.kind, path))
        if len(left) < min(2, len(group)) or _is_resolved(view, finding.kind, left):
            continue
        out = tuple(path for path in left if path in proposed)
        if len(out) == len(left) and len(left) < len(group):
            out = ()  # the others are out already: what is left may stay
        items.append(FindingItem(left, out, target))
    return OpenFinding(finding, tuple(items), len(groups) - len(items))


def _is_resolved(view: DatasetView, kind: str, paths: tuple[str, ...]) -> bool:
    """Whether copies that lay in two classes were brought into one."""
    return kind.endswith("two_classes") and len({view.class_of(path) for path in paths}) == 1
