"""Adding, renaming, merging and removing the class folders of a dataset in the workspace.

Only datasets below the workspace's own folder are changed; a folder given by path is read where it
is and never written to. What is removed is put aside, so that it can be brought back by hand.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tl_core.data.layout import Layout, read_layout
from tl_core.data.names import (
    UnsafeName,
    debris_kind,
    mark_name,
    name_parts,
    path_key,
    safe_component,
    show_name,
)
from tl_core.errors import DatasetError, did_you_mean
from tl_core.workspace import Workspace

_REMOVED = ".removed"


def class_folder_name(class_name: str) -> str:
    """Return the folder name for a class that somebody typed.

    Raises:
        DatasetError: it cannot be one.
    """
    reason = None
    try:
        parts = name_parts(class_name.strip())
    except UnsafeName as error:
        reason = str(error)
    else:
        if len(parts) > 1:
            reason = "has a slash in its name"
        elif debris_kind(parts) is not None:
            reason = "is the name of a hidden or system folder"
    if reason is not None:
        raise DatasetError(
            f"Expected a plain class name such as 'cat', but {show_name(class_name)} {reason}."
        )
    return safe_component(class_name)


def add_class(workspace: Workspace, data_dir: Path, class_name: str) -> Path:
    """Make an empty folder for a new class and return it; with a given split, in its train part.

    Raises:
        DatasetError: the dataset is not the workspace's own, or the name is taken or cannot be one.
    """
    layout = _own_layout(workspace, data_dir)
    name = _free_name(layout, class_name)
    sibling = next(iter(layout.classes.values()), [f"{layout.wrapper}{name}/"])[0]
    folder = (data_dir / sibling).parent / name
    folder.mkdir(parents=True)
    return folder


def rename_class(workspace: Workspace, data_dir: Path, class_name: str, new_name: str) -> None:
    """Rename a class's folder, or its folders in train, val and test.

    Raises:
        DatasetError: there is no such class, or the new name is taken or cannot be one.
    """
    layout = _own_layout(workspace, data_dir)
    folders = _folders_of(layout, class_name)
    name = class_folder_name(new_name)
    if path_key(PurePosixPath(name)) != path_key(PurePosixPath(class_name)):
        name = _free_name(layout, new_name)
    for folder in folders:
        path = data_dir / folder
        path.rename(path.with_name(name))


def merge_classes(
    workspace: Workspace, data_dir: Path, class_names: Sequence[str], target: str
) -> None:
    """Move all images of some classes into another class of the dataset.

    Files of one name are all kept: the one that moves gets a name of its own.

    Raises:
        DatasetError: a class does not exist.
    """
    layout = _own_layout(workspace, data_dir)
    sources = {name: _folders_of(layout, name) for name in class_names if name != target}
    _folders_of(layout, target)
    for name, folders in sources.items():
        for folder in folders:
            source = data_dir / folder
            _move_files(source, source.with_name(target), name)
            _put_aside(workspace, data_dir, folder)


def remove_class(workspace: Workspace, data_dir: Path, class_name: str) -> Path:
    """Take a class out of a dataset and return the folder where its images are put aside.

    Raises:
        DatasetError: there is no such class, or it is one of only two.
    """
    layout = _own_layout(workspace, data_dir)
    folders = _folders_of(layout, class_name)
    if len(layout.classes) <= 2:
        raise DatasetError(
            f"Expected at least 2 classes to stay, but '{data_dir.name}' has {len(layout.classes)}."
            " Add another class first."
        )
    aside = [_put_aside(workspace, data_dir, folder) for folder in folders]
    return aside[0].parent


def _own_layout(workspace: Workspace, data_dir: Path) -> Layout:
    own = workspace.datasets_dir.resolve()
    if own not in data_dir.resolve().parents:
        raise DatasetError(
            f"Expected a dataset of the workspace, received '{data_dir}'. A folder given by path "
            "is never written to: change it there, or add a copy of it."
        )
    return read_layout(data_dir)


def _folders_of(layout: Layout, class_name: str) -> list[str]:
    if class_name not in layout.classes:
        raise DatasetError(
            f"Expected a class out of {', '.join(layout.classes)}, received '{class_name}'."
            f"{did_you_mean(class_name, layout.classes)}"
        )
    return layout.classes[class_name]


def _free_name(layout: Layout, class_name: str) -> str:
    name = class_folder_name(class_name)
    taken = {path_key(PurePosixPath(other)) for other in layout.classes}
    if path_key(PurePosixPath(name)) in taken:
        raise DatasetError(
            f"Expected a new class name, but there is a class '{name}' already. Merge the two, or "
            "choose another name."
        )
    return name


def _move_files(source: Path, target: Path, class_name: str) -> None:
    target.mkdir(exist_ok=True)
    taken = {path_key(PurePosixPath(entry.name)) for entry in target.iterdir()}
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = PurePosixPath(file.name)
        if path_key(place) in taken:
            origin = f"{class_name}/{file.relative_to(source).as_posix()}"
            place = mark_name(place, hashlib.sha256(origin.encode()).hexdigest())
        taken.add(path_key(place))
        file.rename(target / place)


def _put_aside(workspace: Workspace, data_dir: Path, folder: str) -> Path:
    aside = workspace.datasets_dir / _REMOVED / f"{data_dir.name}-{time.time_ns()}" / folder
    aside.parent.mkdir(parents=True)
    (data_dir / folder).rename(aside)
    return aside
