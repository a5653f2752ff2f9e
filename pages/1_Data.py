"""The Data page: the pictures and what is wrong with them, augmentation, and adding pictures."""

import pandas as pd
import streamlit as st

from tl_core import charts
from ui import keys
from ui.augmenting import draw_explorer
from ui.bootstrap import bootstrap
from ui.findings import draw_findings
from ui.gallery import draw_gallery
from ui.intake import draw_intake
from ui.layout import page_header, section
from ui.next_step import TRAIN_PAGE
from ui.train_form import stored_config
from ui.warmup import prepare_quietly
from ui.words import number_of

PICTURES, AUGMENTATION, ADD = "Pictures", "Augmentation", "Add pictures"

with bootstrap("Data", ":material/photo_library:") as studio:
    action = page_header(
        "Data", "What is in the folders, what is wrong with it, and what training will make of it."
    )
    st.session_state[keys.SEEN_DATA] = True
    pictures, augmentation, add = st.tabs(
        [PICTURES, AUGMENTATION, ADD], key="data_tabs", on_change="rerun"
    )
    if add.open:
        with add:
            draw_intake(studio)
        st.stop()
    index = studio.index()
    if index is None:
        st.caption("No dataset yet. Add pictures, or wait for the sample set to be drawn.")
        st.stop()
    with action:
        if st.button(
            "Train on this",
            key="go_train",
            type="primary",
            icon=":material/model_training:",
            width="stretch",
        ):
            st.switch_page(TRAIN_PAGE)
    if pictures.open:
        with pictures:
            counts, findings = st.columns([3, 2], gap="large")
            with counts:
                section(
                    f"{number_of(index.num_images, 'photo')} in "
                    f"{number_of(index.num_classes, 'class', 'classes')}"
                )
                table = pd.DataFrame(index.class_counts().items(), columns=["class", "images"])
                st.altair_chart(
                    charts.class_counts_chart(table, index.class_names),
                    key="class_counts",
                    alt="Photos in each class",
                )
            with findings:
                section("Findings")
                draw_findings(studio.workspace, index)
            draw_gallery(studio.workspace, index)
    if augmentation.open:
        with augmentation:
            draw_explorer(index, stored_config())
    prepare_quietly(studio, stored_config())
