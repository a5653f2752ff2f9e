"""Scans of datasets, made with their progress shown and kept for all sessions until they change."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import streamlit as st

from tl_core.data.curation.store import (
    Decision,
    Decisions,
    apply_decisions,
    decisions_path,
    kept_layout,
    labels_of,
    load_decisions,
)
from tl_core.data.dataset import DatasetIndex, ImageRecord, check_folder_name, scan_dataset
from tl_core.data.layout.plan import LayoutPlan, plan_layout
from tl_core.errors import DatasetError
from tl_core.projects.registry import Project
from tl_core.workspace import Workspace
from ui.datasets.picker import subfolder_paths
from ui.shared.caches import cache_resource
from ui.shared.progress import shower
from ui.shared.words import plain

NUM_KEPT_SCANS = 6


def load_index(workspace: Workspace, dataset: Project) -> DatasetIndex:
    """Return a dataset as it counts: its scan under the decisions about single images.

    Raises:
        DatasetError: the folder is gone or has no images in class folders, or the decisions
            leave fewer than two classes.
    """
    return load_curated(workspace, dataset).index


@dataclass(frozen=True)
class CuratedDataset:
    """A dataset, the decisions about its images, and what comes of both.

    Attributes:
        workspace: where the decisions are kept.
        dataset: which it is.
        raw: the scan of the folder, which decisions leave alone.
        decisions: about single images.
        index: what counts.
    """

    workspace: Workspace
    dataset: Project
    raw: DatasetIndex
    decisions: Decisions
    index: DatasetIndex

    @cached_property
    def raw_place(self) -> dict[str, int]:
        """Position in the scan by path."""
        return {record.path: place for place, record in enumerate(self.raw.records)}

    @cached_property
    def excluded(self) -> tuple[ImageRecord, ...]:
        """The images that were left out, as the scan has them."""
        return tuple(
            self.raw.records[self.raw_place[decision.path]]
            for decision in self.decisions.current.values()
            if decision.action == "exclude" and self.is_about(decision)
        )

    @property
    def classes(self) -> list[str]:
        """The classes by name, those of the folder first."""
        return list(dict.fromkeys([*self.index.class_names, *self.raw.class_names]))

    def is_about(self, decision: Decision) -> bool:
        """Whether a decision is about the bytes that its file has now: only then it holds."""
        place = self.raw_place.get(decision.path)
        return place is not None and self.raw.records[place].sha256 == decision.sha256

    def held(self, path: str) -> Decision | None:
        """Return the decision that holds for an image, or None."""
        decision = self.decisions.current.get(path)
        return decision if decision is not None and self.is_about(decision) else None

    def class_of(self, path: str) -> str:
        """Return the class that an image counts for, or would if it were not left out."""
        decision = self.held(path)
        if decision is not None and decision.class_name:
            return decision.class_name
        return self.raw.class_names[self.raw.records[self.raw_place[path]].label]


def load_curated(workspace: Workspace, dataset: Project) -> CuratedDataset:
    """Return the scan, kept until the folder changes, and the decisions applied on top.

    Raises:
        DatasetError: as :func:`load_index`.
    """
    raw = load_raw(workspace, dataset)
    kept = _curated_cache()
    path = decisions_path(workspace, dataset.path)
    stamp = (id(raw), *file_stamp(path))
    decided = kept.get(path, stamp)
    if decided is None:
        decisions = decisions_of(workspace, dataset)
        decided = CuratedDataset(
            workspace, dataset, raw, decisions, apply_decisions(raw, decisions)
        )
        kept.put(path, stamp, decided)
    return decided


def decisions_of(workspace: Workspace, dataset: Project) -> Decisions:
    """Return the decisions about a dataset, kept until their file changes.

    Raises:
        DatasetError: as :func:`~tl_core.data.curation.store.load_decisions`.
    """
    path = decisions_path(workspace, dataset.path)
    kept, stamp = _kept_decisions(), file_stamp(path)
    decisions = kept.get(path, stamp)
    if decisions is None:
        decisions = load_decisions(workspace, dataset.path)
        kept.put(path, stamp, decisions)
    return decisions


def file_stamp(path: Path) -> tuple[int, int]:
    """Return a stamp that changes when the file is written again; zeros for no file."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_ino


