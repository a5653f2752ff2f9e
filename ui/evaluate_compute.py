"""Evaluates a run with its progress shown; asked again for the same it remembers."""

from __future__ import annotations

from collections import OrderedDict

import streamlit as st

from tl_core.data.decisions import decisions_path
from tl_core.results.evaluate import evaluate_run
from tl_core.results.evaluation import Evaluation
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui.datasets import DatasetRef, dataset_of
from ui.evaluate_state import KEPT, TEST, Looked, Source
from ui.memory import give_back
from ui.models import model_stamp
from ui.progress import shower
from ui.scans import file_stamp, folder_stamp, load_decided

NUM_KEPT = 4


def look(workspace: Workspace, run: Run, source: Source) -> Looked:
    """Return what a run says about some photos.

    Raises:
        DatasetError: the photos are gone, or have none of the run's classes.
        RunError: the run cannot be read.
    """
    dataset = source.folder or dataset_of(workspace, run)
    kept: OrderedDict[tuple[str, ...], tuple[tuple[int, ...], Evaluation]]
    kept = st.session_state.setdefault(KEPT, OrderedDict())
    slot = (run.id, source.part, dataset.id)
    stamp = _stamp(workspace, run, dataset)
    if slot not in kept or kept[slot][0] != stamp:
        evaluation = _evaluate(workspace, run, source)
        # Stamped afterwards: a run without temperature gets one from its first evaluation.
        kept[slot] = (_stamp(workspace, run, dataset), evaluation)
    kept.move_to_end(slot)
    while len(kept) > NUM_KEPT:
        kept.popitem(last=False)
    return Looked(workspace, run, source, kept[slot][1], load_decided(workspace, dataset))


def _evaluate(workspace: Workspace, run: Run, source: Source) -> Evaluation:
    place = st.empty()
    bar = place.progress(0.0, text="Opening the model")
    evaluation = evaluate_run(
        run.run_dir,
        source.folder.path if source.folder else None,
        part=TEST if source.folder else source.part,
        cache_dir=workspace.cache_dir,
        on_progress=shower(bar),
    )
    place.empty()
    give_back()
    return evaluation


def _stamp(workspace: Workspace, run: Run, dataset: DatasetRef) -> tuple[int, ...]:
    """Return what changes when weights, trust, files or decisions do."""
    decisions = decisions_path(workspace, dataset.path)
    return (*model_stamp(run), *folder_stamp(dataset.path), *file_stamp(decisions))
