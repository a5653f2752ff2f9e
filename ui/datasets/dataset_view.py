"""What a page knows about a dataset: files, decisions, and what looking at it has found so far.

Looking without features takes seconds and runs in a thread of the web process, one dataset at a
time; for many images that thread has a process of its own do it. What needs features is the
worker's. All leave files, which are read here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st

from tl_core.analysis.cache import ExploreFiles, Map, Measured
from tl_core.analysis.overview import look, look_apart
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images.decode_turns import working_for
from tl_core.errors import MemoryLimitError, Stopped, TLError
from tl_core.fair_turns import NOBODY, FairTurns
from tl_core.features.spec import FeatureSpec
from tl_core.jobs import client as jobs
from tl_core.progress import Monitor, Progress
from tl_core.projects.registry import Project
from tl_core.projects.shared_sample import look_at_shared_sample
from tl_core.visitors.store import asker_of, exists, remove_remains
from tl_core.workspace import Workspace
from ui.datasets.scans import CuratedDataset, load_curated
from ui.shared.caches import cache_resource
from ui.shared.errors import logger, own_bug_message
from ui.shared.memory import give_back

MAX_LOOKED_AT_HERE = 600  # images; more take a process of their own, so that pages stay quick


@dataclass(frozen=True)
class DatasetView(CuratedDataset):
    """A dataset as the Data page shows it.

    Attributes:
        config: the training settings as they stand, for backbone and split.
        measured: what the audit found of ``raw``, with features when they were there.
        features: what is known by features, those of ``features_config``; None without a backbone.
        features_config: ``config``, or with the default backbone while that of ``config`` cannot
            be used.
        fallback_reason: why the backbone of ``config`` cannot be used; empty when it can be.
    """

    config: TrainConfig
    measured: Measured | None
    features: ExploreFiles | None
    features_config: TrainConfig
    fallback_reason: str

    def column(self, name: str, records: Sequence[ImageRecord]) -> np.ndarray | None:
        """Return what was measured of some images, ``(len(records),)``, or None before it was."""
        if self.measured is None or name not in self.measured.columns:
            return None
        places = [self.raw_place[record.path] for record in records]
        return self.measured.columns[name][places]


@dataclass
class AuditTask:
    """A look at a dataset in its thread."""

    thread: threading.Thread
    progress: Progress | None = None
    error: str | None = None


@dataclass
class _AuditTasks:
    by_key: dict[Path, AuditTask] = field(default_factory=dict)
    newest: dict[Path, Path] = field(default_factory=dict)  # the last key by dataset
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: FairTurns = field(default_factory=FairTurns)  # each uses the machine


def open_view(workspace: Workspace, dataset: Project, config: TrainConfig) -> DatasetView:
    """Return what is known now, and see to it that the rest is found out.

    Raises:
        DatasetError: as :func:`~ui.datasets.scans.load_index`.
    """
    decided = load_curated(workspace, dataset)
    ensure_audit(workspace, decided.raw)
    features, features_config, reason = _choose_features(workspace, decided.raw, config)
    measured = None if features is None else read_measured(features)
    measured = measured or read_measured(ExploreFiles(workspace.cache_dir, decided.raw))
    return DatasetView(
        workspace,
        dataset,
        decided.raw,
        decided.decisions,
        decided.index,
        config,
        measured,
        features,
        features_config,
        reason,
    )


def _choose_features(
    workspace: Workspace, raw: DatasetIndex, config: TrainConfig
) -> tuple[ExploreFiles | None, TrainConfig, str]:
    """Return the files of a backbone that can be used: that of ``config``, else the default one.

    Returns:
        The files, the settings that they are of, and why the backbone of ``config`` is not used.
    """
    files, failure = _feature_files(workspace, raw, config)
    default = TrainConfig()
    if not failure or config.backbone == default.backbone:
        return files, config, ""
    changes = {"backbone": default.backbone, "image_size": default.image_size}
    fallback = config.updated(**changes)
    return _feature_files(workspace, raw, fallback)[0], fallback, failure


def _feature_files(
    workspace: Workspace, raw: DatasetIndex, config: TrainConfig
) -> tuple[ExploreFiles | None, str]:
    """Return the files of a backbone's features, and why there will be none; empty if there may."""
    try:
        files = ExploreFiles(workspace.cache_dir, raw, FeatureSpec.from_config(config))
    except (TLError, OSError) as error:  # the backbone's package or weights are not there
        return None, str(error)
    return files, files.read_failure("explore") or ""


