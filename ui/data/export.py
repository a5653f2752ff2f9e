"""Taking decisions along: as a file, from a file, or as a cleaned copy of the dataset."""

from __future__ import annotations

import functools
import io

import streamlit as st

from tl_core.data.curation.export import export_cleaned_copy
from tl_core.data.curation.store import Decisions, edit_decisions, validate
from tl_core.data.file_names import safe_component
from tl_core.errors import DatasetError
from tl_core.progress import Monitor
from tl_core.projects.registry import public_name
from ui.datasets.dataset_view import DatasetView
from ui.datasets.downloads import FileOnDisk, file_for_download
from ui.datasets.picker import choose_dataset, dataset_id
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.forms import draw_name
from ui.shared.progress import shower
from ui.shared.words import number_of

NO_NAME = "Expected a name for the new project. Type one and make it again."
MAX_ZIP_BYTES = 2_000_000_000


def draw_export(view: DatasetView) -> None:
    """Draw the ways to keep, fetch and apply decisions."""
    held = [one for one in view.decisions.current.values() if view.is_about(one)]
    num_excluded = len(view.excluded)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{number_of(num_excluded, 'photo')} excluded, {len(held) - num_excluded:,} moved. "
            "The files are unchanged."
            if held
            else "Nothing is excluded or moved."
        )
        st.download_button(
            "Save decisions",
            data=view.decisions.to_json,
            file_name=f"decisions_{_stem(view)}.json",
            mime="application/json",
            key="export_decisions",
            icon=":material/download:",
            disabled=not view.decisions.steps,
            on_click="ignore",
        )
        with st.popover("Load decisions", icon=":material/upload:", key="import_popover"):
            _draw_import(view)
        with st.popover("Cleaned copy", icon=":material/cleaning_services:", key="copy_popover"):
            _draw_copy(view)


@guarded
def _draw_import(view: DatasetView) -> None:
    round_number = st.session_state.get(session_keys.IMPORT_ROUND, 0)
    file = st.file_uploader("Decisions", type=["json"], key=f"import_decisions_{round_number}")
    st.caption("Decisions about photos that are missing or have changed are ignored.")
    if st.button("Load", key="import_now", type="primary", disabled=file is None) and file:
        try:
            text = file.getvalue().decode("utf-8")
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"Expected decisions as JSON, but '{file.name}' is no text."
            ) from error
        loaded = Decisions.from_json(text)

        def change(before: Decisions) -> Decisions:
            after = before
            for step in loaded.steps:
                after = after.decide(step.label, step.decisions)
            return validate(view.raw, after)

        edit_decisions(view.workspace, view.dataset.path, change)
        st.session_state[session_keys.IMPORT_ROUND] = round_number + 1
        st.session_state[session_keys.NOTICE] = f"{number_of(len(loaded.steps), 'step')} loaded"
        st.rerun()


@guarded
def _draw_copy(view: DatasetView) -> None:
    st.caption("An unchanged copy of every photo that is not excluded, in the folder of its class.")
    name = draw_name(
        "Name of the new project",
        value=f"{_stem(view)}-cleaned",
        key=f"copy_name_{view.dataset.id}",
    )
    if st.button("Make a project of it", key="copy_now", type="primary"):
        out = view.workspace.datasets_dir / _folder_name(name)
        bar = st.progress(0.0, text="Copying")
        st.button("Cancel", key="copy_cancel")  # any click ends this run; nothing is left behind
        export_cleaned_copy(view.index, out, monitor=Monitor(shower(bar)))
        choose_dataset(view.workspace, dataset_id(view.workspace, out))
        st.session_state[session_keys.NOTICE] = f"'{out.name}' was made and is open now"
        st.rerun()
    num_bytes = sum(record.num_bytes for record in view.index.records)
    if num_bytes <= MAX_ZIP_BYTES:
        st.download_button(
            f"Download as a zip ({num_bytes / 1e6:,.0f} MB)",
            data=lambda: _zipped(view),
            file_name=f"{_stem(view)}-cleaned.zip",
            mime="application/zip",
            key="copy_zip",
            icon=":material/folder_zip:",
            on_click="ignore",
        )


def _stem(view: DatasetView) -> str:
    """Return what files of the project are called: as the project, the sample set as its folder."""
    project = view.dataset
    name = project.path.name if project.is_sample else public_name(view.workspace, project)
    return safe_component(name)


def _folder_name(typed: str) -> str:
    """Return the name of a dataset's folder; an ending ``.zip`` would make an archive of it.

    Raises:
        DatasetError: there is none.
    """
    if not typed.strip():
        raise DatasetError(NO_NAME)
    name = safe_component(typed.strip())
    while name.lower().endswith(".zip"):
        name = safe_component(name[: -len(".zip")])
    return name


def _zipped(view: DatasetView) -> FileOnDisk | io.BytesIO:
    """Return the cleaned copy as a zip."""
    write = functools.partial(export_cleaned_copy, view.index)
    return file_for_download(view.workspace, "copy.zip", write)
