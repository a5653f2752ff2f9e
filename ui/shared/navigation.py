"""The one obvious next step, from the state of data and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tl_core.runs.store import Run

PHOTOS_TAB, ADD_TAB = "Photos", "Add photos"  # of the Data page
HOME_PAGE = "app.py"
DATA_PAGE = "pages/1_Data.py"
TRAIN_PAGE = "pages/2_Train.py"
CLASSIFY_PAGE = "pages/3_Classify.py"
EVALUATE_PAGE = "pages/4_Evaluate.py"
SHARE_PAGE = "pages/5_Share.py"


@dataclass(frozen=True)
class NextStep:
    """A button's words, icon and the page it leads to."""

    label: str
    icon: str
    page: str


def next_step(runs: Sequence[Run], has_seen_data: bool) -> NextStep:
    """Return what to do next: look at the data, train, watch, then classify."""
    if any(run.is_active for run in runs):
        return NextStep("Watch the training", ":material/monitoring:", TRAIN_PAGE)
    if any(run.is_loadable for run in runs):
        return NextStep("Classify a photo", ":material/image_search:", CLASSIFY_PAGE)
    if has_seen_data:
        return NextStep("Train a classifier", ":material/model_training:", TRAIN_PAGE)
    return NextStep("Look at the photos", ":material/photo_library:", DATA_PAGE)
