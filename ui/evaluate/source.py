"""What to evaluate: a run, and its own photos or those of another folder."""

from __future__ import annotations

import streamlit as st

from tl_core.projects.registry import Project, public_name
from tl_core.runs.store import Run
from ui.datasets.picker import dataset_of, distinct_titles, list_datasets, open_folder
from ui.runs.evaluations import (
    ELSEWHERE,
    FOLDER,
    FOLDER_TAB,
    PART,
    SUMMARY_TAB,
    TABS,
    TEST,
    VAL,
    Source,
)
from ui.runs.picker import default_run, select_model
from ui.shared import words
from ui.shared.controls import control
from ui.shell.page import Studio

SET_APART = "kept out of the training of this run."
TITLES = {TEST: "Test photos", VAL: "Validation photos", ELSEWHERE: "Another folder"}


def choose_source(studio: Studio, runs: list[Run]) -> tuple[Run, Source | None]:
    """Draw the choice of run and photos; the source is None while no folder is named."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        run = select_model(runs, "Run") or default_run(runs)
    with right:
        part = (
            st.segmented_control(
                "Photos",
                list(TITLES),
                format_func=TITLES.__getitem__,
                required=True,
                **control(PART, TEST, on_change=_open_first_tab),
                help="Test photos were kept apart from training and are the fair measure. "
                "Validation photos were used to choose the best epoch, so the accuracy on them is "
                "too optimistic. Another folder shows how accurate the model is on photos from "
                "another camera, place or time.",
            )
            or TEST
        )
        if part != ELSEWHERE:
            name = public_name(studio.workspace, dataset_of(studio.workspace, run))
            st.caption(f"From {words.plain(name)}, {SET_APART}")
            return run, Source(part)
        folder = _choose_folder(studio, run)
    return run, Source(ELSEWHERE, folder) if folder else None


def evaluate_own_photos() -> None:
    """Have the page evaluate on the run's own test photos, whatever was evaluated before."""
    st.session_state[PART] = TEST
    st.session_state[TABS] = SUMMARY_TAB


def _open_first_tab() -> None:
    """Show both sets of figures where there are two."""
    is_other = st.session_state[PART] == ELSEWHERE
    st.session_state[TABS] = FOLDER_TAB if is_other else SUMMARY_TAB


def _choose_folder(studio: Studio, run: Run) -> Project | None:
    known = {one.id: one for one in list_datasets(studio.workspace) if one.path != run.data_dir}
    titles = distinct_titles(list(known.values()))
    may_type = studio.may_open_folders
    if st.session_state.get(FOLDER) not in known and not may_type:
        st.session_state.pop(FOLDER, None)
    chosen = st.selectbox(
        "Folder with the same class names",
        list(known),
        index=None,
        accept_new_options=may_type,
        placeholder="Choose a project or type a full path" if may_type else "Choose a project",
        **control(FOLDER, may_be_none=True, format_func=lambda one: titles.get(one, one)),
        help=f"Class folders named {', '.join(map(words.plain, run.class_names[:6]))}. "
        "Nothing in them is changed.",
    )
    if not chosen:
        return None
    return known.get(chosen) or open_folder(studio.workspace, chosen)
