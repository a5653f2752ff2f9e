"""The user's decisions about images: exclude an image, or move it to another class.

Data folders are not changed. The decisions about each folder are one small file in the workspace;
:func:`load_dataset` applies them, for everything that trains or evaluates. Each step can be undone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from filelock import FileLock

from tl_core.config.limits import MEGABYTE, current_limits, over
from tl_core.config.training import TrainConfig
from tl_core.data.audit.findings import Finding
from tl_core.data.curation.edits import (
    UNREADABLE,
    Action,
    Decision,
    Decisions,
    Step,
    describe_read_error,
)
from tl_core.data.dataset import DatasetIndex, ImageRecord, PhotoLabel, scan_dataset
from tl_core.data.layout.folder_layout import natural_path_key
from tl_core.data.layout.layout_name import LayoutName
from tl_core.errors import DatasetError
from tl_core.files import expand, plain_storage_errors, read_json, write_json
from tl_core.progress import SILENT, Monitor
from tl_core.visitors.store import take_place
from tl_core.visitors.writing import writing
from tl_core.workspace import Workspace

__all__ = [
    "Decision",
    "Decisions",
    "Step",
    "apply_decisions",
    "choose_layout",
    "decisions_path",
    "edit_decisions",
    "follow_changed_files",
    "kept_layout",
    "labels_of",
    "load_dataset",
    "load_decisions",
    "scan_labelled",
    "validate",
    "with_kept_layout",
]

# A file name has 255 bytes at most; the key, the ending and the mark of a file being written
# (see tl_core.files.replacing) take 60 of them.
_MAX_NAME_BYTES = 195
_BYTES_OF_ROW = 1000  # of decisions with long names, that count as one row of a label file


def decisions_path(workspace: Workspace, data_dir: str | os.PathLike[str]) -> Path:
    """Return the path of the decisions about a data folder, whether it exists or not.

    A folder has one such file, however its path is written and through whatever link.
    """
    spelled = expand(data_dir).absolute()
    path = _path_for(workspace, workspace.relative(Path(os.path.realpath(spelled))))
    if not path.exists():
        # Earlier versions identified a dataset linked into the workspace by the path of its link.
        linked = _path_for(workspace, workspace.relative(spelled))
        if linked.exists():
            return linked
    return path


def _path_for(workspace: Workspace, stored: str) -> Path:
    key = hashlib.sha256(os.fsencode(stored)).hexdigest()[:16]
    name = os.fsencode(Path(stored).name)[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    return workspace.decisions_dir / f"{name}-{key}.json"


def load_decisions(workspace: Workspace, data_dir: str | os.PathLike[str]) -> Decisions:
    """Return the decisions about a data folder, empty if there are none.

    Raises:
        DatasetError: their file is damaged or its schema is newer.
    """
    path = decisions_path(workspace, data_dir)
    try:
        return Decisions.from_dict(read_json(path))
    except FileNotFoundError:
        return Decisions()
    except UNREADABLE as error:
        raise DatasetError(
            f"Expected decisions about '{data_dir}' in '{path}', but reading them failed: "
            f"{describe_read_error(error)}. Move the file away to continue without them."
        ) from error


def edit_decisions(
    workspace: Workspace,
    data_dir: str | os.PathLike[str],
    change: Callable[[Decisions], Decisions],
) -> Decisions:
    """Apply ``change`` to the decisions about a data folder, save and return the result.

    Edits of different processes are serialised, so that none is lost.

    Raises:
        DatasetError: the existing file is damaged or its schema is newer.
        LimitError: they would exceed a limit of a hosted demo, or the visitor gets no place;
            nothing was changed.
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    take_place(workspace)
    path = decisions_path(workspace, data_dir)
    with plain_storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            before = load_decisions(workspace, data_dir)
            changed = change(before)
            if workspace.host is not None and changed.num_decisions > before.num_decisions:
                _check_growth(path, changed)
            write_json(path, changed.to_dict())
    return changed


