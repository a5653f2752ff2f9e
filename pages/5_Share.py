"""The Share page: a run as files for other programs, each proven to answer as the app does."""

import streamlit as st

from ui.runs.picker import loadable_runs, select_model
from ui.share.formats import draw_formats
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.page_layout import empty_state, page_header
from ui.shell.page import bootstrap

with bootstrap("Share") as studio:
    page_header("Share", "Share a model as a web page, with another studio, or as files.")
    runs = [run for run in loadable_runs(studio.workspace, studio.dataset) if not run.is_active]
    if not runs:
        empty_state(
            ":material/model_training:",
            "This project has no trained model to share yet. The first takes under a minute.",
            TRAIN_PAGE,
            "Train a classifier",
        )
        st.stop()
    run = select_model(runs, "Model")
    if run is None:
        st.stop()
    st.caption(
        "Every exported model is checked: it is opened and compared with the app on photos that it "
        "was not trained on. One whose answers differ more than its format allows is not offered."
    )
    draw_formats(studio.workspace, run)
