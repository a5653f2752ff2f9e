"""The classes of a dataset of the workspace: add, rename, merge, remove. These do move files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from tl_core.data.ingest.class_folders import add_class, merge_classes, remove_class, rename_class
from ui.data.intake.parts import class_names, fresh
from ui.shared import session_keys
from ui.shared.forms import draw_name
from ui.shared.words import number_of, plain
from ui.shell.page import Studio

ADD, RENAME, MERGE, REMOVE = "Add", "Rename", "Merge", "Remove"


def draw_classes(studio: Studio) -> None:
    """Draw what can be done to the class folders of the chosen dataset."""
    if studio.dataset is None or not studio.dataset.is_ours:
        st.caption("A folder opened by its path is never written to. Change its classes there.")
        return
    names = class_names(studio, studio.dataset.path)
    st.markdown(
        f"**{number_of(len(names), 'class', 'classes')}** in *{plain(studio.dataset.title)}*: "
        + ", ".join(plain(name) for name in names[:20])
        + (", …" if len(names) > 20 else "")
    )
    parts: dict[str, Callable[[Studio, Path, list[str]], None]] = {
        ADD: _draw_add,
        RENAME: _draw_rename,
        MERGE: _draw_merge,
        REMOVE: _draw_remove,
    }
    chosen = st.segmented_control(
        "What to do",
        list(parts),
        default=ADD,
        key="class_action",
        required=True,
        label_visibility="collapsed",
    )
    parts[chosen or ADD](studio, studio.dataset.path, names)


def _draw_add(studio: Studio, data_dir: Path, names: list[str]) -> None:
    name = draw_name("Name of the new class", key=fresh("class_new"))
    st.caption("It counts as a class once it has a photo.")
    if st.button("Add the class", key="class_add", type="primary"):
        add_class(studio.workspace, data_dir, name)
        _done(f"Class '{name.strip()}' added")


def _draw_rename(studio: Studio, data_dir: Path, names: list[str]) -> None:
    left, right = st.columns(2)
    old = left.selectbox("Class", names, index=None, key=fresh("class_old"))
    with right:
        new = draw_name("New name", key=fresh("class_renamed"))
    if (
        st.button(
            "Rename the class",
            key="class_rename",
            type="primary",
            disabled=not old,
        )
        and old
    ):
        rename_class(studio.workspace, data_dir, old, new)
        _done(f"'{old}' is called '{new.strip()}' now")


def _draw_merge(studio: Studio, data_dir: Path, names: list[str]) -> None:
    left, right = st.columns(2)
    sources = left.multiselect("Classes", names, key=fresh("class_sources"))
    target = right.selectbox(
        "Into",
        [name for name in names if name not in sources],
        index=None,
        key=fresh("class_target"),
    )
    if (
        st.button(
            "Merge the classes",
            key="class_merge",
            type="primary",
            disabled=not (sources and target),
        )
        and target
    ):
        merge_classes(studio.workspace, data_dir, sources, target)
        _done(f"{number_of(len(sources), 'class', 'classes')} merged into '{target}'")


def _draw_remove(studio: Studio, data_dir: Path, names: list[str]) -> None:
    name = st.selectbox("Class", names, index=None, key=fresh("class_removed"))
    st.caption(
        "Its photos are moved to a folder of the workspace, from which they can be restored by "
        "hand. "
        "Photos moved to it by a correction are excluded."
    )
    if st.button("Remove the class", key="class_remove", disabled=not name) and name:
        aside = remove_class(studio.workspace, data_dir, name)
        _done(f"'{name}' removed; its photos are in {studio.workspace.relative(aside)}")


def _done(words: str) -> None:
    st.session_state[session_keys.NOTICE] = words
    st.session_state[session_keys.INTAKE_ROUND] = (
        st.session_state.get(session_keys.INTAKE_ROUND, 0) + 1
    )
    st.rerun()
