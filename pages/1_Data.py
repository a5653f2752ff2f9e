"""The Data page: what is in the folders, what is wrong with it, and what training makes of it."""

import streamlit as st

from tl_core.errors import DatasetError
from ui.augment.panel import draw_explorer
from ui.data.export import draw_export
from ui.data.filter import forget_other_filter
from ui.data.findings import draw_counts, draw_findings
from ui.data.gallery import draw_gallery
from ui.data.intake.panel import draw_intake, draw_intake_offer
from ui.data.intake.parts import close_report
from ui.data.label.panel import draw_label
from ui.data.map import draw_map
from ui.data.overview import draw_overview
from ui.data.plan import draw_plan
from ui.data.split import draw_split
from ui.data.train import draw_train, draw_train_if_possible
from ui.datasets.dataset_view import ask_for_features, open_view
from ui.datasets.decisions import draw_undo_only
from ui.shared import session_keys
from ui.shared.address import name_tab, take_tab
from ui.shared.controls import control
from ui.shared.errors import LABEL_TAB
from ui.shared.navigation import ADD_TAB, PHOTOS_TAB
from ui.shared.page_layout import page_header
from ui.shell.page import bootstrap
from ui.shell.prefetch import prepare_features_ahead
from ui.train.form import stored_config

PARTS = (PHOTOS_TAB, "Findings", "Map", "Split", "Augmentation", LABEL_TAB, ADD_TAB)

with bootstrap("Data") as studio:
    action = page_header(
        "Data", "The photos of each class, problems found in them, and how training will use them."
    )
    st.session_state[session_keys.SEEN_DATA] = True
    st.session_state.setdefault(session_keys.DATA_TABS, PARTS[0])
    take_tab(session_keys.DATA_TABS, PARTS)
    pictures, findings, on_map, split, augmentation, label, add = st.tabs(
        PARTS, **control(session_keys.DATA_TABS)
    )
    name_tab(session_keys.DATA_TABS)
    if add.open:
        with add:
            draw_intake(studio)
        draw_train_if_possible(studio, action)
        st.stop()
    close_report()
    if studio.dataset is None:
        st.caption("No project yet. Add photos, or wait for the sample set to be drawn.")
        st.stop()
    config = stored_config()
    if label.open:
        with label:
            leads_to_training = draw_label(studio, config)
        if not leads_to_training:
            draw_train_if_possible(studio, action)
        st.stop()
    try:
        view = open_view(studio.workspace, studio.dataset, config)
    except DatasetError:
        draw_plan(studio.workspace, studio.dataset, failed=True)
        draw_undo_only(studio.workspace, studio.dataset)
        draw_intake_offer(studio.dataset)
        raise
    forget_other_filter(view)
    draw_train(action)
    with st.sidebar:
        draw_counts(view)
    if pictures.open:
        with pictures:
            draw_plan(studio.workspace, studio.dataset)
            draw_overview(view)
            draw_gallery(view)
    if findings.open:
        with findings:
            draw_findings(view)
            draw_export(view)
    if on_map.open:
        with on_map:
            draw_map(view)
    if split.open:
        with split:
            draw_split(view)
    if augmentation.open:
        with augmentation:
            draw_explorer(view)
    prepare_features_ahead(studio, config)
    ask_for_features(view)
