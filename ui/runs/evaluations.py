"""Evaluates a run with its progress shown; asked again for the same it remembers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import streamlit as st

from tl_core.data.curation.store import decisions_path
from tl_core.data.dataset import ImageRecord
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.evaluation.report import Evaluation
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.picker import DatasetRef, dataset_of
from ui.datasets.scans import CuratedDataset, file_stamp, folder_stamp, load_curated
from ui.runs.predictors import model_stamp
from ui.shared import words
from ui.shared.memory import give_back
from ui.shared.progress import shower

PART = "evaluate_part"  # which photos: a part of the run's own, or another folder
FOLDER = "evaluate_folder"  # the other folder, as the id of a dataset or a path typed in
TABS = "evaluate_tabs"  # which part of the page is open
CELL = "evaluate_cell"  # (true class, answer) whose photos are shown
CELL_ROUND = "evaluate_cell_round"  # counts choices beside the chart, which then forgets its own
PHOTO = "evaluate_photo"  # path of the photo that is looked at closely
KEPT = "evaluate_kept"  # the last evaluations of this session by what they are of

TEST, VAL, ELSEWHERE = "test", "val", "elsewhere"
SUMMARY_TAB, CONFUSION_TAB, MISTAKES_TAB = "Summary", "Confusion", "Mistakes"
TRUST_TAB, FOLDER_TAB = "Trust", "Another folder"


@dataclass(frozen=True)
class Source:
    """The photos a run is looked at with: a part of its own, or ``folder``."""

    part: str
    folder: DatasetRef | None = None


@dataclass(frozen=True)
class Looked:
    """A run, what it says about some photos, and the folder they lie in.

    Attributes:
        workspace: where decisions and thumbnails are kept.
        run: the run.
        source: which photos were asked for.
        evaluation: the figures.
        decided: the photos' folder, as it lies there and with what was decided about it.
    """

    workspace: Workspace
    run: Run
    source: Source
    evaluation: Evaluation
    decided: CuratedDataset

    def record(self, position: int) -> ImageRecord | None:
        """Return the file of an image of the evaluation; None when it is gone meanwhile."""
        path = self.evaluation.paths[position]
        return next((record for record in self.decided.raw.records if record.path == path), None)

    @property
    def photos(self) -> str:
        """The photos in words, without their number."""
        told = {
            "test": "the model has not seen",
            "val": "of the validation part, which also picked the best epoch",
            "train": "it was trained on",
        }
        return told.get(self.evaluation.part, f"from {self.evaluation.data_dir.name}")

    @property
    def headline(self) -> str:
        """The accuracy with its interval, as one figure."""
        evaluation = self.evaluation
        share = f"{100 * evaluation.accuracy:.1f} %"
        return f"{share} ({words.interval(evaluation.interval)})"


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
    return Looked(workspace, run, source, kept[slot][1], load_curated(workspace, dataset))


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
    """Return what changes when weights, reliability, files or decisions do."""
    decisions = decisions_path(workspace, dataset.path)
    return (*model_stamp(run), *folder_stamp(dataset.path), *file_stamp(decisions))
