"""Which project a person works on, and the folders of this machine that may be opened as one.

A project is a dataset with what was made from it, see :mod:`tl_core.projects.registry`; the one
worked on last is in ``datasets/last.json``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import streamlit as st

from tl_core.config.mode import current_mode
from tl_core.errors import DatasetError, LimitError, StorageError
from tl_core.files import expand, read_json, write_json
from tl_core.projects import registry
from tl_core.projects.registry import Project, list_projects, project_at
from tl_core.projects.trash import list_deleted
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.shared import address, session_keys
from ui.shared.controls import control
from ui.shared.words import plain

FOLDERS_ENVIRONMENT_NAME = "TL_FOLDERS"

DRIVE_PLACES = ("/media", "/run/media", "/mnt", "/Volumes")  # where systems mount drives
NO_FOLDERS = "Folders of the server cannot be opened. Add your photos as a zip or a folder."


def list_datasets(workspace: Workspace) -> list[Project]:
    """Return the projects that may be looked at: not folders outside of the allowed one."""
    return [
        project
        for project in list_projects(workspace)
        if project.is_ours or (workspace.host is None and is_allowed(project.path))
    ]


def distinct_titles(projects: Sequence[Project]) -> dict[str, str]:
    """Return a title for each project by id, no two alike; it says when the folder is missing."""
    counts = Counter(project.title for project in projects)
    titles = {}
    for project in projects:
        title = project.title if counts[project.title] == 1 else f"{project.title} [{project.id}]"
        titles[project.id] = f"{title} (folder missing)" if project.is_missing else title
    return titles


def allowed_folders() -> tuple[Path, ...]:
    """Return the folders inside which folders may be opened, the first to begin in.

    Those that ``TL_FOLDERS`` names, separated as in ``PATH``; by default the home folder and the
    external drives that are connected.
    """
    if named := os.environ.get(FOLDERS_ENVIRONMENT_NAME):
        return tuple(expand(one).resolve() for one in named.split(os.pathsep) if one)
    return (Path.home().resolve(), *_external_drives())


def is_allowed(path: Path) -> bool:
    """Whether a resolved path lies in one of the folders that may be opened."""
    return any(path.is_relative_to(folder) for folder in allowed_folders())


def _external_drives() -> list[Path]:
    """Return where drives are mounted, but for the one of the system."""
    mounted = [Path(one.mountpoint) for one in psutil.disk_partitions()]
    if os.name == "nt":
        system = Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\")
        return sorted(path for path in mounted if path != system)
    return sorted(
        path for path in mounted if any(path.is_relative_to(place) for place in DRIVE_PLACES)
    )


def open_folder(workspace: Workspace, text: str) -> Project:
    """List a folder of this machine as a project and return it.

    Raises:
        DatasetError: there is no such folder, or it lies outside of the allowed one.
    """
    return registry.open_folder(workspace, allowed_path(text))


def allowed_path(text: str) -> Path:
    """Return a path that was typed, if it may be looked at.

    Raises:
        DatasetError: it is no full path, or it lies outside of the allowed folder.
        LimitError: this is not a studio.
    """
    if current_mode() != "studio":  # whatever a page offers, a raw client may send any text
        raise LimitError(NO_FOLDERS)
    path = expand(text.strip())
    if not path.is_absolute():
        raise DatasetError(f"Expected a full path such as '/home/me/photos', received '{text}'.")
    path = path.resolve()
    if not is_allowed(path):
        places = "' or '".join(map(str, allowed_folders()))
        raise DatasetError(
            f"Expected a folder inside '{places}', received '{text}'. Put the photos on a "
            "connected drive or in your home folder, or start the studio with the setting "
            f"{FOLDERS_ENVIRONMENT_NAME}, which names other places."
        )
    return path


def dataset_id(workspace: Workspace, path: Path) -> str:
    """Return the id of the project of a data folder."""
    return project_at(workspace, path).id


def choose_dataset(workspace: Workspace, chosen_id: str) -> None:
    """Make a project the current one from the next run of the page on, and remember it.

    No run is chosen then: it would be another project's.
    """
    if chosen_id != address.chosen(session_keys.DATASET):
        address.choose(session_keys.RUN, None)
        st.session_state.pop(session_keys.RUN, None)
        st.session_state.pop(session_keys.COMPARED, None)
    address.choose(session_keys.DATASET, chosen_id)
    remember_dataset(workspace, chosen_id)


def remember_dataset(workspace: Workspace, used_id: str) -> None:
    """Have a plain address open this dataset from now on: a person works on it.

    On a full or read-only disk the address alone names it.
    """
    if _last_dataset(workspace) != used_id:
        with suppress(StorageError):
            write_json(_last_path(workspace), {"dataset": used_id})


def settle_dataset(workspace: Workspace) -> Project | None:
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
        st.session_state[session_keys.GONE] = (
            f"'{plain(_last_title(workspace, wanted))}' is gone. Shown now: {plain(shown.title)}"
        )
        st.rerun()  # so that the click that found it gone does nothing to another dataset
    st.session_state[session_keys.DATASET_TITLE] = (shown.id, shown.title)
    return shown


def _last_title(workspace: Workspace, gone_id: str) -> str:
    """Return what a project that is gone was called last, as far as that is known."""
    for deleted in list_deleted(workspace):  # it may have been renamed in another window
        if deleted.id == gone_id:
            return deleted.title
    known_id, title = st.session_state.get(session_keys.DATASET_TITLE, (None, ""))
    return title if known_id == gone_id else gone_id


def draw_dataset_box(workspace: Workspace, shown: Project) -> None:
    """Draw the select box of projects."""
    titles = distinct_titles(list_datasets(workspace))
    titles.setdefault(shown.id, shown.title)  # removed a moment ago
    st.session_state[session_keys.DATASET] = shown.id
    st.selectbox(
        "Project",
        list(titles),
        **control(
            session_keys.DATASET,
            on_change=_take_dataset,
            args=(workspace,),
            format_func=titles.__getitem__,
        ),
    )


def _take_dataset(workspace: Workspace) -> None:
    choose_dataset(workspace, st.session_state[session_keys.DATASET])


def dataset_of(workspace: Workspace, run: Run) -> Project:
    """Return the project that a run belongs to."""
    return project_at(workspace, run.data_dir)


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


def _last_path(workspace: Workspace) -> Path:
    return workspace.datasets_dir / "last.json"


def _last_dataset(workspace: Workspace) -> str | None:
    try:
        kept = read_json(_last_path(workspace))
    except (OSError, ValueError):
        return None
    name = kept.get("dataset") if isinstance(kept, dict) else None
    return name if isinstance(name, str) else None
