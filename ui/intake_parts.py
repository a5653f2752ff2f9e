"""What the ways of adding pictures share: where they go, storing them, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.typing import UploadedFile

from tl_core.data.intake import UploadOutcome, store_uploads
from tl_core.data.names import safe_component
from tl_core.errors import DatasetError
from ui import keys
from ui.bootstrap import Studio
from ui.datasets import choose_dataset, list_datasets
from ui.progress import shower
from ui.words import number_of

NEW = "A new dataset"
MAX_ROWS_SHOWN = 500


def draw_target(studio: Studio, prefix: str, suggestion: str = "") -> Callable[[], Path]:
    """Draw where the pictures go; return what gives the folder, or complains, when asked."""
    own = [dataset for dataset in list_datasets(studio.workspace) if dataset.is_ours]
    titles = {dataset.title: dataset for dataset in own}
    current = studio.dataset.title if studio.dataset and studio.dataset.is_ours else NEW
    where, named = st.columns(2)
    target = where.selectbox(
        "Add to",
        [NEW, *titles],
        index=[NEW, *titles].index(current) if prefix != "folder" else 0,
        key=f"intake_target_{prefix}",
    )
    if target in titles:
        return lambda: titles[target].path
    name = named.text_input(
        "Name of the dataset",
        value=suggestion,
        key=f"intake_name_{prefix}_{suggestion}",
        max_chars=80,
    )
    return lambda: new_dataset_dir(studio, name)


def draw_class(studio: Studio, prefix: str) -> str | None:
    """Draw the choice of a class; a new name may be typed."""
    known: Sequence[str] = ()
    if studio.dataset is not None:
        known = sorted(path.name for path in studio.dataset.path.iterdir() if path.is_dir())
    return st.selectbox(
        "Class",
        known,
        index=None,
        accept_new_options=True,
        key=f"intake_class_{prefix}",
        placeholder="Choose a class or type a new one",
        persist_state="session",
    )


def show_progress() -> DeltaGenerator:
    """Draw a bar and a button to cancel: its click ends this run, and nothing was changed then."""
    place, cancel = st.columns([5, 1], vertical_alignment="center")
    bar = place.progress(0.0, text="Starting")
    cancel.button("Cancel", key="intake_cancel", icon=":material/close:", width="stretch")
    return bar


def store(
    studio: Studio,
    files: Sequence[UploadedFile],
    out_dir: Path,
    class_name: str | None = None,
    name: str | None = None,
) -> None:
    """Store uploaded files with progress; then begin anew with what became of each."""
    bar = show_progress()
    outcomes: list[UploadOutcome] = store_uploads(
        [(name or file.name, file) for file in files],
        out_dir,
        class_name=class_name,
        on_progress=shower(bar, total=len(files)),
    )
    told = [
        (one.name, f"added as {one.path}" if one.path else one.reason or "") for one in outcomes
    ]
    told.sort(key=lambda row: row[1].startswith("added as "))  # what was left out comes first
    finish(studio, out_dir, sum(one.is_stored for one in outcomes), told)


def finish(
    studio: Studio, out_dir: Path, num_stored: int, outcomes: Sequence[tuple[str, str]]
) -> None:
    """Remember what came in, make its dataset the current one, and begin anew with no files.

    ``outcomes`` are a name and what became of it, for each file that there is something to say of.
    """
    st.session_state[keys.INTAKE_REPORT] = (out_dir.name, num_stored, list(outcomes))
    st.session_state[keys.INTAKE_ROUND] = st.session_state.get(keys.INTAKE_ROUND, 0) + 1
    if num_stored:
        choose_dataset(studio.workspace.relative(out_dir))
    st.rerun()


def draw_report() -> None:
    """Draw how many pictures came in last, and what became of each file."""
    report = st.session_state.get(keys.INTAKE_REPORT)
    if report is None:
        return
    dataset_name, num_stored, outcomes = report
    told = f"{number_of(num_stored, 'picture')} added to *{dataset_name}*"
    if num_stored:
        st.success(f"{told}. See them under *Pictures*.", icon=":material/check_circle:")
    else:
        st.warning(f"{told}.", icon=":material/warning:")
    if outcomes:
        more = len(outcomes) - MAX_ROWS_SHOWN
        st.dataframe(
            pd.DataFrame(outcomes[:MAX_ROWS_SHOWN], columns=["File", "What became of it"]),
            hide_index=True,
            key="intake_outcomes",
            alt="What became of each file",
        )
        if more > 0:
            st.caption(f"and {number_of(more, 'file')} more")


def new_dataset_dir(studio: Studio, name: str) -> Path:
    """Return the folder for a new dataset of that name.

    Raises:
        DatasetError: there is no name.
    """
    if not name.strip():
        raise DatasetError("Expected a name for the new dataset. Type one and add it again.")
    return studio.workspace.datasets_dir / safe_component(name.strip())


def folder_name(files: Sequence[UploadedFile] | None) -> str:
    """Return the name of the uploaded folder: the first part of its files' names."""
    if not files or "/" not in files[0].name:
        return ""
    return files[0].name.split("/")[0]


def fresh(key: str) -> str:
    """Return a key that changes after each intake: a new uploader is an empty one."""
    return f"{key}_{st.session_state.get(keys.INTAKE_ROUND, 0)}"


def given(file: UploadedFile | None) -> UploadedFile:
    """Return an upload that must be there.

    Raises:
        DatasetError: it is gone.
    """
    if file is None:
        raise DatasetError("Expected a file; the upload is gone. Choose it again.")
    return file
