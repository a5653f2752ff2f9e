"""The Evaluate page: how good a run is, what it confuses, and how far it can be trusted."""

import streamlit as st

from ui.datasets.decisions import draw_refusal
from ui.evaluate.confusion import draw_confusion
from ui.evaluate.details import draw_photo_details
from ui.evaluate.downloads import draw_downloads
from ui.evaluate.mistakes import draw_mistakes
from ui.evaluate.other_folder import draw_other_folder
from ui.evaluate.reliability import draw_reliability
from ui.evaluate.source import choose_source
from ui.evaluate.summary import draw_summary
from ui.runs.evaluations import (
    CONFUSION_TAB,
    ELSEWHERE,
    FOLDER_TAB,
    MISTAKES_TAB,
    SUMMARY_TAB,
    TABS,
    TRUST_TAB,
    look,
)
from ui.runs.picker import loadable_runs
from ui.shared.address import name_tab, take_tab
from ui.shared.controls import control
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.page_layout import empty_state, page_header
from ui.shared.words import NO_MODEL, plain
from ui.shell.page import bootstrap

SECTIONS = {
    FOLDER_TAB: draw_other_folder,  # of another folder's photos only
    SUMMARY_TAB: draw_summary,
    CONFUSION_TAB: draw_confusion,
    MISTAKES_TAB: draw_mistakes,
    TRUST_TAB: draw_reliability,
}

with bootstrap("Evaluate") as studio:
    action = page_header(
        "Evaluate",
        "How accurate the model is, which classes it confuses, and how reliable its "
        "probabilities are.",
    )
    runs = [run for run in loadable_runs(studio.workspace, studio.dataset) if not run.is_active]
    if not runs:
        empty_state(
            ":material/model_training:",
            NO_MODEL,
            TRAIN_PAGE,
            "Train a classifier",
        )
        st.stop()
    run, source = choose_source(studio, runs)
    is_other = source is None or source.part == ELSEWHERE
    sections = {name: draw for name, draw in SECTIONS.items() if name != FOLDER_TAB or is_other}
    wanted = st.session_state.get(TABS)  # outlives a run of the page without tabs
    st.session_state[TABS] = wanted if wanted in sections else SUMMARY_TAB
    if source is None:
        st.caption(f"Its class folders need the names {', '.join(map(plain, run.class_names))}.")
        st.stop()
    view = look(studio.workspace, run, source)
    if view is None:
        st.stop()
    if not view.is_outdated:
        with action:
            draw_downloads(view)
    draw_refusal()
    take_tab(TABS, sections)
    tabs = st.tabs(list(sections), **control(TABS))
    name_tab(TABS)
    for tab, draw in zip(tabs, sections.values(), strict=True):
        if tab.open:
            with tab:
                draw(view)
    draw_photo_details(view)
