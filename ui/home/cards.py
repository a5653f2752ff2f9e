"""Parts of the home page: a look at the pictures, and the steps with their state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.runs.store import Run
from ui.datasets.dataset_view import open_view
from ui.datasets.finding_items import LABELS, findings_words, is_checked, unchecked_words
from ui.shared import words
from ui.shared.address import page_link
from ui.shared.errors import guarded
from ui.shared.navigation import CLASSIFY_PAGE, DATA_PAGE, EVALUATE_PAGE, TRAIN_PAGE
from ui.shared.thumbnails import thumbnails
from ui.shell.page import Studio
from ui.train.form import stored_config

NUM_PICTURES = 12
POLL_SECONDS = 1.0


def draw_pictures(studio: Studio, index: DatasetIndex) -> None:
    """Draw some pictures of the chosen dataset, the classes taking turns."""
    records = spread_over_classes(index, NUM_PICTURES)
    with st.container(key="home_pictures"), st.grid("auto", min_column_width=110, gap="small"):
        for record, data in zip(records, thumbnails(studio.workspace, index, records), strict=True):
            if data is not None:
                name = index.class_names[record.label]
                st.image(data, width="stretch", alt=name, caption=words.plain(name))


def draw_steps(studio: Studio, index: DatasetIndex | None, runs: Sequence[Run]) -> None:
    """Draw the steps as cards, and again until it is known what is wrong with the photos."""
    is_looking = index is not None and _found(studio) is None
    every = POLL_SECONDS if is_looking else None
    st.fragment(run_every=every)(_draw_steps)(studio, index, runs, is_looking)


def _found(studio: Studio) -> str | None:
    """Return what there is to look at under Findings, in the words used there; None until known."""
    if studio.dataset is None:
        return None
    view = open_view(studio.workspace, studio.dataset, stored_config())
    found = findings_words(view)
    if found is None:
        return None
    text = [found] if found else []
    if view.measured is not None and not is_checked(view):
        text.append(f"{LABELS}: {unchecked_words(view)}")
    return ". ".join(text)


@guarded
def _draw_steps(
    studio: Studio, index: DatasetIndex | None, runs: Sequence[Run], is_looking: bool
) -> None:
    """Draw what each step is for and how far it is."""
    found = None if index is None else _found(studio)
    if is_looking and found is not None:
        st.rerun()
    with st.grid(4, min_column_width=190, gap="small"):
        for icon, title, state, text, page, label in _steps(index, found, runs):
            with st.container(border=True, height="stretch", gap="xsmall"):
                st.markdown(f"#### {icon} {title}")
                st.markdown(f"**{state}**")
                st.caption(text)
                st.space("stretch")
                page_link(page, label, ":material/arrow_forward:")


def spread_over_classes(index: DatasetIndex, count: int) -> list[ImageRecord]:
    """Return up to ``count`` images, one of each class in turn, evenly spread within a class."""
    by_class = [
        [record for record in index.records if record.label == label]
        for label in range(index.num_classes)
    ]
    per_class = -(-count // max(1, len(by_class)))
    chosen = []
    for records in by_class:
        places = np.linspace(0, max(0, len(records) - 1), min(per_class, len(records)))
        chosen.append([records[int(place)] for place in places])
    turns = max((len(records) for records in chosen), default=0)
    return [r[turn] for turn in range(turns) for r in chosen if turn < len(r)][:count]


def _steps(
    index: DatasetIndex | None, found: str | None, runs: Sequence[Run]
) -> list[tuple[str, str, str, str, str, str]]:
    finished = [run for run in runs if run.is_loadable]
    active = any(run.is_active for run in runs)
    best = words.headline(finished[0].metrics) if finished else None
    return [
        (
            ":material/photo_library:",
            "Data",
            "No pictures yet"
            if index is None
            else f"{words.number_of(index.num_images, 'photo')} in "
            f"{words.number_of(index.num_classes, 'class', 'classes')}",
            f"{found}."
            if found
            else "See the photos of each class, problems found in them, and the effect of "
            "augmentation.",
            DATA_PAGE,
            "Look at the pictures",
        ),
        (
            ":material/model_training:",
            "Train",
            "Training now"
            if active
            else words.number_of(len(runs), "run")
            if runs
            else "No run yet",
            f"Last result: {best[0]} {best[1]}."
            if best
            else "A pretrained network and a few new layers; a first model takes under a minute.",
            TRAIN_PAGE,
            "Watch it train" if active else "Train a classifier",
        ),
        (
            ":material/image_search:",
            "Classify",
            words.number_of(len(finished), "model") + " ready" if finished else "No model yet",
            "Classify new photos and download the answers as a table."
            if finished
            else "Available after the first run.",
            CLASSIFY_PAGE,
            "Classify photos",
        ),
        (
            ":material/analytics:",
            "Evaluate",
            best[0] if best else "No figures yet",
            "See which classes it confuses, correct wrong labels, and choose when it answers "
            "“none of "
            "these”."
            if finished
            else "Available after the first run.",
            EVALUATE_PAGE,
            "Find its mistakes",
        ),
    ]
