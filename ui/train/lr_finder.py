"""The learning-rate finder of the Train page: the test's curve, what it suggests, one click."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from tl_core.charts.search import range_test_chart
from tl_core.config.training import TrainConfig
from tl_core.jobs import search as search_jobs
from tl_core.projects.registry import Project
from tl_core.search.lr_cache import RangeFile
from tl_core.search.lr_finder import LearningRateTest
from tl_core.workspace import Workspace
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.forms import set_fields
from ui.shared.job_progress import draw_bar, stop_button
from ui.shared.page_layout import draw_chart
from ui.shared.words import plain
from ui.shell.page import Studio

POLL_SECONDS = 0.7


def draw_lr_finder(studio: Studio, config: TrainConfig | None) -> None:
    """Draw the range test of the settings as they stand in the form."""
    index = studio.index()
    if index is None or studio.dataset is None or config is None:
        st.caption("The test needs photos and valid settings.")
        return
    kept = RangeFile(studio.workspace.cache_dir, index, config)
    test = kept.read()
    if test is not None:
        _draw_result(test, config)
        with st.container(horizontal=True):
            if test.suggestion is not None:
                _draw_use(test.suggestion, config)
            _draw_start(studio.workspace, studio.dataset, config, kept, "Test again")
        return
    if search_jobs.range_test_progress(studio.workspace, config, studio.dataset.path):
        _poll(studio.workspace, studio.dataset, config)
        return
    if failure := kept.read_failure():
        st.warning(f"The test failed. {plain(failure)}", icon=":material/warning:")
        _draw_start(studio.workspace, studio.dataset, config, kept, "Try again")
        return
    st.markdown(
        "Which learning rate suits these layers and photos? The test trains briefly while the rate "
        "rises from very small to far too large, and suggests one from the loss curve."
    )
    _draw_start(studio.workspace, studio.dataset, config, kept, "Find learning rate")


def _draw_start(
    workspace: Workspace, dataset: Project, config: TrainConfig, kept: RangeFile, label: str
) -> None:
    if st.button(label, key="find_lr", icon=":material/trending_down:"):
        kept.forget()
        search_jobs.request_range_test(workspace, config, dataset.path)
        st.rerun()


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _poll(workspace: Workspace, dataset: Project, config: TrainConfig) -> None:
    state = search_jobs.range_test_progress(workspace, config, dataset.path)
    if state is None:
        st.rerun()
    draw_bar(workspace, state, "Learning-rate test")
    if stop_button(state, "stop_find_lr"):
        search_jobs.stop_range_test(workspace, config, dataset.path)
        st.rerun()


def _draw_result(test: LearningRateTest, config: TrainConfig) -> None:
    suggestion = test.suggestion
    if suggestion is None:
        st.info(test.reason, icon=":material/help:")
    else:
        st.markdown(f"## {suggestion:g}")
        st.markdown(test.reason)
    if not len(test.losses):  # no number from the very first on
        return
    curve = pd.DataFrame(
        {
            "learning_rate": test.learning_rates,
            "loss": test.losses,
            "smoothed": test.smoothed,
        }
    )
    draw_chart(
        range_test_chart(curve, suggestion, config.learning_rate),
        key="range_test_chart",
        alt="Loss over the learning rate, with the suggested rate marked",
    )
    text = "Loss of each batch before its update, mean of three repeats; the line is smoothed."
    if config.fine_tune_blocks:
        text += " The test is for the new layers; fine-tuning has its own learning rate."
    st.caption(text)


def _draw_use(suggestion: float, config: TrainConfig) -> None:
    is_set = abs(config.learning_rate / suggestion - 1) < 0.001
    st.button(
        "Already set" if is_set else f"Use {suggestion:g}",
        key="use_lr",
        type="primary",
        icon=":material/check:",
        disabled=is_set,
        on_click=set_fields,
        args=(session_keys.TRAIN, {"learning_rate": suggestion}),
        help="Copies it to the form.",
    )
