"""Photos added to classes of a workspace dataset, as a step that is undone like any other.

The step is one of the decisions about the dataset, so that all pages list and undo it. Undoing it
moves the file to a separate folder of the workspace; redoing it moves the file back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from tl_core.data.curation.edits import ADDED
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    choose_layout,
    edit_decisions,
    kept_layout,
    load_decisions,
    scan_labelled,
    validate,
)
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.file_names import UnsafeName, name_parts, show_name
from tl_core.data.ingest.class_folders import (
    REMOVED,
    check_is_own,
    class_folder_name,
    is_by_folders,
    is_own,
)
from tl_core.data.ingest.uploads import LazyFile, Upload, store_uploads
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.plan import read_layout
from tl_core.errors import DatasetError, Stopped
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace

Direction = Literal["undo", "redo"]

ADDED_FOLDER = "added"
"""The folder of added photos in a dataset whose classes are no folders."""

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True)
class NewPhoto:
    """A photo and the class it shows.

    Attributes:
        name: its file name, as it came: a label, never a path.
        content: the image file's bytes, or its path.
        class_name: an existing class or a new one.
    """

    name: str
    content: bytes | Path
    class_name: str


@dataclass(frozen=True)
class Additions:
    """The result of adding photos: paths relative to the dataset, and names with reasons."""

    added: tuple[str, ...]
    moved: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


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
        DatasetError: the dataset is not the workspace's own; the same photo is in it already; the
            name or the bytes are not those of an image. Nothing was changed.
    """
    check_is_own(workspace, data_dir)
    digest = hashlib.sha256(content).hexdigest()
    for record in scan_labelled(data_dir, workspace).records:
        if record.sha256 == digest:
            raise DatasetError(
                f"{show_name(name)} is in '{data_dir.name}' already, as {show_name(record.path)}. "
                "Move that one to another class instead of adding it again."
            )
    done = add_photos(workspace, data_dir, [NewPhoto(name, content, class_name)])
    for refused, reason in done.refused:
        raise DatasetError(f"{show_name(refused)} was not added. {reason}")
    return done.added[0]


def add_photos(
    workspace: Workspace,
    data_dir: Path,
    photos: Sequence[NewPhoto],
    *,
    monitor: Monitor = SILENT,
) -> Additions:
    """Copy photos into the folders of their classes, as one step that :func:`take_step` can undo.

    A photo that the dataset has already is moved to the class by a decision, its file stays.

    Args:
        workspace: whose decisions are kept.
        data_dir: the dataset's folder. To a folder that is not the workspace's own nothing is
            added; photos that it has are moved.
        photos: the photos.
        monitor: counts them in the stage ``"upload"``.

    Returns:
        What was added, what was moved, and why others were not.

    Raises:
        DatasetError: a class name is invalid, the files cannot be written, or fewer than two
            classes would be left. Nothing was changed.
        Stopped: ``monitor`` was asked to stop. Nothing was changed.
    """
    before = load_decisions(workspace, data_dir)  # a damaged file is reported before any change
    index = scan_labelled(data_dir, workspace)
    by_digest = {record.sha256: record for record in index.records}
    fresh: dict[str, NewPhoto] = {}
    moves: list[Decision] = []
    refused: list[tuple[str, str]] = []
    for photo in photos:
        monitor.check()
        try:
            digest = _digest(photo.content)
        except OSError as error:
            refused.append((photo.name, f"It cannot be read: {error.strerror or error}."))
            continue
        record = by_digest.get(digest)
        if record is not None:
            move = _move_to(index, record, before, photo.class_name)
            if move is None:
                refused.append((photo.name, f"It is in {photo.class_name} already."))
            else:
                moves.append(move)
        elif not is_own(workspace, data_dir):
            refused.append((photo.name, "The folder of this project is never written to."))
        else:
            fresh.setdefault(digest, photo)
    decisions = _store(workspace, data_dir, fresh, refused, monitor)
    added = [decision.path for decision in decisions]
    paths = (*added, *(move.path for move in moves))
    if paths:
        classes = {photo.class_name for photo in photos}
        what = PurePosixPath(paths[0]).name if len(paths) == 1 else f"{len(paths):,} photos"
        target = classes.pop() if len(classes) == 1 else f"{len(classes)} classes"
        label = f"{what} {'added' if added else 'moved'} to {target}"
        try:
            edit_decisions(
                workspace,
                data_dir,
                lambda held: validate(index, held.decide(label, [*decisions, *moves])),
            )
        except (DatasetError, OSError):
            for path in added:
                (data_dir / path).unlink(missing_ok=True)
            raise
    return Additions(tuple(added), tuple(move.path for move in moves), tuple(refused))


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move_to(
    index: DatasetIndex, record: ImageRecord, before: Decisions, class_name: str
) -> Decision | None:
    """Return the decision that counts a photo to a class; None if it does so already."""
    home, held = index.class_names[record.label], before.current.get(record.path)
    now: str | None = home
    if held is not None and held.sha256 == record.sha256:
        now = held.class_name if held.action == "relabel" else None
    if now == class_name:
        return None
    if class_name == home:
        return Decision(record.path, record.sha256, "keep")
    return Decision(record.path, record.sha256, "relabel", class_name)


