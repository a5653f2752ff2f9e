"""The measured warning: how far each transform moves photos, and how often the answer changes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from tl_core.analysis.augment_effect import ALL_TOGETHER, TransformEffect
from tl_core.analysis.effect_cache import KIND, EffectFiles, EffectRecord, newest_run
from tl_core.charts.augment import effect_chart
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.augmentation.augment import SWITCHES
from tl_core.errors import TLError
from tl_core.jobs import client as jobs
from tl_core.jobs.queue import JobQueue
from tl_core.runs.run import Run
from tl_core.runs.store import load_run
from ui.augment.state import EFFECT, current_augment, say_augment, say_strength, title_of
from ui.data.progress import POLL_SECONDS
from ui.datasets.dataset_view import DatasetView
from ui.runs.picker import run_title
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar
from ui.shared.page_layout import draw_chart, section
from ui.shared.words import number_of, plain

TOGETHER = "All together"


@st.fragment(key=EFFECT)
@guarded
def draw_effect(view: DatasetView) -> None:
    """Draw what was measured, of other settings if need be, and the way to measure these."""
    section(
        "Is the augmentation too strong?",
        "A transformed photo should still look like its class. Measured on a few of your photos: "
        "how far each transform alone changes what the backbone computes for them.",
    )
    config = view.config.updated(augment=current_augment().model_dump())
    try:
        files = EffectFiles(view.workspace.cache_dir, view.index, config)
    except (TLError, OSError):
        st.info("Measuring needs the backbone's weights, which are missing.")
        return
    run = newest_run(view.workspace.runs_dir, config, view.index)
    record = files.read(run)
    job = jobs.job_about(view.workspace, KIND, view.dataset.path)
    if job is not None:
        _poll(view, config)
    elif record is None:
        _draw_button(view, config, run, files)
    shown = record or files.read_latest()
    if shown is None:
        return
    if record is None:
        st.caption(
            f":material/history: Below: the last measurement, made with other settings: "
            f"{say_augment(shown.augment)}{_answering_run(shown, run)}."
        )
    _draw_record(view, shown)


def _draw_button(
    view: DatasetView, config: TrainConfig, run: Run | None, files: EffectFiles
) -> None:
    if (failure := files.explore.read_failure(KIND)) is not None:
        st.warning(f"The effect could not be measured. {plain(failure)}", icon=":material/warning:")
    if config.augment.is_identity:
        st.caption("No transform is on, so there is nothing to measure.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Measure the effect",
            key="augment_measure",
            icon=":material/straighten:",
            on_click=_measure,
            args=(view, config, run, files),
        )
        st.caption("Takes seconds to a minute; a training goes first.")


def _measure(view: DatasetView, config: TrainConfig, run: Run | None, files: EffectFiles) -> None:
    files.explore.forget_failure(KIND)
    answering = None if run is None else view.workspace.relative(run.run_dir)
    jobs.request(view.workspace, KIND, config, view.dataset.path, run=answering)
    st.rerun(EFFECT)


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _poll(view: DatasetView, config: TrainConfig) -> None:
    """Draw the worker's progress; all is drawn again when it ends."""
    job = jobs.job_about(view.workspace, KIND, view.dataset.path)
    if job is None:
        st.rerun()
    what = "Measuring" if jobs.is_for(job, config) else "Measuring earlier settings"
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            draw_bar(view.workspace, JobQueue(view.workspace).watch(job), what)
        if st.button("Cancel", key="augment_measure_cancel", icon=":material/close:"):
            JobQueue(view.workspace).request_stop(job.id)
            st.rerun()


def _answering_run(shown: EffectRecord, run: Run | None) -> str:
    return "" if shown.run_id == (None if run is None else run.id) else ", before the newest run"


