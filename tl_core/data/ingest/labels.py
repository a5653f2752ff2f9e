"""Labels for photos for which a folder names no class, from a person or a table.

They are kept with the decisions about the folder, so that scanning, training, the cleaned copy and
a project's export use them. Each function makes one step, which undo takes back.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tl_core.data.curation.store import (
    Decision,
    Decisions,
    edit_decisions,
    kept_layout,
    load_decisions,
)
from tl_core.data.dataset import scan_photos
from tl_core.data.ingest.class_folders import class_folder_name, colliding_name
from tl_core.data.layout.label_files import ImageFinder, read_table
from tl_core.data.layout.table_columns import find_columns, label_of
from tl_core.data.layout.tree import ImageFile
from tl_core.errors import DatasetError
from tl_core.files import replacing
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace, default_workspace

COLUMNS = ("file_name", "label")
"""Columns of a table of labels, as the label files of datasets have them."""


@dataclass(frozen=True)
class LabelsTaken:
    """What a table or a mapping of labels gave.

    Attributes:
        num_labelled: photos that got their class.
        has_class: photos that keep the class that the folder gives them.
        unknown: values for which there is no photo.
    """

    num_labelled: int
    has_class: tuple[str, ...]
    unknown: tuple[str, ...]


def give_labels(
    workspace: Workspace,
    data_dir: Path,
    class_of: Mapping[str, str | None],
    sha256_of: Mapping[str, str],
) -> Decisions:
    """Give photos a class, or take it from them where ``class_of`` is None, as one step.

    Args:
        workspace: where decisions are kept.
        data_dir: the data folder.
        class_of: class by path, relative to the folder.
        sha256_of: of the photos' bytes, by path.

    Raises:
        DatasetError: a name is not a valid class name, or the decisions are damaged.
        StorageError: they cannot be written.
    """
    for name in {name for name in class_of.values() if name is not None}:
        class_folder_name(name)
    decisions = [
        Decision(path, sha256_of[path], "unlabel" if name is None else "label", name)
        for path, name in class_of.items()
    ]
    return edit_decisions(
        workspace, data_dir, lambda before: before.decide(_step_name(class_of), decisions)
    )


def leave_out(workspace: Workspace, data_dir: Path, sha256_of: Mapping[str, str]) -> Decisions:
    """Exclude photos, by path, that show no class or are of no use, as one step.

    Raises:
        DatasetError: the decisions are damaged.
        StorageError: they cannot be written.
    """
    decisions = [Decision(path, sha256, "exclude") for path, sha256 in sha256_of.items()]
    label = f"{_photos(list(sha256_of))} left out"
    return edit_decisions(workspace, data_dir, lambda before: before.decide(label, decisions))


def add_label_class(workspace: Workspace, data_dir: Path, name: str, known: Iterable[str]) -> str:
    """Keep the name of a class to label photos with, and return it as it is kept.

    Args:
        workspace: where decisions are kept.
        data_dir: the data folder.
        name: the name as typed.
        known: the classes that there are.

    Raises:
        DatasetError: it is not a valid class name, or there is such a class.
        StorageError: it cannot be written.
    """
    new = class_folder_name(name)
    if (taken := colliding_name(new, known)) is not None:
        raise DatasetError(
            f"Expected a new class name, but there is a class '{taken}' already. Type another."
        )
    edit_decisions(workspace, data_dir, lambda before: before.with_classes((*before.classes, new)))
    return new


def rename_label_class(
    workspace: Workspace, data_dir: Path, old: str, name: str, known: Iterable[str]
) -> str:
    """Rename a class that photos were labelled with, and return its new name as it is kept.

    Raises:
        DatasetError: as :func:`add_label_class`.
        StorageError: it cannot be written.
    """
    new = class_folder_name(name)
    if (taken := colliding_name(new, (one for one in known if one != old))) is not None:
        raise DatasetError(
            f"Expected a new name for '{old}', but there is a class '{taken}' already. Type "
            "another."
        )
    edit_decisions(workspace, data_dir, lambda before: before.with_class_renamed(old, new))
    return new


def remove_label_class(workspace: Workspace, data_dir: Path, name: str) -> None:
    """Forget the name of a class that no photo was labelled with.

    Raises:
        StorageError: the decisions cannot be written.
    """

    def change(before: Decisions) -> Decisions:
        return before.with_classes(tuple(one for one in before.classes if one != name))

    edit_decisions(workspace, data_dir, change)


def label_photos(
    data_dir: str | os.PathLike[str],
    class_of: Mapping[str, str],
    workspace: Workspace | None = None,
    *,
    monitor: Monitor = SILENT,
) -> LabelsTaken:
    """Give the photos of a folder without classes their classes, as one step.

    Args:
        data_dir: the data folder.
        class_of: class by path, relative to the folder.
        workspace: where the labels are kept; by default that of the environment.
        monitor: reports the scan.

    Raises:
        DatasetError: there is no such folder, or a name is not a valid class name.
        Stopped: ``monitor`` was asked to stop.

    Examples:
        >>> import shutil
        >>> from tl_core import label_photos
        >>> _ = shutil.copytree("photos/dog", "heap")
        >>> label_photos("heap", {"0.png": "poodle", "1.png": "terrier"}).num_labelled
        2
    """
    workspace = workspace or default_workspace()
    index = scan_photos(
        data_dir,
        kept_layout(workspace, data_dir),
        cache_dir=workspace.cache_dir,
        **monitor.callbacks,
    )
    records = {record.path: record for record in index.records}
    has_class = [path for path in class_of if path in records and records[path].label >= 0]
    unknown = [path for path in class_of if path not in records]
    taken = {path: name for path, name in class_of.items() if path in records}
    for path in has_class:
        del taken[path]
    if taken:
        shas = {path: records[path].sha256 for path in taken}
        give_labels(workspace, index.data_dir, taken, shas)
    return LabelsTaken(len(taken), tuple(has_class), tuple(unknown))


def read_labels_table(path: Path, data_dir: Path, photos: Iterable[str]) -> dict[str, str]:
    """Return the class by photo that a table names: CSV, TSV, JSON or JSON lines.

    Args:
        path: the table; it may lie anywhere.
        data_dir: the data folder, which the paths in it may begin with.
        photos: the photos that there are, relative to the folder.

    Raises:
        DatasetError: it cannot be read, or names no photo of the folder with a class.
    """
    finder = ImageFinder.of([ImageFile(photo, 0, 0) for photo in photos])
    table = read_table(path.parent, path.name, finder)
    guess = None if table is None else find_columns(table, finder)
    if table is None or guess is None or guess.columns is None:
        raise DatasetError(
            f"Expected a table with the columns {' and '.join(COLUMNS)} in '{path}' that names "
            f"photos of '{data_dir}', found none."
        )
    class_of: dict[str, str] = {}
    for row, image in zip(table.rows, guess.images, strict=True):
        name = label_of(table, guess.columns, row)
        if name:
            place = table.place_of[guess.columns.file]
            class_of.setdefault(row[place] if image is None else image.path, name)
    return class_of


def write_labels_table(path: Path, workspace: Workspace, data_dir: Path) -> int:
    """Write the labels that a person gave as CSV with the columns of ``COLUMNS``.

    Returns:
        The number of labels.

    Raises:
        DatasetError: the decisions are damaged.
    """
    labels = load_decisions(workspace, data_dir).labels
    with replacing(path) as place, place.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows((photo, one.class_name) for photo, one in sorted(labels.items()))
    return len(labels)


def _step_name(class_of: Mapping[str, str | None]) -> str:
    counts = Counter(class_of.values())
    name, count = counts.most_common(1)[0] if counts else (None, 0)
    photos = _photos(list(class_of))
    if count < len(class_of):
        return f"{photos} labelled"
    return f"{photos} without a class again" if name is None else f"{photos} labelled {name}"


def _photos(paths: list[str]) -> str:
    return PurePosixPath(paths[0]).name if len(paths) == 1 else f"{len(paths):,} photos"
