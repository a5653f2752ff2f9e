"""A photo with the regions that support a class, for pages that explain an answer.

Pandas and Altair are not needed: the viewer does without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
from PIL import Image

from tl_core.data.images.images import encode_jpeg
from tl_core.errors import ExportError, ImageError
from tl_core.inference.explain import Explanation, overlay
from ui.shared.words import plain

WIDTH = 560


def draw_heat(key: str, classes: Sequence[str], explain: Callable[[str], Explanation]) -> None:
    """Draw a photo with where the model looked for one of some classes.

    Args:
        key: tells the photo from others.
        classes: the classes on offer, the first to begin with.
        explain: returns the heat map of a class.
    """
    left, right = st.columns(2, gap="medium")
    shown = left.segmented_control(
        "Evidence for",
        list(dict.fromkeys(classes)),
        default=classes[0],
        format_func=plain,
        key=f"closer_class_{key}",
        required=True,
        help="The brighter an area, the more it supports that class (Grad-CAM).",
    )
    opacity = right.slider("Heat map", 0, 100, 60, step=5, format="%d %%", key="closer_opacity")
    picture = st.empty()
    with picture, st.spinner("Computing"):
        try:
            explanation = explain(shown or classes[0])
        except (ImageError, ExportError) as error:
            st.warning(plain(str(error)), icon=":material/broken_image:")
            return
    picture.image(
        _jpeg(overlay(explanation, opacity / 100)),
        width="stretch",
        alt=f"Where the model looked for {shown}",
    )


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((2 * WIDTH, 2 * WIDTH))
    return encode_jpeg(picture)
