"""The answer for one photo as a card: the photo, its class, the probabilities as bars.

Pandas and Altair are left to who draws the bars: the viewer does without them.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from tl_core.charts.base import percent
from tl_core.data.images.images import make_thumbnail
from tl_core.errors import ImageError
from tl_core.inference.predict import Prediction
from ui.classify.photo import Photo
from ui.shared.caches import cache_data
from ui.shared.words import plain

PAGE_SIZE = 12
CARD_WIDTH = 260  # pixels
PREVIEW_SIDE = 320
UNSURE_BELOW = 70  # percent, to begin with
UNSURE_KEY = "unsure_below"  # of the slider in the view of many photos
CLOSEST = "Probabilities if it had to be one of the classes:"


def draw_answer(
    photo: Photo,
    prediction: Prediction,
    draw_bars: Callable[[Prediction], None],
    *,
    has_picture: bool = True,
) -> None:
    """Draw the answer for a photo, or why it cannot be read.

    Args:
        photo: the photo, in memory.
        prediction: its answer.
        draw_bars: draws the probabilities of an answer.
        has_picture: whether the photo is drawn; False where it is on the page already.
    """
    preview = _preview(photo.digest, photo.data) if has_picture else None
    if preview is not None:
        st.image(preview, width="stretch", alt=photo.name)
    if prediction.error is not None:
        st.markdown(f"**{plain(photo.name)}**")
        st.warning(plain(prediction.error), icon=":material/broken_image:", width="stretch")
        return
    st.markdown(answer_words(prediction))
    st.caption(plain(photo.name))
    if prediction.is_none_of_these:
        st.caption(f":material/help: {plain(' '.join(prediction.reasons))}")
        st.caption(CLOSEST)
    draw_bars(prediction)


def answer_words(prediction: Prediction) -> str:
    """Return the class of a readable photo and its probability, or "none of these"."""
    best, probability = prediction.top[0]
    if prediction.is_none_of_these:
        return f"**None of these**, nearest {plain(best)}"
    mark = f" {unsure_words()}" if is_unsure(prediction) else ""
    return f"**{plain(best)}**, {percent(probability)}{mark}"


def is_unsure(prediction: Prediction) -> bool:
    """Whether the best class of an answer is less probable than a person asks for."""
    if prediction.error is not None or prediction.is_none_of_these:
        return False
    return prediction.top[0][1] < unsure_below() / 100


def unsure_below() -> int:
    """Return the probability in percent below which an answer counts as unsure."""
    return int(st.session_state.get(UNSURE_KEY, UNSURE_BELOW))


def unsure_words() -> str:
    """Return the mark of an answer that is unsure, as Markdown."""
    return f":orange-badge[unsure: under {unsure_below()} %]"


@cache_data(max_entries=200)
def _preview(digest: str, _data: bytes) -> bytes | None:
    """Return a photo made small for its card; keyed by content, None when it cannot be read."""
    try:
        return make_thumbnail(_data, PREVIEW_SIDE)
    except ImageError:
        return None
