"""The Train page: settings on the left, the run they gave on the right, all runs below."""

import streamlit as st

from ui.runs.picker import RUN_VIEW, listed_runs
from ui.runs.start import start_run
from ui.shared import session_keys, words
from ui.shared.forms import draw_problem
from ui.shared.navigation import DATA_PAGE
from ui.shared.page_layout import empty_state, page_header, section
from ui.shell.page import bootstrap
from ui.shell.prefetch import prepare_features_ahead
from ui.train.form import draw_form
from ui.train.lr_finder import draw_lr_finder
from ui.train.runs_table import draw_runs_table
from ui.train.search import draw_search
from ui.train.views import (
    TrainPage,
    choose_view,
    draw_backbones_view,
    draw_compare_view,
    draw_run_view,
)

STARTED = "Training started."
VIEWS = {
    RUN_VIEW: draw_run_view,
    "Compare": draw_compare_view,
    "Learning rate": lambda page: draw_lr_finder(page.studio, page.config),
    "Search": lambda page: draw_search(page.studio, page.config),
    "Backbones": draw_backbones_view,
}

with bootstrap("Train") as studio:
    action = page_header(
        "Train",
        "A network trained on a million photos describes yours once; then only small new layers "
        "learn, in seconds.",
    )
    index = studio.index()
    if index is None or studio.dataset is None:
        empty_state(":material/photo_library:", "Training needs photos.", DATA_PAGE, "Add some")
        st.stop()
    runs = listed_runs(studio.workspace, studio.dataset)
    # In a narrow window the runs stand first, once there are any.
    with st.container(key="train_runs_first" if runs else "train_settings_first"):
        form, result = st.columns([5, 8], gap="large")
    with form:
        section(
            "Settings",
            f"{words.number_of(index.num_images, 'photo')} of {words.plain(studio.dataset.title)}",
        )
        config, problems = draw_form(studio.workspace, index)
    with action:
        start = st.button(
            "Start training",
            key="start_training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=config is None,
        )
        for problem in problems:
            draw_problem(problem)
    if start and config is not None:
        start_run(studio.workspace, config, studio.dataset.path)
        st.session_state[session_keys.NOTICE] = STARTED
        st.rerun()
    with result:
        view = choose_view(VIEWS, RUN_VIEW if runs else "Backbones")
        VIEWS[view](TrainPage(studio, config, runs))
    draw_runs_table(studio.workspace, studio.dataset, runs)
    if config is not None:
        prepare_features_ahead(studio, config)
