"""What the Label tab knows about a dataset, and which sheet of photos it shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import streamlit as st

from tl_core.analysis.labelling import ROUND, LabelState, PhotoPool, Ranking, Sheet
from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.analysis.labelling_cache import LabellingFiles
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decisions
from tl_core.data.layout.folder_layout import natural_key
from tl_core.errors import MemoryLimitError, TLError
from tl_core.features.spec import FeatureSpec
from tl_core.jobs import client as jobs
from tl_core.projects.registry import Project
from tl_core.workspace import Workspace
from ui.datasets.scans import decisions_of, file_stamp, read_plan
from ui.shared import session_keys
from ui.shared.caches import cache_resource

GROUPS, SINGLE = "Groups", "One by one"


@dataclass(frozen=True)
class LabelView:
    """A dataset as the Label tab shows it.

    Attributes:
        workspace: where the labels are kept.
        dataset: which it is.
        config: the settings whose backbone describes the photos.
        decisions: the labels and what else was decided.
        without_class: paths of the photos for which the folder names no class.
        state: how far labelling is; None until the photos were grouped.
        failure: why they could not be; None when they were or will be.
    """

    workspace: Workspace
    dataset: Project
    config: TrainConfig
    decisions: Decisions
    without_class: frozenset[str]
    state: LabelState | None
    failure: str | None

    @cached_property
    def classes(self) -> dict[str, int]:
        """The photos of each class, in the order of the keys: classes of the folder first."""
        counts = Counter() if self.state is None else Counter(self.state.class_of.values())
        own = () if self.state is None else self.state.pool.index.class_names
        rest = sorted(counts, key=natural_key)
        return {
            name: counts[name] for name in dict.fromkeys((*own, *self.decisions.classes, *rest))
        }

    @property
    def num_classes(self) -> int:
        """Classes with at least one photo."""
        return sum(count > 0 for count in self.classes.values())

    def is_own(self, name: str) -> bool:
        """Whether a class is of labels alone, and not of the folder."""
        return self.state is None or name not in self.state.pool.index.class_names


def open_label_view(workspace: Workspace, dataset: Project, config: TrainConfig) -> LabelView:
    """Return what is known now, and have the worker find out the rest.

    The default backbone stands in for one that cannot be used.

    Raises:
        TLError: the folder or the decisions cannot be read.
    """
    plan = read_plan(workspace, dataset)
    view = LabelView(
        workspace,
        dataset,
        config,
        decisions_of(workspace, dataset),
        frozenset(plan.unlabelled),
        None,
        None,
    )
    if not view.without_class:
        return view
    view = replace(view, config=_usable_config(view))
    files = LabellingFiles(workspace, dataset.path, FeatureSpec.from_config(view.config))
    pool = _read_pool(files)
    failure = files.read_failure(LABEL)
    is_current = pool is not None and _is_about(pool, view.without_class)
    if pool is not None and (is_current or failure):
        ranking = _read_ranking(files, pool)
        view = replace(view, state=LabelState.create(pool, view.decisions, ranking))
    view = replace(view, failure=failure)
    if not failure and (not is_current or (view.state is not None and view.state.is_due)):
        try:
            jobs.request(workspace, LABEL, view.config, dataset.path)
        except MemoryLimitError as error:
            files.write_failure(LABEL, str(error))
            view = replace(view, failure=str(error))
    return view


def forget_failure(view: LabelView) -> None:
    """Have the photos grouped again after that failed."""
    spec = FeatureSpec.from_config(view.config)
    LabellingFiles(view.workspace, view.dataset.path, spec).forget_failure(LABEL)


def current_sheet(view: LabelView, mode: str) -> Sheet | None:
    """Return the sheet to show: the one before until all its photos are done, else the next.

    None when there is none of that mode.
    """
    state = view.state
    if state is None:
        return None
    kept: tuple[str, str, Sheet] | None = st.session_state.get(session_keys.LABEL_SHEET)
    open_paths = {state.pool.index.records[int(place)].path for place in state.open}
    if (
        kept is not None
        and kept[:2] == (view.dataset.id, mode)
        and any(path in open_paths for path in kept[2].paths)
    ):
        return kept[2]
    sheet = _next_sheet(state, mode)
    show_sheet(view, mode, sheet)
    return sheet


def show_sheet(view: LabelView, mode: str, sheet: Sheet | None) -> None:
    """Have a sheet shown until its photos are done; None leads to the next one."""
    if sheet is None:
        st.session_state.pop(session_keys.LABEL_SHEET, None)
    else:
        st.session_state[session_keys.LABEL_SHEET] = (view.dataset.id, mode, sheet)


def skip_sheet(sheet: Sheet) -> None:
    """Leave a sheet for later; single photos come again when no others are left."""
    if sheet.kind == "single":
        _later().update(sheet.paths)
    else:
        _skipped().add(frozenset(sheet.paths))
    st.session_state.pop(session_keys.LABEL_SHEET, None)


def _next_sheet(state: LabelState, mode: str) -> Sheet | None:
    if mode == GROUPS:
        skipped = _skipped()
        return next((one for one in state.groups() if frozenset(one.paths) not in skipped), None)
    if not len(state.open):
        return None
    paths = state.one_by_one(len(state.open)).paths
    fresh = [path for path in paths if path not in _later()]
    if not fresh:
        _later().clear()
    return Sheet("single", tuple((fresh or paths)[:ROUND]))


def _skipped() -> set[frozenset[str]]:
    skipped: set[frozenset[str]] = st.session_state.setdefault(session_keys.LABEL_SKIPPED, set())
    return skipped


def _later() -> set[str]:
    later: set[str] = st.session_state.setdefault(session_keys.LABEL_LATER, set())
    return later


def _usable_config(view: LabelView) -> TrainConfig:
    default = TrainConfig()
    fallback = view.config.updated(backbone=default.backbone, image_size=default.image_size)
    try:
        spec = FeatureSpec.from_config(view.config)
        failure = LabellingFiles(view.workspace, view.dataset.path, spec).read_failure(LABEL)
    except (TLError, OSError):  # the backbone's package or weights are not there
        return fallback
    return fallback if failure and view.config.backbone != default.backbone else view.config


def _is_about(pool: PhotoPool, without_class: frozenset[str]) -> bool:
    """Whether a pool has the photos that there are; those that cannot be read are not in it."""
    own = {record.path for record in pool.index.records if record.label < 0}
    return own | set(pool.unreadable) == without_class


def _read_pool(files: LabellingFiles) -> PhotoPool | None:
    stamp = file_stamp(files.dir / "photos.json")
    return _cached_pool(files, str(files.dir), stamp) if any(stamp) else None


def _read_ranking(files: LabellingFiles, pool: PhotoPool) -> Ranking | None:
    stamp = file_stamp(files.dir / "ranking.npz")
    return _cached_ranking(files, pool, str(files.dir), stamp) if any(stamp) else None


@cache_resource(max_entries=2)
def _cached_pool(_files: LabellingFiles, folder: str, stamp: tuple[int, int]) -> PhotoPool | None:
    return _files.read_pool()


@cache_resource(max_entries=4)
def _cached_ranking(
    _files: LabellingFiles, _pool: PhotoPool, folder: str, stamp: tuple[int, int]
) -> Ranking | None:
    return _files.read_ranking(_pool)
