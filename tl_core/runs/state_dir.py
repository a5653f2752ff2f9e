"""A folder of work done by some process; its state comes from its files and that process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tl_core.data.images.decode import PixelScale
from tl_core.errors import LimitError, RunError, StorageError, TLError
from tl_core.files import delete_folder, is_folder, is_plain_text, shown_name, write_json
from tl_core.runs.files import (
    CLASSES_FILE,
    ORIGIN_FILE,
    SPLIT_FILE,
    STATUS_FILE,
    RunState,
    read_file,
    read_status,
    state_of,
    was_killed_for_memory,
)
from tl_core.workspace import Workspace

if TYPE_CHECKING:
    from tl_core.data.split import SplitRow

MEMORY_MESSAGE = (
    "The system ended its process for lack of memory. Close other programs or choose narrower FC "
    "layers, fewer fine-tuned blocks or a smaller batch size."
)


class WorkFolder:
    """Common base of runs and searches; read from disk on each access."""

    interrupted_message: ClassVar[str]
    """The message to show when the process ended without writing one."""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        raise NotImplementedError

    def check(self) -> None:
        """Check that the essential files are readable.

        Raises:
            TLError: one of them cannot be read.
        """
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The folder's name as text, unique within its parent folder."""
        return shown_name(self.folder.name)

    @property
    def status(self) -> dict[str, Any]:
        """The content of ``status.json``.

        Raises:
            RunError: it is missing, unreadable or of a newer schema.
        """
        return read_status(self.folder)

    @property
    def state(self) -> RunState:
        """The current state; never raises, an unreadable folder is ``damaged``."""
        try:
            self._check()
            return state_of(self.status)
        except TLError:
            return "damaged"

    def _check(self) -> None:
        if not is_plain_text(self.folder.name):
            raise RunError(f"The name of the folder '{self.id}' is no UTF-8. Rename the folder.")
        self.check()

    @property
    def is_active(self) -> bool:
        """Whether the work is queued or running, so that its files may still change."""
        return self.state in ("queued", "running")

    @property
    def message(self) -> str:
        """Why it is in its state, as a message for the user; often empty."""
        try:
            self._check()
            status = self.status
        except TLError as error:
            return str(error)
        message = str(status.get("message") or "")
        if message or state_of(status) != "interrupted":
            return message
        return MEMORY_MESSAGE if was_killed_for_memory(status) else self.interrupted_message

    @property
    def created(self) -> datetime:
        """When it was created; the folder's modification time if that cannot be read."""
        with suppress(TLError, KeyError, TypeError, ValueError):
            created = datetime.fromisoformat(self.status["created"])
            return created if created.tzinfo else created.replace(tzinfo=UTC)
        with suppress(OSError):
            return datetime.fromtimestamp(self.folder.stat().st_mtime, UTC)
        return datetime.fromtimestamp(0, UTC)

    @property
    def origin(self) -> dict[str, Any]:
        """Data folder and other facts not in the settings: the content of ``origin.json``.

        Raises:
            RunError: it is missing or unreadable.
        """
        return read_file(self.folder, ORIGIN_FILE, dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the labels; empty until the data was read."""
        if not (self.folder / CLASSES_FILE).exists():
            return ()
        names = read_file(self.folder, CLASSES_FILE, list)
        if not all(isinstance(name, str) for name in names):
            raise RunError(f"Expected the names of classes in {CLASSES_FILE} of run '{self.id}'.")
        return tuple(names)

    @property
    def pixel_scale(self) -> PixelScale | None:
        """The values of 16-bit images mapped to black and white; None uses their upper 8 bits.

        Raises:
            RunError: ``origin.json`` is unreadable or says something else.
        """
        values = self.origin.get("pixel_scale")
        if values is None:
            return None
        try:
            return PixelScale(*map(float, values))
        except (TypeError, ValueError) as error:
            raise RunError(
                f"Expected two numbers as pixel_scale in {ORIGIN_FILE} of run '{self.id}', "
                f"received {values!r}."
            ) from error

    def split(self) -> list[SplitRow]:
        """Return the images with their parts; empty until the data was split."""
        from tl_core.data.split import read_split

        path = self.folder / SPLIT_FILE
        return read_split(path) if path.exists() else []

    @property
    def workspace(self) -> Workspace:
        """The workspace whose decisions apply: the one containing it, unless it names another."""
        own = workspace_of(self.folder)
        with suppress(RunError):
            if isinstance(named := self.origin.get("workspace"), str):
                return Workspace(own.resolve(named))
        return own

    @property
    def data_dir(self) -> Path:
        """The folder of images."""
        stored = self.origin.get("data_dir", "")
        if not isinstance(stored, str):
            raise RunError(f"Expected a path as data_dir in {ORIGIN_FILE}, received {stored!r}.")
        return workspace_of(self.folder).resolve(stored)


_Work = TypeVar("_Work", bound=WorkFolder)


def list_work(root: Path, open_folder: Callable[[Path], _Work]) -> list[_Work]:
    """Return the work below ``root``, newest first; empty if there is no such folder."""
    try:
        with os.scandir(root) as entries:
            names = [e.name for e in entries if not e.name.startswith(".")]
    except OSError:
        return []
    names = [name for name in names if is_folder(root / name)]
    found = [open_folder(root / name) for name in names]
    return sorted(found, key=lambda work: (work.created, work.id), reverse=True)


@contextmanager
def kept_unless_queued(work: WorkFolder) -> Iterator[None]:
    """Context manager in which work is marked as queued and then queued.

    If that is refused it is as before: without a job it would wait for good.
    """
    before = work.status
    try:
        yield
    except (StorageError, LimitError):
        with suppress(OSError):  # the disk may be full
            write_json(work.folder / STATUS_FILE, before)
        raise


def delete_work(work: WorkFolder) -> None:
    """Delete the folder; it disappears from lists at once.

    Raises:
        RunError: there is no such folder, or it cannot be removed.
    """
    try:
        delete_folder(work.folder)
    except OSError as error:
        raise RunError(f"Cannot delete '{work.id}': {error}") from error


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace that contains the work, laid out as ``workspace/runs/run``."""
    return Workspace(folder.absolute().parent.parent)