def load_raw(workspace: Workspace, dataset: Project) -> DatasetIndex:
    """Return the scan of a dataset; a changed folder is read again, with its progress shown.

    Raises:
        DatasetError: the folder is gone, has no images in class folders, or is not UTF-8.
    """
    if dataset.is_missing:
        raise DatasetError(
            f"The folder of '{dataset.title}' is missing: '{dataset.path}'. Re-link the project to "
            "the folder's new place with 'Manage project' in the sidebar."
        )
    check_folder_name(dataset.path)
    kept = _kept_scans()
    layout = kept_layout(workspace, dataset.path)
    labels = labels_of(decisions_of(workspace, dataset))
    stamp = (*folder_stamp(dataset.path), hash(layout), hash(frozenset(labels.items())))
    found = kept.get(dataset.path, stamp)
    index = (
        None if found is None or found.sources_stamp != _sources_stamp(found.index) else found.index
    )
    if index is None:
        place = st.empty()
        try:
            bar = place.progress(0.0, text=f"Reading {plain(dataset.title)}")
            index = scan_dataset(
                dataset.path,
                layout,
                labels=labels,
                cache_dir=workspace.cache_dir,
                on_progress=shower(bar),
            )
        finally:
            place.empty()
        kept.put(dataset.path, stamp, _KeptScan(index, _sources_stamp(index)))
    return index


@dataclass(frozen=True)
class _KeptScan:
    """A scan, and the state of the label files that it read."""

    index: DatasetIndex
    sources_stamp: tuple[tuple[int, int], ...]


def _sources_stamp(index: DatasetIndex) -> tuple[tuple[int, int], ...]:
    """Return what changes when a label file is written to, which its folder does not tell."""
    return tuple(file_stamp(index.data_dir / source) for source in index.sources)


def folder_stamp(data_dir: Path) -> tuple[int, int]:
    """Return what changes when files below ``data_dir`` come or go, or it is to be read again."""
    times = []
    pending = [data_dir]
    while pending:
        folder = pending.pop()
        try:
            times.append((str(folder), folder.stat().st_mtime_ns))
            pending.extend(Path(entry) for entry in subfolder_paths(folder))
        except OSError:  # a folder that vanished or may not be read is the scan's to report
            continue
    return hash(frozenset(times)), _rescans()[data_dir]


def read_plan(workspace: Workspace, dataset: Project, layout: str | None = None) -> LayoutPlan:
    """Return how a folder is read, kept until files come or go or another reading is chosen.

    Args:
        workspace: where the chosen reading is kept.
        dataset: the folder.
        layout: a reading to look at; by default the chosen one.

    Raises:
        DatasetError: the folder is missing, or the reading does not fit it.
    """
    check_folder_name(dataset.path)
    name = layout or kept_layout(workspace, dataset.path)
    return _plan(str(dataset.path), folder_stamp(dataset.path), name)


@cache_resource(max_entries=8)
def _plan(data_dir: str, stamp: tuple[int, int], layout: str | None) -> LayoutPlan:
    return plan_layout(Path(data_dir), layout)


def rescan(dataset: Project) -> None:
    """Have a folder read again; for a file changed in place, which its folder does not tell."""
    _rescans()[dataset.path] += 1


def forget_scans(root: Path) -> None:
    """Forget the scans of a workspace that has ended."""
    _kept_scans().forget(root)
    _curated_cache().forget(root)
    _kept_decisions().forget(root)
    rescans = _rescans()
    for path in [path for path in rescans if path.is_relative_to(root)]:
        del rescans[path]


T = TypeVar("T")


class _Kept(Generic[T]):
    """The last few of something, shared by all sessions, each good for one stamp."""

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[Path, tuple[tuple[int, ...], T]] = OrderedDict()
        self._lock = threading.Lock()
        self._max_entries = max_entries

    def get(self, path: Path, stamp: tuple[int, ...]) -> T | None:
        with self._lock:
            kept = self._entries.get(path)
            return kept[1] if kept and kept[0] == stamp else None

    def put(self, path: Path, stamp: tuple[int, ...], value: T) -> None:
        with self._lock:
            self._entries[path] = (stamp, value)
            self._entries.move_to_end(path)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def forget(self, root: Path) -> None:
        """Remove the entries of all paths below ``root``."""
        with self._lock:
            for path in [path for path in self._entries if path.is_relative_to(root)]:
                del self._entries[path]


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_scans() -> _Kept[_KeptScan]:
    return _Kept(NUM_KEPT_SCANS)


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_decisions() -> _Kept[Decisions]:
    return _Kept(NUM_KEPT_SCANS)


@st.cache_resource(max_entries=1, show_spinner=False)
def _rescans() -> Counter[Path]:
    return Counter()


@st.cache_resource(max_entries=1, show_spinner=False)
def _curated_cache() -> _Kept[CuratedDataset]:
    return _Kept(NUM_KEPT_SCANS)
