"""A run's answers: computed once per set of photos, drawn as cards, given out as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.classes import probability_chart
from tl_core.inference.predict import Prediction
from tl_core.runs.store import Run
from tl_core.tables import csv_text, safe_table
from tl_core.workspace import Workspace
from ui.classify.cards import CARD_WIDTH, PAGE_SIZE, answer_words, draw_answer
from ui.classify.corrections import Project, draw_correction
from ui.classify.photo import Photo
from ui.runs.photo_details import (
    WIDTH,
    ClassifiedPhoto,
    draw_heat,
    draw_neighbours,
    draw_probabilities,
)
from ui.runs.predictors import model_stamp, open_predictor
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.memory import give_back
from ui.shared.progress import shower
from ui.shared.words import plain

NUM_HEAT_CLASSES = 3  # offered to look for; beyond, a photo says little about a class
NONE_OF_THESE = "none of these"


def predict(workspace: Workspace, run: Run, photos: Sequence[Photo]) -> list[Prediction]:
    """Return the run's answers for the photos; asked again for the same ones it remembers."""
    digest = hashlib.sha256(f"{run.run_dir}\n{model_stamp(run)}\n".encode())
    for photo in photos:
        digest.update(f"{photo.name}\n{photo.digest}\n".encode())
    key = digest.hexdigest()
    kept = st.session_state.get(session_keys.PREDICTIONS)
    if kept is not None and kept[0] == key:
        return list(kept[1])
    what = "Classifying the photos"
    bar = st.progress(0.0, text=what)
    try:
        predictor = open_predictor(workspace, run)
        predictions = predictor.predict(
            [photo.data for photo in photos],
            top_k=len(predictor.class_names),
            on_progress=shower(bar, what),
            names=[photo.name for photo in photos],
        )
    finally:
        bar.empty()
        give_back()
    st.session_state[session_keys.PREDICTIONS] = (key, predictions)
    return predictions


def draw_predictions(
    workspace: Workspace,
    run: Run,
    photos: Sequence[Photo],
    predictions: Sequence[Prediction],
    top_k: int,
    project: Project | None,
) -> None:
    """Draw a card per photo: the photo, its classes as bars, or why it cannot be read.

    Args:
        workspace: where runs and thumbnails are kept.
        run: whose answers they are.
        photos: the photos, in memory.
        predictions: one answer a photo.
        top_k: how many classes each card shows.
        project: what a wrong answer corrects; None where that is not possible.
    """

    def draw_bars(prediction: Prediction) -> None:
        top = pd.DataFrame(prediction.top[:top_k], columns=["class", "probability"])
        best, probability = prediction.top[0]
        st.altair_chart(
            probability_chart(top, run.class_names),
            alt=f"{prediction.name}: {best} {percent(probability)}",
        )

    num_pages = -(-len(photos) // PAGE_SIZE)
    page = 1
    if num_pages > 1:
        with st.container(horizontal_alignment="center"):
            page = min(num_pages, st.pagination(num_pages, key="classify_page"))
    start = (page - 1) * PAGE_SIZE
    with st.grid("auto" if len(photos) > 1 else 2, min_column_width=CARD_WIDTH, gap="medium"):
        for number in range(start, min(start + PAGE_SIZE, len(photos))):
            with st.container(border=True, height="stretch", key=f"answer_{number}"):
                draw_answer(photos[number], predictions[number], draw_bars)
                if predictions[number].error is not None:
                    continue
                if st.button("Details", key=f"look_closer_{number}", icon=":material/zoom_in:"):
                    _drawer(workspace, run, photos[number], predictions[number])
                if project is not None:
                    draw_correction(project, photos[number], number)


def predictions_table(
    predictions: Sequence[Prediction], class_names: Sequence[str]
) -> pd.DataFrame:
    """Return a row a photo: its class, or "none of these" and why, probabilities, or its error."""
    rows = []
    for prediction in predictions:
        row: dict[str, object] = {"photo": prediction.name}
        if prediction.probabilities is None:
            row |= {"class": None, "probability": None}
        else:
            best, probability = prediction.top[0]
            answer = NONE_OF_THESE if prediction.is_none_of_these else best
            # The probability is that of a class; "none of these" has none.
            row |= {
                "class": answer,
                "probability": None if prediction.is_none_of_these else probability,
            }
            row |= {
                f"p({name})": float(value)
                for name, value in zip(class_names, prediction.probabilities, strict=True)
            }
        reason = " ".join(prediction.reasons) or None
        rows.append({**row, "reason": reason, "error": prediction.error})
    return pd.DataFrame(rows)


def draw_table(predictions: Sequence[Prediction], class_names: Sequence[str], run: Run) -> None:
    """Draw all answers as a table with a download."""
    table = predictions_table(predictions, class_names)
    title, download = st.columns([3, 1], vertical_alignment="bottom")
    title.subheader("All answers", anchor=False)
    download.download_button(
        "Download CSV",
        lambda: csv_text(table).encode("utf-8"),
        file_name=f"{run.id}_answers.csv",
        mime="text/csv",
        key="download_answers",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    empty = [name for name in ("reason", "error") if not table[name].notna().any()]
    shown = table.drop(columns=empty)
    shares = [name for name in table.columns if name == "probability" or name.startswith("p(")]
    shown = shown.assign(**{name: 100 * shown[name].astype(float) for name in shares})
    share = st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
    st.dataframe(
        safe_table(shown),
        hide_index=True,
        key="answers_table",
        column_config=dict.fromkeys(shares, share),
        alt="The answer and all probabilities for each photo",
    )


@st.dialog("Photo details", width=WIDTH, position="right")
@guarded
def _drawer(workspace: Workspace, run: Run, photo: Photo, prediction: Prediction) -> None:
    """Show where the run looked in a photo, and the training photos most like it."""
    with st.container(gap="xxsmall"):
        st.markdown(answer_words(prediction))
        st.caption(plain(photo.name))
        if prediction.is_none_of_these:
            st.caption(f":material/help: {plain(' '.join(prediction.reasons))}")
    seen = ClassifiedPhoto(workspace, run, photo.digest, photo.data)
    draw_heat(seen, [name for name, _ in prediction.top[:NUM_HEAT_CLASSES]])
    classes, shares = zip(*prediction.top, strict=True)
    draw_probabilities(classes, shares, run.class_names)
    draw_neighbours(seen)
