"""Colours and axes that all charts share, fixed here.

So a class, or train and val, look the same on every page. The colours are readable on the light
and on the dark theme alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

CLASS_COLORS = (
    "#DD5A34",
    "#BD8100",
    "#4A7BD8",
    "#9465CC",
    "#2E9B68",
    "#D25C9C",
    "#1A95A8",
    "#A0724A",
    "#75828E",
    "#87911E",
)
PART_COLORS = {"train": "#75828E", "val": "#0E8F80", "test": "#9465CC"}
RUN_COLORS = ("#0E8F80", "#DD5A34", "#4A7BD8", "#BD8100")
ACCENT = "#0E8F80"
QUIET = "#9AA29D"

MAX_POINTS = 1000


def class_color(label: int) -> str:
    """Return the colour of the class with index ``label``; they repeat after ten."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def downsample(frame: pd.DataFrame, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Return at most ``max_points`` rows, evenly spread, always with the first and the last."""
    if len(frame) <= max_points:
        return frame
    chosen = np.unique(np.linspace(0, len(frame) - 1, max_points).round().astype(int))
    return frame.iloc[chosen]


def finite(values: pd.Series) -> pd.Series:
    """Return numbers with NaN in place of None and infinity, which charts cannot show."""
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def percent(share: float) -> str:
    """Return a share in [0, 1] as shown to people, with one decimal: ``"91.7 %"``."""
    return f"{100 * share:.1f} %"


def class_color_encoding(field: str, class_names: Sequence[str]) -> alt.Color:
    """Return the colour of each class for a field that names it, without a legend."""
    import altair as alt

    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(
            domain=list(class_names),
            range=[class_color(label) for label in range(len(class_names))],
        ),
        legend=None,
    )


def label_axis(limit: int) -> Any:
    """Return a bare axis for names, which are cut at ``limit`` pixels."""
    import altair as alt

    return alt.Axis(labelLimit=limit, ticks=False, domain=False, labelPadding=8)
