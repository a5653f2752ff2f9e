"""The one folder that holds the studio's state; nothing is written anywhere else.

Paths stored inside it are relative to it, so that it can be moved or mounted elsewhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tl_core.config.mode import current_mode
from tl_core.files import expand
from tl_core.installation import app_path, is_checkout, user_data_dir

ENVIRONMENT_NAME = "TL_WORKSPACE"
VISITORS_DIR = "visitors"
"""The folder of a hosted demo's workspace that holds the visitors' workspaces."""


@dataclass(frozen=True)
class Workspace:
    """The folders of datasets, runs, caches, the job queue and logs below one root folder."""

    root: Path

    @property
    def host(self) -> Workspace | None:
        """The workspace of the hosted demo in which this is a visitor's; else None.

        Its worker runs the visitor's jobs, and its sample set and converted backbones are shared.
        """
        if self.root.parent.name != VISITORS_DIR or current_mode() != "demo":
            return None
        return Workspace(self.root.parent.parent)

    @property
    def visitors_dir(self) -> Path:
        """The workspaces of a hosted demo's visitors, one folder each."""
        return self.root / VISITORS_DIR

    @property
    def datasets_dir(self) -> Path:
        """Uploaded and sample datasets, one folder each."""
        return self.root / "datasets"

    @property
    def decisions_dir(self) -> Path:
        """Decisions about images, one file per data folder."""
        return self.root / "decisions"

    @property
    def presets_dir(self) -> Path:
        """Saved augmentation presets, one file each."""
        return self.root / "presets"

    @property
    def runs_dir(self) -> Path:
        """Training runs, one folder each."""
        return self.root / "runs"

    @property
    def sweeps_dir(self) -> Path:
        """Searches for a good head, one folder each."""
        return self.root / "sweeps"

    @property
    def models_dir(self) -> Path:
        """Imported models, one folder each."""
        return self.root / "models"

    @property
    def answers_dir(self) -> Path:
        """Answers of models about folders of photos, one folder each."""
        return self.root / "answers"

    @property
    def trash_dir(self) -> Path:
        """Deleted projects, kept for a day, one folder each."""
        return self.root / "trash"

    @property
    def cache_dir(self) -> Path:
        """Data that can be computed again: scans, thumbnails, converted backbones, features."""
        return self.root / "cache"

    @property
    def queue_dir(self) -> Path:
        """Queued and active jobs of the worker process."""
        return self.root / "queue"

    @property
    def logs_dir(self) -> Path:
        """Log files of the worker and the app."""
        return self.root / "logs"

    def relative(self, path: Path) -> str:
        """Return ``path`` as stored: relative to the root when inside it, else absolute.

        A folder is always stored in the same way, whether it is named relative to another folder
        (``../food``) or by a link. Only a link inside the workspace is stored as it is, since its
        target may change.
        """
        absolute = expand(path).absolute()
        real = Path(os.path.realpath(absolute))
        if ".." in absolute.parts:  # ".." is not what it seems if the path contains links
            absolute = real
        for place, root in (
            (absolute, self.root.absolute()),
            (real, Path(os.path.realpath(self.root))),
        ):
            if place.is_relative_to(root):
                return place.relative_to(root).as_posix()
        return str(real)

    def resolve(self, stored: str) -> Path:
        """Return the path that :meth:`relative` stored.

        In a visitor's workspace a path outside of it is replaced by one that does not exist.
        """
        root = self.root.absolute()
        path = root / stored
        if self.host is not None and not _is_inside(path, root):
            return root / "missing"
        return path


def _is_inside(path: Path, root: Path) -> bool:
    real = Path(os.path.realpath(path))
    return real.is_relative_to(os.path.realpath(root))


def visitor_at(path: Path) -> Workspace | None:
    """Return the workspace of the hosted demo's visitor that contains a path; else None.

    Args:
        path: any file or folder, whether it exists or not.
    """
    for folder in (path, *path.parents):
        if Workspace(folder).host is not None:
            return Workspace(folder)
    return None


def shared_cache_dir(cache_dir: Path) -> Path:
    """Return the cache folder for what holds no visitor's data, such as converted backbones.

    That is ``cache_dir`` itself except in a visitor's workspace, where it is the demo's.
    """
    host = Workspace(cache_dir.parent).host
    return cache_dir if host is None else host.cache_dir


def default_workspace() -> Workspace:
    """Return the workspace named by ``TL_WORKSPACE``, else the default one.

    That is ``workspace/`` beside ``app.py`` in a checkout, and for an installed package the
    system's folder for the data of the current user.
    """
    if named := os.environ.get(ENVIRONMENT_NAME):
        return Workspace(expand(named).absolute())
    return Workspace(app_path().parent / "workspace" if is_checkout() else user_data_dir())
