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
from ui.datasets.dataset_view import DatasetView, ensure_audit
from ui.datasets.decisions import settled
from ui.shared.words import number_of, plain

CLASS_KINDS = ("small_class", "imbalance")  # of the counts as they are under the decisions
LABELS = "Labels and odd photos"
NOT_CHECKED = "not checked yet"
MAX_NAMED = 3
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
    "odd_size": "photos of another size",
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


def is_checked(view: DatasetView) -> bool:
    """Whether all checks of the photos were made, those of the labels among them."""
    return view.measured is not None and view.measured.has_features


def unchecked_words(view: DatasetView) -> str:
    """Say of checks that were not made whether they will be, or why they cannot be."""
    failure = None
    if view.measured is None:
        looking = ensure_audit(view.workspace, view.raw)
        failure = None if looking is None else looking.error
    elif view.features is None:
        failure = view.fallback_reason or "the backbone's weights are missing"
    else:
        failure = view.features.read_failure("explore")
    return f"could not be checked: {plain(failure.rstrip('.'))}" if failure else NOT_CHECKED


def findings_words(view: DatasetView) -> str | None:
    """Return the findings that are open in one line, those of note named; None until it is known.

    It is "" when there is nothing to look at.
    """
    if view.measured is None:
        looking = ensure_audit(view.workspace, view.raw)
        return "" if looking is not None and looking.error else None
    waiting = [one.finding.kind for one in open_findings(view) if one.is_open]
    if not waiting:
        return ""
    named = list(dict.fromkeys(_WORDS[kind] for kind in waiting if kind in _WORDS))[:MAX_NAMED]
    rest = len(waiting) - sum(_WORDS.get(kind) in named for kind in waiting)
    parts = [*named, f"{rest:,} more"] if rest and named else named
    count = number_of(len(waiting), "finding")
    return f"{count} to look at{': ' if parts else ''}{', '.join(parts)}"


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
