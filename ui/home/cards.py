"""Parts of the home page: a look at the pictures, and the steps with their state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.errors import ImageError, TLError, UnlabelledError
from tl_core.runs.store import Run
from ui.datasets.dataset_view import DatasetView, ask_for_features, open_view
from ui.datasets.finding_items import (
    LABELS,
    NOT_CHECKED,
    findings_words,
    is_checked,
    unchecked_words,
)
from ui.datasets.scans import file_stamp, read_plan
from ui.runs.picker import default_run
from ui.shared import words
from ui.shared.address import page_link
from ui.shared.caches import cache_data
from ui.shared.errors import LABEL_PHOTOS, NO_CLASSES, draw_label_button, error_banner, guarded
from ui.shared.navigation import CLASSIFY_PAGE, DATA_PAGE, EVALUATE_PAGE, TRAIN_PAGE
from ui.shared.thumbnails import make_tile, thumbnails
from ui.shell.page import Studio
from ui.train.form import stored_config

NUM_PICTURES = 12
BEING_CHECKED = "being checked"
CHECKED_ON_DATA = "checked when you open the Data page"
POLL_SECONDS = 1.0


def draw_pictures(studio: Studio, index: DatasetIndex) -> None:
    """Draw some pictures of the chosen dataset, the classes taking turns."""
    records = spread_over_classes(index, NUM_PICTURES)
    with st.container(key="home_pictures"), st.grid("auto", min_column_width=110, gap="small"):
        for record, data in zip(records, thumbnails(studio.workspace, index, records), strict=True):
            if data is not None:
                name = index.class_names[record.label]
                st.image(data, width="stretch", alt=name, caption=words.plain(name))


def draw_project(studio: Studio, action: DeltaGenerator) -> DatasetIndex | None:
    """Draw some pictures of the project in view and return its scan.

    None when there is none: for photos without classes, which are drawn with the step that gives
    them classes at ``action``, and for a folder that cannot be read, of which the reason is drawn.
    """
    with error_banner():
        try:
            index = studio.index()
        except UnlabelledError:
            _draw_unlabelled(studio, action)
            return None
        if index is not None:
            draw_pictures(studio, index)
        return index
    return None


def _draw_unlabelled(studio: Studio, action: DeltaGenerator) -> None:
    paths = _unlabelled(studio)
    if studio.dataset is None:
        return
    st.subheader(_unlabelled_words(len(paths)), anchor=False)
    st.markdown(NO_CLASSES)
    step = max(1, -(-len(paths) // NUM_PICTURES))
    with st.container(key="home_pictures"), st.grid("auto", min_column_width=110, gap="small"):
        for shown in paths[::step]:
            path = studio.dataset.path / shown
            if (tile := _tile(path, file_stamp(path))) is not None:
                st.image(tile, width="stretch", alt=shown)
    with action:
        draw_label_button()


def _unlabelled(studio: Studio) -> tuple[str, ...]:
    """Return the paths of the photos of a project without classes."""
    if studio.dataset is None or studio.dataset.is_missing:
        return ()
    try:
        return read_plan(studio.workspace, studio.dataset).unlabelled
    except TLError:
        return ()


def _unlabelled_words(count: int) -> str:
    return f"{words.number_of(count, 'photo')}, no classes yet"


@cache_data(max_entries=200)
def _tile(path: Path, stamp: tuple[int, int]) -> bytes | None:
    try:
        return make_tile(path)
    except (ImageError, OSError):
        return None


def draw_steps(studio: Studio, index: DatasetIndex | None, runs: Sequence[Run]) -> None:
    """Draw the steps as cards, and again until it is known what is wrong with the photos.

    Of a project with own photos all checks are started here; those of the sample set wait for a
    look at the Data page.
    """
    is_pending = False
    if index is not None and studio.dataset is not None:
        view = open_view(studio.workspace, studio.dataset, stored_config())
        if not studio.dataset.is_sample:
            ask_for_features(view)
        is_pending = _found(view)[1]
    every = POLL_SECONDS if is_pending else None
    st.fragment(run_every=every)(_draw_steps)(studio, index, runs, is_pending)


def _found(view: DatasetView) -> tuple[str, bool]:
    """Return what there is to look at under Findings, and whether that is still being checked."""
    found = findings_words(view)
    if found is None:
        return "", True
    text = [found] if found else []
    is_pending = False
    if view.measured is not None and not is_checked(view):
        state = unchecked_words(view)
        is_pending = state == NOT_CHECKED and not view.dataset.is_sample
        if state == NOT_CHECKED:
            state = BEING_CHECKED if is_pending else CHECKED_ON_DATA
        text.append(f"{LABELS}: {state}")
    return ". ".join(text), is_pending


@guarded
def _draw_steps(
    studio: Studio, index: DatasetIndex | None, runs: Sequence[Run], was_pending: bool
) -> None:
    """Draw what each step is for and how far it is."""
    found, num_unlabelled = "", 0
    if index is not None and studio.dataset is not None:
        view = open_view(studio.workspace, studio.dataset, stored_config())
        found, is_pending = _found(view)
        if was_pending and not is_pending:
            st.rerun()
    else:
        num_unlabelled = len(_unlabelled(studio))
    with st.grid(4, min_column_width=190, gap="small"):
        for icon, title, state, text, page, label in _steps(index, found, runs, num_unlabelled):
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
    index: DatasetIndex | None, found: str, runs: Sequence[Run], num_unlabelled: int
) -> list[tuple[str, str, str, str, str, str]]:
    finished = [run for run in runs if run.is_loadable]
    active = any(run.is_active for run in runs)
    metrics = default_run(finished).metrics if finished else {}  # what Evaluate shows at first
    best = words.headline(metrics)
    return [
        (
            ":material/photo_library:",
            "Data",
            _unlabelled_words(num_unlabelled)
            if num_unlabelled
            else "No photos yet"
            if index is None
            else f"{words.number_of(index.num_images, 'photo')} in "
            f"{words.number_of(index.num_classes, 'class', 'classes')}",
            f"{found}."
            if found
            else "See the photos of each class, problems found in them, and the effect of "
            "augmentation.",
            DATA_PAGE,
            LABEL_PHOTOS if num_unlabelled else "Look at the photos",
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
            "Watch the training" if active else "Train a classifier",
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
            words.figure(metrics) or "No figures yet",
            "See which classes it confuses, correct wrong labels, and choose when it answers "
            "“none of "
            "these”."
            if finished
            else "Available after the first run.",
            EVALUATE_PAGE,
            "Find its mistakes",
        ),
    ]
