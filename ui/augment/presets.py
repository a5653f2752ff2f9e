"""Presets of the augmentation: to choose from, to save, and to pass on as files.

What changes the setting happens in callbacks, before the controls are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tl_core.config.training import AUGMENT_PRESETS
from tl_core.data.augmentation.presets import (
    Preset,
    delete_preset,
    import_preset,
    list_presets,
    save_preset,
)
from tl_core.errors import ConfigError, TLError
from tl_core.workspace import Workspace
from ui.augment.state import (
    CONTROLS,
    CUSTOM,
    EFFECT,
    PICTURES,
    PRESET_TITLES,
    current_augment,
    preset_of,
    saved_key,
    set_augment,
)
from ui.shared.controls import control
from ui.shared.words import distinct, plain

PRESET_KEY = "augment_preset"
NAME_KEY = "augment_preset_name"
CHOSEN_KEY = "augment_preset_chosen"
LAST_KEY = "augment_preset_last"  # the one last set or saved, for others may have its values
TROUBLE_KEY = "augment_preset_trouble"  # why the last step could not be done
ROUND_KEY = "augment_preset_round"  # counts files taken in, so that the uploader is empty again

P = ParamSpec("P")


def draw_presets(workspace: Workspace) -> None:
    """Draw the presets to choose from, and folded away what keeps and shares them."""
    saved = list_presets(workspace)
    last = st.session_state.get(LAST_KEY, CUSTOM)
    st.session_state[PRESET_KEY] = preset_of(current_augment(), saved, last)
    built_in = {name: title for name, title in PRESET_TITLES.items() if name != CUSTOM}
    titles = built_in | {saved_key(one.name): plain(one.name) for one in saved}
    titles[CUSTOM] = PRESET_TITLES[CUSTOM]
    shown = distinct(titles)
    st.pills(
        "Preset",
        list(shown),
        format_func=shown.__getitem__,
        **control(PRESET_KEY, on_change=_apply, args=(saved,)),
        required=True,
        wrap=True,
        help="“Photo” suits most photos. “Tutorial” is flips and rotation up to 90 degrees.",
    )
    # No popover: the Tab key does not lead into one.
    with st.expander("Save or share", icon=":material/bookmarks:", key="augment_presets"):
        _draw_save(workspace, saved)
        _draw_saved(workspace, saved)
        _draw_import(workspace)
        if trouble := st.session_state.pop(TROUBLE_KEY, None):
            st.error(plain(trouble), icon=":material/error:")


def _draw_save(workspace: Workspace, saved: list[Preset]) -> None:
    name = st.text_input(
        "Save this setting as",
        key=NAME_KEY,
        placeholder="A name",
        live=True,  # so that the button says in time whether it replaces one
    )
    is_known = any(one.name.casefold() == name.strip().casefold() for one in saved)
    st.button(
        "Replace" if is_known else "Save",
        key="augment_preset_save",
        icon=":material/bookmark_add:",
        on_click=_save,
        args=(workspace,),
    )


def _draw_saved(workspace: Workspace, saved: list[Preset]) -> None:
    if not saved:
        return
    by_name = {one.name: one for one in saved}
    if st.session_state.get(CHOSEN_KEY) not in by_name:
        st.session_state[CHOSEN_KEY] = saved[0].name
    chosen = by_name[st.selectbox("Saved", list(by_name), **control(CHOSEN_KEY))]
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download",
            data=chosen.to_json(),
            file_name=chosen.file_name,
            mime="application/json",
            key="augment_preset_download",
            icon=":material/download:",
            on_click="ignore",
        )
        st.button(
            "Delete",
            key="augment_preset_delete",
            icon=":material/delete:",
            on_click=_delete,
            args=(workspace, chosen.name),
        )


def _draw_import(workspace: Workspace) -> None:
    key = f"augment_preset_file_{st.session_state.get(ROUND_KEY, 0)}"
    st.file_uploader(
        "Load a preset file",
        type=["json"],
        max_upload_size=1,  # megabytes
        key=key,
        on_change=_import_uploaded,
        args=(workspace, key),
    )


def _showing_errors(step: Callable[P, None]) -> Callable[P, None]:
    """Show a callback's error next to its button, and draw again what it may have changed."""

    @wraps(step)
    def inside(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except TLError as error:
            st.session_state[TROUBLE_KEY] = str(error)
        st.rerun([CONTROLS, PICTURES, EFFECT])

    return inside


@_showing_errors
def _apply(saved: list[Preset]) -> None:
    known = AUGMENT_PRESETS | {saved_key(one.name): one.augment for one in saved}
    if (chosen := known.get(st.session_state[PRESET_KEY])) is not None:
        st.session_state[LAST_KEY] = st.session_state[PRESET_KEY]
        set_augment(chosen)


@_showing_errors
def _save(workspace: Workspace) -> None:
    preset = save_preset(workspace, st.session_state[NAME_KEY], current_augment())
    _remember(preset)


@_showing_errors
def _delete(workspace: Workspace, name: str) -> None:
    delete_preset(workspace, name)


@_showing_errors
def _import_uploaded(workspace: Workspace, key: str) -> None:
    file = st.session_state.get(key)
    if file is None:
        return
    st.session_state[ROUND_KEY] = st.session_state.get(ROUND_KEY, 0) + 1
    if not isinstance(file, UploadedFile):
        raise ConfigError("This file is not here any more. Load it again.")
    preset = import_preset(workspace, file.getvalue())
    _remember(preset)
    set_augment(preset.augment)


def _remember(preset: Preset) -> None:
    """Have a saved preset be the one that is shown as set, and in the list of those saved."""
    st.session_state[CHOSEN_KEY] = preset.name
    st.session_state[LAST_KEY] = saved_key(preset.name)
