"""The one way in which pages start runs and go on with them; each is shown on the Train page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import TLError
from tl_core.jobs import training as training_jobs
from tl_core.runs.store import Run, unarchive_run
from tl_core.training.resume import check_same_images
from tl_core.workspace import Workspace
from ui.datasets.picker import dataset_id, dataset_of, remember_dataset
from ui.datasets.scans import load_index
from ui.runs.picker import RUN_VIEW, choose_run, run_title
from ui.shared import session_keys
from ui.shared.caches import cache_data


def start_run(
    workspace: Workspace, config: TrainConfig, data_dir: Path, name: str | None = None
) -> Run:
    """Queue a new run and show it.

    Raises:
        TLError: as :func:`~tl_core.jobs.training.start_training`.
    """
    run = training_jobs.start_training(workspace, config, data_dir, name)
    show_run(run.id)
    remember_dataset(workspace, dataset_id(workspace, data_dir))
    return run


def retrain(workspace: Workspace, run: Run, note: str) -> Run:
    """Queue a run of the same settings on the photos as they are now.

    It is not shown by itself: the page where the photos were corrected compares both.

    Args:
        workspace: where runs are kept.
        run: whose settings are used.
        note: what the new run's name adds to that of ``run``; with a number if it has it already.

    Raises:
        TLError: as :func:`~tl_core.jobs.training.start_training`.
    """
    name = with_note(run_title(run), note)
    return training_jobs.start_training(workspace, run.config, run.data_dir, name)


def with_note(name: str, note: str) -> str:
    """Return a run's name with a note, numbered from the second time on.

    Examples:
        >>> with_note("256, lr 0.001", "corrected")
        '256, lr 0.001, corrected'
        >>> with_note("256, lr 0.001, corrected", "corrected")
        '256, lr 0.001, corrected 2'
    """
    found = re.fullmatch(rf"(.*), {re.escape(note)}(?: (\d+))?", name)
    if found is None:
        return f"{name}, {note}"
    return f"{found[1]}, {note} {int(found[2] or 1) + 1}"


def fine_tune(workspace: Workspace, run: Run, changes: Mapping[str, Any]) -> Run:
    """Queue a run that fine-tunes from another's best weights, and show it.

    Raises:
        RunError: the photos are no longer those of ``run``, or it cannot be started from.
        TLError: the photos cannot be read.
    """
    check_same_images(run, load_index(workspace, dataset_of(workspace, run)))
    # One without a name is listed by its settings, which say how much is fine-tuned.
    name = None if run.name == run.id else f"{run.name}, fine-tuned"
    new = training_jobs.continue_training(workspace, run, changes, name)
    show_run(new.id)
    return new


def resume(workspace: Workspace, run: Run) -> None:
    """Queue a run that ended too early, which goes on where it was, and show it.

    Raises:
        RunError: it is finished, waits already, or is being trained.
    """
    training_jobs.resume_training(workspace, run)
    if run.is_archived:
        unarchive_run(run)
    show_run(run.id)


def show_run(run_id: str) -> None:
    """Make the Train page show a run from the next run of the page on."""
    choose_run(run_id)
    st.session_state[session_keys.TRAIN_VIEW] = RUN_VIEW


def changed_images(workspace: Workspace, run: Run) -> str:
    """Return why a run cannot go on: its photos have changed; empty when they have not.

    Only the dataset in view is looked at, which is read already: another one could be large. One
    that cannot be read is said to be so where it is shown.
    """
    dataset = dataset_of(workspace, run)
    if dataset.id != st.session_state.get(session_keys.DATASET):
        return ""
    try:
        index = load_index(workspace, dataset)
    except TLError:
        return ""
    return _changed_images(run, index, run.run_dir, index.fingerprint)


@cache_data(max_entries=32)
def _changed_images(_run: Run, _index: DatasetIndex, run_dir: Path, fingerprint: str) -> str:
    """Compare the photos of a run with those there are; its split never changes."""
    try:
        check_same_images(_run, _index)
    except TLError as error:
        return str(error)
    return ""
