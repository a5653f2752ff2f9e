"""Answers that teach: photos go into the project, in the class they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from tl_core.data.ingest.added_photos import Additions, NewPhoto, add_photos
from tl_core.errors import TLError
from tl_core.progress import Monitor
from tl_core.projects.registry import Project
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.classify.background import run_in_background
from ui.classify.photo import Photo, image_of
from ui.datasets.decisions import add, draw_refusal, move
from ui.datasets.picker import remember_dataset
from ui.datasets.scans import CuratedDataset, load_curated
from ui.runs.retraining import draw_retraining
from ui.shared import session_keys
from ui.shared.errors import error_words
from ui.shared.words import number_of, plain

WRONG = "Wrong? It is ..."
FOR_TRAINING = "They are for training: the validation and test photos stay as they are."
ONLY_READ = (
    "The photos of this project lie in a folder that is never written to. To correct an answer, "
    "copy the photo into its class folder there, then choose *Rescan folder* on the Data page. "
    "Photos that are in the folder already can be corrected here."
)
NUM_REASONS = 5


@dataclass(frozen=True)
class Addition:
    """A photo to add, or its path, and the class it shows."""

    name: str
    photo: Photo | Path
    class_name: str


@dataclass(frozen=True)
class CorrectionTarget:
    """The project that answers can correct.

    Attributes:
        curated: its dataset.
        path_of: where its photos lie, by the sha256 of their bytes.
    """

    curated: CuratedDataset
    path_of: dict[str, str]


def open_project(
    workspace: Workspace, dataset: Project, run: Run | None
) -> CorrectionTarget | None:
    """Draw what was corrected since the run was trained, and return the project to correct.

    None when its photos cannot be read, which is said.

    Args:
        workspace: where the decisions are kept.
        dataset: of the project.
        run: the run whose answers are shown; None for an imported model.
    """
    draw_refusal()
    try:
        curated = load_curated(workspace, dataset)
    except TLError as error:
        st.caption(f"Answers cannot be corrected here: {error_words(error)}")
        return None
    if run is not None:
        draw_retraining(curated, run)
    if not curated.dataset.is_ours:
        st.caption(ONLY_READ)
    _draw_adding(curated)
    return CorrectionTarget(curated, {record.sha256: record.path for record in curated.raw.records})


def start_adding(photos: Sequence[Addition]) -> None:
    """Add photos to the project when the page is drawn next, with progress."""
    st.session_state[session_keys.ADDING] = tuple(photos)
    st.rerun()


def _draw_adding(curated: CuratedDataset) -> None:
    photos: tuple[Addition, ...] | None = st.session_state.get(session_keys.ADDING)
    if photos is None:
        return
    workspace, folder = curated.workspace, curated.raw.data_dir
    what = f"Adding {number_of(len(photos), 'photo')}"

    def work(monitor: Monitor) -> Additions:
        new = [NewPhoto(one.name, image_of(one.photo), one.class_name) for one in photos]
        return add_photos(workspace, folder, new, monitor=monitor)

    try:
        done = run_in_background("add_answers", id(photos), what, work)
    except TLError as error:
        del st.session_state[session_keys.ADDING]
        st.warning(error_words(error), icon=":material/block:")
        return
    if done is None:
        return
    del st.session_state[session_keys.ADDING]
    st.session_state[session_keys.ANSWER_PICKED] = set()
    remember_dataset(workspace, curated.dataset.id)
    text = [f"{number_of(len(done.added), 'photo')} added to {curated.dataset.title}"]
    if done.moved:
        text.append(f"{number_of(len(done.moved), 'photo')} of it moved to another class")
    if done.refused:
        text.append(f"{number_of(len(done.refused), 'photo')} left out")
        st.session_state[session_keys.ADDING_REFUSED] = done.refused
    st.session_state[session_keys.NOTICE] = ", ".join(text)
    st.rerun()


def draw_left_out() -> None:
    """Draw why photos were not added the last time, once."""
    refused = st.session_state.pop(session_keys.ADDING_REFUSED, ())
    if refused:
        lines = [f"- {plain(name)}: {plain(reason)}" for name, reason in refused[:NUM_REASONS]]
        if len(refused) > NUM_REASONS:
            lines.append(f"- and {len(refused) - NUM_REASONS:,} more")
        st.warning("Not added:\n" + "\n".join(lines), icon=":material/block:")


def draw_correction(project: CorrectionTarget, photo: Photo, number: int) -> None:
    """Draw the choice of the class that a photo shows, or in which class it is already.

    Args:
        project: which the photo is added to; one that is in it already is moved by a decision.
        photo: the photo.
        number: of its card.
    """
    curated = project.curated
    path = project.path_of.get(photo.digest)
    counted = None
    if path is not None:
        held = curated.held(path)
        if held is None or held.action != "exclude":
            counted = curated.class_of(path)
        text = "excluded" if counted is None else f"as **{plain(counted)}**"
        st.caption(f":material/inventory_2: In the project: {text}.")
    elif not curated.dataset.is_ours:
        return
    round_number = st.session_state.setdefault(session_keys.CORRECTION_ROUND, 0)
    class_name = st.selectbox(
        WRONG,
        [name for name in curated.classes if name != counted],
        index=None,
        placeholder=WRONG,
        key=f"wrong_{number}_{round_number}",
        label_visibility="collapsed",
        help="Adds the photo to the project in this class, for training. Can be undone.",
    )
    if class_name is None:
        return
    st.session_state[session_keys.CORRECTION_ROUND] = round_number + 1  # all boxes are empty again
    if path is None:
        add(curated, photo.name, photo.data, class_name)
    else:
        move(curated, [path], class_name)
