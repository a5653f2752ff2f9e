"""Pictures from the camera into a class, one click each."""

from __future__ import annotations

import uuid

import streamlit as st

from tl_core.data.curation.store import kept_layout
from tl_core.data.ingest.uploads import store_uploads
from ui.data.intake.parts import draw_class, draw_target, fresh, given
from ui.datasets.picker import choose_dataset, dataset_id
from ui.shared import session_keys
from ui.shared.thumbnails import make_tile
from ui.shared.words import number_of, plain
from ui.shell.page import Studio

NUM_SHOWN = 8


def draw_camera(studio: Studio) -> None:
    """Draw the camera; each picture is stored at once and the camera is ready for the next."""
    st.markdown("Take photos for **one class**: each is added at once.")
    target = draw_target(studio, "camera")
    class_name = draw_class(target, "camera")
    if not class_name:
        st.caption(":material/info: Choose or type a class first.")
        return
    shot = st.camera_input("Camera", key=fresh("intake_camera"), label_visibility="collapsed")
    if shot is not None:
        st.session_state.pop(session_keys.INTAKE_REPORT, None)
        folder = target.folder()
        data = given(shot).getvalue()
        (outcome,) = store_uploads(
            [(f"camera_{uuid.uuid4().hex[:12]}.jpg", data)],
            folder,
            class_name=class_name,
            layout=kept_layout(studio.workspace, folder),
        )
        taken = st.session_state.setdefault(session_keys.SHOTS, [])
        if outcome.is_stored:
            taken.append((class_name, make_tile(data)))
            del taken[:-NUM_SHOWN]
            number = st.session_state.get(session_keys.NUM_SHOTS, 0)
            st.session_state[session_keys.NUM_SHOTS] = number + 1
            choose_dataset(studio.workspace, dataset_id(studio.workspace, folder))
        else:
            st.session_state[session_keys.NOTICE] = outcome.reason or "The photo was not added."
        st.session_state[session_keys.INTAKE_ROUND] = (
            st.session_state.get(session_keys.INTAKE_ROUND, 0) + 1
        )
        st.rerun()
    _draw_taken()


def _draw_taken() -> None:
    taken: list[tuple[str, bytes]] = st.session_state.get(session_keys.SHOTS, [])
    if not taken:
        return
    number = st.session_state.get(session_keys.NUM_SHOTS, len(taken))
    st.caption(f"{number_of(number, 'photo')} added in this session, the last ones:")
    with st.grid("auto", min_column_width=96, gap="small"):
        for class_name, tile in reversed(taken):
            caption, alt = plain(class_name), f"Camera photo: {class_name}"
            st.image(tile, caption=caption, width="stretch", alt=alt)
