"""The projects of a workspace: which there are, and which run and search belongs to which.

A project is a data folder with everything made from it. Its id is the name of its folder in the
workspace, or a hash of the path of a folder elsewhere; it stays when the project is renamed or its
folder moves. Runs and searches name their data folder and so their project.

    projects.json          titles, and folders that were moved; written by this module alone
    datasets/opened.json   folders of this machine that were opened by path
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from tl_core.data.curation.store import decisions_path
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.errors import DatasetError, LimitError, RunError, did_you_mean
from tl_core.files import is_folder, plain_storage_errors, read_json, shown_name, write_json
from tl_core.runs.files import ORIGIN_FILE, read_file
from tl_core.runs.run import Run
from tl_core.runs.state_dir import WorkFolder
from tl_core.runs.store import list_runs
from tl_core.search.store import Sweep, list_sweeps
from tl_core.workspace import Workspace

__all__ = [
    "MAX_TITLE",
    "Project",
    "by_project",
    "check_idle",
    "check_owns_machine",
    "forget_folder",
    "list_projects",
    "load_project",
    "open_folder",
    "project_at",
    "project_of",
    "rename_project",
    "runs_of",
    "searches_of",
]

SAMPLE_TITLE = "Sample set: drawn food"
MAX_TITLE = 80
_SCHEMA = 1

Work = TypeVar("Work", bound=WorkFolder)


@dataclass(frozen=True)
class Project:
    """A data folder with all that was made from it.

    Attributes:
        id: stable, short, unique in the workspace, and fit for an address.
        title: what a person calls it.
        path: its data folder; it may be missing, see :func:`~tl_core.projects.relink.relink`.
        is_ours: whether the folder lies in the workspace, so that it may be changed and deleted.
    """

    id: str
    title: str
    path: Path
    is_ours: bool

    @property
    def is_sample(self) -> bool:
        """Whether this is the drawn sample set."""
        return self.is_ours and self.path.name == SAMPLE_NAME

    @property
    def is_missing(self) -> bool:
        """Whether its data folder is not where it was."""
        return not is_folder(self.path)


def list_projects(workspace: Workspace) -> list[Project]:
    """Return the sample set, the workspace's own datasets, then folders elsewhere.

    A folder elsewhere is listed when it was opened, or when a run or a search was made from it. A
    folder that is gone is listed as long as there are runs, searches or decisions that wait for it.

    Examples:
        >>> from tl_core.projects.registry import list_projects
        >>> from tl_core.workspace import Workspace
        >>> list_projects(Workspace(Path("nowhere")))
        []
    """
    names = Names(workspace)
    own = [
        path
        for path in sorted(workspace.datasets_dir.glob("*"))
        if path.is_dir() and not path.name.startswith(".")
    ]
    known = {names.id_of(path): path for path in own}
    made_from = {names.id_of(path): path for path in _folders_of_work(workspace)}
    for path in map(Path, opened_folders(workspace)):
        project_id = names.id_of(path)
        if is_folder(path) or project_id in made_from or _has_decisions(workspace, path):
            known.setdefault(project_id, path)
    for project_id, path in made_from.items():
        if not names.is_hidden(project_id):
            known.setdefault(project_id, path)
    projects = [names.project(project_id, path) for project_id, path in known.items()]
    return sorted(projects, key=lambda project: not project.is_sample)


def load_project(workspace: Workspace, project_id: str) -> Project:
    """Return a project by its id.

    Raises:
        DatasetError: there is none.
    """
    projects = {project.id: project for project in list_projects(workspace)}
    if project_id not in projects:
        raise DatasetError(
            f"Expected a project out of {', '.join(projects) or 'none'}, received "
            f"'{project_id}'.{did_you_mean(project_id, projects)}"
        )
    return projects[project_id]


def project_at(workspace: Workspace, data_dir: Path) -> Project:
    """Return the project of a data folder, be it listed or not."""
    names = Names(workspace)
    return names.project(names.id_of(data_dir), data_dir)


def project_of(workspace: Workspace, work: WorkFolder) -> Project | None:
    """Return the project that a run or a search belongs to; None when its files do not say."""
    try:
        return project_at(workspace, work.data_dir)
    except RunError:
        return None


def runs_of(workspace: Workspace, project: Project, *, include_archived: bool = False) -> list[Run]:
    """Return the runs of a project, the newest first."""
    runs = list_runs(workspace.runs_dir, include_archived=include_archived)
    return by_project(workspace, runs).get(project.id, [])


def searches_of(workspace: Workspace, project: Project) -> list[Sweep]:
    """Return the searches of a project, the newest first."""
    return by_project(workspace, list_sweeps(workspace)).get(project.id, [])


def by_project(workspace: Workspace, work: Iterable[Work]) -> dict[str, list[Work]]:
    """Return runs or searches by the id of their project, in their order.

    Those whose files do not say to which project they belong are under ``""``.
    """
    id_of = functools.cache(Names(workspace).id_of)  # most have the folder of another
    found: dict[str, list[Work]] = {}
    for one in work:
        project_id = ""
        with suppress(RunError):
            project_id = id_of(one.data_dir)
        found.setdefault(project_id, []).append(one)
    return found


def check_idle(workspace: Workspace, project: Project) -> None:
    """Refuse to change a project that is being worked on.

    Raises:
        RunError: a run or a search of it waits or goes on.
    """
    runs = runs_of(workspace, project, include_archived=True)
    work: list[WorkFolder] = [*runs, *searches_of(workspace, project)]
    if any(one.is_active for one in work):
        raise RunError(f"A run or a search of '{project.title}' is under way. Stop it first.")


def rename_project(workspace: Workspace, project: Project, title: str) -> Project:
    """Give a project another title; an empty one goes back to the folder's name. The id stays.

    Raises:
        DatasetError: the title is too long, not printable, or that of another project.
    """
    title = " ".join(title.split())
    if len(title) > MAX_TITLE or not title.isprintable():
        raise DatasetError(
            f"Expected a title of up to {MAX_TITLE} printable characters, received {len(title)}. "
            "Shorten it."
        )
    # Titles alone tell projects apart in the lists, so that two must not be alike in case either.
    taken = (one.title for one in list_projects(workspace) if one.id != project.id)
    if title and title.casefold() in map(str.casefold, taken):
        raise DatasetError(f"Another project is called '{title}' already. Choose another name.")
    change_record(workspace, project.id, title=title or None)
    return project_at(workspace, project.path)


def open_folder(workspace: Workspace, folder: Path) -> Project:
    """List a folder of this machine as a project from now on; it is never written to.

    Raises:
        DatasetError: there is no such folder.
        LimitError: the workspace is that of a demo's visitor.
    """
    check_owns_machine(workspace)
    if not is_folder(folder):
        raise DatasetError(f"There is no folder '{folder}' on this machine.{_similar(folder)}")
    project = project_at(workspace, folder)
    if not project.is_ours:
        change_opened(workspace, lambda paths: [*paths, str(folder)])
        change_record(workspace, project.id, hidden=None)
    return project


def check_owns_machine(workspace: Workspace) -> None:
    """Check that the user of a workspace may open folders of this machine.

    Raises:
        LimitError: the user is a visitor of a demo.
    """
    if workspace.host is not None:
        raise LimitError("This demo opens no folders of the server. Add the photos as a zip.")


def forget_folder(workspace: Workspace, project: Project) -> None:
    """List a folder no longer; the folder, the decisions and the runs are left as they are."""
    change_opened(workspace, lambda paths: [path for path in paths if path != str(project.path)])
    change_record(workspace, project.id, hidden=True)


def public_name(workspace: Workspace, project: Project) -> str:
    """Return a project's name for other people: unlike some titles, it never shows a path."""
    if project.is_ours:
        return project.title
    title = read_records(workspace).get(project.id, {}).get("title")
    return title if isinstance(title, str) else project.path.name