def _draw_record(view: DatasetView, record: EffectRecord) -> None:
    if not record.effects:
        return
    chart, text = st.columns([3, 2], gap="large", vertical_alignment="center")
    with chart:
        draw_chart(
            effect_chart(effect_table(record), record.effects[0].same_class),
            key="augment_effect_chart",
            alt=" ".join(effect_words(record.effects)).replace("*", ""),
        )
    with text:
        for line in effect_words(record.effects):
            st.markdown(line)
        st.caption(_how_measured(view, record))


def effect_table(record: EffectRecord) -> pd.DataFrame:
    """Return the rows of the chart: all together first, then the strongest first."""
    effects = sorted(
        record.effects, key=lambda effect: (effect.transform != ALL_TOGETHER, -effect.shift)
    )
    return pd.DataFrame(
        {
            "transform": [_label(effect, record.augment) for effect in effects],
            "shift": [effect.shift for effect in effects],
            "caption": [f"{effect.shift:.2f}, {_share(effect.flips)} flip" for effect in effects],
            "state": ["too strong" if one.is_too_strong else "fits" for one in effects],
        }
    )


def effect_words(effects: Sequence[TransformEffect]) -> list[str]:
    """Say what is too strong and what to do, or that nothing is."""
    alone = [effect for effect in effects if effect.transform != ALL_TOGETHER]
    together = next((one for one in effects if one.transform == ALL_TOGETHER), None)
    strong = sorted(
        (effect for effect in alone if effect.is_too_strong), key=lambda effect: -effect.shift
    )
    longest = max(alone, key=lambda effect: effect.shift)
    lines = []
    for effect in strong:
        name = title_of(effect.transform)
        advice = "switch it off" if effect.transform in SWITCHES else "lower it"
        lines.append(f":orange[:material/warning:] **{name}** {_moves(effect)}: {advice}.")
    if not strong and together is not None and together.is_too_strong:
        lines.append(
            f":orange[:material/warning:] Each alone fits, but **all together** they "
            f"{_moves(together, 'move')}: lower some, {title_of(longest.transform).lower()} first."
        )
    if not lines and not longest.distance_tells:
        most = max(effects, key=lambda effect: effect.flips)
        name = "all together" if most is together else title_of(most.transform)
        lines.append(
            ":material/info: **Distances say little about these photos**: those of one class lie "
            f"as far apart ({longest.same_class:.2f}) as those of two classes (1), as the backbone "
            "sees them."
        )
        lines.append(
            f"By the model's answers no transform is too strong: {name} changes most, "
            f"{_share(most.flips)} of the views."
        )
    elif not lines:
        name = title_of(longest.transform)
        lines.append(
            f":green[:material/check_circle:] **Nothing is too strong.** {name} moves your photos "
            f"most, {longest.shift:.2f} times as far as another class is away."
        )
        if together is not None:
            lines.append(f"All together they {_moves(together, 'move')}.")
    return lines


def _moves(effect: TransformEffect, verb: str = "moves") -> str:
    """Say how far and how often, in one clause."""
    changes = "change" if verb == "move" else "changes"
    return (
        f"{verb} your photos {effect.shift:.2f} times as far as another class is away and "
        f"{changes} the answer for {_share(effect.flips)} of the views"
    )


def _how_measured(view: DatasetView, record: EffectRecord) -> str:
    effect = record.effects[0]
    text = (
        f"Each on {number_of(effect.num_views, 'changed view')}. Dashed: as far as two photos of "
        f"one class lie apart ({effect.same_class:.2f}), and of two classes (1). "
    )
    if record.run_id is None:
        return text + (
            "Flips: views whose nearest class is another one, as there is no run with this "
            "backbone yet."
        )
    try:
        name = plain(run_title(load_run(view.workspace.runs_dir / record.run_id)))
    except TLError:
        name = "a deleted run"
    return text + f"Flips: views for which {name} answers otherwise than for the unchanged photo."


def _label(effect: TransformEffect, augment: AugmentConfig) -> str:
    if effect.transform == ALL_TOGETHER:
        return TOGETHER
    title = title_of(effect.transform)
    if effect.transform in SWITCHES:
        return title
    return f"{title} {say_strength(effect.transform, getattr(augment, effect.transform))}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
