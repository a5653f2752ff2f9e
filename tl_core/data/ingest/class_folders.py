"""Add, rename, merge and remove class folders of a dataset in the workspace.

Only datasets in the workspace are changed; other folders are only read. Removed images are moved to
a separate folder, so that they can be restored by hand.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from tl_core.data.curation.store import follow_changed_files, kept_layout, load_decisions
from tl_core.data.file_names import (
    UnsafeName,
    debris_kind,
    mark_name,
    name_parts,
    path_key,
    safe_component,
    show_name,
)
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.plan import read_layout
from tl_core.data.layout.split_names import part_of_name
from tl_core.errors import DatasetError, did_you_mean
from tl_core.files import is_contained
from tl_core.workspace import Workspace

REMOVED = ".removed"
NOT_OWN = (
    "Expected a dataset of the workspace, received '{}'. A folder given by path is never written "
    "to: change it there, or add a copy of it."
)


def class_folder_name(class_name: str) -> str:
    """Return the folder name for a class name typed by the user.

    Raises:
        DatasetError: it is not a valid class name.
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


def colliding_name(name: str, class_names: Iterable[str]) -> str | None:
    """Return the class whose folder would be the same on some file systems, or None."""
    return next((other for other in class_names if _key(other) == _key(name)), None)


def class_home(layout: Layout, class_name: str, part_folder: str = "train") -> PurePosixPath:
    """Return the folder in a dataset for new images of a class, whether it exists or not.

    Args:
        layout: The layout of the dataset; that of a new one is empty.
        class_name: A class of the dataset, ignoring case, or a new one.
        part_folder: Name of the train, val or test folder; ignored in a dataset without them.
    """
    name = class_name
    if name not in layout.classes:
        name = safe_component(name)
        name = colliding_name(name, layout.classes) or name
    base = PurePosixPath(layout.wrapper)
    folders = [*layout.classes.get(name, []), *(f for own in layout.classes.values() for f in own)]
    parents = [PurePosixPath(folder).parent for folder in folders]
    if all(parent == base for parent in parents):
        return base / name
    if all(_part_of_folder(parent) is None for parent in parents):  # levels, and no split
        return parents[0] / name
    part = part_of_name(part_folder)
    fitting = (parent for parent in parents if _part_of_folder(parent) == part)
    return next(fitting, base / part_folder) / name


def is_by_folders(layout: Layout) -> bool:
    """Return whether folders name the classes, and not labels, a file or the names of files."""
    return LayoutName.parse(layout.name).kind not in ("table", "names", "unlabelled")


def check_has_folders(layout: Layout, name: str) -> None:
    """Check that the classes of a dataset are folders, so that images can be added.

    Raises:
        DatasetError: they come from a label file or from the names of files.
    """
    if layout.classes and not any(layout.classes.values()):
        raise DatasetError(
            f"Expected class folders in '{name}', but its classes are read as '{layout.name}'. Add "
            "the photos where they come from, or export a cleaned copy, which has class folders, "
            "and add to that."
        )


def _part_of_folder(folder: PurePosixPath) -> str | None:
    """Return the part of the split of a folder of class folders, by its name or a parent's."""
    names = (one.name for one in (folder, *folder.parents) if one.name)
    return next((part for name in names if (part := part_of_name(name)) is not None), None)


def add_class(workspace: Workspace, data_dir: Path, class_name: str) -> Path:
    """Create an empty folder for a new class and return it; with a given split, in train.

    Raises:
        DatasetError: the dataset is not in the workspace, the name is used or invalid, or the
            folder cannot be created.
    """
    layout = own_layout(workspace, data_dir)
    folder = data_dir / class_home(layout, _free_name(layout, class_name))
    with _changing(data_dir):
        folder.mkdir(parents=True)
    return folder