class Names:
    """Ids and titles of projects, as ``projects.json`` and the folders' own names give them.

    Read once when it is made, for callers that ask for many.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._own = workspace.relative(workspace.datasets_dir)
        self._records = read_records(workspace)
        self._moved = {
            stored: project_id
            for project_id, record in self._records.items()
            for stored in (record.get("data_dir"), record.get("former"))
            if isinstance(stored, str)
        }

    def id_of(self, data_dir: Path) -> str:
        """Return the id of the project of a data folder."""
        stored = self._workspace.relative(data_dir)
        if stored in self._moved:
            return self._moved[stored]
        folder, name = os.path.split(stored)
        if folder == self._own and name.isprintable() and not self._has_moved(name):
            return name
        text = os.fsencode(stored)
        while self._has_moved(project_id := f"folder-{hashlib.sha256(text).hexdigest()[:12]}"):
            text += b"\0"
        return project_id

    def _has_moved(self, project_id: str) -> bool:
        """Whether a project that was re-linked keeps this id, which a new folder would have."""
        return "data_dir" in self._records.get(project_id, {})

    def project(self, project_id: str, path: Path) -> Project:
        """Return the project of that id; ``path`` is what its folder would be if never moved."""
        record = self._records.get(project_id, {})
        if isinstance(moved := record.get("data_dir"), str):
            path = self._workspace.resolve(moved)
        is_ours = self._workspace.relative(path.parent) == self._own
        title = record.get("title")
        if not isinstance(title, str):
            is_sample = is_ours and path.name == SAMPLE_NAME
            named = shown_name(path.name if is_ours else f"{path.name} (in {path.parent})")
            title = SAMPLE_TITLE if is_sample else named
        return Project(project_id, title, path, is_ours)

    def is_hidden(self, project_id: str) -> bool:
        """Return whether a person took the project off the list."""
        return bool(self._records.get(project_id, {}).get("hidden"))


def read_records(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Return what ``projects.json`` says of each project by id; nothing when it is unreadable."""
    with suppress(OSError, ValueError):
        kept = read_json(_records_path(workspace))
        projects = kept.get("projects") if isinstance(kept, dict) else None
        if isinstance(projects, dict):
            return {
                name: {key: value for key, value in record.items() if _is_sound(key, value)}
                for name, record in projects.items()
                if isinstance(record, dict)
            }
    return {}


