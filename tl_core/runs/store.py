"""The run directory: everything about one training run, in plain files.

    config.json classes.json split.csv      settings, classes, and the images of each part
    origin.json                             data folder, its fingerprint, package versions, and the
                                            workspace of a run stored outside of one
    weights.safetensors                     the head of the best epoch
    checkpoint.safetensors                  the last epoch: head, optimizer state, history
    history.csv metrics.json events.jsonl   the results
    status.json log.txt                     state and log; written by the process that trains
    meta.json                               name, notes, archived

The folder is created atomically, and each file in it is written atomically. Nothing about a run is
stored anywhere else, so that any process can show it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tl_core.config.training import TrainConfig
from tl_core.errors import RunError, TakenError
from tl_core.files import new_folder, write_json, write_text
from tl_core.runs.files import CONFIG_FILE, META_FILE, ORIGIN_FILE, RUN_SCHEMA, create_status
from tl_core.runs.run import Run
from tl_core.runs.state_dir import delete_work, list_work, workspace_of
from tl_core.workspace import Workspace

MAX_NAME, MAX_NOTES = 80, 2000  # characters

__all__ = [
    "RUN_SCHEMA",
    "Run",
    "annotate_run",
    "archive_run",
    "compare_runs",
    "create_run",
    "create_run_at",
    "delete_run",
    "list_runs",
    "load_run",
    "rename_run",
    "unarchive_run",
]


def create_run(
    runs_dir: Path | str,
    config: TrainConfig,
    data_dir: Path | str,
    *,
    name: str | None = None,
    workspace: Workspace | None = None,
) -> Run:
    """Create a queued run in a new folder below ``runs_dir``, named after time and backbone.

    Args:
        runs_dir: the folder to create it in.
        config: the settings to train with.
        data_dir: the folder of the images.
        name: shown instead of the folder's name.
        workspace: the workspace whose decisions apply; by default that of ``runs_dir``.
    """
    runs_dir = Path(runs_dir)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}_{config.backbone}"
    number = 1
    while True:
        run_dir = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            return create_run_at(run_dir, config, data_dir, name=name, workspace=workspace)
        except TakenError:
            number += 1


def create_run_at(
    run_dir: Path,
    config: TrainConfig,
    data_dir: Path | str,
    *,
    name: str | None = None,
    workspace: Workspace | None = None,
) -> Run:
    """Create a queued run in exactly this folder, which may exist only if it is empty.

    The other arguments are those of :func:`create_run`.

    Raises:
        TakenError: the folder is not empty.
    """
    run_dir = Path(run_dir).absolute()
    with new_folder(run_dir) as temporary:
        write_text(temporary / CONFIG_FILE, config.to_json())
        write_json(temporary / META_FILE, {"name": name, "notes": ""})
        own = workspace_of(run_dir)
        origin = {"schema": RUN_SCHEMA, "data_dir": own.relative(Path(data_dir))}
        if workspace is not None and own.relative(workspace.root) != ".":
            origin["workspace"] = own.relative(workspace.root)
        write_json(temporary / ORIGIN_FILE, origin)
        create_status(temporary)
    return Run(run_dir)


def load_run(run_dir: Path | str) -> Run:
    """Return the run in that folder.

    Raises:
        RunError: there is no run, it is damaged, or its schema is newer.

    Examples:
        >>> from tl_core import load_run
        >>> load_run("runs/first").config.epochs
        3
    """
    run = Run(Path(run_dir).absolute())
    _ = run.status, run.config
    return run


def list_runs(runs_dir: Path | str, *, include_archived: bool = False) -> list[Run]:
    """Return the runs below ``runs_dir``, newest first; unreadable ones have state ``damaged``.

    Runs archived by :func:`archive_run` are left out unless ``include_archived``.

    Examples:
        >>> from tl_core import list_runs
        >>> [run.id for run in list_runs("runs")]
        ['first']
    """
    runs = list_work(Path(runs_dir).absolute(), Run)
    return [run for run in runs if include_archived or not run.is_archived]


def rename_run(run: Run, name: str) -> None:
    """Give the run another name; an empty one restores the folder's name.

    Raises:
        RunError: the name is longer than ``MAX_NAME`` characters, or there is no such folder.
    """
    _check_length("name", name.strip(), MAX_NAME)
    _update_meta(run, name=name.strip() or None)


def annotate_run(run: Run, notes: str) -> None:
    """Replace the notes of the run.

    Raises:
        RunError: they are longer than ``MAX_NOTES`` characters, or there is no such folder.
    """
    _check_length("notes", notes, MAX_NOTES)
    _update_meta(run, notes=notes)


def _check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        raise RunError(f"Expected at most {most:,} characters as {what}, received {len(text):,}.")


def archive_run(run: Run) -> None:
    """Archive a run: it stays unchanged, and lists include it only on request.

    Raises:
        RunError: it is queued or being trained, or there is no such folder.
    """
    if run.is_active:
        raise RunError(f"Run '{run.name}' is {run.state}. Stop it, then archive it.")
    _update_meta(run, archived=True)


def unarchive_run(run: Run) -> None:
    """List an archived run again."""
    _update_meta(run, archived=False)


def delete_run(run: Run) -> None:
    """Delete the run's folder; it disappears from lists at once.

    Raises:
        RunError: it is being trained, or there is no such folder.
    """
    if run.state == "running":
        raise RunError(f"Run '{run.name}' is being trained. Stop it, then delete it.")
    delete_work(run)


def compare_runs(runs: Sequence[Run], *, include_same: bool = False) -> dict[str, tuple[Any, ...]]:
    """Return the settings in which the runs differ, each with one value per run, in order.

    ``include_same`` adds the settings in which they agree.

    Settings within a group are named with a dot, as in ``augment.rotation``. ``data_dir`` and
    ``data_fingerprint`` (the images themselves) are compared as well.
    """
    tables = [_settings_of(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = {name: tuple(table.get(name) for table in tables) for name in names}
    return {name: row for name, row in rows.items() if include_same or differ(row)}


def differ(values: Sequence[Any]) -> bool:
    """Whether a setting's values, one a run, are not all the same."""
    return any(value != values[0] for value in values)


def _update_meta(run: Run, **changes: Any) -> None:
    if not run.run_dir.is_dir():  # writing would create a folder that was just deleted again
        raise RunError(f"Run '{run.id}' does not exist.")
    write_json(run.run_dir / META_FILE, {**run.meta, **changes})


def _settings_of(run: Run) -> dict[str, Any]:
    settings = dict(_flatten(run.config.model_dump()))
    return {
        **settings,
        "data_dir": str(run.data_dir),
        "data_fingerprint": run.origin.get("fingerprint"),
    }


def _flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        nested = isinstance(value, dict)
        rows += _flatten(value, f"{prefix}{name}.") if nested else [(prefix + name, value)]
    return rows
