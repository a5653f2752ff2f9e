"""Adding pictures: a zip, a folder, photos into a class, the camera, or a folder of this machine.

Widgets and words only: what may be taken, and how it gets to disk, is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.typing import UploadedFile

from tl_core.data.archive import extract_archive
from tl_core.data.images import SUFFIXES
from tl_core.data.intake import UploadOutcome, store_uploads
from tl_core.data.names import safe_component
from tl_core.data.progress import OnProgress, Progress
from tl_core.errors import DatasetError
from ui import keys
from ui.bootstrap import Studio
from ui.datasets import choose_dataset, forget_folder, list_datasets, open_folder
from ui.words import number_of

NEW = "A new dataset"
IMAGE_TYPES = [suffix.removeprefix(".") for suffix in sorted(SUFFIXES)]
MAX_ROWS_SHOWN = 500


def draw_intake(studio: Studio) -> None:
    """Draw the ways in, the one that is chosen, and what became of the last pictures added."""
    ways: dict[str, tuple[str, Callable[[Studio], None]]] = {
        "Zip file": (":material/folder_zip:", _draw_zip),
        "Folder": (":material/drive_folder_upload:", _draw_folder),
        "Photos": (":material/add_photo_alternate:", _draw_photos),
        "Camera": (":material/photo_camera:", _draw_camera),
    }
    if studio.may_open_folders:
        ways["Folder on this machine"] = (":material/folder_open:", _draw_server_folder)
    way = st.segmented_control(
        "Where from",
        list(ways),
        format_func=lambda name: f"{ways[name][0]} {name}",
        default="Zip file",
        key="intake_way",
        label_visibility="collapsed",
        required=True,
        persist_state="session",
    )
    with st.container(border=True):
        ways[way or "Zip file"][1](studio)
    _draw_report()


def _draw_zip(studio: Studio) -> None:
    st.markdown("A zip with **one folder per class**; `train`, `val` and `test` folders are kept.")
    file = st.file_uploader("Zip file", type=["zip"], key=_fresh("intake_zip"))
    name = st.text_input(
        "Name of the dataset",
        value=Path(file.name).stem if file else "",
        key=f"intake_zip_name_{file.file_id if file else ''}",
        max_chars=80,
    )
    if st.button(
        "Add the zip", key="add_zip", type="primary", disabled=file is None or not name.strip()
    ):
        out_dir = _new_dataset_dir(studio, name)
        with st.spinner("Unpacking"):
            bar = st.progress(0.0)
            report = extract_archive(_given(file), out_dir, on_progress=_shower(bar, "Unpacking"))
        left_out = report.refused + [(kind, f"{n} left out") for kind, n in report.ignored.items()]
        _finish(studio, out_dir, report.num_files, left_out)


def _draw_folder(studio: Studio) -> None:
    st.markdown(
        "A folder of this device with **one folder per class**. Above some 900 files browsers "
        "give up: pack a zip instead."
    )
    files = st.file_uploader(
        "Folder",
        type=IMAGE_TYPES,
        accept_multiple_files="directory",
        key=_fresh("intake_folder"),
    )
    out_dir = _draw_target(studio, "folder", _folder_name(files))
    if st.button("Add the folder", key="add_folder", type="primary", disabled=not files):
        _store(studio, files or [], out_dir())


def _draw_photos(studio: Studio) -> None:
    st.markdown("Photos of **one class**, as many as you like.")
    files = st.file_uploader(
        "Photos", type=IMAGE_TYPES, accept_multiple_files=True, key=_fresh("intake_photos")
    )
    out_dir = _draw_target(studio, "photos")
    class_name = _draw_class(studio, "photos")
    ready = bool(files and class_name)
    if st.button("Add the photos", key="add_photos", type="primary", disabled=not ready):
        _store(studio, files or [], out_dir(), class_name)


def _draw_camera(studio: Studio) -> None:
    st.markdown("One picture after another into **one class**.")
    out_dir = _draw_target(studio, "camera")
    class_name = _draw_class(studio, "camera")
    shot = st.camera_input("Camera", key=_fresh("intake_camera"), label_visibility="collapsed")
    ready = bool(shot and class_name)
    if st.button("Add the picture", key="add_shot", type="primary", disabled=not ready):
        number = st.session_state.get(keys.INTAKE_ROUND, 0)
        _store(studio, [_given(shot)], out_dir(), class_name, name=f"camera_{number:04d}.jpg")


def _draw_server_folder(studio: Studio) -> None:
    st.markdown("A folder of **the machine that runs the studio**. It is read, never written to.")
    path = st.text_input("Path of the folder", key="intake_path", placeholder="/home/me/photos")
    if st.button("Open the folder", key="open_folder", type="primary", disabled=not path.strip()):
        choose_dataset(open_folder(studio.workspace, path).id)
        st.rerun()
    for number, dataset in enumerate(list_datasets(studio.workspace)):
        if dataset.is_ours:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(str(dataset.path))
            if st.button("Take off the list", key=f"forget_{number}", type="tertiary"):
                forget_folder(studio.workspace, dataset)
                st.rerun()


def _draw_target(studio: Studio, prefix: str, suggestion: str = "") -> Callable[[], Path]:
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
    return lambda: _new_dataset_dir(studio, name)


def _draw_class(studio: Studio, prefix: str) -> str | None:
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


def _store(
    studio: Studio,
    files: Sequence[UploadedFile],
    out_dir: Path,
    class_name: str | None = None,
    name: str | None = None,
) -> None:
    bar = st.progress(0.0)
    outcomes: list[UploadOutcome] = store_uploads(
        [(name or file.name, file) for file in files],
        out_dir,
        class_name=class_name,
        on_progress=_shower(bar, "Checking the pictures", len(files)),
    )
    stored = [outcome for outcome in outcomes if outcome.is_stored]
    left_out = [(outcome.name, outcome.reason or "") for outcome in outcomes if not outcome.path]
    _finish(studio, out_dir, len(stored), left_out)


def _finish(
    studio: Studio, out_dir: Path, num_stored: int, left_out: Sequence[tuple[str, str]]
) -> None:
    """Remember what came in, make its dataset the current one, and begin anew with no files."""
    st.session_state[keys.INTAKE_REPORT] = (out_dir.name, num_stored, list(left_out))
    st.session_state[keys.INTAKE_ROUND] = st.session_state.get(keys.INTAKE_ROUND, 0) + 1
    if num_stored:
        choose_dataset(studio.workspace.relative(out_dir))
    st.rerun()


def _draw_report() -> None:
    """Draw how many pictures came in last, and each file that was left out with its reason."""
    report = st.session_state.get(keys.INTAKE_REPORT)
    if report is None:
        return
    dataset_name, num_stored, left_out = report
    told = f"{number_of(num_stored, 'picture')} added to *{dataset_name}*"
    if num_stored:
        st.success(f"{told}. See them under *Pictures*.", icon=":material/check_circle:")
    else:
        st.warning(f"{told}.", icon=":material/warning:")
    if left_out:
        st.caption(f"{number_of(len(left_out), 'file')} left out:")
        st.dataframe(
            pd.DataFrame(left_out[:MAX_ROWS_SHOWN], columns=["File", "Reason"]),
            hide_index=True,
            key="intake_left_out",
            alt="Files that were left out, and why",
        )


def _new_dataset_dir(studio: Studio, name: str) -> Path:
    if not name.strip():
        raise DatasetError("Expected a name for the new dataset. Type one and add it again.")
    return studio.workspace.datasets_dir / safe_component(name.strip())


def _folder_name(files: Sequence[UploadedFile] | None) -> str:
    """Return the name of the uploaded folder: the first part of its files' names."""
    if not files or "/" not in files[0].name:
        return ""
    return files[0].name.split("/")[0]


def _fresh(key: str) -> str:
    """Return a key that changes after each intake: a new uploader is an empty one."""
    return f"{key}_{st.session_state.get(keys.INTAKE_ROUND, 0)}"


def _given(file: UploadedFile | None) -> UploadedFile:
    if file is None:
        raise DatasetError("Expected a file; the upload is gone. Choose it again.")
    return file


def _shower(bar: DeltaGenerator, words: str, total: int = 0) -> OnProgress:
    """Return what draws progress in a bar; ``total`` is for who does not know it."""

    def show(progress: Progress) -> None:
        whole = progress.total or total
        bar.progress(min(1.0, progress.done / max(1, whole)), text=words)

    return show