def _store(
    workspace: Workspace,
    data_dir: Path,
    fresh: Mapping[str, NewPhoto],
    refused: list[tuple[str, str]],
    monitor: Monitor,
) -> list[Decision]:
    """Copy photos, given by sha256, into a dataset; return the decisions that count them.

    They go into the folders of their classes. Where classes are no folders, they go into one
    folder and get labels.
    """
    if not fresh:
        return []
    check_is_own(workspace, data_dir)
    found = read_layout(data_dir, layout=kept_layout(workspace, data_dir))
    by_folders = is_by_folders(found)
    if not by_folders:
        for photo in fresh.values():
            class_folder_name(photo.class_name)
        choose_layout(workspace, data_dir, found.name)  # photos that come must not change it
    stage = monitor.stage("upload", len(fresh))
    stored: list[Decision] = []
    try:
        for class_name in dict.fromkeys(photo.class_name for photo in fresh.values()):
            digests = [key for key, photo in fresh.items() if photo.class_name == class_name]
            files: list[Upload] = [
                (
                    fresh[key].name if by_folders else _plain_name(fresh[key].name, key, found),
                    _opened(fresh[key].content),
                )
                for key in digests
            ]
            outcomes = store_uploads(
                files,
                data_dir,
                class_name=class_name if by_folders else None,
                folder=None if by_folders else ADDED_FOLDER,
                layout=found.name,
                monitor=stage.part(len(fresh) - stage.done - len(files)),
            )
            for key, outcome in zip(digests, outcomes, strict=True):
                if outcome.path is None:
                    refused.append((fresh[key].name, outcome.reason or ""))
                elif by_folders:
                    stored.append(Decision(outcome.path, key, "keep", None, ADDED))
                else:
                    stored.append(Decision(outcome.path, key, "label", class_name, ADDED))
        if not by_folders:
            _check_need_labels(data_dir, found.name, stored)
    except (DatasetError, Stopped):
        for decision in stored:
            (data_dir / decision.path).unlink(missing_ok=True)
        raise
    return stored


def _plain_name(name: str, sha256: str, layout: Layout) -> str:
    """Return a file name from which no pattern reads a class: letters without any mark."""
    if LayoutName.parse(layout.name).kind != "names":
        return name
    return sha256[:16].translate(_LETTERS) + PurePosixPath(name).suffix.lower()


def _check_need_labels(data_dir: Path, layout: str, stored: Sequence[Decision]) -> None:
    open_paths = set(read_layout(data_dir, layout=layout).without_class)
    for decision in stored:
        if decision.path not in open_paths:
            raise DatasetError(
                f"Expected a photo without a class at '{decision.path}', but '{layout}' reads one "
                "from its path. Add it where the others come from."
            )


def _opened(content: bytes | Path) -> bytes | LazyFile:
    return content if isinstance(content, bytes) else LazyFile(content)


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
            if decision.reason == ADDED and decision.action in ("keep", "label"):
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
