"""How figures, times and states are said on the pages: one wording for one thing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from tl_core.charts.base import percent
from tl_core.charts.training import PHASE_TITLES
from tl_core.config.mode import current_mode
from tl_core.runs.store import Run

Key = TypeVar("Key")

PART_PHOTOS = {"test": "test photos", "val": "validation photos"}
NO_MODEL = "This project has no model yet. Training the first takes under a minute."

STATE_BADGES = {
    "queued": (":material/schedule:", "gray", "Waiting"),
    "running": (":material/play_circle:", "blue", "Training"),
    "finished": (":material/check_circle:", "green", "Finished"),
    "stopped": (":material/stop_circle:", "orange", "Stopped"),
    "failed": (":material/error:", "red", "Failed"),
    "interrupted": (":material/power_off:", "orange", "Interrupted"),
    "damaged": (":material/broken_image:", "red", "Damaged"),
}

_MARKS = re.compile(r"[\\`*_{}\[\]()#+!|<>~$:&-]")
_LIST_NUMBER = re.compile(r"^(\s*\d+)(?=\.(?:\s|$))", re.MULTILINE)
# Links are made of what escapes have become, so that only a character in between holds them off.
_LINK_LIKE = re.compile(r"(?<=www)(?=\.)|(?<=@)(?=[\w-])", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?|ftp|mailto):", re.IGNORECASE)
# The folders of a full path, up to its last part. A path within a dataset begins without a slash.
_SERVER_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/'\"]+/)+")
_WORD_JOINER = "\u2060"  # not seen, and without width


def seconds(value: float | None) -> str:
    """Return a duration: ``"under 1 s"``, ``"8 s"``, ``"2 min 5 s"``, ``"1 h 20 min"``."""
    if value is None:
        return "unknown"
    if value < 1:
        return "under 1 s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def distinct(labels: Mapping[Key, str]) -> dict[Key, str]:
    """Return labels no two of which are alike: later ones get a number.

    A select box knows its options by their labels, so that of two alike only the first can be
    chosen.

    >>> distinct({1: "pets", 2: "pets", 3: "food"})
    {1: 'pets', 2: 'pets (2)', 3: 'food'}
    """
    found: dict[Key, str] = {}
    taken = set(labels.values())
    for key, label in labels.items():
        chosen, number = label, 1
        while chosen in found.values() or (number > 1 and chosen in taken):
            number += 1
            chosen = f"{label} ({number})"
        found[key] = chosen
    return found


def number_of(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: ``"1 photo"``, ``"1,204 photos"``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def counted(name: str, count: int) -> str:
    """Return what is counted with its number beside it: ``"0 (205)"``; a name may be a number."""
    return f"{name} ({count:,})"


def ago(moment: datetime) -> str:
    """Return how long ago something was: ``"just now"``, ``"5 min ago"``, or the date."""
    past = (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds()
    if past < 60:
        return "just now"
    if past < 3600:
        return f"{past // 60:.0f} min ago"
    if past < 24 * 3600:
        return f"{past // 3600:.0f} h ago"
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def headline(metrics: dict[str, Any]) -> tuple[str, str] | None:
    """Return the run's figure and what it was measured on, or None while there is none.

    The test photos count when there are any: the validation photos also picked the best epoch,
    so the figure on them flatters.
    """
    for part, which in (
        ("test", "the model has not seen"),
        ("val", "of the validation part, which also picked the best epoch"),
    ):
        accuracy, measured = metrics.get(f"{part}_accuracy"), metrics.get(f"{part}_interval")
        if accuracy is None:
            continue
        figure = percent(accuracy)
        if measured:
            figure += f" ({interval(measured)})"
        count = (metrics.get("num_images") or {}).get(part)
        return (
            figure,
            f"on {number_of(count, 'photo')} {which}" if count else f"on photos {which}",
        )
    return None


def figure(metrics: dict[str, Any]) -> str | None:
    """Return the run's figure with the photos it is of, in brief; as :func:`headline`."""
    text = headline(metrics)
    if text is None:
        return None
    part = next(part for part in PART_PHOTOS if metrics.get(f"{part}_accuracy") is not None)
    return f"{text[0]} on {PART_PHOTOS[part]}"


def best_epoch(run: Run) -> str:
    """Return which epoch a run's weights are of, with its phase where there are two."""
    metrics = run.metrics
    if "best_epoch" not in metrics:
        return ""
    number = metrics["best_epoch"] + 1
    if not run.config.fine_tune_blocks or "best_phase" not in metrics:
        return f"best epoch {number}"
    phase = PHASE_TITLES.get(metrics["best_phase"], metrics["best_phase"])
    return f"best in epoch {number} of {'the head' if phase == 'head' else phase}"


def interval(bounds: Sequence[float]) -> str:
    """Return an interval of shares in [0, 1] in percent: ``"88.1 to 94.3"``."""
    low, high = bounds
    return f"{100 * low:.1f} to {100 * high:.1f}"


def plain(text: str) -> str:
    """Return text as it stands for a place that reads Markdown, such as a file's name.

    Only a whole address with ``https://``, which no name can hold, stays a link; in a hosted demo,
    where texts of strangers are shown, not even that, and folders of the server are left out.
    """
    if current_mode() == "demo":
        text = _ADDRESS.sub(rf"\g<0>{_WORD_JOINER}", _SERVER_FOLDERS.sub("", text))
    apart = _LINK_LIKE.sub(_WORD_JOINER, text)
    return _LIST_NUMBER.sub(r"\1\\", _MARKS.sub(r"\\\g<0>", apart))
