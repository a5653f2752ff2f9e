"""Adding pictures: a zip, a folder, photos into a class, the camera, or a folder of this machine.

Widgets and words only: what may be taken, and how it gets to disk, is the core's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from tl_core.projects.registry import Project
from ui.data.intake.archives import draw_archives
from ui.data.intake.camera import draw_camera
from ui.data.intake.classes import draw_classes
from ui.data.intake.folder_picker import draw_folder_picker
from ui.data.intake.parts import (
    draw_class,
    draw_report,
    draw_target,
    folder_name,
    fresh,
    store,
)
from ui.hosted.panel import upload_caption
from ui.shared import session_keys
from ui.shared.controls import control
from ui.shared.navigation import ADD_TAB
from ui.shell.page import Studio

OWN_PHOTOS, ANOTHER_PROJECT = "Use my own photos", "Start another project"
Ways = dict[str, tuple[str, Callable[[Studio], None]]]  # icon and what draws it, by title


def draw_intake(studio: Studio) -> None:
    """Draw the ways to add pictures, the chosen one, and the result of the last addition.

    The project that is open is proposed for them; for a whole set, the sample set is not.
    """
    begins_new = studio.dataset is not None and studio.dataset.is_sample
    ways: Ways = {
        **_whole_sets(begins_new=begins_new),
        "Photos": (":material/add_photo_alternate:", _draw_photos),
        "Camera": (":material/photo_camera:", draw_camera),
    }
    if studio.may_open_folders:
        ways["Folder on this machine"] = (":material/folder_open:", draw_folder_picker)
    if studio.dataset is not None and studio.dataset.is_ours:
        ways["Classes"] = (":material/label:", draw_classes)
    with st.container(border=True):
        _draw_ways(studio, ways)
    draw_report(studio, with_hint=True)


def draw_own_photos(studio: Studio) -> None:
    """Draw the ways to start a project with own pictures, and the result of the last addition."""
    ways = _whole_sets(begins_new=True)
    if studio.may_open_folders:
        ways["Folder on this machine"] = (":material/folder_open:", draw_folder_picker)
    is_sample = studio.dataset is None or studio.dataset.is_sample
    shown = "" if studio.dataset is None else studio.dataset.id
    # Opened by hand it stays so, whatever comes or goes above it: an upload runs the page again.
    with st.expander(
        OWN_PHOTOS if is_sample else ANOTHER_PROJECT,
        icon=":material/add_a_photo:",
        expanded=is_sample,
        key=f"own_photos_{shown}",
        on_change="rerun",
    ):
        _draw_ways(studio, ways)
    draw_report(studio)


def _whole_sets(*, begins_new: bool) -> Ways:
    """Return the ways to add pictures of several classes at once."""
    return {
        "Zip file": (":material/folder_zip:", partial(draw_archives, begins_new=begins_new)),
        "Folder": (":material/drive_folder_upload:", partial(_draw_folder, begins_new=begins_new)),
    }


def _draw_ways(studio: Studio, ways: Ways) -> None:
    if st.session_state.get("intake_way") not in (None, *ways):
        st.session_state["intake_way"] = "Zip file"  # that way is not offered here
    way = st.segmented_control(
        "Where from",
        list(ways),
        format_func=lambda name: f"{ways[name][0]} {name}",
        label_visibility="collapsed",
        required=True,
        **control("intake_way", "Zip file"),
    )
    ways[way or "Zip file"][1](studio)
    if text := upload_caption():
        st.caption(text)


def draw_intake_offer(dataset: Project) -> None:
    """Draw the way to more pictures, for a dataset that is none without them."""
    if dataset.is_ours:
        st.button(
            "Add photos of another class",
            key="offer_intake",
            icon=":material/add_photo_alternate:",
            on_click=_open_intake,
        )


def _open_intake() -> None:
    st.session_state[session_keys.DATA_TABS] = ADD_TAB
    st.session_state["intake_way"] = "Photos"


def _draw_folder(studio: Studio, *, begins_new: bool) -> None:
    st.markdown(
        "A folder of this device with **one folder per class**, or with a label file beside the "
        "photos. For more than 900 files use a zip: browsers fail with that many."
    )
    files = st.file_uploader(  # of any type: the report names what is left out, with the reason
        "Folder",
        accept_multiple_files="directory",
        key=fresh("intake_folder"),
    )
    target = draw_target(studio, "folder", folder_name(files), begins_new=begins_new)
    if st.button("Add the folder", key="add_folder", type="primary", disabled=not files):
        store(studio, files or [], target.folder())


def _draw_photos(studio: Studio) -> None:
    st.markdown("Photos of **one class**, as many as you like.")
    files = st.file_uploader(  # of any type, as above
        "Photos", accept_multiple_files=True, key=fresh("intake_photos")
    )
    target = draw_target(studio, "photos")
    class_name = draw_class(target, "photos")
    ready = bool(files and class_name)
    if st.button("Add the photos", key="add_photos", type="primary", disabled=not ready):
        store(studio, files or [], target.folder(), class_name)
