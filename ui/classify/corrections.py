"""A wrong answer on the Classify page: the photo goes into the project, in the class it shows."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from tl_core.errors import TLError
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.classify.photo import Photo
from ui.datasets.decisions import add, draw_refusal, move
from ui.datasets.picker import dataset_of
from ui.datasets.scans import CuratedDataset, load_curated
from ui.runs.retraining import draw_retraining
from ui.shared import session_keys
from ui.shared.words import plain

LABEL = "Wrong? It is ..."
ONLY_READ = (
    "The photos of this project lie in a folder that is never written to. To correct an answer, "
    "copy the photo into its class folder there, then choose *Rescan folder* on the Data page. "
    "Photos that are in the folder already can be corrected here."
)


@dataclass(frozen=True)
class Project:
    """The project of a run, as the answers of the run can correct it.

    Attributes:
        curated: its dataset.
        path_of: where its photos lie, by the sha256 of their bytes.
    """

    curated: CuratedDataset
    path_of: dict[str, str]


def open_project(workspace: Workspace, run: Run) -> Project | None:
    """Draw what was corrected since the run was trained, and return the project to correct.

    None when its photos cannot be read, which is said.
    """
    draw_refusal()
    try:
        curated = load_curated(workspace, dataset_of(workspace, run))
    except TLError as error:
        st.caption(f"Answers cannot be corrected here: {plain(str(error))}")
        return None
    draw_retraining(curated, run)
    if not curated.dataset.is_ours:
        st.caption(ONLY_READ)
    return Project(curated, {record.sha256: record.path for record in curated.raw.records})


def draw_correction(project: Project, photo: Photo, number: int) -> None:
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
        told = "excluded" if counted is None else f"as **{plain(counted)}**"
        st.caption(f":material/inventory_2: In the project: {told}.")
    elif not curated.dataset.is_ours:
        return
    round_number = st.session_state.setdefault(session_keys.CORRECTION_ROUND, 0)
    class_name = st.selectbox(
        LABEL,
        [name for name in curated.classes if name != counted],
        index=None,
        format_func=plain,
        placeholder=LABEL,
        key=f"wrong_{number}_{round_number}",
        label_visibility="collapsed",
        help="Adds the photo to the project in this class. Can be undone.",
    )
    if class_name is None:
        return
    st.session_state[session_keys.CORRECTION_ROUND] = round_number + 1  # all boxes are empty again
    if path is None:
        add(curated, photo.name, photo.data, class_name)
    else:
        move(curated, [path], class_name)