def rename_class(workspace: Workspace, data_dir: Path, class_name: str, new_name: str) -> None:
    """Rename a class's folder, or its folders in train, val and test; decisions follow.

    Raises:
        DatasetError: there is no such class, the new name is used or invalid, or a folder cannot
            be renamed; nothing was changed.
    """
    layout = own_layout(workspace, data_dir)
    paths = [data_dir / folder for folder in _folders_of(layout, class_name)]
    name = _free_name(layout, new_name, besides=class_name)
    renamed: list[Path] = []
    with _changing(data_dir):
        try:
            for path in paths:
                path.rename(path.with_name(name))
                renamed.append(path)
        except OSError:
            for path in renamed:
                path.with_name(name).rename(path)
            raise
    moved = {_place(path, data_dir): _place(path.with_name(name), data_dir) for path in paths}
    follow_changed_files(workspace, data_dir, moved, {class_name: name})


def merge_classes(
    workspace: Workspace, data_dir: Path, class_names: Sequence[str], target: str
) -> None:
    """Move all images of some classes into another class of the dataset; decisions follow.

    Files of the same name are all kept: the moved one is renamed.

    Raises:
        DatasetError: a class does not exist, or a file cannot be moved; images that were not moved
            remain in their class, so that merging can be retried.
    """
    layout = own_layout(workspace, data_dir)
    sources = {name: _folders_of(layout, name) for name in class_names if name != target}
    _folders_of(layout, target)
    aside = _new_aside(workspace, data_dir)
    moved: dict[str, str] = {}
    try:
        with _changing(data_dir):
            for name, folders in sources.items():
                for folder in folders:
                    source = data_dir / folder
                    out = source.with_name(target)
                    for old, new in _move_files(_files_of(source), source, out, name):
                        moved[_place(old, data_dir)] = _place(new, data_dir)
                    _move_aside(source, aside / folder)
    finally:  # of files that were moved before one could not be, too
        follow_changed_files(workspace, data_dir, moved, dict.fromkeys(sources, target))


def remove_class(workspace: Workspace, data_dir: Path, class_name: str) -> Path:
    """Remove a class from a dataset and return the folder that its images were moved to.

    It preserves their paths in the dataset. Images of the class that a decision moved to another
    class go into the folder of that class; images that a decision moved to the removed class are
    excluded.

    Raises:
        DatasetError: there is no such class, it is one of only two, or a folder cannot be moved.
    """
    layout = own_layout(workspace, data_dir)
    folders = _folders_of(layout, class_name)
    if len(layout.classes) <= 2:
        raise DatasetError(
            f"Expected at least 2 classes to stay, but '{data_dir.name}' has {len(layout.classes)}."
            " Add another class first."
        )
    aside = _new_aside(workspace, data_dir)
    moved: dict[str, str | None] = {}
    try:
        with _changing(data_dir):
            for folder in folders:
                source = data_dir / folder
                for name, files in _moved_by_decision(workspace, data_dir, folder).items():
                    out = source.with_name(safe_component(name))
                    for old, new in _move_files(files, source, out, class_name):
                        moved[_place(old, data_dir)] = _place(new, data_dir)
                _move_aside(source, aside / folder)
                moved[_place(source, data_dir)] = None
    finally:
        follow_changed_files(workspace, data_dir, moved, {class_name: None})
    return aside


def remove_files(workspace: Workspace, data_dir: Path, paths: Iterable[str]) -> Path:
    """Remove files from a dataset and return the folder that they were moved to.

    They keep their paths in it. Decisions about them are removed.

    Args:
        workspace: whose dataset it is.
        data_dir: the dataset's folder.
        paths: of the files, relative to ``data_dir``, with slashes.

    Raises:
        DatasetError: the dataset is not the workspace's own, a path leads out of it, or a file
            cannot be moved.
    """
    check_is_own(workspace, data_dir)
    aside = _new_aside(workspace, data_dir)
    moved: dict[str, str | None] = {}
    try:
        with _changing(data_dir):
            for path in paths:
                if not is_contained(path):
                    raise DatasetError(f"Expected a file inside '{data_dir.name}', got {path!r}.")
                _move_aside(data_dir / path, aside / path)
                moved[path] = None
    finally:
        follow_changed_files(workspace, data_dir, moved, {})
    return aside


