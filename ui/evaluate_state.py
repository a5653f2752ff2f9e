"""What the Evaluate page looks at, and the session keys that its parts share."""

from __future__ import annotations

from dataclasses import dataclass

from tl_core.data.dataset import ImageRecord
from tl_core.results.evaluation import Evaluation
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui import words
from ui.datasets import DatasetRef
from ui.scans import Decided

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
    decided: Decided

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
