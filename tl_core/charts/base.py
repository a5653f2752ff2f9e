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
INK = {"light": "#1F2421", "dark": "#E9ECE8"}  # of text, by theme
GROUND = {"light": "#FDFCFA", "dark": "#121615"}  # of the page, as in .streamlit/config.toml

MAX_POINTS = 1000

_LEGEND_PIXELS = 390  # half a page of 1280 pixels, a phone of 480 less the axis
_ENTRY_PIXELS = 30  # symbol and padding
_LETTER_PIXELS = 7


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


def legend_columns(names: Sequence[str], limit: int, most: int) -> int:
    """Return in how many columns a legend above a chart fits a phone or half a page.

    Args:
        names: of its entries, in order.
        limit: pixels at which a name is cut.
        most: upper bound of the columns.

    Examples:
        >>> legend_columns(["pizza", "steak", "sushi", "taco"], 140, 4)
        4
        >>> legend_columns(["Golden Delicious", "Granny Smith", "Pink Lady", "Gala"] * 2, 140, 4)
        2
    """
    widths = [_ENTRY_PIXELS + min(limit, _LETTER_PIXELS * len(name)) for name in names]
    for columns in range(most, 1, -1):
        if (
            sum(max(widths[place::columns], default=0) for place in range(columns))
            <= _LEGEND_PIXELS
        ):
            return columns
    return 1


def label_axis(limit: int) -> Any:
    """Return a bare axis for names, which are cut at ``limit`` pixels."""
    import altair as alt

    return alt.Axis(labelLimit=limit, ticks=False, domain=False, labelPadding=8)
