"""Deleting a project, with a day in which it can be brought back.

What the workspace has of it goes to a folder in ``trash/``. A data folder elsewhere is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tl_core.data.curation.store import choose_layout, decisions_path, kept_layout
from tl_core.errors import DatasetError
from tl_core.projects.bundle import (
    DATA_FOLDER,
    DECISIONS_FILE,
    RUNS_FOLDER,
    SEARCHES_FOLDER,
    manifest_of,
    move_in,
    new_bundle_path,
    read_manifest,
)
from tl_core.projects.registry import (
    Project,
    change_opened,
    change_record,
    check_idle,
    runs_of,
    searches_of,
)
from tl_core.runs.files import now
from tl_core.runs.state_dir import WorkFolder
from tl_core.workspace import Workspace

KEPT = timedelta(days=1)


@dataclass(frozen=True)
class DeletedProject:
    """A project that was deleted and can be restored until ``expires``."""

    token: str
    id: str
    title: str
    deleted: datetime
    num_runs: int

    @property
    def expires(self) -> datetime:
        """When it goes for good."""
        return self.deleted + KEPT


def delete_project(workspace: Workspace, project: Project) -> DeletedProject:
    """Move a project out of the workspace's lists into its trash.

    The photos go along if the workspace has them; a folder elsewhere is only listed no longer.

    Raises:
        DatasetError: it is the sample set, which is drawn again whenever it is missing.
        RunError: a run or a search of it waits or goes on.
    """
    if project.is_sample:
        raise DatasetError(
            "The sample set cannot be deleted: it is drawn again when it is missing. "
            "Delete its runs instead."
        )
    check_idle(workspace, project)
    sweep_trash(workspace)
    bundle = new_bundle_path(workspace)
    layout = kept_layout(workspace, project.path)
    manifest = manifest_of(workspace, project, layout)
    # Written first: whatever has been moved when a kill comes can be brought back.
    replace(manifest, deleted=now()).write(bundle)
    _move(runs_of(workspace, project, include_archived=True), bundle / RUNS_FOLDER)
    _move(searches_of(workspace, project), bundle / SEARCHES_FOLDER)
    decisions = decisions_path(workspace, project.path)
    if decisions.exists():
        decisions.rename(bundle / DECISIONS_FILE)
    if layout is not None:
        choose_layout(workspace, project.path, None)
    if project.is_ours and not project.is_missing:
        shutil.move(project.path, bundle / DATA_FOLDER)
    rest = str(project.path)
    change_opened(workspace, lambda paths: (path for path in paths if path != rest))
    change_record(workspace, project.id, title=None, data_dir=None, former=None, hidden=None)
    return _deleted(bundle)


def list_deleted(workspace: Workspace) -> list[DeletedProject]:
    """Return the deleted projects that can be restored, the last deleted first."""
    found = []
    for bundle in _bundles(workspace):
        with suppress(DatasetError):
            found.append(_deleted(bundle))
    current = [one for one in found if one.expires > datetime.now(UTC)]
    return sorted(current, key=lambda one: one.deleted, reverse=True)


def restore_project(workspace: Workspace, token: str) -> Project:
    """Bring a deleted project back, with its photos, decisions, runs and searches.

    Its title or folder gets a number if the name was taken meanwhile.

    Raises:
        DatasetError: there is no such project any more, or it cannot be read.
    """
    known = {one.token for one in list_deleted(workspace)}
    if token not in known:
        raise DatasetError(
            f"Expected a deleted project out of {', '.join(sorted(known)) or 'none'}, received "
            f"'{token}'. Deleted projects are kept for a day."
        )
    return move_in(workspace, workspace.trash_dir / token)


def sweep_trash(workspace: Workspace, kept: timedelta = KEPT) -> None:
    """Remove for good what was deleted longer ago than ``kept``, by default a day."""
    for bundle in _bundles(workspace):
        try:
            deleted = _deleted(bundle).deleted
        except DatasetError:
            with suppress(OSError):
                deleted = datetime.fromtimestamp(bundle.stat().st_mtime, UTC)
        if datetime.now(UTC) - deleted >= kept:
            shutil.rmtree(bundle, ignore_errors=True)


def _move(work: Iterable[WorkFolder], place: Path) -> None:
    place.mkdir(parents=True)
    for one in work:
        shutil.move(one.folder, place / one.id)


def _bundles(workspace: Workspace) -> list[Path]:
    return [path for path in sorted(workspace.trash_dir.glob("[!.]*")) if path.is_dir()]


def _deleted(bundle: Path) -> DeletedProject:
    manifest = read_manifest(bundle)
    try:
        deleted = datetime.fromisoformat(manifest.deleted).astimezone(UTC)
    except ValueError as error:
        raise DatasetError(f"'{bundle}' does not say when it was deleted.") from error
    num_runs = len(list((bundle / RUNS_FOLDER).glob("[!.]*")))
    title = manifest.title or manifest.folder_name
    return DeletedProject(bundle.name, manifest.id, title, deleted, num_runs)
