"""A folder of this machine: classified by the worker, its answers kept until they are removed."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tl_core.errors import DatasetError
from tl_core.inference.folder_answers import FolderAnswers, list_folder_answers
from tl_core.jobs.client import answers_state, request_answers, stop_answers
from tl_core.workspace import Workspace
from ui.classify.corrections import CorrectionTarget
from ui.classify.models import Model
from ui.classify.review import draw_review
from ui.classify.sources import FolderPhotos
from ui.datasets.folder_walk import walk_folders
from ui.datasets.picker import allowed_path
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar, stop_button
from ui.shared.words import counted, number_of, plain

POLL_SECONDS = 0.7
ABOUT = (
    "Any number of photos, in folders at any depth of **the machine that runs the studio**. They "
    "are only read. The work continues when you leave the page."
)
PARTLY = "Not all photos have an answer yet."


def choose_folder(workspace: Workspace, model: Model) -> FolderAnswers | None:
    """Draw the choice of a folder, and return the one whose answers are shown."""
    earlier = [one for one in list_folder_answers(workspace, model.folder) if _is_allowed(one)]
    chosen = st.session_state.get(session_keys.ANSWERS_FOLDER)
    if earlier and session_keys.ANSWERS_FOLDER not in st.session_state:  # after a reload
        chosen = str(earlier[0].photos_dir)
    if earlier:
        paths = [None, *(str(one.photos_dir) for one in earlier)]
        if chosen not in paths:
            paths.append(chosen)
        chosen = st.selectbox(
            "Folder",
            paths,
            index=paths.index(chosen),
            format_func=lambda path: "Choose another folder" if path is None else path,
            key=f"answers_of_{len(paths)}_{chosen}",
        )
        st.session_state[session_keys.ANSWERS_FOLDER] = chosen
    if chosen is None:
        st.markdown(ABOUT)
        path = walk_folders("answers_path")
        if st.button("Classify the folder", key="classify_folder", type="primary"):
            answers = FolderAnswers(workspace, model.folder, allowed_path(path))
            if not answers.photos_dir.is_dir():
                raise DatasetError(f"Expected a folder at '{answers.photos_dir}', found none.")
            st.session_state[session_keys.ANSWERS_FOLDER] = str(answers.photos_dir)
            request_answers(answers)
            st.rerun()
        return None
    return FolderAnswers(workspace, model.folder, allowed_path(chosen))


def draw_folder(model: Model, answers: FolderAnswers, project: CorrectionTarget | None) -> None:
    """Draw how far a folder is, and its answers once the work has ended or was stopped."""
    if answers_state(answers) is not None:
        _draw_progress(answers)
        return
    failure = answers.take_failure()
    if failure:
        st.error(plain(failure), icon=":material/error:")
    table = answers.open()
    with st.container(horizontal=True, vertical_alignment="center"):
        is_begun = table is not None
        if is_begun and not answers.is_complete:
            st.caption(PARTLY)
        label = "Look for new photos" if answers.is_complete else "Continue"
        if st.button(
            label if is_begun else "Classify the folder",
            key="continue_folder",
            icon=":material/refresh:",
            help="Photos that have an answer are not computed again, unless they were changed.",
        ):
            request_answers(answers)
            st.rerun()
        if table is not None and st.button(
            "Remove these answers", key="remove_answers", icon=":material/delete:", type="tertiary"
        ):
            table.close()
            answers.remove()
            st.session_state[session_keys.ANSWERS_FOLDER] = None
            st.rerun()
    if table is not None:
        source = FolderPhotos(answers.photos_dir.absolute())
        draw_review(answers.workspace, model, table, source, project, answers.dir.name[:8])


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _draw_progress(answers: FolderAnswers) -> None:
    """Draw how far the worker is; the whole page is drawn again when it has ended."""
    state = answers_state(answers)
    if state is None:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            draw_bar(answers.workspace, state, "Classifying")
        if stop_button(state, "stop_folder"):
            stop_answers(answers)
    table = answers.open()
    if table is not None:
        counts = table.counts()
        table.close()
        named = sorted(zip(counts.by_label, table.class_names, strict=True), reverse=True)
        text = [counted(plain(name), count) for count, name in named[:8] if count]
        if counts.none:
            text.append(counted("none of these", counts.none))
        if counts.unreadable:
            text.append(counted("not readable", counts.unreadable))
        st.caption(f"{number_of(counts.total, 'answer')} so far: {' · '.join(text) or 'none'}")


def _is_allowed(answers: FolderAnswers) -> bool:
    """Whether the folder may be looked at: what the workspace names may come from elsewhere."""
    try:
        allowed_path(str(answers.photos_dir))
    except DatasetError:
        return False
    return Path(answers.photos_dir).is_dir()
