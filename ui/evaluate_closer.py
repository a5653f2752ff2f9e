"""One photo from near: where the run looked, its probabilities, training photos most like it."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.classes import probability_chart
from tl_core.errors import DatasetError, ImageError
from tl_core.results.explain import Explanation, explain_with, overlay
from tl_core.results.neighbours import Neighbour, nearest_with
from tl_core.results.predict import Predictor, load_predictor
from ui.datasets import load_decided
from ui.errors import guarded
from ui.evaluate_mend import draw_mending
from ui.evaluate_source import dataset_of
from ui.evaluate_state import PHOTO, Looked
from ui.predictions import weights_stamp
from ui.thumbnails import thumbnails
from ui.words import plain

NUM_NEIGHBOURS = 6
NUM_CLASSES_SHOWN = 8
WIDTH = 560


def draw_closer(looked: Looked) -> None:
    """Open the drawer of the photo that was clicked, while it is one of these."""
    path = st.session_state.get(PHOTO)
    if path in looked.evaluation.paths:
        _drawer(looked, looked.evaluation.paths.index(path))


def _close() -> None:
    st.session_state.pop(PHOTO, None)


@st.dialog("A closer look", width=WIDTH, position="right", on_dismiss=_close)
@guarded
def _drawer(looked: Looked, position: int) -> None:
    evaluation = looked.evaluation
    record = looked.record(position)
    if record is None:
        st.caption("The photo is gone.")
        return
    names = evaluation.class_names
    true, answer = names[evaluation.labels[position]], names[evaluation.predicted[position]]
    path = looked.decided.raw.path_of(record)
    sure = percent(float(evaluation.confidence[position]))
    with st.container(gap="xxsmall"):
        st.markdown(
            f"Answers **{plain(answer)}**, {sure}. "
            + ("That is right." if true == answer else f"Filed under **{plain(true)}**.")
        )
        st.caption(plain(record.path))
        if bool(evaluation.is_none_of_these[position]):
            st.caption(":material/help: As set now, the run says “none of these” to this photo.")
    draw_mending(looked, position, prefix="closer")
    _draw_heat(looked, path, record.sha256, true, answer)
    table = pd.DataFrame({"class": names, "probability": evaluation.probabilities[position]})
    table = table.sort_values("probability", ascending=False, kind="stable")
    st.altair_chart(
        probability_chart(table.head(NUM_CLASSES_SHOWN), names),
        key="closer_probabilities",
        alt=f"Probabilities: {answer} first",
    )
    _draw_neighbours(looked, path, record.sha256)


def _draw_heat(looked: Looked, path: Path, sha256: str, true: str, answer: str) -> None:
    classes, strength = st.columns(2, gap="medium")
    shown = classes.segmented_control(
        "Where it looked for",
        list(dict.fromkeys([answer, true])),
        default=answer,
        key=f"closer_class_{sha256}",
        required=True,
        help="The brighter a place, the more it speaks for that class (Grad-CAM).",
    )
    opacity = strength.slider("Heat", 0, 100, 60, step=5, format="%d %%", key="closer_opacity")
    picture = st.empty()
    with picture, st.spinner("Looking again"):
        try:
            explanation = _explained(
                str(looked.run.run_dir),
                weights_stamp(looked.run),
                sha256,
                shown or answer,
                path,
                looked.workspace.cache_dir,
            )
        except ImageError as error:
            st.warning(str(error), icon=":material/broken_image:")
            return
    picture.image(
        _jpeg(overlay(explanation, opacity / 100)),
        width="stretch",
        alt=f"Where the model looked for {shown}",
    )


def _draw_neighbours(looked: Looked, path: Path, sha256: str) -> None:
    st.markdown("**Training photos most like it**")
    try:
        raw = load_decided(looked.workspace, dataset_of(looked.workspace, looked.run)).raw
    except DatasetError as error:
        st.caption(plain(str(error)))
        return
    found = _neighbours(
        str(looked.run.run_dir),
        weights_stamp(looked.run),
        sha256,
        path,
        looked.workspace.cache_dir,
    )
    by_content = {record.sha256: record for record in raw.records}
    there = [one for one in found if one.sha256 in by_content]
    if not there:
        st.caption("The run does not know them any more.")
        return
    tiles = thumbnails(looked.workspace, raw, [by_content[one.sha256] for one in there])
    with st.grid("auto", min_column_width=120, gap="small"):
        for one, data in zip(there, tiles, strict=True):
            if data is not None:
                name = PurePosixPath(one.path).name
                caption = f"{plain(one.class_name)}, {one.similarity:.2f} alike"
                st.image(data, width="stretch", caption=caption, alt=f"{one.class_name}: {name}")


@st.cache_resource(max_entries=2, show_spinner="Opening the model")
def _predictor(run_dir: str, stamp: int, _cache_dir: Path) -> Predictor:
    return load_predictor(run_dir, cache_dir=_cache_dir)


@st.cache_resource(max_entries=12, show_spinner=False)
def _explained(
    run_dir: str, stamp: int, sha256: str, class_name: str, _path: Path, _cache_dir: Path
) -> Explanation:
    """Explain a photo for a class; keyed by its content, not its path."""
    return explain_with(_predictor(run_dir, stamp, _cache_dir), _path, class_name)


@st.cache_data(max_entries=100, show_spinner="Comparing with the training photos")
def _neighbours(
    run_dir: str, stamp: int, sha256: str, _path: Path, _cache_dir: Path
) -> list[Neighbour]:
    return nearest_with(_predictor(run_dir, stamp, _cache_dir), [_path], NUM_NEIGHBOURS)[0]


def _jpeg(picture) -> bytes:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    picture.thumbnail((2 * WIDTH, 2 * WIDTH))
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