def _check_growth(path: Path, changed: Decisions) -> None:
    """Check how many decisions a visitor of a demo has: they are read at each view of a page.

    Raises:
        LimitError: they, or their file, would exceed a limit.
    """
    limits, num_bytes = current_limits(), len(changed.to_json().encode())
    rows = max(changed.num_decisions, num_bytes // _BYTES_OF_ROW)
    if limits is not None and rows > limits.label_rows:
        advice = "Each decision about a photo counts: begin another project."
        raise over("label_rows", rows, advice)
    if num_bytes > MEGABYTE:  # less does not matter, and decisions are made often
        with writing(path) as written:
            written.add(0, new=num_bytes, old=path.stat().st_size if path.exists() else None)


def kept_layout(workspace: Workspace, data_dir: str | os.PathLike[str]) -> str | None:
    """Return the name of the layout chosen for a data folder, or None.

    An unreadable file counts as none: the default layout is then used and shown in the plan.
    """
    try:
        layout = read_json(_layout_path(workspace, data_dir))["layout"]
        return str(LayoutName.parse(layout))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def choose_layout(
    workspace: Workspace, data_dir: str | os.PathLike[str], layout: str | None
) -> None:
    """Save the layout to use for a data folder; None restores the default.

    Raises:
        ConfigError: there is no such layout.
    """
    path = _layout_path(workspace, data_dir)
    if layout is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"schema": 1, "layout": str(LayoutName.parse(layout))})


def with_kept_layout(
    config: TrainConfig, workspace: Workspace, data_dir: str | os.PathLike[str]
) -> TrainConfig:
    """Return settings with the layout chosen for a folder, unless they already have one."""
    if config.layout:
        return config
    return config.updated(layout=kept_layout(workspace, data_dir) or "")


def _layout_path(workspace: Workspace, data_dir: str | os.PathLike[str]) -> Path:
    return decisions_path(workspace, data_dir).with_suffix(".layout")


def follow_changed_files(
    workspace: Workspace,
    data_dir: str | os.PathLike[str],
    moved: Mapping[str, str | None],
    renamed: Mapping[str, str | None],
) -> None:
    """Update the decisions about a data folder, and undone ones, after files or classes moved.

    Args:
        workspace: the workspace of the decisions.
        data_dir: the data folder.
        moved: the new path of a file or folder by its old one, relative to ``data_dir``; None if
            it was removed, which removes the decisions about it.
        renamed: the new name of a class by its old one; None if it was removed, which excludes
            the images that a decision had moved to it, and takes the label from those labelled so.
    """
    if not decisions_path(workspace, data_dir).exists():
        return

    def convert(decision: Decision) -> Decision | None:
        path = _moved_path(decision.path, moved)
        name = decision.class_name
        if path is None:
            return None
        if name is None or name not in renamed:
            return replace(decision, path=path)
        if (new_name := renamed[name]) is not None:
            return replace(decision, path=path, class_name=new_name)
        action: Action = "unlabel" if decision.action == "label" else "exclude"
        return replace(decision, path=path, action=action, class_name=None)

    names = {old: new for old, new in renamed.items() if new is not None}
    edit_decisions(workspace, data_dir, lambda before: before.converted(convert, names))


def _moved_path(path: str, moved: Mapping[str, str | None]) -> str | None:
    place = PurePosixPath(path)
    for old in (place, *place.parents):
        if str(old) in moved:
            new = moved[str(old)]
            return None if new is None else str(PurePosixPath(new) / place.relative_to(old))
    return path


def apply_decisions(index: DatasetIndex, decisions: Decisions) -> DatasetIndex:
    """Return the index without excluded images and with relabelled ones in their new class.

    A class without images is removed; a class named only by a decision is added. A decision about
    a changed or missing file is ignored and reported as a finding. Photos that were added one by
    one are noted in ``added``.

    Raises:
        DatasetError: fewer than two classes are left.
    """
    index = _with_added(index, decisions)
    if not decisions.current and not decisions.labels:
        return index
    kept, num_held = _kept_under(index, decisions)
    by_path = {record.path: record for record in index.records}
    without_class = set(index.unlabelled)
    labelled = set(index.labelled)
    stale = tuple(
        decision.path
        for decision in decisions.current.values()
        if decision.path not in without_class
        and (decision.path not in by_path or by_path[decision.path].sha256 != decision.sha256)
    )
    stale += tuple(p for p in decisions.labels if p not in labelled and p not in by_path)
    return _rebuilt(index, kept, decisions, num_held, stale)


def _with_added(index: DatasetIndex, decisions: Decisions) -> DatasetIndex:
    if not decisions.added:
        return index
    added = frozenset(
        record.path for record in index.records if (record.path, record.sha256) in decisions.added
    )
    return replace(index, added=added) if added != index.added else index


def validate(index: DatasetIndex, decisions: Decisions) -> Decisions:
    """Return the decisions after checking that at least two classes remain.

    Raises:
        DatasetError: fewer than two classes would remain.
    """
    kept, _ = _kept_under(index, decisions)
    num_left = len({name for name, _ in kept})
    if num_left < 2:
        left = "1 class" if num_left == 1 else f"{num_left} classes"
        raise DatasetError(f"That would leave {left}; a dataset needs at least 2.")
    return decisions


