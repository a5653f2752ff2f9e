"""Walking through the folders of the machine that runs the studio, inside the allowed ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from tl_core.files import is_folder
from ui.datasets.picker import allowed_folders, is_allowed, subfolders
from ui.shared import session_keys
from ui.shared.words import number_of, plain

MAX_LISTED = 500
MAX_COUNTED = 5000


def walk_folders(path_key: str) -> str:
    """Draw the folders to walk through and the path to type; return the path.

    Args:
        path_key: prefix of the key of the box with the path.
    """
    allowed = allowed_folders()
    here = _here(allowed)
    if len(allowed) > 1:
        st.pills(
            "Place",
            allowed,
            format_func=lambda place: plain(str(place)),
            default=next(place for place in allowed if here.is_relative_to(place)),
            key=f"folder_place_{st.session_state.get(session_keys.FOLDER_ROUND, 0)}",
            on_change=_go_to_place,
            required=True,
            label_visibility="collapsed",
        )
    inside = subfolders(here)[:MAX_LISTED]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button(
            "Up",
            key="folder_up",
            icon=":material/arrow_upward:",
            disabled=here in allowed,
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
        value=str(here) if here not in allowed else "",
        key=f"{path_key}_{here}",
        placeholder=str(here / "photos"),
    )


def _here(allowed: Sequence[Path]) -> Path:
    """Return the folder that is looked into, always inside an allowed one."""
    here = Path(st.session_state.get(session_keys.FOLDER, allowed[0])).resolve()
    return here if is_folder(here) and is_allowed(here) else allowed[0]


def _go_to_place() -> None:
    key = f"folder_place_{st.session_state.get(session_keys.FOLDER_ROUND, 0)}"
    if chosen := st.session_state[key]:
        _set(chosen)


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
    text = f"{number_of(len(inside), 'folder')} and {number_of(files, 'file')} in it"
    return f"{text}: {names}" if inside else f"{text}."
