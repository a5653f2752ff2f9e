"""Which datasets there are, and which one the person looks at.

Datasets are the folders of the workspace and, in studio mode, folders of this machine opened by
path. The latter are remembered in ``datasets/opened.json`` and never written to. Which one was
worked on last is in ``datasets/last.json``.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.errors import DatasetError, did_you_mean
from tl_core.files import expand, read_json, write_json
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.shared import address, session_keys
from ui.shared.words import plain

FOLDERS_ENVIRONMENT_NAME = "TL_FOLDERS"
SAMPLE_TITLE = "Sample set: pizza, burger, taco"


@dataclass(frozen=True)
class DatasetRef:
    """A dataset that can be chosen; ``id`` is what the address names it by."""

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
            dataset_id(workspace, path),
            SAMPLE_TITLE if path.name == SAMPLE_NAME else path.name,
            path,
            True,
        )
        for path in sorted(workspace.datasets_dir.glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    opened = [
        DatasetRef(dataset_id(workspace, path), f"{path.name} (in {path.parent})", path, False)
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
    return DatasetRef(dataset_id(workspace, path), path.name, path, False)


def forget_folder(workspace: Workspace, dataset: DatasetRef) -> None:
    """Take an opened folder off the list; the folder itself is left alone."""
    rest = [path for path in _read_opened(workspace) if path != str(dataset.path)]
    write_json(_opened_path(workspace), rest)


def dataset_id(workspace: Workspace, path: Path) -> str:
    """Return the short id of a dataset's folder, the same whenever and wherever it is opened.

    A dataset of the workspace is known by its folder's name, an opened folder by a hash of its
    path: two folders of one name in different places are two datasets.
    """
    stored = workspace.relative(path)
    folder, name = os.path.split(stored)
    if folder == workspace.relative(workspace.datasets_dir) and name.isprintable():
        return name
    digest = hashlib.sha256(os.fsencode(stored)).hexdigest()
    return f"folder-{digest[:12]}"


def choose_dataset(workspace: Workspace, chosen_id: str) -> None:
    """Make a dataset the current one from the next run of the page on, and remember it."""
    address.choose(session_keys.DATASET, chosen_id)
    remember_dataset(workspace, chosen_id)


def remember_dataset(workspace: Workspace, used_id: str) -> None:
    """Have a plain address open this dataset from now on: a person works on it."""
    if _last_dataset(workspace) != used_id:
        write_json(_last_path(workspace), {"dataset": used_id})


def settle_dataset(workspace: Workspace) -> DatasetRef | None:
    """Return the dataset that the page shows, and make the address name it.

    That is the one chosen, else the one last worked on, else the first. When one that was chosen
    is gone, the page begins again with another and says so.
    """
    datasets = {dataset.id: dataset for dataset in list_datasets(workspace)}
    if not datasets:
        return None
    wanted = address.chosen(session_keys.DATASET) or _last_dataset(workspace)
    shown = datasets[wanted if wanted in datasets else next(iter(datasets))]
    address.choose(session_keys.DATASET, shown.id)
    address.write()
    if wanted is not None and wanted != shown.id:
        known_id, title = st.session_state.get(session_keys.DATASET_TITLE, (None, ""))
        name = title if known_id == wanted else wanted
        st.session_state[session_keys.GONE] = (
            f"'{plain(name)}' is gone. Shown now: {plain(shown.title)}"
        )
        st.rerun()  # so that the click that found it gone does nothing to another dataset
    st.session_state[session_keys.DATASET_TITLE] = (shown.id, shown.title)
    return shown


def draw_dataset_box(workspace: Workspace, shown: DatasetRef) -> None:
    """Draw the select box of datasets."""
    titles = {dataset.id: dataset.title for dataset in list_datasets(workspace)}
    titles.setdefault(shown.id, shown.title)  # removed a moment ago
    # Set on every run: after a change of page the state may hold this value already, but the
    # browser's new box does not.
    st.session_state[session_keys.DATASET] = shown.id
    st.selectbox(
        "Dataset",
        list(titles),
        format_func=titles.__getitem__,
        key=session_keys.DATASET,
        on_change=_take_dataset,
        args=(workspace,),
    )


def _take_dataset(workspace: Workspace) -> None:
    choose_dataset(workspace, st.session_state[session_keys.DATASET])


def dataset_of(workspace: Workspace, run: Run) -> DatasetRef:
    """Return the dataset that a run was trained on."""
    path = run.data_dir
    return DatasetRef(dataset_id(workspace, path), path.name, path, False)


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none when it may not be read."""
    try:
        return sorted((Path(path).name for path in subfolder_paths(folder)), key=str.casefold)
    except OSError:
        return []


def subfolder_paths(folder: Path) -> list[str]:
    """Return the paths of the folders in a folder but for hidden ones; raises as ``os.scandir``."""
    with os.scandir(folder) as entries:
        return [
            entry.path
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        ]


def _opened_path(workspace: Workspace) -> Path:
    return workspace.datasets_dir / "opened.json"


def _last_path(workspace: Workspace) -> Path:
    return workspace.datasets_dir / "last.json"


def _last_dataset(workspace: Workspace) -> str | None:
    try:
        kept = read_json(_last_path(workspace))
    except (OSError, ValueError):
        return None
    name = kept.get("dataset") if isinstance(kept, dict) else None
    return name if isinstance(name, str) else None


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
