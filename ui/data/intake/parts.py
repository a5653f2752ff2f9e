"""What all ways of adding pictures share: the target, storing them, and the result of each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.typing import UploadedFile

from tl_core.data.curation.store import kept_layout
from tl_core.data.file_names import safe_component
from tl_core.data.ingest.uploads import UploadOutcome, store_uploads
from tl_core.errors import DatasetError, UnlabelledError
from tl_core.files import check_is_new
from tl_core.progress import Monitor
from tl_core.projects.registry import Project
from tl_core.tables import safe_table
from ui.datasets.picker import (
    choose_dataset,
    dataset_id,
    distinct_titles,
    list_datasets,
)
from ui.datasets.scans import load_raw, read_class_names
from ui.shared import session_keys
from ui.shared.errors import LABEL_TAB, error_words
from ui.shared.forms import draw_name
from ui.shared.navigation import PHOTOS_TAB
from ui.shared.progress import shower
from ui.shared.words import number_of, plain
from ui.shell.page import Studio

NEW = "A new project"
NO_NAME = "Expected a name for the new project. Type one and add it again."
SEE_PHOTOS = f"See them under *{PHOTOS_TAB}*."
SEE_PHOTOS_OR_LABEL = f"See them under *{PHOTOS_TAB}*, those without a class under *{LABEL_TAB}*."
SEE_FINDINGS = "see *Findings*"
WITHOUT_CLASSES = (
    f"they have no classes yet. Give them classes under *{LABEL_TAB}* on the Data page."
)
MAX_ROWS_SHOWN = 500


@dataclass(frozen=True)
class Target:
    """Where pictures go: a project that exists, with its title, or a new one of a typed name."""

    studio: Studio
    standing: Path | None
    name: str
    title: str = ""

    def folder(self) -> Path:
        """Return the dataset's folder, be it there or not.

        Raises:
            DatasetError: there is no name for the new one, or it is taken.
        """
        return self.standing or new_dataset_dir(self.studio, self.name)

    def class_names(self) -> list[str]:
        """Return the classes that it has already."""
        return [] if self.standing is None else class_names(self.studio, self.standing)


def class_names(studio: Studio, data_dir: Path) -> list[str]:
    """Return the classes of a dataset in order, those without a picture yet among them."""
    return read_class_names(studio.workspace, data_dir)


def draw_target(
    studio: Studio, prefix: str, suggestion: str = "", *, begins_new: bool = False
) -> Target:
    """Draw where the pictures go.

    Args:
        studio: what the page works on. Its project is proposed, unless ``begins_new``.
        prefix: of the widgets' keys.
        suggestion: a name for a new project.
        begins_new: whether a new project is proposed.
    """
    own = [one for one in list_datasets(studio.workspace) if one.is_ours and not one.is_missing]
    named_by = distinct_titles(own)
    titles = {named_by[dataset.id]: dataset for dataset in own}
    shown = studio.dataset
    current = NEW if shown is None or begins_new else named_by.get(shown.id, NEW)
    where, named = st.columns(2)
    target = where.selectbox(
        "Add to",
        [NEW, *titles],
        index=[NEW, *titles].index(current),
        # One for each project: more photos go where the last went, though that was new.
        key=f"intake_target_{prefix}_{shown.id if shown else ''}_{begins_new}",
    )
    if target in titles:
        return Target(studio, titles[target].path, "", titles[target].title)
    with named:
        name = draw_name(
            "Name of the project", value=suggestion, key=f"intake_name_{prefix}_{suggestion}"
        )
    return Target(studio, None, name)


def draw_class(target: Target, prefix: str) -> str | None:
    """Draw the choice of a class of the target; a new name may be typed."""
    return st.selectbox(
        "Class",
        target.class_names(),
        index=None,
        accept_new_options=True,
        key=f"intake_class_{prefix}",
        placeholder="Choose a class or type a new one",
        persist_state="session",
    )


@dataclass(frozen=True)
class IntakeReport:
    """The result of the last intake.

    Attributes:
        dataset_id: of the dataset that was shown when it was over.
        num_added: files that were added.
        outcomes: name and result of each file worth reporting.
        is_unread: whether the files make up the dataset and none was looked into.
    """

    dataset_id: str | None
    num_added: int
    outcomes: tuple[tuple[str, str], ...]
    is_unread: bool


@contextmanager
def adding(name: str) -> Iterator[DeltaGenerator]:
    """Draw a bar and a button to cancel for an intake, and yield the bar.

    Any click ends the run, and nothing is changed then; the next run tells so, see
    :func:`~ui.shell.page.bootstrap`.
    """
    st.session_state.pop(session_keys.INTAKE_REPORT, None)
    row = st.empty()
    line = row.container(horizontal=True, vertical_alignment="center")
    bar = line.container().progress(0.0, text="Starting")
    line.button("Cancel", key="intake_cancel", icon=":material/close:")
    st.session_state[session_keys.INTAKE_NOW] = name
    try:
        yield bar
    except Exception:  # what ends a run is none
        del st.session_state[session_keys.INTAKE_NOW]
        row.empty()  # so that no bar stays above the message
        raise
    del st.session_state[session_keys.INTAKE_NOW]


def store(
    studio: Studio,
    files: Sequence[UploadedFile],
    out_dir: Path,
    class_name: str | None = None,
    name: str | None = None,
) -> None:
    """Store uploaded files with progress; then run the page again with the result of each."""
    with adding(number_of(len(files), "file")) as bar:
        outcomes: list[UploadOutcome] = store_uploads(
            [(name or file.name, file) for file in files],
            out_dir,
            class_name=class_name,
            layout=kept_layout(studio.workspace, out_dir),
            monitor=Monitor(shower(bar)),
        )
    line = [
        (one.name, f"added as {one.path}" if one.path else one.reason or "") for one in outcomes
    ]
    line.sort(key=lambda row: row[1].startswith("added as "))  # what was left out comes first
    finish(studio, out_dir, sum(one.is_photo_stored for one in outcomes), line)


def finish(
    studio: Studio,
    out_dir: Path,
    num_added: int,
    outcomes: Sequence[tuple[str, str]],
    *,
    is_unread: bool = False,
) -> None:
    """Keep the report, make its dataset the current one, and run the page again without files.

    Args:
        studio: what the page works on.
        out_dir: the dataset that was added to.
        num_added: as in :class:`IntakeReport`, like the rest.
        outcomes: of single files.
        is_unread: whether the dataset is new, and its files are still to be looked into.
    """
    shown = None if studio.dataset is None else studio.dataset.id
    if num_added:
        shown = dataset_id(studio.workspace, out_dir)
        choose_dataset(studio.workspace, shown)
    st.session_state[session_keys.INTAKE_REPORT] = IntakeReport(
        shown, num_added, tuple(outcomes), is_unread
    )
    st.session_state[session_keys.INTAKE_ROUND] = (
        st.session_state.get(session_keys.INTAKE_ROUND, 0) + 1
    )
    st.rerun()


def draw_report(studio: Studio, *, with_hint: bool = False) -> None:
    """Draw how many files were added last, and the result of each, beside their dataset.

    Args:
        studio: what the page works on.
        with_hint: whether to say under which tab the photos are shown.
    """
    report: IntakeReport | None = st.session_state.get(session_keys.INTAKE_REPORT)
    dataset = studio.dataset
    if report is None or report.dataset_id != (None if dataset is None else dataset.id):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        _draw_report_line(studio, report, with_hint=with_hint)
        st.button(
            "Close",
            key="close_report",
            icon=":material/close:",
            type="tertiary",
            on_click=close_report,
        )
    if report.outcomes:
        more = len(report.outcomes) - MAX_ROWS_SHOWN
        st.dataframe(
            safe_table(pd.DataFrame(report.outcomes[:MAX_ROWS_SHOWN], columns=["File", "Result"])),
            hide_index=True,
            key="intake_outcomes",
            alt="The result for each file",
        )
        if more > 0:
            st.caption(f"and {number_of(more, 'file')} more")


def close_report() -> None:
    """Show the result of the last intake no longer."""
    st.session_state.pop(session_keys.INTAKE_REPORT, None)


def _draw_report_line(studio: Studio, report: IntakeReport, *, with_hint: bool) -> None:
    dataset, trouble, hint = studio.dataset, "", SEE_PHOTOS
    if report.num_added and dataset is not None:
        trouble, hint = _read_added(studio, dataset, is_unread=report.is_unread)
    count = number_of(report.num_added, "file" if trouble else "photo")
    line = f"{count} added" + (f" to *{plain(dataset.title)}*" if dataset is not None else "")
    if not report.num_added:
        st.warning(f"{line}.", icon=":material/warning:")
    elif trouble:
        st.warning(f"{line}; {trouble}", icon=":material/warning:")
    else:
        st.success(f"{line}. {hint if with_hint else ''}".strip(), icon=":material/check_circle:")


def _read_added(studio: Studio, dataset: Project, *, is_unread: bool) -> tuple[str, str]:
    """Return what is wrong with a dataset, "" when all is well, and where its photos are shown.

    Whatever was added: photos without classes have a tab of their own. Of a dataset that is new
    also how many of its files cannot be read, or why it cannot be. The scan is kept, so that the
    page does not make it again.
    """
    try:
        index = load_raw(studio.workspace, dataset)
    except UnlabelledError:
        return WITHOUT_CLASSES, ""
    except DatasetError as error:
        return f"they cannot be trained on yet. {error_words(error)}" if is_unread else "", ""
    count = sum(len(one.paths) for one in index.findings if one.kind == "unreadable")
    trouble = f"{count:,} of them cannot be read, {SEE_FINDINGS}." if count and is_unread else ""
    return trouble, SEE_PHOTOS_OR_LABEL if index.unlabelled else SEE_PHOTOS


def new_dataset_dir(studio: Studio, name: str) -> Path:
    """Return the folder for a new dataset of that name.

    Raises:
        DatasetError: there is no name, or it is a dataset's already.
    """
    if not name.strip():
        raise DatasetError(NO_NAME)
    out_dir = studio.workspace.datasets_dir / safe_component(name)
    check_is_new(out_dir)
    return out_dir


def folder_name(files: Sequence[UploadedFile] | None) -> str:
    """Return the name of the uploaded folder: the first part of its files' names."""
    if not files or "/" not in files[0].name:
        return ""
    return files[0].name.split("/")[0]


def fresh(key: str) -> str:
    """Return a key that changes after each intake: a new uploader is an empty one."""
    return f"{key}_{st.session_state.get(session_keys.INTAKE_ROUND, 0)}"


def given(file: UploadedFile | None) -> UploadedFile:
    """Return an upload that must be there.

    Raises:
        DatasetError: it is gone.
    """
    if file is None:
        raise DatasetError("Expected a file; the upload is gone. Choose it again.")
    return file
