"""What belongs to a project, made in a moment: runs, searches, decisions."""

from __future__ import annotations

from pathlib import Path

from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, edit_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset, write_split
from tl_core.files import write_json
from tl_core.runs.files import CLASSES_FILE, SPLIT_FILE, end_run
from tl_core.runs.store import Run, create_run
from tl_core.search.store import Sweep, create_sweep
from tl_core.workspace import Workspace

CONFIG = TrainConfig(backbone="tiny", val_fraction=0.25, test_fraction=0.25)


def add_run(
    workspace: Workspace, data_dir: Path, name: str | None = None, **settings: object
) -> Run:
    """Return a finished run without weights, with the split of its data folder."""
    run = create_run(workspace.runs_dir, CONFIG.updated(**settings), data_dir, name=name)
    if data_dir.is_dir():
        index = scan_dataset(data_dir)
        write_json(run.run_dir / CLASSES_FILE, list(index.class_names))
        write_split(run.run_dir / SPLIT_FILE, index, split_dataset(index, run.config))
    end_run(run.run_dir, "finished")
    return run


def add_search(workspace: Workspace, data_dir: Path) -> Sweep:
    """Return a search that ended."""
    sweep = create_sweep(workspace, SweepConfig(num_trials=2), CONFIG, data_dir)
    end_run(sweep.sweep_dir, "finished")
    return sweep


def exclude(workspace: Workspace, data_dir: Path, path: str) -> None:
    """Leave one photo out."""
    (record,) = [one for one in scan_dataset(data_dir).records if one.path == path]
    decision = Decision(path, record.sha256, "exclude")
    edit_decisions(workspace, data_dir, lambda before: before.decide("Exclude", [decision]))
