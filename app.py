"""The home page: what this is, the pictures it starts with, how far one is, the next step."""

import streamlit as st

from tl_core.training.runs import list_runs
from ui import keys
from ui.bootstrap import bootstrap
from ui.brand import TITLE
from ui.home import draw_pictures, draw_steps
from ui.layout import page_header
from ui.next_step import next_step
from ui.sample import draw_progress, ensure_sample
from ui.shared.address import go_to

with bootstrap(TITLE) as studio:
    action = page_header(
        "Teach a model your own pictures",
        "Put photos into one folder per class. See what is in them, train a classifier on them in "
        "under a minute, find out how far it can be trusted, and use it. Everything stays on this "
        "machine.",
    )
    if studio.dataset is None or ensure_sample(studio.workspace) is not None:
        draw_progress(studio.workspace)
    index = studio.index()
    runs = list_runs(studio.workspace.runs_dir)
    if index is not None:
        step = next_step(runs, bool(st.session_state.get(keys.SEEN_DATA)))
        with action:
            if st.button(
                step.label, type="primary", icon=step.icon, key="next_step", width="stretch"
            ):
                go_to(step.page)
        draw_pictures(studio, index)
    draw_steps(studio, index, runs)
