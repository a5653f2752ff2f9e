"""How far long work is, as a bar with words: what is done, how much of it, and the time left."""

from __future__ import annotations

from dataclasses import replace

from streamlit.delta_generator import DeltaGenerator

from tl_core.data.progress import OnProgress, Progress, amount, has_amount, stage_words
from ui.words import seconds


def told(progress: Progress, what: str = "") -> str:
    """Return words such as ``"Reading the photos: 1,500 of 20,000 · 24 s left"``.

    Args:
        progress: how far it is.
        what: said in place of the stage.
    """
    words = what or stage_words(progress.stage)
    text = words[:1].upper() + words[1:]
    if not has_amount(progress.done, progress.total):
        return text
    text += f": {amount(progress.stage, progress.done, progress.total)}"
    if progress.seconds_left is not None and not progress.is_through:
        text += f" · {seconds(progress.seconds_left)} left"
    return text


def shower(bar: DeltaGenerator, what: str = "", total: int = 0) -> OnProgress:
    """Return what draws progress in a bar.

    Args:
        bar: made by ``st.progress``.
        what: said in place of the stage.
        total: how much there is, where the work itself does not know.
    """

    def show(progress: Progress) -> None:
        known = progress if progress.total else replace(progress, total=total)
        bar.progress(known.share, text=told(known, what))

    return show
