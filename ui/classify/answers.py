"""A model's answers for photos of this session: computed once each, drawn as cards or a review."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.classes import probability_chart
from tl_core.inference.answer_table import AnswerTable
from tl_core.inference.explain import Explanation
from tl_core.inference.predict import Prediction
from tl_core.progress import Monitor
from tl_core.workspace import Workspace
from ui.classify.background import run_in_background
from ui.classify.cards import CARD_WIDTH, answer_words, draw_answer
from ui.classify.corrections import CorrectionTarget, draw_correction
from ui.classify.models import Model
from ui.classify.photo import Photo, image_of
from ui.runs.photo_details import (
    ClassifiedPhoto,
    draw_neighbours,
    draw_probabilities,
)
from ui.runs.predictors import explained, open_predictor
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.heat_map import WIDTH, draw_heat
from ui.shared.memory import give_back
from ui.shared.page_layout import draw_chart
from ui.shared.words import number_of, plain

FEW = 6  # photos, of which each gets a card with bars
NUM_HEAT_CLASSES = 3  # offered to look for; beyond, a photo says little about a class
NUM_KEPT_MODELS = 3
NUM_KEPT_ANSWERS = 5_000  # of each, beyond those on the page
NO_NEIGHBOURS = "An imported model comes without its training photos."

Kept = OrderedDict[str, dict[str, Prediction]]


def predict(workspace: Workspace, model: Model, photos: Sequence[Photo]) -> list[Prediction] | None:
    """Return the answers for photos, None while they are computed; each photo is computed once."""
    kept: Kept = st.session_state.setdefault(session_keys.PREDICTIONS, OrderedDict())
    of_model = json.dumps([str(model.folder), *model.stamp])
    known = kept.setdefault(of_model, {})
    kept.move_to_end(of_model)
    while len(kept) > NUM_KEPT_MODELS:
        kept.popitem(last=False)
    new = list({_key(photo): photo for photo in photos if _key(photo) not in known}.values())
    if new:

        def work(monitor: Monitor) -> list[Prediction]:
            predictor = open_predictor(workspace, model.folder)
            try:
                return predictor.predict(
                    [photo.data for photo in new],
                    top_k=len(predictor.class_names),
                    names=[photo.name for photo in new],
                    **monitor.callbacks,
                )
            finally:
                give_back()

        of = (of_model, tuple(_key(photo) for photo in new))
        what = f"Classifying {number_of(len(new), 'photo')}"
        answers = run_in_background("classify", of, what, work)
        if answers is None:
            return None
        known.update(zip(map(_key, new), answers, strict=True))
        if len(known) > NUM_KEPT_ANSWERS:
            shown = {_key(photo): known[_key(photo)] for photo in photos}
            known.clear()
            known.update(shown)
    return [known[_key(photo)] for photo in photos]


def _key(photo: Photo) -> str:
    return hashlib.sha256(f"{photo.name}\n{photo.digest}".encode()).hexdigest()


def table_of(predictions: Sequence[Prediction], class_names: Sequence[str]) -> AnswerTable:
    """Return answers as a table in memory, by their number."""
    table = AnswerTable(None, "", class_names)
    table.add(
        (str(number), number, (0, 0), prediction) for number, prediction in enumerate(predictions)
    )
    return table


def draw_cards(
    workspace: Workspace,
    model: Model,
    photos: Sequence[Photo],
    predictions: Sequence[Prediction],
    top_k: int,
    project: CorrectionTarget | None,
) -> None:
    """Draw a card per photo: the photo, its classes as bars, or why it cannot be read.

    Args:
        workspace: where runs and thumbnails are kept.
        model: whose answers they are.
        photos: the photos, in memory.
        predictions: one answer a photo.
        top_k: how many classes each card shows.
        project: what a wrong answer corrects; None where that is not possible.
    """
    pairs = enumerate(zip(photos, predictions, strict=True))
    with st.grid("auto" if len(photos) > 1 else 2, min_column_width=CARD_WIDTH, gap="medium"):
        for number, (photo, prediction) in pairs:
            with st.container(border=True, height="stretch", key=f"answer_{number}"):
                draw_card(workspace, model, photo, prediction, top_k, project, number)


def draw_card(
    workspace: Workspace,
    model: Model,
    photo: Photo,
    prediction: Prediction,
    top_k: int,
    project: CorrectionTarget | None,
    number: int = 0,
    *,
    has_picture: bool = True,
) -> None:
    """Draw one answer; without a picture where that is on the page already."""

    def draw_bars(answer: Prediction) -> None:
        top = pd.DataFrame(answer.top[:top_k], columns=["class", "probability"])
        best, probability = answer.top[0]
        with st.container(key=f"bars_{number}"):
            draw_chart(
                probability_chart(top, model.class_names),
                alt=f"{photo.name}: {best} {percent(probability)}",
            )

    draw_answer(photo, prediction, draw_bars, has_picture=has_picture)
    if prediction.error is not None:
        return
    if st.button("Details", key=f"look_closer_{number}", icon=":material/zoom_in:"):
        draw_details(workspace, model, photo.digest, photo, prediction)
    if project is not None:
        draw_correction(project, photo, number)


@st.dialog("Photo details", width=WIDTH, position="right")
@guarded
def draw_details(
    workspace: Workspace,
    model: Model,
    digest: str,
    photo: Photo | Path,
    prediction: Prediction,
) -> None:
    """Show where the model looked in a photo, and the training photos most like it."""
    with st.container(gap="xxsmall"):
        st.markdown(answer_words(prediction))
        st.caption(plain(prediction.name))
        if prediction.is_none_of_these:
            st.caption(f":material/help: {plain(' '.join(prediction.reasons))}")
    classes, shares = zip(*prediction.top, strict=True)

    def explain(class_name: str) -> Explanation:
        return explained(workspace, model.folder, digest, image_of(photo), class_name)

    draw_heat(digest, classes[:NUM_HEAT_CLASSES], explain)
    draw_probabilities(classes, shares, model.class_names)
    if model.run is None:
        st.caption(NO_NEIGHBOURS)
    else:
        draw_neighbours(ClassifiedPhoto(workspace, model.run, digest, image_of(photo)))
