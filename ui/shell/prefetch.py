"""Has the backbone run over the photos while the person still looks at them."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from tl_core.config.training import TrainConfig
from tl_core.errors import MemoryLimitError
from tl_core.jobs.training import prepare_features
from ui.datasets.scans import folder_stamp, load_curated
from ui.shared import session_keys
from ui.shell.page import Studio


def prepare_features_ahead(studio: Studio, config: TrainConfig) -> None:
    """Ask for the features that training with ``config`` would need, once for each content.

    The job waits behind all training and gives way to it. Asked once a session for the same
    photos and settings, so that browsing does not fill the queue.
    """
    if studio.dataset is None:
        return
    wanted = (
        studio.dataset.id,
        folder_stamp(studio.dataset.path),
        load_curated(studio.workspace, studio.dataset).decisions.fingerprint,
        config.backbone,
        config.image_size,
        config.resize,
        config.pooling,
        config.views,
        config.augment.to_json(),
        config.seed,
    )
    if st.session_state.get(session_keys.WARMED) == wanted:
        return
    with suppress(MemoryLimitError):  # nobody asked for it: a training says so
        prepare_features(studio.workspace, config, studio.dataset.path)
    st.session_state[session_keys.WARMED] = wanted
