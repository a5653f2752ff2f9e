"""How far long work is, as a bar with words: what is done, how much of it, and the time left."""

from __future__ import annotations

from streamlit.delta_generator import DeltaGenerator

from tl_core.progress import OnProgress, Progress, after_words, amount, has_amount, stage_words
from ui.shared.words import seconds


def progress_text(progress: Progress, what: str = "") -> str:
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
    if progress.is_through:  # the bar is shown as long as work goes on
        return f"{text} · {after_words(progress.stage)}"
    if progress.seconds_left is not None:
        text += f" · {seconds(progress.seconds_left)} left"
    return text


def shower(bar: DeltaGenerator, what: str = "") -> OnProgress:
    """Return what draws progress in a bar.

    Args:
        bar: made by ``st.progress``.
        what: said in place of the stage.
    """

    def show(progress: Progress) -> None:
        bar.progress(progress.share, text=progress_text(progress, what))

    return show
