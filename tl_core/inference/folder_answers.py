"""What a model answered about a folder of photos, kept in the workspace until it is removed."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tl_core.errors import RunError
from tl_core.files import delete_folder, read_json, write_json
from tl_core.inference.answer_table import AnswerTable
from tl_core.inference.bulk import answer_photos, model_identity
from tl_core.inference.predict import load_predictor
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace

_TABLE_FILE, _ABOUT_FILE, _FAILURE_FILE = "answers.sqlite", "about.json", "failed.json"


@dataclass(frozen=True)
class FolderAnswers:
    """The answers of one model about one folder.

    Attributes:
        workspace: where they are kept.
        model_dir: the folder of a run or of an imported model.
        photos_dir: the folder of photos, which is only read.
    """

    workspace: Workspace
    model_dir: Path
    photos_dir: Path

    @property
    def dir(self) -> Path:
        """Where they are kept."""
        names = [self.workspace.relative(path) for path in (self.model_dir, self.photos_dir)]
        return self.workspace.answers_dir / hashlib.sha256(json.dumps(names).encode()).hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether every photo that was there had an answer when the work ended."""
        try:
            return bool(read_json(self.dir / _ABOUT_FILE)["is_complete"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def compute(self, cache_dir: Path, monitor: Monitor = SILENT) -> None:
        """Answer for all photos of the folder; only new and changed ones are computed.

        Raises:
            RunError: the run has no weights.
            ExportError: the imported model is damaged.
            DatasetError: the folder is gone, or has no photos.
            StorageError: the disk is full or read-only.
            Stopped: ``monitor`` was asked to stop; the answers so far are kept.
        """
        predictor = load_predictor(self.model_dir, cache_dir)
        self._write_about(is_complete=False)
        identity, names = model_identity(predictor), predictor.class_names
        try:
            table = AnswerTable(self.dir / _TABLE_FILE, identity, names)
        except RunError:  # of earlier weights, or damaged
            for path in self.dir.glob(f"{_TABLE_FILE}*"):
                path.unlink()
            table = AnswerTable(self.dir / _TABLE_FILE, identity, names)
        with table:
            answer_photos(
                predictor, [self.photos_dir], table, root=self.photos_dir, monitor=monitor
            )
        self._write_about(is_complete=True)

    def open(self) -> AnswerTable | None:
        """Return the answers so far; None if there are none that can be read."""
        if not (self.dir / _TABLE_FILE).is_file():
            return None
        try:
            return AnswerTable(self.dir / _TABLE_FILE, None)
        except RunError:
            return None

    def remove(self) -> None:
        """Delete the answers, not the photos."""
        with suppress(FileNotFoundError):
            delete_folder(self.dir)

    def write_failure(self, message: str) -> None:
        """Keep why the work failed, to show it on a page."""
        write_json(self.dir / _FAILURE_FILE, {"message": message})

    def take_failure(self) -> str | None:
        """Return and delete the reason of a failure, if any."""
        try:
            message = str(read_json(self.dir / _FAILURE_FILE)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        (self.dir / _FAILURE_FILE).unlink(missing_ok=True)
        return message

    def _write_about(self, *, is_complete: bool) -> None:
        stored = {
            "model": self.workspace.relative(self.model_dir),
            "photos": self.workspace.relative(self.photos_dir),
            "is_complete": is_complete,
        }
        write_json(self.dir / _ABOUT_FILE, stored)


def list_folder_answers(workspace: Workspace, model_dir: Path) -> list[FolderAnswers]:
    """Return what a model answered about folders, newest first; damaged ones are passed over."""
    model, found = workspace.relative(model_dir), []
    with suppress(OSError):
        for path in workspace.answers_dir.glob(f"*/{_ABOUT_FILE}"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                stored = read_json(path)
                if stored["model"] == model:
                    photos_dir = workspace.resolve(str(stored["photos"]))
                    answers = FolderAnswers(workspace, model_dir, photos_dir)
                    if answers.dir == path.parent:
                        found.append((path.stat().st_mtime, answers))
    return [answers for _, answers in sorted(found, key=lambda pair: -pair[0])]
