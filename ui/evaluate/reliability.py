"""How far a run can be taken at its word: its probabilities, and when it says "none of these"."""

from __future__ import annotations

import dataclasses

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.evaluation import coverage_chart, reliability_chart
from tl_core.evaluation.reliability_rows import coverage_rows, reliability_rows
from tl_core.evaluation.report import Evaluation
from tl_core.head.out_of_distribution import OODDetector, Thresholds, load_detector
from tl_core.inference.rejection import set_target
from ui.evaluate.photos import draw_photos
from ui.runs.evaluations import EvaluationView
from ui.shared import session_keys, words
from ui.shared.page_layout import draw_chart, section

MAX_TARGET = 30  # per cent; beyond, a classifier is of little use
PAGE_SIZE = 12


def draw_reliability(view: EvaluationView) -> None:
    """Draw the reliability diagram and the choice of when to name no class."""
    left, right = st.columns(2, gap="large")
    with left:
        _draw_reliability(view.evaluation)
    with right:
        _draw_none_of_these(view)


def reliability_words(evaluation: Evaluation) -> str:
    """Say how far the probabilities were off before scaling and are now."""
    before, after = 100 * evaluation.ece_before, 100 * evaluation.ece
    text = f"Calibration error {before:.1f} points"
    chance = (
        f"Perfectly calibrated probabilities would show about {100 * evaluation.ece_by_chance:.1f} "
        f"points on {words.number_of(evaluation.num_images, 'photo')} by chance."
    )
    if not evaluation.calibration.is_known:
        return f"{text}; the probabilities are not calibrated. {chance}"
    return f"{text} before temperature scaling, **{after:.1f}** after. {chance}"


def threshold_words(thresholds: Thresholds) -> str:
    """Say what the thresholds cost and bring on validation images."""
    text = f"Rejects **{percent(thresholds.false_reject)}** of the validation photos"
    if thresholds.false_accept is None:
        return f"{text}."
    caught = 1 - thresholds.false_accept
    return (
        f"{text}, and **{percent(caught)}** of photos of a class that was left out of its training."
    )


def _draw_reliability(evaluation: Evaluation) -> None:
    section(
        "Does 80 % mean 80 %?",
        "Of the photos it was 80 % sure about, 80 % should be right: dots on the dashed line. "
        "Above it the model is underconfident, below it overconfident.",
    )
    draw_chart(
        reliability_chart(pd.DataFrame(reliability_rows(evaluation))),
        key="reliability",
        alt=reliability_words(evaluation).replace("*", ""),
    )
    st.markdown(reliability_words(evaluation))
    calibration = evaluation.calibration
    if calibration.is_known:
        st.caption(
            f"Temperature {calibration.temperature:.2f}, from "
            f"{words.number_of(calibration.num_images, 'validation photo')}. Every answer of this "
            "run is shown with it; the order of the classes stays. With few photos the dots vary "
            "by chance."
        )
    if calibration.note:
        st.caption(f":material/info: {words.plain(calibration.note)}")


def _draw_none_of_these(view: EvaluationView) -> None:
    section(
        "None of these",
        "A photo unlike all training photos, or without a probable class, can be rejected as “none "
        "of these”. Choose how many photos of the classes may be rejected by mistake.",
    )
    known = load_detector(view.run.run_dir)
    if known is None or view.evaluation.thresholds is None:
        st.caption("Not available: the training photos of this run are missing.")
        return
    target = _choose_target(view, known)
    thresholds = known.choose(target)
    evaluation = dataclasses.replace(view.evaluation, thresholds=thresholds)
    rows = pd.DataFrame(coverage_rows(evaluation))
    turned_away = [int(place) for place in evaluation.is_none_of_these.nonzero()[0]]
    draw_chart(
        coverage_chart(rows),
        key="coverage",
        alt="Accuracy when only the most confident answers count",
    )
    answered = ~evaluation.is_none_of_these
    right = int((evaluation.is_right & answered).sum())
    num_answered = int(answered.sum())
    share = percent(right / num_answered) if num_answered else "none"
    st.markdown(
        f"Here it answers {num_answered:,} of {words.number_of(evaluation.num_images, 'photo')}, "
        f"**{share}** of them right."
    )
    st.caption(threshold_words(thresholds))
    if turned_away:
        with st.expander(
            f"{words.number_of(len(turned_away), 'photo')} rejected",
            icon=":material/help:",
            key="turned_away",
            on_change="rerun",
        ) as opened:
            if opened.open:
                names = evaluation.class_names
                notes = [names[evaluation.predicted[place]] for place in turned_away]
                draw_photos(view, turned_away, notes, prefix="turned", page_size=PAGE_SIZE)


def _choose_target(view: EvaluationView, known: OODDetector) -> float:
    """Draw the slider and the button that keeps its value with the run; return the share."""
    held = round(100 * known.thresholds.target)
    key = f"target_{view.run.id}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.slider(
            "Photos of the classes that may be rejected",
            0,
            MAX_TARGET,
            min(held, MAX_TARGET),
            format="%d %%",
            key=key,
            help="The threshold is chosen on the validation photos; at 0 none of them is rejected.",
        )
        if st.button(
            "Save threshold",
            key="keep_target",
            type="primary",
            icon=":material/save:",
            disabled=chosen == held,
            help="Saved with the run and used by Classify from now on.",
        ):
            set_target(view.run.run_dir, chosen / 100)
            st.session_state[session_keys.NOTICE] = f"Threshold saved: up to {chosen} % rejected"
            st.rerun()
    return chosen / 100
