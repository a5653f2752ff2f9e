"""Arguments and options that several commands share, and the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tl_core.errors import ConfigError
from tl_core.files import expand
from tl_core.workspace import ENVIRONMENT_NAME, Workspace, default_workspace

DataDir = Annotated[
    Path, typer.Argument(metavar="DATA_DIR", help="Folder with one folder of images per class.")
]
OptionalDataDir = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA_DIR]",
        help="Folder with one folder of images per class; what goes on knows its own.",
        show_default=False,
    ),
]
RunDir = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a run, see: runs.")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", metavar="DIR", help="Where runs are kept.  [workspace/runs]"),
]
WorkspaceDir = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        envvar=ENVIRONMENT_NAME,
        help="Folder of runs and caches.  [workspace/ in a checkout, else your user data folder]",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings as JSON, such as a run's config.json."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def workspace_at(root: Path | None) -> Workspace:
    """Return the workspace in that folder, by default the usual one.

    Raises:
        ConfigError: there cannot be a folder.
    """
    return default_workspace() if root is None else Workspace(folder_at(root, "of runs and caches"))


def folder_at(path: Path, purpose: str) -> Path:
    """Return the full path of a folder that is there, or that can be made when it is needed.

    Raises:
        ConfigError: there cannot be one, because a part of the path is a file.
    """
    folder = expand(path).absolute()
    problem = f"Expected a folder {purpose}, received '{path}'"
    try:
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
    except OSError as error:  # such as a name that is too long
        raise ConfigError(f"{problem}: {error.strerror}.") from error
    if not nearest.is_dir():
        raise ConfigError(f"{problem}, but '{nearest}' is a file. Give another place.")
    return folder


def expect_data_dir(data_dir: Path | None) -> Path:
    """Return the folder of images.

    Raises:
        ConfigError: it was not given.
    """
    if data_dir is None:
        raise ConfigError("Expected DATA_DIR, a folder with one folder of images per class.")
    return data_dir
