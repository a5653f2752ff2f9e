"""A folder of the machine that runs the studio, looked for inside the folder that is allowed."""

from __future__ import annotations

import streamlit as st

from tl_core.projects.registry import forget_folder
from ui.datasets.folder_walk import walk_folders
from ui.datasets.picker import (
    choose_dataset,
    list_datasets,
    open_folder,
)
from ui.shared import session_keys
from ui.shared.navigation import PHOTOS_TAB
from ui.shared.words import plain
from ui.shell.page import Studio


def draw_folder_picker(studio: Studio) -> None:
    """Draw the folders to walk through, the path to type, and the folders opened before."""
    st.markdown(
        "A folder of **the machine that runs the studio**, with one folder per class in it, in "
        "your home folder or on an external drive. It is read, never written to."
    )
    path = walk_folders("intake_path")
    if st.button("Open the folder", key="open_folder", type="primary"):
        choose_dataset(studio.workspace, open_folder(studio.workspace, path).id)
        st.session_state[session_keys.NOTICE] = (
            f"The folder is open; see it under {PHOTOS_TAB} on the Data page"
        )
        st.rerun()
    for number, dataset in enumerate(list_datasets(studio.workspace)):
        if dataset.is_ours:
            continue
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(plain(str(dataset.path)))
            if st.button("Remove from the list", key=f"forget_{number}", type="tertiary"):
                forget_folder(studio.workspace, dataset)
                st.rerun()