def load_dataset(
    data_dir: str | os.PathLike[str],
    workspace: Workspace,
    layout: str | None = None,
    *,
    cache_dir: Path | None = None,
    monitor: Monitor = SILENT,
) -> DatasetIndex:
    """Scan a data folder and apply the decisions about it: what training and evaluation read.

    Args:
        data_dir: the folder.
        workspace: the workspace whose decisions and chosen layout apply.
        layout: the layout of the folder; by default the chosen one.
        cache_dir: the folder of the scan cache; by default the workspace's.
        monitor: reports the scan.

    Raises:
        DatasetError: as :func:`~tl_core.data.dataset.scan_dataset`, or the decisions leave fewer
            than two classes.
        Stopped: ``monitor`` was asked to stop.
    """
    decisions = load_decisions(workspace, data_dir)
    index = scan_dataset(
        data_dir,
        layout or kept_layout(workspace, data_dir),
        labels=labels_of(decisions),
        cache_dir=cache_dir or workspace.cache_dir,
        **monitor.callbacks,
    )
    return apply_decisions(index, decisions)


def scan_labelled(
    data_dir: str | os.PathLike[str], workspace: Workspace, *, monitor: Monitor = SILENT
) -> DatasetIndex:
    """Scan a data folder with the chosen layout and the labels that a person gave its photos.

    No photo is excluded or moved: see :func:`load_dataset`.

    Raises:
        DatasetError: as :func:`~tl_core.data.dataset.scan_dataset`.
        Stopped: ``monitor`` was asked to stop.
    """
    return scan_dataset(
        data_dir,
        kept_layout(workspace, data_dir),
        labels=labels_of(load_decisions(workspace, data_dir)),
        cache_dir=workspace.cache_dir,
        **monitor.callbacks,
    )


def labels_of(decisions: Decisions) -> dict[str, PhotoLabel]:
    """Return the labels among decisions as :func:`~tl_core.data.dataset.scan_dataset` takes them.

    Example:
        >>> given = Decisions().decide("one", [Decision("1.jpg", "ab", "label", "cat")])
        >>> labels_of(given)["1.jpg"].class_name
        'cat'
    """
    return {
        path: PhotoLabel(decision.sha256, decision.class_name or "")
        for path, decision in decisions.labels.items()
    }


def _kept_under(
    index: DatasetIndex, decisions: Decisions
) -> tuple[list[tuple[str, ImageRecord]], dict[str, int]]:
    """Return the remaining images with their classes, and how many decisions of each kind apply."""
    kept: list[tuple[str, ImageRecord]] = []
    num_held = {"exclude": 0, "relabel": 0}
    for record in index.records:
        decision = decisions.current.get(record.path)
        name = index.class_names[record.label]
        if decision is None or decision.sha256 != record.sha256:
            kept.append((name, record))
            continue
        num_held[decision.action] += 1
        if decision.action == "relabel":
            kept.append((decision.class_name or name, record))
    return kept, num_held


def _rebuilt(
    index: DatasetIndex,
    kept: list[tuple[str, ImageRecord]],
    decisions: Decisions,
    num_held: Mapping[str, int],
    stale: tuple[str, ...],
) -> DatasetIndex:
    present = {name for name, _ in kept}
    if len(present) < 2:
        raise DatasetError(
            f"Expected at least 2 classes in '{index.data_dir.name}', but the decisions about it "
            f"leave {len(present)}. Undo some of them."
        )
    known = [name for name in index.class_names if name in present]
    class_names = (*known, *sorted(present.difference(known), key=natural_path_key))
    label_of = {name: label for label, name in enumerate(class_names)}
    records = [replace(record, label=label_of[name]) for name, record in kept]
    records.sort(key=lambda record: (record.label, natural_path_key(record.path)))
    findings = list(index.findings)
    if stale:
        findings.append(
            Finding(
                "stale_decisions",
                "warning",
                "1 decision is ignored: its file has changed or is missing."
                if len(stale) == 1
                else f"{len(stale):,} decisions are ignored: their files have changed or are "
                "missing.",
                stale,
            )
        )
    counted = {f"decision_{action}": count for action, count in num_held.items() if count}
    return replace(
        index,
        class_names=class_names,
        records=tuple(records),
        findings=tuple(findings),
        num_ignored={**index.num_ignored, **counted},
        decisions_fingerprint=decisions.fingerprint,
    )
