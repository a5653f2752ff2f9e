"""The Data page: what is in the folders, what is wrong with it, and what training makes of it."""

import streamlit as st

from tl_core.errors import DatasetError
from ui import keys
from ui.augmenting import draw_explorer
from ui.bootstrap import bootstrap
from ui.data_export import draw_export
from ui.data_filter import forget_other_filter
from ui.data_map import draw_map
from ui.data_overview import draw_overview
from ui.data_split import draw_split
from ui.deciding import draw_way_out
from ui.findings import draw_counts, draw_findings
from ui.gallery import draw_gallery
from ui.intake import draw_intake, draw_intake_offer
from ui.layout import page_header
from ui.looking import ask_for_features, open_view
from ui.next_step import TRAIN_PAGE
from ui.shared.address import go_to
from ui.train_form import stored_config
from ui.warmup import prepare_quietly

PARTS = ("Pictures", "Findings", "Map", "Split", "Augmentation", "Add pictures")

with bootstrap("Data") as studio:
    action = page_header(
        "Data", "What is in the folders, what is wrong with it, and what training will make of it."
    )
    st.session_state[keys.SEEN_DATA] = True
    pictures, findings, on_map, split, augmentation, add = st.tabs(
        PARTS, key=keys.DATA_TABS, on_change="rerun"
    )
    if add.open:
        with add:
            draw_intake(studio)
        st.stop()
    if studio.dataset is None:
        st.caption("No dataset yet. Add pictures, or wait for the sample set to be drawn.")
        st.stop()
    config = stored_config()
    try:
        view = open_view(studio.workspace, studio.dataset, config)
    except DatasetError:
        draw_way_out(studio.workspace, studio.dataset)
        draw_intake_offer(studio.dataset)
        raise
    forget_other_filter(view)
    with action:
        if st.button(
            "Train on this",
            key="go_train",
            type="primary",
            icon=":material/model_training:",
            width="stretch",
        ):
            go_to(TRAIN_PAGE)
    with st.sidebar:
        draw_counts(view)
    if pictures.open:
        with pictures:
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
    prepare_quietly(studio, config)
    ask_for_features(view)
