"""Resuming a run that ended early, and continuing from a finished one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import split_dataset
from tl_core.errors import ConfigError, RunError
from tl_core.files import write_json
from tl_core.head.model import load_weights
from tl_core.runs.files import (
    HISTORY_COLUMNS,
    ORIGIN_FILE,
    SPLIT_FILE,
    WEIGHTS_FILE,
    put_back_run,
)
from tl_core.runs.run import Run
from tl_core.runs.store import create_run
from tl_core.runs.weights import weights_facts
from tl_core.training.checkpoints import Checkpoint, EpochResult

RESUMABLE = ("stopped", "failed", "interrupted")

# Settings that a run has to share with the one whose weights it starts from: its layers, its
# preprocessing, and the images of validation and test.
_SHARED = (
    "backbone",
    "image_size",
    "resize",
    "pooling",
    "fc_layers",
    "val_fraction",
    "test_fraction",
    "seed",
)


def can_resume(run: Run) -> bool:
    """Whether a run ended early, so that it can be resumed."""
    return run.state in RESUMABLE


def queue_again(run: Run) -> None:
    """Mark a run that ended early as queued, to be resumed from its checkpoint.

    Raises:
        RunError: the run is finished, queued, or being trained.
    """
    if not can_resume(run):
        hint = " Train a new one from it to make it better." if run.state == "finished" else ""
        raise RunError(f"Run '{run.name}' is {run.state}, so there is nothing to resume.{hint}")
    put_back_run(run.run_dir, is_continued=False)


def continue_run(
    run: Run,
    changes: Mapping[str, Any],
    *,
    runs_dir: Path | None = None,
    name: str | None = None,
) -> Run:
    """Create a queued run that fine-tunes from the best weights of another.

    The new run starts with the other's split, history and best epoch, so it ends at least as good
    on the validation images. Neither folder depends on the other.

    Args:
        run: a run that has weights and is not being trained.
        changes: settings in which the new run differs, such as ``fine_tune_blocks``.
        runs_dir: the folder to create it in; by default that of ``run``.
        name: the name of the new run.

    Raises:
        ConfigError: the changes need other layers or another split, or train no block.
        RunError: the run cannot be continued.
    """
    if run.is_active or not run.is_loadable:
        raise RunError(
            f"Run '{run.name}' is {run.state}; expected one with weights that is not being trained."
        )
    config = run.config.updated(**changes)
    _check_changes(run.config, config)
    checkpoint = _starting_point(run)
    place = runs_dir or run.run_dir.parent
    new = create_run(place, config, run.data_dir, name=name, workspace=run.workspace)
    shutil.copyfile(run.run_dir / SPLIT_FILE, new.run_dir / SPLIT_FILE)
    write_json(new.run_dir / ORIGIN_FILE, {**new.origin, "from_run": run.id})
    checkpoint.save(new.run_dir)
    return new


def check_same_images(run: Run, index: DatasetIndex) -> None:
    """Check that the images and their parts are those that a run was started with.

    Args:
        run: a run whose data was split.
        index: its current dataset, with decisions applied.

    Raises:
        RunError: images or decisions have changed since.
        DatasetError: the images can no longer be split.
    """
    split = split_dataset(index, run.config)
    known = {(row.path, row.sha256, row.class_name, row.part) for row in run.split()}
    present = {
        (record.path, record.sha256, index.class_names[record.label], part)
        for part, positions in split.items()
        for record in (index.records[int(position)] for position in positions)
    }
    if not known or known == present:
        return
    raise RunError(
        f"The images in '{index.data_dir.name}' are no longer those that run '{run.name}' began "
        "with, so its figures would not compare. Start a new run with its settings."
    )


def _check_changes(before: TrainConfig, after: TrainConfig) -> None:
    for name in _SHARED:
        if getattr(before, name) != getattr(after, name):
            raise ConfigError(
                f"Setting '{name}': expected {getattr(before, name)!r} as in the run that is gone "
                f"on from, received {getattr(after, name)!r}. Train a new run for another value."
            )
    if after.fine_tune_blocks == 0:
        raise ConfigError(
            "Setting 'fine_tune_blocks': expected at least 1 to go on from a run, received 0."
        )


def _starting_point(run: Run) -> Checkpoint:
    """Return a checkpoint at the start of fine-tuning, with a run's best weights."""
    facts = weights_facts(run.run_dir)
    rows = run.history()[list(HISTORY_COLUMNS)].to_dict(orient="records")
    history = [EpochResult(**row) for row in rows]
    best = [r for r in history if (r.phase, r.epoch) == (facts.get("phase"), facts.get("epoch"))]
    if not best:
        raise RunError(f"Run '{run.name}' does not say which epoch its weights are of.")
    return Checkpoint(
        phase="fine_tune",
        num_epochs=0,
        history=tuple(result for result in history if result.phase == "head"),
        best=best[-1],
        best_weights=load_weights(run.run_dir / WEIGHTS_FILE),
        state={},
        seconds={},
    )
