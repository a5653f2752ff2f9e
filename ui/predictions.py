"""A run's answers: computed once per set of photos, drawn as cards, given out as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.classes import probability_chart
from tl_core.data.images import make_thumbnail
from tl_core.data.progress import Progress
from tl_core.errors import ImageError
from tl_core.results.predict import Prediction, Predictor, load_predictor
from tl_core.training.runs import Run
from tl_core.workspace import Workspace
from ui import keys
from ui.memory import give_back
from ui.photos import Photo
from ui.words import number_of, plain

PAGE_SIZE = 12
PREVIEW_SIDE = 320
NUM_KEPT_PREDICTORS = 3


def predict(workspace: Workspace, run: Run, photos: Sequence[Photo]) -> list[Prediction]:
    """Return the run's answers for the photos; asked again for the same ones it remembers."""
    stamp = weights_stamp(run)
    digest = hashlib.sha256(f"{run.run_dir}\n{stamp}\n".encode())
    for photo in photos:
        digest.update(f"{photo.name}\n{photo.digest}\n".encode())
    key = digest.hexdigest()
    kept = st.session_state.get(keys.PREDICTIONS)
    if kept is not None and kept[0] == key:
        return list(kept[1])
    bar = st.progress(0.0, text=f"Looking at {number_of(len(photos), 'photo')}")

    def show(progress: Progress) -> None:
        bar.progress(min(1.0, progress.done / max(1, progress.total)), text=_told(progress))

    predictor = _predictor(str(run.run_dir), stamp, str(workspace.cache_dir))
    predictions = predictor.predict(
        [photo.data for photo in photos],
        top_k=len(predictor.class_names),
        on_progress=show,
        names=[photo.name for photo in photos],
    )
    bar.empty()
    give_back()
    st.session_state[keys.PREDICTIONS] = (key, predictions)
    return predictions


def draw_predictions(
    photos: Sequence[Photo],
    predictions: Sequence[Prediction],
    class_names: Sequence[str],
    top_k: int,
) -> None:
    """Draw a card per photo: the photo, then its classes as bars, or why it cannot be read."""
    num_pages = -(-len(photos) // PAGE_SIZE)
    page = 1
    if num_pages > 1:
        with st.container(horizontal_alignment="center"):
            page = min(num_pages, st.pagination(num_pages, key="classify_page"))
    start = (page - 1) * PAGE_SIZE
    with st.grid("auto" if len(photos) > 1 else 2, min_column_width=260, gap="medium"):
        for number in range(start, min(start + PAGE_SIZE, len(photos))):
            with st.container(border=True, height="stretch", key=f"answer_{number}"):
                _draw_answer(photos[number], predictions[number], class_names, top_k)


def predictions_table(
    predictions: Sequence[Prediction], class_names: Sequence[str]
) -> pd.DataFrame:
    """Return one row per photo: its best class, the probability of each class, or its error."""
    rows = []
    for prediction in predictions:
        row: dict[str, object] = {"photo": prediction.name}
        if prediction.probabilities is None:
            row |= {"class": None, "probability": None}
        else:
            best, probability = prediction.top[0]
            row |= {"class": best, "probability": probability}
            row |= {
                f"p({name})": float(value)
                for name, value in zip(class_names, prediction.probabilities, strict=True)
            }
        rows.append({**row, "error": prediction.error})
    return pd.DataFrame(rows)


def draw_table(predictions: Sequence[Prediction], class_names: Sequence[str], run: Run) -> None:
    """Draw all answers as a table with a download."""
    table = predictions_table(predictions, class_names)
    title, download = st.columns([3, 1], vertical_alignment="bottom")
    title.subheader("All answers", anchor=False)
    download.download_button(
        "Download CSV",
        lambda: table.to_csv(index=False).encode("utf-8"),
        file_name=f"{run.id}_answers.csv",
        mime="text/csv",
        key="download_answers",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    shown = table if table["error"].notna().any() else table.drop(columns="error")
    shares = [name for name in table.columns if name == "probability" or name.startswith("p(")]
    shown = shown.assign(**{name: 100 * shown[name].astype(float) for name in shares})
    share = st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
    st.dataframe(
        shown,
        hide_index=True,
        key="answers_table",
        column_config=dict.fromkeys(shares, share),
        alt="The answer and all probabilities for each photo",
    )


def weights_stamp(run: Run) -> int:
    """Return what changes when the run's weights do, so that no stale model answers."""
    return max((path.stat().st_mtime_ns for path in run.run_dir.glob("weights.*")), default=0)


@st.cache_resource(max_entries=NUM_KEPT_PREDICTORS, show_spinner="Opening the model")
def _predictor(run_dir: str, stamp: int, cache_dir: str) -> Predictor:
    """Open a run for classifying; ``stamp`` is part of the key, see :func:`weights_stamp`."""
    return load_predictor(Path(run_dir), cache_dir=Path(cache_dir))


@st.cache_data(max_entries=200, show_spinner=False)
def _preview(digest: str, _data: bytes) -> bytes | None:
    """Return a photo made small for its card; keyed by content, None when it cannot be read."""
    try:
        return make_thumbnail(_data, PREVIEW_SIDE)
    except ImageError:
        return None


def _draw_answer(
    photo: Photo, prediction: Prediction, class_names: Sequence[str], top_k: int
) -> None:
    preview = _preview(photo.digest, photo.data)
    if preview is not None:
        st.image(preview, width="stretch", alt=photo.name)
    if prediction.error is not None:
        st.markdown(f"**{plain(photo.name)}**")
        st.warning(prediction.error, icon=":material/broken_image:")
        return
    best, probability = prediction.top[0]
    st.markdown(f"**{plain(best)}**, {percent(probability)}")
    st.caption(plain(photo.name))
    top = pd.DataFrame(prediction.top[:top_k], columns=["class", "probability"])
    st.altair_chart(
        probability_chart(top, class_names),
        alt=f"{photo.name}: {best} {percent(probability)}",
    )


def _told(progress: Progress) -> str:
    return f"{progress.stage.capitalize()}: {progress.done:,} of {progress.total:,} photos"