def _moved_by_decision(workspace: Workspace, data_dir: Path, folder: str) -> dict[str, list[Path]]:
    """Return the files of a class folder that a decision moved to another class, by that class."""
    found: dict[str, list[Path]] = {}
    for path, decision in load_decisions(workspace, data_dir).current.items():
        path_exists = PurePosixPath(path).is_relative_to(folder) and (data_dir / path).is_file()
        if path_exists and decision.class_name not in (None, PurePosixPath(folder).name):
            found.setdefault(str(decision.class_name), []).append(data_dir / path)
    return found


def is_own(workspace: Workspace, data_dir: Path) -> bool:
    """Whether a dataset lies in the workspace, links followed, so that its files may be changed."""
    return workspace.datasets_dir.resolve() in data_dir.resolve().parents


def own_layout(workspace: Workspace, data_dir: Path) -> Layout:
    """Return the layout of a dataset whose class folders may be changed.

    Raises:
        DatasetError: the dataset is not the workspace's own, or its classes are no folders.
    """
    check_is_own(workspace, data_dir)
    layout = read_layout(data_dir, layout=kept_layout(workspace, data_dir))
    check_has_folders(layout, data_dir.name)
    return layout


def check_is_own(workspace: Workspace, data_dir: Path) -> None:
    """Check that a dataset lies in the workspace, so that files may be added to it.

    Raises:
        DatasetError: it is a folder elsewhere.
    """
    if not is_own(workspace, data_dir):
        raise DatasetError(NOT_OWN.format(data_dir))


def _folders_of(layout: Layout, class_name: str) -> list[str]:
    if class_name not in layout.classes:
        raise DatasetError(
            f"Expected a class out of {', '.join(layout.classes)}, received '{class_name}'."
            f"{did_you_mean(class_name, layout.classes)}"
        )
    return layout.classes[class_name]


def _free_name(layout: Layout, class_name: str, besides: str | None = None) -> str:
    """Return the folder name of a class that is new, or the new one of the class ``besides``."""
    name = class_folder_name(class_name)
    if colliding_name(name, (other for other in layout.classes if other != besides)) is not None:
        raise DatasetError(
            f"Expected a new class name, but there is a class '{name}' already. Merge the two, or "
            "choose another name."
        )
    return name


@contextmanager
def _changing(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"The class folders of '{data_dir.name}' could not be changed "
            f"({error.strerror or error}). Close what has their files open, see that they may be "
            "written to, and try again."
        ) from error


def _move_files(
    files: Iterable[Path], source: Path, target: Path, class_name: str
) -> Iterator[tuple[Path, Path]]:
    """Move files from the folder ``source`` to ``target``; yield each old and new path."""
    target.mkdir(exist_ok=True)
    taken = {_key(entry.name) for entry in target.iterdir()}
    for file in files:
        name, number = file.name, 0
        while _key(name) in taken:
            origin = f"{class_name}/{file.relative_to(source).as_posix()}/{number}"
            digest = hashlib.sha256(origin.encode()).hexdigest()
            name, number = mark_name(PurePosixPath(file.name), digest).name, number + 1
        taken.add(_key(name))
        file.rename(target / name)
        yield file, target / name


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _place(path: Path, data_dir: Path) -> str:
    """Return a path as used in decisions."""
    return path.relative_to(data_dir).as_posix()


def _key(name: str) -> str:
    return path_key(PurePosixPath(name))


def _new_aside(workspace: Workspace, data_dir: Path) -> Path:
    """Return a new folder path for the files that one operation removes from a dataset."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    return workspace.datasets_dir / REMOVED / f"{data_dir.name}-{now}-{uuid.uuid4().hex[:8]}"


def _move_aside(folder: Path, aside: Path) -> None:
    aside.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)
