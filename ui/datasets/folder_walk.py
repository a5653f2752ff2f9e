"""Walking through the folders of the machine that runs the studio, inside the allowed one."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from tl_core.files import is_folder
from ui.datasets.picker import allowed_folder, subfolders
from ui.shared import session_keys
from ui.shared.words import number_of, plain

MAX_LISTED = 500
MAX_COUNTED = 5000


def walk_folders(path_key: str) -> str:
    """Draw the folders to walk through and the path to type; return the path.

    Args:
        path_key: prefix of the key of the box with the path.
    """
    allowed = allowed_folder()
    here = _here(allowed)
    inside = subfolders(here)[:MAX_LISTED]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button(
            "Up",
            key="folder_up",
            icon=":material/arrow_upward:",
            disabled=here == allowed,
            help="To the folder around this one",
        ):
            _go(here.parent)
        st.selectbox(
            f"Folders in {plain(str(here))}",
            inside,
            index=None,
            key=f"folder_into_{st.session_state.get(session_keys.FOLDER_ROUND, 0)}",
            placeholder="Go into a folder" if inside else "No folders in here",
            disabled=not inside,
            on_change=_go_into,
            args=(here,),
        )
    st.caption(_describe(here, inside))
    return st.text_input(
        "Path of the folder",
        value=str(here) if here != allowed else "",
        key=f"{path_key}_{here}",
        placeholder=str(allowed / "photos"),
    )


def _here(allowed: Path) -> Path:
    """Return the folder that is looked into, always inside the allowed one."""
    here = Path(st.session_state.get(session_keys.FOLDER, allowed)).resolve()
    return here if is_folder(here) and here.is_relative_to(allowed) else allowed


def _go_into(here: Path) -> None:
    chosen = st.session_state[f"folder_into_{st.session_state.get(session_keys.FOLDER_ROUND, 0)}"]
    if chosen:
        _set(here / chosen)


def _go(folder: Path) -> None:
    _set(folder)
    st.rerun()


def _set(folder: Path) -> None:
    st.session_state[session_keys.FOLDER] = str(folder)
    st.session_state[session_keys.FOLDER_ROUND] = (
        st.session_state.get(session_keys.FOLDER_ROUND, 0) + 1
    )


def _describe(here: Path, inside: list[str]) -> str:
    """Say what is in a folder, so that one sees whether it is the right one."""
    files = 0
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                files += entry.is_file()
                if files >= MAX_COUNTED:
                    break
    except OSError as error:
        return f"It cannot be read: {error.strerror or error}."
    names = ", ".join(plain(name) for name in inside[:8]) + (", …" if len(inside) > 8 else "")
    told = f"{number_of(len(inside), 'folder')} and {number_of(files, 'file')} in it"
    return f"{told}: {names}" if inside else f"{told}."
