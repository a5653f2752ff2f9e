"""The Classify page: a run, photos, and its answers."""

import streamlit as st

from ui.classify.answers import draw_predictions, draw_table, predict
from ui.classify.corrections import open_project
from ui.classify.live import draw_live
from ui.classify.sources import gather_photos
from ui.runs.picker import loadable_runs, select_run
from ui.shared import words
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.page_layout import empty_state, page_header
from ui.shell.page import bootstrap

with bootstrap("Classify") as studio:
    page_header(
        "Classify", "Classify photos. Uploads are stored only when you add them to the project."
    )
    runs = loadable_runs(studio.workspace, studio.dataset)
    if not runs:
        empty_state(
            ":material/model_training:",
            words.NO_MODEL,
            TRAIN_PAGE,
            "Train a classifier",
        )
        st.stop()
    chooser, source = st.columns([1, 2], gap="large")
    with chooser:
        run = select_run(runs, "Model") or runs[0]
        if told := words.headline(run.metrics):
            st.caption(" ".join(told) + ".")
        top_k = st.slider(
            "Classes shown",
            1,
            max(2, len(run.class_names)),
            min(3, len(run.class_names)),
            key="top_k",
        )
    with source:
        photos = gather_photos(run)
    if photos is None:
        draw_live(studio.workspace, run)
        st.stop()
    project = open_project(studio.workspace, run)
    if photos:
        predictions = predict(studio.workspace, run, photos)
        draw_predictions(studio.workspace, run, photos, predictions, top_k, project)
        draw_table(predictions, run.class_names, run)
