"""The home page: what this is, the pictures it starts with, how far one is, the next step."""

import streamlit as st

from tl_core.projects.registry import runs_of
from ui.data.intake.panel import draw_own_photos
from ui.datasets.sample import draw_progress, ensure_sample
from ui.home.cards import draw_pictures, draw_project, draw_steps
from ui.hosted.gallery import draw_gallery
from ui.shared import session_keys
from ui.shared.address import go_to
from ui.shared.navigation import next_step
from ui.shared.page_layout import HOME_TITLE, TITLE, page_header, section
from ui.shell.page import bootstrap

ON_THIS_MACHINE = "Everything stays on this machine."
ON_THE_SERVER = "No other visitor sees what you add, and it is deleted after you leave."

with bootstrap(TITLE) as studio:
    action = page_header(
        HOME_TITLE,
        "Put photos into one folder per class, train on them in under a minute, see how accurate "
        "the classifier is, and use it. "
        + (ON_THIS_MACHINE if studio.workspace.host is None else ON_THE_SERVER),
    )
    index = None
    if studio.dataset is None or studio.dataset.is_sample:
        own, sample = st.columns(2, gap="medium")
        with own:
            draw_own_photos(studio)
        with sample:
            section("Or start with the sample set", "Drawings of food, to try everything out.")
            if studio.dataset is None or ensure_sample(studio.workspace) is not None:
                draw_progress(studio.workspace)
            index = studio.index()
            if index is not None:
                draw_pictures(studio, index)
    else:
        index = draw_project(studio, action)
        draw_own_photos(studio)
    runs = runs_of(studio.workspace, studio.dataset) if studio.dataset else []
    if index is not None:
        step = next_step(runs, bool(st.session_state.get(session_keys.SEEN_DATA)))
        with action:
            if st.button(
                step.label, type="primary", icon=step.icon, key="next_step", width="stretch"
            ):
                go_to(step.page)
    draw_steps(studio, index, runs)
    draw_gallery(studio.workspace)
