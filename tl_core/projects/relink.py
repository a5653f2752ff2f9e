"""A project whose data folder was moved or renamed is pointed to its new place."""

from __future__ import annotations

import os
from pathlib import Path

from tl_core.data.curation.store import (
    choose_layout,
    decisions_path,
    edit_decisions,
    kept_layout,
    load_decisions,
)
from tl_core.errors import DatasetError
from tl_core.files import expand, is_folder, write_json
from tl_core.projects.registry import (
    Project,
    change_opened,
    change_record,
    check_idle,
    check_owns_machine,
    list_projects,
    project_at,
    runs_of,
    searches_of,
)
from tl_core.runs.files import ORIGIN_FILE
from tl_core.runs.state_dir import WorkFolder
from tl_core.workspace import Workspace

_NUM_CHECKED = 200


def relink_project(
    workspace: Workspace, project: Project, folder: str | os.PathLike[str]
) -> Project:
    """Point a project to the place its data folder was moved to.

    Decisions, runs and searches follow, the id and the title stay. A call that a kill cut off is
    completed by the same call again.

    Args:
        workspace: where the project is.
        project: it must not be worked on.
        folder: the folder with the same photos.

    Raises:
        DatasetError: there is no such folder, it is another project's, or it holds none of the
            photos that the project knows.
        RunError: a run or a search of the project waits or goes on.
        LimitError: the workspace is that of a demo's visitor.
    """
    check_owns_machine(workspace)
    new = Path(os.path.realpath(expand(folder).absolute()))
    if project.is_ours and not project.is_missing:
        raise DatasetError(
            f"The photos of '{project.title}' are stored in the workspace: there is nothing to "
            "re-link."
        )
    if not is_folder(new):
        raise DatasetError(f"Expected the folder that holds the photos now, found none at '{new}'.")
    for other in list_projects(workspace):
        if other.id != project.id and workspace.relative(other.path) == workspace.relative(new):
            raise DatasetError(f"'{new}' is the folder of another project, '{other.title}'.")
    check_idle(workspace, project)
    _check_photos(workspace, project, new)
    old = project.path
    stored = workspace.relative(new)
    if stored != (before := workspace.relative(old)):
        # Named as the former one until all have followed: they belong to the project meanwhile.
        change_record(workspace, project.id, data_dir=stored, former=before, hidden=None)
        _move_decisions(workspace, old, new)
    work: list[WorkFolder] = [
        *runs_of(workspace, project, include_archived=True),
        *searches_of(workspace, project),
    ]
    for one in work:
        write_json(one.folder / ORIGIN_FILE, {**one.origin, "data_dir": stored})
    rest = str(old)
    change_opened(workspace, lambda paths: [*(one for one in paths if one != rest), str(new)])
    change_record(workspace, project.id, former=None)
    return project_at(workspace, new)


def _move_decisions(workspace: Workspace, old: Path, new: Path) -> None:
    """Add the decisions about the old folder to those about the new one."""
    path = decisions_path(workspace, old)
    if path.exists():
        kept = load_decisions(workspace, old)
        edit_decisions(workspace, new, lambda there: there.joined_with(kept))
        path.unlink()
    if (layout := kept_layout(workspace, old)) is not None:
        choose_layout(workspace, new, layout)
        choose_layout(workspace, old, None)


def _check_photos(workspace: Workspace, project: Project, new: Path) -> None:
    """Refuse a folder in which none of the photos known to the project is at its place.

    Raises:
        DatasetError: as said; nothing is known before the first run or decision.
    """
    known = {
        decision.path
        for step in load_decisions(workspace, project.path).steps
        for decision in step.decisions
    }
    for run in runs_of(workspace, project, include_archived=True)[:1]:
        known.update(row.path for row in run.split())
    checked = sorted(known)[:: max(1, len(known) // _NUM_CHECKED)]
    if checked and not any((new / path).is_file() for path in checked):
        raise DatasetError(
            f"None of the photos of '{project.title}' is in '{new}', such as '{checked[0]}'. "
            "Choose the folder that holds its class folders."
        )