def _is_sound(key: str, value: Any) -> bool:
    return isinstance(value, str) if key in ("title", "data_dir", "former") else True


def change_record(workspace: Workspace, project_id: str, **changes: Any) -> None:
    """Change what ``projects.json`` says of a project; None removes an entry."""
    with _locked(workspace):
        records = read_records(workspace)
        record = {**records.get(project_id, {}), **changes}
        after = {name: value for name, value in record.items() if value is not None}
        if after == records.get(project_id, {}):
            return
        records = {**records, project_id: after}
        kept = {name: one for name, one in records.items() if one}
        write_json(_records_path(workspace), {"schema": _SCHEMA, "projects": kept})


def opened_folders(workspace: Workspace) -> list[str]:
    """Return the paths of the folders that were opened, in that order."""
    try:
        paths = read_json(_opened_path(workspace))
    except (OSError, ValueError):
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def change_opened(workspace: Workspace, change: Callable[[list[str]], Iterable[str]]) -> None:
    """Replace the list of opened folders by ``change`` of it, each folder once."""
    with _locked(workspace):
        before = opened_folders(workspace)
        after = list(dict.fromkeys(change(before)))
        if after != before:
            write_json(_opened_path(workspace), after)


@contextmanager
def _locked(workspace: Workspace) -> Iterator[None]:
    with plain_storage_errors(workspace.root):
        workspace.root.mkdir(parents=True, exist_ok=True)
        with FileLock(_records_path(workspace).with_suffix(".lock")):
            yield


def _records_path(workspace: Workspace) -> Path:
    return workspace.root / "projects.json"


def _opened_path(workspace: Workspace) -> Path:
    return workspace.datasets_dir / "opened.json"


def _folders_of_work(workspace: Workspace) -> Iterator[Path]:
    """Yield the data folders that runs and searches name, each once."""
    seen = set()
    for place in (workspace.runs_dir, workspace.sweeps_dir):
        for folder in sorted(place.glob("[!.]*")):
            with suppress(RunError):
                stored = read_file(folder, ORIGIN_FILE, dict).get("data_dir")
                if isinstance(stored, str) and stored and stored not in seen:
                    seen.add(stored)
                    yield workspace.resolve(stored)


def _has_decisions(workspace: Workspace, data_dir: Path) -> bool:
    try:
        return decisions_path(workspace, data_dir).exists()
    except OSError:  # a path that cannot be looked at
        return False


def _similar(path: Path) -> str:
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return ""
    return did_you_mean(path.name, siblings)
