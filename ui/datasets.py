"""Which datasets there are, which one the person looks at, and its scan.

Datasets are the folders of the workspace and, in studio mode, folders of this machine opened by
path. The latter are remembered in ``datasets/opened.json`` and never written to.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import streamlit as st

from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.decisions import Decisions, apply_decisions, decisions_path, load_decisions
from tl_core.data.samples import SAMPLE_NAME
from tl_core.errors import DatasetError, did_you_mean
from tl_core.files import expand, read_json, write_json
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui import keys
from ui.choice import settle_choice
from ui.progress import shower
from ui.words import plain

FOLDERS_ENVIRONMENT_NAME = "TL_FOLDERS"
SAMPLE_TITLE = "Sample set: pizza, burger, taco"
NUM_KEPT_SCANS = 6


@dataclass(frozen=True)
class DatasetRef:
    """A dataset that can be chosen; ``id`` is its path as stored in the workspace."""

    id: str
    title: str
    path: Path
    is_ours: bool

    @property
    def is_sample(self) -> bool:
        """Whether this is the drawn sample set."""
        return self.is_ours and self.path.name == SAMPLE_NAME


def list_datasets(workspace: Workspace) -> list[DatasetRef]:
    """Return the sample set, the workspace's own datasets and the opened folders, in that order."""
    own = [
        DatasetRef(
            workspace.relative(path),
            SAMPLE_TITLE if path.name == SAMPLE_NAME else path.name,
            path,
            True,
        )
        for path in sorted(workspace.datasets_dir.glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    opened = [
        DatasetRef(str(path), f"{path.name} (in {path.parent})", path, False)
        for path in map(Path, _read_opened(workspace))
        if is_folder(path) and path.is_relative_to(allowed_folder())
    ]
    return sorted(own, key=lambda dataset: not dataset.is_sample) + opened


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; not one that cannot be reached, either."""
    return os.path.isdir(path)  # noqa: PTH112, Path.is_dir raises for those


def allowed_folder() -> Path:
    """Return the folder inside which folders may be opened: ``TL_FOLDERS``, or the home folder."""
    named = os.environ.get(FOLDERS_ENVIRONMENT_NAME)
    return expand(named).resolve() if named else Path.home().resolve()


def open_folder(workspace: Workspace, text: str) -> DatasetRef:
    """Remember a folder of this machine as a dataset and return it.

    Raises:
        DatasetError: there is no such folder, or it lies outside of the allowed one.
    """
    path = expand(text.strip())
    if not path.is_absolute():
        raise DatasetError(f"Expected a full path such as '/home/me/photos', received '{text}'.")
    path, allowed = path.resolve(), allowed_folder()
    if not path.is_relative_to(allowed):
        raise DatasetError(
            f"Expected a folder inside '{allowed}', received '{text}'. The setting "
            f"{FOLDERS_ENVIRONMENT_NAME} names the folder inside which others may be opened."
        )
    if not is_folder(path):
        raise DatasetError(f"There is no folder '{path}' on this machine.{_similar(path)}")
    known = {dataset.path: dataset for dataset in list_datasets(workspace)}
    if path in known:
        return known[path]
    write_json(_opened_path(workspace), [*_read_opened(workspace), str(path)])
    return DatasetRef(str(path), path.name, path, False)


def forget_folder(workspace: Workspace, dataset: DatasetRef) -> None:
    """Take an opened folder off the list; the folder itself is left alone."""
    rest = [path for path in _read_opened(workspace) if path != dataset.id]
    write_json(_opened_path(workspace), rest)


def choose_dataset(dataset_id: str) -> None:
    """Make a dataset the current one from the next run of the page on."""
    st.session_state[keys.DATASET_NEXT] = dataset_id


def select_dataset(workspace: Workspace) -> DatasetRef | None:
    """Draw the select box of the sidebar and return the dataset chosen in it."""
    datasets = {dataset.id: dataset for dataset in list_datasets(workspace)}
    if not datasets:
        return None
    gone = settle_choice(keys.DATASET, keys.DATASET_NEXT, datasets)
    if gone is not None:
        st.session_state[keys.DATASET_GONE] = Path(gone).name
        st.rerun()  # so that the click which came upon it does nothing to another dataset
    if name := st.session_state.pop(keys.DATASET_GONE, None):
        shown = datasets[st.session_state[keys.DATASET]].title
        st.toast(
            f"'{plain(name)}' is gone. Shown now: {plain(shown)}",
            icon=":material/warning:",
            duration="long",
        )
    chosen = st.selectbox(
        "Dataset",
        list(datasets),
        format_func=lambda dataset_id: datasets[dataset_id].title,
        key=keys.DATASET,
        bind="query-params",
    )
    return datasets[chosen or next(iter(datasets))]


def load_index(workspace: Workspace, dataset: DatasetRef) -> DatasetIndex:
    """Return a dataset as it counts: its scan under the decisions about single images.

    Raises:
        DatasetError: the folder is gone or has no images in class folders, or the decisions
            leave fewer than two classes.
    """
    return load_decided(workspace, dataset).index


@dataclass(frozen=True)
class Decided:
    """A dataset as it lies on disk, what was decided about it, and what comes of both."""

    raw: DatasetIndex
    decisions: Decisions
    index: DatasetIndex


def dataset_of(workspace: Workspace, run: Run) -> DatasetRef:
    """Return the dataset that a run was trained on."""
    path = run.data_dir
    return DatasetRef(workspace.relative(path), path.name, path, False)


def load_decided(workspace: Workspace, dataset: DatasetRef) -> Decided:
    """Return the scan, kept until the folder changes, and the decisions applied on top.

    Raises:
        DatasetError: as :func:`load_index`.
    """
    raw = load_raw(workspace, dataset)
    kept = _kept_decided()
    path = decisions_path(workspace, dataset.path)
    stamp = (id(raw), *file_stamp(path))
    decided = kept.get(path, stamp)
    if decided is None:
        decisions = load_decisions(workspace, dataset.path)
        decided = Decided(raw, decisions, apply_decisions(raw, decisions))
        kept.put(path, stamp, decided)
    return decided


def file_stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written anew; zeros for none."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_ino


def load_raw(workspace: Workspace, dataset: DatasetRef) -> DatasetIndex:
    """Return the scan of a dataset; a changed folder is read again, with its progress shown.

    Raises:
        DatasetError: the folder is gone or has no images in class folders.
    """
    kept = _kept_scans()
    stamp = folder_stamp(dataset.path)
    index = kept.get(dataset.path, stamp)
    if index is None:
        place = st.empty()
        try:
            bar = place.progress(0.0, text=f"Reading {plain(dataset.title)}")
            index = scan_dataset(
                dataset.path, cache_dir=workspace.cache_dir, on_progress=shower(bar)
            )
        finally:
            place.empty()
        kept.put(dataset.path, stamp, index)
    return index


def folder_stamp(data_dir: Path) -> tuple[int, int]:
    """Return what changes when files below ``data_dir`` come or go, or it is to be read again."""
    times = []
    pending = [data_dir]
    while pending:
        folder = pending.pop()
        try:
            times.append((str(folder), folder.stat().st_mtime_ns))
            pending.extend(Path(entry) for entry in _subfolders(folder))
        except OSError:  # a folder that vanished or may not be read is the scan's to report
            continue
    return hash(frozenset(times)), _rescans()[data_dir]


def rescan(dataset: DatasetRef) -> None:
    """Have a folder read again; for a file changed in place, which its folder does not tell."""
    _rescans()[dataset.path] += 1


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


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_scans() -> _Kept[DatasetIndex]:
    return _Kept(NUM_KEPT_SCANS)


@st.cache_resource(max_entries=1, show_spinner=False)
def _rescans() -> Counter[Path]:
    return Counter()


@st.cache_resource(max_entries=1, show_spinner=False)
def _kept_decided() -> _Kept[Decided]:
    return _Kept(NUM_KEPT_SCANS)


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none when it may not be read."""
    try:
        return sorted((Path(path).name for path in _subfolders(folder)), key=str.casefold)
    except OSError:
        return []


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        ]


def _opened_path(workspace: Workspace) -> Path:
    return workspace.datasets_dir / "opened.json"


def _read_opened(workspace: Workspace) -> list[str]:
    try:
        paths = read_json(_opened_path(workspace))
    except (OSError, ValueError):
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _similar(path: Path) -> str:
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    return did_you_mean(path.name, siblings)
