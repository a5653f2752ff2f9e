"""The Classify page: a model, photos, and its answers."""

import streamlit as st

from ui.classify.answers import FEW, draw_card, draw_cards, predict, table_of
from ui.classify.corrections import open_project
from ui.classify.folder import choose_folder, draw_folder
from ui.classify.live import draw_live
from ui.classify.models import choose_model, draw_import
from ui.classify.review import download_table, draw_review, draw_table
from ui.classify.sources import (
    CAMERA,
    FOLDER,
    LIVE,
    UploadedPhotos,
    choose_source,
    gather_photos,
)
from ui.datasets.picker import dataset_of
from ui.shared import words
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.page_layout import empty_state, page_header
from ui.shell.page import bootstrap

with bootstrap("Classify") as studio:
    page_header(
        "Classify", "Classify photos. Uploads are stored only when you add them to the project."
    )
    workspace = studio.workspace
    chooser, panel = st.columns([1, 2], gap="large")
    with chooser:
        model = choose_model(workspace, studio.dataset)
    if model is None:
        empty_state(
            ":material/model_training:",
            words.NO_MODEL,
            TRAIN_PAGE,
            "Train a classifier",
        )
        if studio.may_open_folders:
            draw_import(workspace)
        st.stop()
    with chooser:
        num_classes = len(model.class_names)
        top_k = st.slider("Classes shown", 1, max(2, num_classes), min(3, num_classes), key="top_k")
        if studio.may_open_folders:
            draw_import(workspace)
    with panel:
        source = choose_source(
            has_examples=model.run is not None,
            has_folders=studio.may_open_folders,
            has_live=model.run is not None,
        )
        answers = choose_folder(workspace, model) if source == FOLDER else None
        if source == CAMERA:
            camera, answer = st.columns(2, gap="medium")
            with camera:
                photos = gather_photos(source, model.run)
        elif source not in (FOLDER, LIVE):
            photos = gather_photos(source, model.run)
    if source == LIVE and model.run is not None:
        draw_live(workspace, model.run)
        st.stop()
    dataset = studio.dataset if model.run is None else dataset_of(workspace, model.run)
    project = None if dataset is None else open_project(workspace, dataset, model.run)
    if source == FOLDER:
        if answers is not None:
            draw_folder(model, answers, project)
        st.stop()
    predictions = predict(workspace, model, photos) if photos else None
    if predictions is None:
        st.stop()
    if source == CAMERA:
        with answer:
            draw_card(
                workspace, model, photos[0], predictions[0], top_k, project, has_picture=False
            )
        st.stop()
    table = table_of(predictions, model.class_names)
    if len(photos) > FEW:
        draw_review(workspace, model, table, UploadedPhotos(photos), project, "photos")
    else:
        draw_cards(workspace, model, photos, predictions, top_k, project)
        st.subheader("All answers", anchor=False)
        download_table(studio.workspace, table, model.id)
        draw_table(predictions, model.class_names)
