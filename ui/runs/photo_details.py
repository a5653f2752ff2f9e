"""Seeing why: where a run looked in a photo, and the training photos most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd
import streamlit as st

from tl_core.charts.classes import probability_chart
from tl_core.data.images.images import ImageSource
from tl_core.errors import DatasetError
from tl_core.inference.explain import Explanation
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.picker import dataset_of
from ui.datasets.scans import load_curated
from ui.runs.predictors import explained, nearest
from ui.shared.heat_map import draw_heat
from ui.shared.page_layout import draw_chart
from ui.shared.thumbnails import thumbnails
from ui.shared.words import plain

NUM_CLASSES_SHOWN = 8


@dataclass(frozen=True)
class ClassifiedPhoto:
    """A photo that a run answered for: ``image`` is its path or its bytes, ``sha256`` theirs."""

    workspace: Workspace
    run: Run
    sha256: str
    image: ImageSource


def draw_photo_heat(photo: ClassifiedPhoto, classes: Sequence[str]) -> None:
    """Draw the photo with where the run looked for one of some classes, the first to begin with."""

    def explain(class_name: str) -> Explanation:
        return explained(photo.workspace, photo.run.run_dir, photo.sha256, photo.image, class_name)

    draw_heat(photo.sha256, classes, explain)


def draw_probabilities(
    classes: Sequence[str], probabilities: Sequence[float], class_names: Sequence[str]
) -> None:
    """Draw the most probable classes as bars; ``class_names`` in class order give the colours."""
    table = pd.DataFrame({"class": classes, "probability": probabilities})
    table = table.sort_values("probability", ascending=False, kind="stable")
    draw_chart(
        probability_chart(table.head(NUM_CLASSES_SHOWN), class_names),
        key="closer_probabilities",
        alt=f"Probabilities: {table['class'].iloc[0]} first",
    )


def draw_neighbours(photo: ClassifiedPhoto) -> None:
    """Draw the training photos that are most like it, as far as they are still there."""
    st.markdown("**Most similar training photos**")
    try:
        raw = load_curated(photo.workspace, dataset_of(photo.workspace, photo.run)).raw
    except DatasetError as error:
        st.caption(plain(str(error)))
        return
    found = nearest(photo.workspace, photo.run, photo.sha256, photo.image)
    by_content = {record.sha256: record for record in raw.records}
    there = [one for one in found if one.sha256 in by_content]
    if not there:
        st.caption("The training photos of this run are missing.")
        return
    tiles = thumbnails(photo.workspace, raw, [by_content[one.sha256] for one in there])
    with st.grid("auto", min_column_width=120, gap="small"):
        for one, data in zip(there, tiles, strict=True):
            if data is not None:
                name = PurePosixPath(one.path).name
                caption = f"{plain(one.class_name)}, similarity {one.similarity:.2f}"
                st.image(data, width="stretch", caption=caption, alt=f"{one.class_name}: {name}")
