"""The Train page: settings on the left, the run they gave on the right, all runs below."""

import streamlit as st

from tl_core.training.jobs import start_training
from tl_core.training.runs import list_runs
from ui import keys, words
from ui.backbones import draw_chart
from ui.bootstrap import bootstrap
from ui.layout import empty_state, page_header, section
from ui.next_step import DATA_PAGE
from ui.run_panel import draw_run
from ui.runs import choose_run, draw_runs_table, select_run
from ui.train_form import draw_form, stored_config
from ui.warmup import prepare_quietly

RUN_VIEW, BACKBONES_VIEW = "This run", "Backbones"

with bootstrap("Train", ":material/model_training:") as studio:
    action = page_header(
        "Train",
        "The backbone has seen a million photos and stays as it is; what it says about yours is "
        "kept, so that new layers learn from it in seconds.",
    )
    index = studio.index()
    if index is None or studio.dataset is None:
        empty_state(":material/photo_library:", "Training needs pictures.", DATA_PAGE, "Add some")
        st.stop()
    runs = list_runs(studio.workspace.runs_dir)
    form, result = st.columns([5, 8], gap="large")
    with form:
        section(
            "Settings", f"{words.number_of(index.num_images, 'photo')} of {studio.dataset.title}"
        )
        config = draw_form(studio.workspace)
    with action:
        start = st.button(
            "Start training",
            key="start_training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=config is None,
        )
    if start and config is not None:
        choose_run(start_training(studio.workspace, config, studio.dataset.path).id)
        st.session_state[keys.TRAIN_VIEW] = RUN_VIEW
        st.rerun()
    with result:
        st.session_state.setdefault(keys.TRAIN_VIEW, RUN_VIEW if runs else BACKBONES_VIEW)
        view = st.segmented_control(
            "Show",
            [RUN_VIEW, BACKBONES_VIEW],
            key=keys.TRAIN_VIEW,
            required=True,
            label_visibility="collapsed",
            persist_state="session",
        )
        run = select_run(runs, "Run") if view == RUN_VIEW else None
        if run is not None:
            draw_run(studio.workspace, run, runs)
        elif view == RUN_VIEW:
            st.caption("No run yet. Start one; the first takes under a minute.")
        else:
            draw_chart(
                studio.workspace,
                (config or stored_config()).backbone,
                may_measure=not any(one.is_active for one in runs),
            )
    draw_runs_table(runs)
    if config is not None:
        prepare_quietly(studio, config)
