"""Scans of datasets, made with their progress shown and kept for all sessions until they change."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import streamlit as st

from tl_core.config.limits import current_limits
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
from tl_core.data.layout.folder_layout import natural_key
from tl_core.data.layout.label_files import TEXT_SUFFIXES
from tl_core.data.layout.plan import LayoutPlan, plan_layout, read_layout
from tl_core.errors import DatasetError
from tl_core.projects.registry import Project
from tl_core.workspace import Workspace, visitor_at
from ui.shared.progress import shower
from ui.shared.words import plain

NUM_KEPT_SCANS = 6  # in a demo, as many as it has visitors
FAILURE_SECONDS = 60.0  # how long it is kept why a folder cannot be read
NUM_STAMPED_FILES = 200  # text files of one ending; of more, only coming and going is seen


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
    path = decisions_path(workspace, dataset.path)

    def decide() -> CuratedDataset:
        decisions = decisions_of(workspace, dataset)
        return CuratedDataset(workspace, dataset, raw, decisions, apply_decisions(raw, decisions))

    return _curated_cache().get_or_make(path, (id(raw), *file_stamp(path)), decide)


def decisions_of(workspace: Workspace, dataset: Project) -> Decisions:
    """Return the decisions about a dataset, kept until their file changes.

    Raises:
        DatasetError: as :func:`~tl_core.data.curation.store.load_decisions`.
    """
    path = decisions_path(workspace, dataset.path)
    return _kept_decisions().get_or_make(
        path, file_stamp(path), lambda: load_decisions(workspace, dataset.path)
    )


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
    layout = kept_layout(workspace, dataset.path)
    labels = labels_of(decisions_of(workspace, dataset))
    stamp = (*folder_stamp(dataset.path), hash(layout), hash(frozenset(labels.items())))

    def scan() -> DatasetIndex:
        place = st.empty()
        try:
            bar = place.progress(0.0, text=f"Reading {plain(dataset.title)}")
            return scan_dataset(
                dataset.path,
                layout,
                labels=labels,
                cache_dir=workspace.cache_dir,
                on_progress=shower(bar),
            )
        finally:
            place.empty()

    return _kept_scans().get_or_make(dataset.path, stamp, scan)


def folder_stamp(data_dir: Path) -> tuple[int, int]:
    """Return what changes when files below ``data_dir`` come or go, or it is to be read again.

    It changes as well when a label file or another text file beside the photos is written to,
    which its folder does not tell.
    """
    times: list[tuple[str, int, int]] = []
    num_files: Counter[str] = Counter()
    pending = [str(data_dir)]
    while pending:
        folder = pending.pop()
        try:
            times.append((folder, Path(folder).stat().st_mtime_ns, 0))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith("."):
                            pending.append(entry.path)
                        continue
                    ending = f".{entry.name.rpartition('.')[2].lower()}"
                    if ending in TEXT_SUFFIXES and num_files[ending] < NUM_STAMPED_FILES:
                        num_files[ending] += 1
                        with suppress(OSError):  # a link that leads nowhere
                            facts = entry.stat()
                            times.append((entry.path, facts.st_mtime_ns, facts.st_size))
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
    return _kept_plans().get_or_make(
        dataset.path,
        folder_stamp(dataset.path),
        lambda: plan_layout(dataset.path, name),
        name=name or "",
    )


def read_class_names(workspace: Workspace, data_dir: Path) -> list[str]:
    """Return the classes of a folder in order, those without a photo yet among them.

    Raises:
        DatasetError: it is no dataset of class images.
    """
    layout = kept_layout(workspace, data_dir)
    found = _kept_class_names().get_or_make(
        data_dir,
        folder_stamp(data_dir),
        lambda: tuple(sorted(read_layout(data_dir, layout=layout).classes, key=natural_key)),
        name=layout or "",
    )
    return list(found)


def rescan(dataset: Project) -> None:
    """Have a folder read again; for a file changed in place, which its folder does not tell."""
    _rescans()[dataset.path] += 1


def forget_scans(root: Path) -> None:
    """Forget the scans of a workspace that has ended."""
    for kept in (
        _kept_scans(),
        _kept_plans(),
        _kept_class_names(),
        _curated_cache(),
        _kept_decisions(),
    ):
        kept.forget(root)
    rescans = _rescans()
    for path in [path for path in rescans if path.is_relative_to(root)]:
        del rescans[path]


T = TypeVar("T")


@dataclass(frozen=True)
class _Entry(Generic[T]):
    """What was made, or why it could not be, until when it is good, and whose it is."""

    stamp: tuple[int, ...]
    value: T | None
    error: DatasetError | None
    ends_at: float
    owner: Path | None


class _Kept(Generic[T]):
    """The last few of something, shared by all sessions, each good for one stamp.

    When there are too many, the visitor of a demo who has most loses the oldest one: nobody can
    have those of others made again at each of their views.
    """

    def __init__(self, max_entries: int) -> None:
        self._entries: OrderedDict[tuple[Path, str], _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()
        self._max_entries = max_entries

    def get(self, path: Path, stamp: tuple[int, ...], name: str = "") -> T | None:
        kept = self._find(path, stamp, name)
        return None if kept is None else kept.value

    def put(self, path: Path, stamp: tuple[int, ...], value: T, name: str = "") -> None:
        self._put(path, name, stamp, value, None)

    def get_or_make(
        self, path: Path, stamp: tuple[int, ...], make: Callable[[], T], name: str = ""
    ) -> T:
        """Return what is kept, or make and keep it.

        Args:
            path: the folder that it is about.
            stamp: changes when it has to be made again.
            make: makes it.
            name: tells apart several of one folder.

        Raises:
            DatasetError: ``make`` raised it, now or less than ``FAILURE_SECONDS`` ago. What
                changes no stamp, such as who may read a file, is seen then.
        """
        kept = self._find(path, stamp, name)
        if kept is not None and kept.error is not None:
            raise copy.copy(kept.error)  # without the frames of who saw it before
        if kept is not None and kept.value is not None:
            return kept.value
        try:
            value = make()
        except DatasetError as error:
            self._put(path, name, stamp, None, copy.copy(error))
            raise
        self._put(path, name, stamp, value, None)
        return value

    def forget(self, root: Path) -> None:
        """Remove the entries of all paths below ``root``."""
        with self._lock:
            for key in [key for key in self._entries if key[0].is_relative_to(root)]:
                del self._entries[key]

    def _find(self, path: Path, stamp: tuple[int, ...], name: str) -> _Entry[T] | None:
        with self._lock:
            kept = self._entries.get((path, name))
        is_good = kept is not None and kept.stamp == stamp and time.monotonic() < kept.ends_at
        return kept if is_good else None

    def _put(
        self,
        path: Path,
        name: str,
        stamp: tuple[int, ...],
        value: T | None,
        error: DatasetError | None,
    ) -> None:
        ends_at = float("inf") if error is None else time.monotonic() + FAILURE_SECONDS
        visitor = visitor_at(path)
        owner = None if visitor is None else visitor.root
        limits = current_limits()
        most = max(self._max_entries, 0 if limits is None else limits.visitors)
        with self._lock:
            self._entries[path, name] = _Entry(stamp, value, error, ends_at, owner)
            self._entries.move_to_end((path, name))
            while len(self._entries) > most:
                counts = Counter(entry.owner for entry in self._entries.values())
                (first, _), *_ = counts.most_common(1)
                oldest = next(key for key, one in self._entries.items() if one.owner == first)
                del self._entries[oldest]


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_scans() -> _Kept[DatasetIndex]:
    return _Kept(NUM_KEPT_SCANS)


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_plans() -> _Kept[LayoutPlan]:
    return _Kept(NUM_KEPT_SCANS)


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_class_names() -> _Kept[tuple[str, ...]]:
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
