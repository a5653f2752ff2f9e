"""A project as one folder, apart from the workspace: how it is deleted, exported and brought back.

    project.json     what it is called, where its data folder was
    data/            the photos, if the workspace had them or they were exported
    decisions.json   what was decided about them
    runs/<id>/       searches/<id>/

A zip of a project has the same layout.
"""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tl_core.data.curation.edits import UNREADABLE, Decisions
from tl_core.data.curation.store import choose_layout, edit_decisions
from tl_core.data.file_names import safe_component
from tl_core.data.layout.layout_name import LayoutName
from tl_core.errors import DatasetError
from tl_core.files import read_json, write_json
from tl_core.projects.registry import (
    MAX_TITLE,
    Project,
    change_opened,
    change_record,
    list_projects,
    project_at,
    read_records,
)
from tl_core.runs.files import ORIGIN_FILE, read_file
from tl_core.workspace import Workspace

BUNDLE_FILE = "project.json"
DECISIONS_FILE = "decisions.json"
DATA_FOLDER, RUNS_FOLDER, SEARCHES_FOLDER = "data", "runs", "searches"
BUNDLE_SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """What ``project.json`` says.

    Attributes:
        id: of the project where it comes from.
        title: None for the name of the folder.
        folder_name: of the data folder.
        data_dir: the data folder as the workspace stores paths; empty for one from elsewhere.
        layout: name of the chosen reading of the data folder, if any.
        deleted: when it was put here, in ISO 8601; empty in an export.
        target: where the data folder will be, once that is decided.
    """

    id: str
    folder_name: str
    title: str | None = None
    data_dir: str = ""
    layout: str | None = None
    deleted: str = ""
    target: str = ""

    def write(self, bundle: Path) -> None:
        """Write it into a bundle."""
        write_json(bundle / BUNDLE_FILE, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the content of its JSON file."""
        return {"schema": BUNDLE_SCHEMA, **asdict(self)}


def new_bundle_path(workspace: Workspace) -> Path:
    """Return a new place in the workspace's trash; its name says when it was made."""
    return workspace.trash_dir / f"{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4().hex[:8]}"


def read_manifest(bundle: Path) -> Manifest:
    """Read ``project.json`` of a bundle.

    Raises:
        DatasetError: it is missing, unreadable or of a newer schema.
    """
    try:
        values = read_json(bundle / BUNDLE_FILE)
        schema = values.pop("schema")
        if not isinstance(schema, int) or schema > BUNDLE_SCHEMA:
            raise ValueError(f"it has schema {schema!r}, this version reads up to {BUNDLE_SCHEMA}")
        manifest = Manifest(**values)
        if not all(isinstance(one, str | None) for one in asdict(manifest).values()):
            raise ValueError("it has something else where text is expected")
        title = manifest.title
        if title is not None and not (title.isprintable() and 0 < len(title) <= MAX_TITLE):
            raise ValueError("its title is too long or not printable")
        if manifest.layout is not None:
            LayoutName.parse(manifest.layout)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(
            f"Expected an exported project, but its {BUNDLE_FILE} cannot be read: {error}"
        ) from error
    return manifest


def manifest_of(workspace: Workspace, project: Project, layout: str | None) -> Manifest:
    """Return the manifest of a project of the workspace."""
    title = read_records(workspace).get(project.id, {}).get("title")
    return Manifest(
        id=project.id,
        folder_name=project.path.name,
        title=title if isinstance(title, str) else None,
        data_dir=workspace.relative(project.path),
        layout=layout,
    )


def move_in(workspace: Workspace, bundle: Path) -> Project:
    """Make a bundle a project of the workspace again and remove the bundle.

    Names that are taken meanwhile are given a number. Where a kill cuts it off, the rest is still
    in the bundle and follows when this is called again.

    Raises:
        DatasetError: the bundle or the decisions in it cannot be read.
        RunError: a run in it cannot be read.
    """
    manifest = read_manifest(bundle)
    if not manifest.target or (bundle / DATA_FOLDER).is_dir():
        manifest = replace(manifest, target=_find_target(workspace, bundle, manifest))
        manifest.write(bundle)
    data_dir = workspace.resolve(manifest.target)
    if (bundle / DATA_FOLDER).is_dir():
        workspace.datasets_dir.mkdir(parents=True, exist_ok=True)
        shutil.move(bundle / DATA_FOLDER, data_dir)
    taken = {one.id for one in list_projects(workspace)}
    project = project_at(workspace, data_dir)
    is_same = manifest.target == manifest.data_dir and manifest.id not in taken
    if is_same and manifest.id != project.id:  # it had been re-linked
        change_record(workspace, manifest.id, data_dir=manifest.target)
        project = project_at(workspace, data_dir)
    _take_decisions(workspace, bundle, data_dir)
    if manifest.layout is not None:
        choose_layout(workspace, data_dir, manifest.layout)
    _take_work(bundle / RUNS_FOLDER, workspace.runs_dir, manifest.target)
    _take_work(bundle / SEARCHES_FOLDER, workspace.sweeps_dir, manifest.target)
    title = _free_title(workspace, project, manifest.title)
    change_record(workspace, project.id, title=title, hidden=None)
    if not project.is_ours:
        path = str(data_dir)
        change_opened(workspace, lambda paths: [*paths, path])
    shutil.rmtree(bundle, ignore_errors=True)
    return project_at(workspace, data_dir)


def free_path(path: Path) -> Path:
    """Return a path that nothing is at: itself, or with the first number that is free."""
    number, free = 2, path
    while free.exists() or free.is_symlink():
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free


def _free_title(workspace: Workspace, project: Project, title: str | None) -> str | None:
    """Return a title, with a number if another project has it."""
    taken = {one.title for one in list_projects(workspace) if one.id != project.id}
    number, free = 2, title
    while free in taken:
        free = f"{title} ({number})"
        number += 1
    return free


def _find_target(workspace: Workspace, bundle: Path, manifest: Manifest) -> str:
    """Return where the data folder will be, as the workspace stores it."""
    if not (bundle / DATA_FOLDER).is_dir():
        return manifest.data_dir
    name = safe_component(manifest.folder_name)
    return workspace.relative(free_path(workspace.datasets_dir / name))


def _take_decisions(workspace: Workspace, bundle: Path, data_dir: Path) -> None:
    try:
        kept = Decisions.from_dict(read_json(bundle / DECISIONS_FILE))
    except FileNotFoundError:
        return
    except UNREADABLE as error:
        raise DatasetError(f"The project's decisions cannot be read: {error}") from error

    def join(there: Decisions) -> Decisions:
        return there.joined_with(kept)

    edit_decisions(workspace, data_dir, join)
    (bundle / DECISIONS_FILE).unlink()


def _take_work(source: Path, place: Path, data_dir: str) -> None:
    """Move the runs or the searches of a bundle to their place, with their new data folder."""
    if not source.is_dir():
        return
    place.mkdir(parents=True, exist_ok=True)
    new_ids = _new_ids(source, place)
    for folder in _folders(source):
        origin = read_file(folder, ORIGIN_FILE, dict)
        changed = {**origin, "data_dir": data_dir}
        if (from_run := origin.get("from_run")) in new_ids:
            changed["from_run"] = new_ids[from_run]
        if changed != origin:
            write_json(folder / ORIGIN_FILE, changed)
        shutil.move(folder, place / new_ids[folder.name])


def _new_ids(source: Path, place: Path) -> dict[str, str]:
    """Return the name that each folder of ``source`` gets in ``place``, no two alike."""
    own = {folder.name for folder in _folders(source)}
    new_ids: dict[str, str] = {}
    for name in sorted(own):
        number, free = 2, name
        while (place / free).exists() or free in new_ids.values() or (free in own and free != name):
            free = f"{name}-{number}"
            number += 1
        new_ids[name] = free
    return new_ids


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir())
