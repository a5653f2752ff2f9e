"""The classes to label photos with: added by typing their names, renamed and removed."""

from __future__ import annotations

import streamlit as st

from tl_core.data.ingest.labels import add_label_class, remove_label_class, rename_label_class
from tl_core.errors import TLError
from ui.data.label.state import LabelView
from ui.datasets.decisions import refuse_next
from ui.datasets.picker import remember_dataset
from ui.shared.words import plain

NEW_CLASS = "label_new_class"
REFUSED = "label_classes_refused"  # (dataset id, lines): names that were not added, and why
NOT_ADDED = "Not added:"
MAX_CHARS = 2000


def draw_class_menu(view: LabelView) -> None:
    """Draw the field for new classes and the menu that renames and removes them."""
    field, menu = st.columns([3, 1], vertical_alignment="bottom")
    # A form, which empties its field in the browser. Emptied from here, a message that was sent
    # before would still hold the names and add them again.
    with (
        field.form("label_new_classes", clear_on_submit=True, border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input(
            "New classes",
            key=NEW_CLASS,
            max_chars=MAX_CHARS,
            placeholder="Type names, with commas between them, and press Enter",
            label_visibility="collapsed" if view.classes else "visible",
        )
        st.form_submit_button("Add", key=f"{NEW_CLASS}_add", on_click=_add, args=(view,))
    _draw_refused(view)
    own = [name for name in view.classes if view.is_own(name)]
    if not own:
        return
    with menu.popover("Edit classes", icon=":material/edit:", width="stretch"):
        name = st.selectbox("Class", own, key="label_class_chosen")
        new = st.text_input("New name", key=f"label_class_name_{name}", max_chars=80)
        with st.container(horizontal=True):
            st.button(
                "Rename",
                key="label_class_rename",
                icon=":material/edit:",
                disabled=not new.strip() or new.strip() == name,
                on_click=_rename,
                args=(view, name, new),
            )
            st.button(
                "Remove",
                key="label_class_remove",
                icon=":material/delete:",
                disabled=view.classes.get(name, 0) > 0,
                help="A class without photos can be removed.",
                on_click=_remove,
                args=(view, name),
            )


def _draw_refused(view: LabelView) -> None:
    """Draw which of the names typed last were not added, until others are typed."""
    of, lines = st.session_state.get(REFUSED, (None, ()))
    if lines and of == view.dataset.id:
        text = "\n".join(f"- {plain(line)}" for line in lines)
        st.warning(f"{NOT_ADDED}\n{text}", icon=":material/block:")


def _add(view: LabelView) -> None:
    typed = [name.strip() for name in st.session_state[NEW_CLASS].split(",")]
    remember_dataset(view.workspace, view.dataset.id)
    known, refused = list(view.classes), []
    for name in filter(None, typed):
        try:
            known.append(add_label_class(view.workspace, view.dataset.path, name, known))
        except TLError as error:
            refused.append(f"{name}: {error}")
    st.session_state[REFUSED] = (view.dataset.id, tuple(refused))


def _rename(view: LabelView, old: str, new: str) -> None:
    try:
        rename_label_class(view.workspace, view.dataset.path, old, new, view.classes)
    except TLError as error:
        refuse_next(f"{old} was not renamed to {new}. {error}")


def _remove(view: LabelView, name: str) -> None:
    try:
        remove_label_class(view.workspace, view.dataset.path, name)
    except TLError as error:
        refuse_next(str(error))