def ensure_audit(workspace: Workspace, raw: DatasetIndex) -> AuditTask | None:
    """Start looking at a dataset without features unless that was done; return it while it runs."""
    files = ExploreFiles(workspace.cache_dir, raw)
    looks = _looks()
    with looks.lock:
        looking = looks.by_key.get(files.dir)
        if looking is not None and (looking.thread.is_alive() or looking.error):
            return looking
        # Read, not only there: an audit by an older version is as good as none.
        if (files.dir / "means.npz").is_file() and read_measured(files) is not None:
            return None
        thread = threading.Thread(
            target=lambda: _look(workspace, raw, files.dir, looks, task), name="look", daemon=True
        )
        task = looks.by_key[files.dir] = AuditTask(thread)
        looks.newest[raw.data_dir] = files.dir
        thread.start()
        return task


def forget_audits(root: Path) -> None:
    """Forget the looks at datasets of a workspace that has ended."""
    looks = _looks()
    with looks.lock:
        for key in [key for key in looks.by_key if key.is_relative_to(root)]:
            del looks.by_key[key]
        for data_dir in [one for one in looks.newest if one.is_relative_to(root)]:
            del looks.newest[data_dir]


def forget_failed_audit(workspace: Workspace, raw: DatasetIndex) -> None:
    """Forget a look that failed, so that the next one who asks has it tried again."""
    looks, key = _looks(), ExploreFiles(workspace.cache_dir, raw).dir
    with looks.lock:
        looking = looks.by_key.get(key)
        if looking is not None and looking.error:
            del looks.by_key[key]


def ask_for_features(view: DatasetView) -> None:
    """Ask the worker for what needs features, unless it is there or was found impossible."""
    files = view.features
    if files is None or files.read_failure("explore") is not None:
        return
    has_maps = all((files.dir / name).is_file() for name in ("pca.npz", "tsne.npz"))
    if not has_maps or read_measured(files) is None:
        request_features(view, files, "explore")


def request_features(view: DatasetView, files: ExploreFiles, kind: str) -> None:
    """Ask the worker for what needs features; what needs too much memory has failed.

    Raises:
        LimitError: a demo does not take the job now.
    """
    try:
        jobs.request(view.workspace, kind, view.features_config, view.dataset.path)
    except MemoryLimitError as error:
        files.write_failure(kind, str(error))


def read_measured(files: ExploreFiles) -> Measured | None:
    """Return an audit's result, kept in memory until its file changes."""
    try:
        changed = (files.dir / "audit.json").stat().st_mtime_ns
    except OSError:
        return None
    return _read_measured(files, str(files.dir), changed)


def read_map(files: ExploreFiles, kind: str) -> Map | None:
    """Return a map, kept in memory until its file changes."""
    try:
        changed = (files.dir / f"{kind}.npz").stat().st_mtime_ns
    except OSError:
        return None
    return _read_map(files, str(files.dir), kind, changed)


@cache_resource(max_entries=8)
def _read_measured(_files: ExploreFiles, folder: str, changed: int) -> Measured | None:
    return _files.read_audit()


@cache_resource(max_entries=4)
def _read_map(_files: ExploreFiles, folder: str, kind: str, changed: int) -> Map | None:
    return _files.read_map(kind)


@st.cache_resource(max_entries=1, show_spinner=False)
def _looks() -> _AuditTasks:
    return _AuditTasks()


def _look(
    workspace: Workspace, raw: DatasetIndex, key: Path, looks: _AuditTasks, task: AuditTask
) -> None:
    """Look at a dataset; a visitor's workspace and the task may be deleted meanwhile."""

    def note(progress: Progress) -> None:
        task.progress = progress

    def is_deleted() -> bool:
        return workspace.host is not None and not exists(workspace)

    def check_wanted() -> None:
        if is_deleted() or looks.newest.get(raw.data_dir) != key:  # it has other photos by now
            raise Stopped

    asker = asker_of(workspace)
    try:
        with looks.turns.turn(asker or NOBODY, check_wanted), working_for(asker):
            is_large = raw.num_images > MAX_LOOKED_AT_HERE
            monitor = Monitor(note, is_deleted)
            if not look_at_shared_sample(workspace, raw, monitor):
                (look_apart if is_large else look)(raw, workspace.cache_dir, monitor=monitor)
    except Stopped:
        pass
    except TLError as error:
        task.error = str(error)
    except Exception:
        logger.exception("A dataset could not be looked at")
        task.error = own_bug_message()
    finally:
        remove_remains(workspace)
        give_back()
