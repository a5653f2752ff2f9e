"""A folder of work that some process does, whose state its files and that process tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from tl_core.errors import RunError, TLError
from tl_core.files import delete_folder
from tl_core.runs.files import ORIGIN_FILE, RunState, read_file, read_status, state_of
from tl_core.workspace import Workspace


class WorkFolder:
    """What a run and a search have in common; read from disk on each access."""

    interrupted_message: ClassVar[str]
    """What to say when the process ended without a word."""

    @property
    def folder(self) -> Path:
        """Where the files are."""
        raise NotImplementedError

    def check(self) -> None:
        """Read what must be readable for the work to be of use.

        Raises:
            TLError: something of it cannot be read.
        """
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The folder's name, unique among those beside it."""
        return self.folder.name

    @property
    def status(self) -> dict[str, Any]:
        """The content of ``status.json``.

        Raises:
            RunError: it is missing, unreadable or of a newer schema.
        """
        return read_status(self.folder)

    @property
    def state(self) -> RunState:
        """What it is at; never raises, what cannot be read is ``damaged``."""
        try:
            self.check()
            return state_of(self.status)
        except TLError:
            return "damaged"

    @property
    def is_active(self) -> bool:
        """Whether it waits or goes on, so that its files may still change."""
        return self.state in ("queued", "running")

    @property
    def message(self) -> str:
        """Why it is in its state, in words for the user; often empty."""
        try:
            self.check()
            message = str(self.status.get("message") or "")
        except TLError as error:
            return str(error)
        return message or (self.interrupted_message if self.state == "interrupted" else "")

    @property
    def created(self) -> datetime:
        """When it was asked for; the folder's time where that cannot be read."""
        with suppress(TLError, KeyError, TypeError, ValueError):
            return datetime.fromisoformat(self.status["created"])
        with suppress(OSError):
            return datetime.fromtimestamp(self.folder.stat().st_mtime, UTC)
        return datetime.fromtimestamp(0, UTC)

    @property
    def origin(self) -> dict[str, Any]:
        """The data folder and what else the settings do not say: the content of ``origin.json``.

        Raises:
            RunError: it is missing or unreadable.
        """
        return read_file(self.folder, ORIGIN_FILE, dict)

    @property
    def workspace(self) -> Workspace:
        """The workspace whose decisions it obeys: the one it lies in, unless it names another."""
        own = workspace_of(self.folder)
        with suppress(RunError):
            if isinstance(named := self.origin.get("workspace"), str):
                return Workspace(own.resolve(named))
        return own

    @property
    def data_dir(self) -> Path:
        """The folder of images."""
        return workspace_of(self.folder).resolve(str(self.origin.get("data_dir", "")))


_Work = TypeVar("_Work", bound=WorkFolder)


def list_work(root: Path, open_folder: Callable[[Path], _Work]) -> list[_Work]:
    """Return the work below ``root``, the newest first; none when there is no such folder."""
    try:
        with os.scandir(root) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except FileNotFoundError:
        return []
    found = [open_folder(root / name) for name in names]
    return sorted(found, key=lambda work: (work.created, work.id), reverse=True)


def delete_work(work: WorkFolder) -> None:
    """Delete the folder; from the first moment on it is no longer listed.

    Raises:
        RunError: there is no such folder, or it cannot be removed.
    """
    try:
        delete_folder(work.folder)
    except OSError as error:
        raise RunError(f"Cannot delete '{work.id}': {error}") from error


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace that work lies in, by the layout ``workspace/runs/run``."""
    return Workspace(folder.absolute().parent.parent)
