"""Single photos added to a class of a workspace dataset, as a step that is undone like any other.

The step is one of the decisions about the dataset, so that all pages list and undo it. Undoing it
moves the file to a separate folder of the workspace; redoing it moves the file back.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from tl_core.data.curation.edits import ADDED
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    edit_decisions,
    kept_layout,
    load_decisions,
    validate,
)
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.file_names import UnsafeName, name_parts, show_name
from tl_core.data.ingest.class_folders import REMOVED, is_own, own_layout
from tl_core.data.ingest.uploads import store_uploads
from tl_core.errors import DatasetError
from tl_core.workspace import Workspace

Direction = Literal["undo", "redo"]


def add_photo(
    workspace: Workspace, data_dir: Path, name: str, content: bytes, class_name: str
) -> str:
    """Copy a photo into the folder of its class; :func:`take_step` can undo it.

    Args:
        workspace: whose dataset it is.
        data_dir: the dataset's folder.
        name: the photo's file name, as it came: a label, never a path.
        content: the image file's bytes.
        class_name: the class it shows, an existing one or a new one.

    Returns:
        Where the photo is now, relative to ``data_dir``.

    Raises:
        DatasetError: the dataset is not the workspace's own or its classes are no folders; the
            same photo is in it already; the name or the bytes are not those of an image. Nothing
            was changed.
    """
    own_layout(workspace, data_dir)
    layout = kept_layout(workspace, data_dir)
    load_decisions(workspace, data_dir)  # a damaged file is reported before a photo is written
    digest = hashlib.sha256(content).hexdigest()
    index = scan_dataset(data_dir, layout, cache_dir=workspace.cache_dir)
    for record in index.records:
        if record.sha256 == digest:
            raise DatasetError(
                f"{show_name(name)} is in '{data_dir.name}' already, as {show_name(record.path)}. "
                "Move that one to another class instead of adding it again."
            )
    (outcome,) = store_uploads([(name, content)], data_dir, class_name=class_name, layout=layout)
    if outcome.path is None:
        raise DatasetError(f"{show_name(name)} was not added. {outcome.reason}")
    path = outcome.path
    step = [Decision(path, digest, "keep", None, ADDED)]
    label = f"{Path(path).name} added to {class_name}"
    try:
        edit_decisions(workspace, data_dir, lambda before: before.decide(label, step))
    except (DatasetError, OSError):
        (data_dir / path).unlink(missing_ok=True)
        raise
    return path


def take_step(
    workspace: Workspace,
    data_dir: Path,
    direction: Direction,
    index: DatasetIndex | None = None,
) -> str:
    """Undo or redo the last step of decisions about a dataset, with the photos that it added.

    An added photo that was changed or removed since is left as it is.

    Args:
        workspace: where decisions are kept.
        data_dir: the dataset's folder.
        direction: which of the two.
        index: the scan of the folder; with it, a step that would leave fewer than two classes is
            refused.

    Returns:
        The label of the step.

    Raises:
        DatasetError: there is no such step, too few classes would be left, or a photo cannot be
            moved. Nothing was changed.
    """
    labels: list[str] = []

    def change(before: Decisions) -> Decisions:
        # The last step of the file: another tab may have decided since the caller looked.
        steps = before.steps if direction == "undo" else before.undone
        if not steps:
            raise DatasetError(
                "There is nothing left to undo or redo: another window did it already."
            )
        after = before.undo() if direction == "undo" else before.redo()
        if index is not None:
            validate(index, after)
        for decision in steps[-1].decisions:
            if decision.reason == ADDED and decision.action == "keep":
                _move_file(workspace, data_dir, decision, direction)
        labels.append(steps[-1].label)
        return after

    edit_decisions(workspace, data_dir, change)
    return labels[0]


def _move_file(
    workspace: Workspace, data_dir: Path, decision: Decision, direction: Direction
) -> None:
    """Put an added photo aside, or bring it back.

    Decisions can come with an imported project: only a file of the very bytes, within a dataset
    of the workspace, is moved, and never onto another file.
    """
    if not is_own(workspace, data_dir):
        return
    try:
        place = data_dir.joinpath(*name_parts(decision.path))
    except UnsafeName:
        return
    if not place.resolve().is_relative_to(data_dir.resolve()):
        return
    name = hashlib.sha256(f"{decision.path}\n{decision.sha256}".encode()).hexdigest()
    aside = workspace.datasets_dir / REMOVED / "added" / data_dir.name / name
    source, target = (place, aside) if direction == "undo" else (aside, place)
    if not _holds(source, decision.sha256):
        if direction == "undo" or _holds(place, decision.sha256):
            return
        raise DatasetError(f"{show_name(decision.path)} cannot be brought back: its file is gone.")
    if direction == "redo" and target.exists():
        raise DatasetError(
            f"{show_name(decision.path)} cannot be brought back: another file has its name now."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    except OSError as error:
        raise DatasetError(
            f"{show_name(decision.path)} could not be moved ({error.strerror or error}). Close "
            "what has it open and try again."
        ) from error


def _holds(path: Path, sha256: str) -> bool:
    """Whether a path is a regular file of these bytes."""
    try:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False
