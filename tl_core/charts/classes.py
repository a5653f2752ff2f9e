"""Bars of classes: how many images each has, and how probable each is for one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tl_core.charts.base import QUIET, class_color_encoding, label_axis, percent

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

_TEXT_PLACE = 1.3  # where a bar's figure ends, the whole bar being 1


def class_counts_chart(counts: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw how many images each class has, in the order of ``class_names``.

    Args:
        counts: columns ``class`` and ``images``.
    """
    import altair as alt

    most = max(1, int(counts["images"].max()))
    base = alt.Chart().encode(
        y=alt.Y("class:N", sort=list(class_names), title=None, axis=label_axis(180)),
        x=alt.X("images:Q", axis=None, scale=alt.Scale(domain=[0, 1.12 * most], nice=False)),
        tooltip=[alt.Tooltip("class:N", title="Class"), alt.Tooltip("images:Q", title="Images")],
    )
    bars = base.mark_bar(cornerRadiusEnd=4, height={"band": 0.72}).encode(
        color=class_color_encoding("class", class_names)
    )
    numbers = base.mark_text(align="left", dx=5, fontWeight=600, color=QUIET).encode(
        text=alt.Text("images:Q")
    )
    return alt.layer(bars, numbers, data=counts).properties(height=34 * len(class_names) + 8)


def probability_chart(top: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw the top classes of one image as horizontal bars over the whole of [0, 1].

    Args:
        top: columns ``class`` and ``probability`` in [0, 1], best first.
    """
    import altair as alt

    table = top.assign(
        percent=[percent(value) for value in top["probability"]], whole=1.0, place=_TEXT_PLACE
    )
    scale = alt.Scale(domain=[0, _TEXT_PLACE], nice=False)
    base = alt.Chart().encode(
        y=alt.Y("class:N", sort=list(top["class"]), title=None, axis=label_axis(110)),
        tooltip=[
            alt.Tooltip("class:N", title="Class"),
            alt.Tooltip("percent:N", title="Probability"),
        ],
    )
    bar = {"cornerRadius": 4, "height": {"band": 0.62}}
    track = base.mark_bar(**bar, color=QUIET, opacity=0.18).encode(
        x=alt.X("whole:Q", scale=scale, axis=None)
    )
    bars = base.mark_bar(**bar).encode(
        x=alt.X("probability:Q", scale=scale, axis=None),
        color=class_color_encoding("class", class_names),
    )
    # The text stands behind the track, where it can neither be cut off nor hide a bar.
    numbers = base.mark_text(align="right", fontWeight=600, color=QUIET).encode(
        x=alt.X("place:Q", scale=scale, axis=None), text=alt.Text("percent:N")
    )
    return alt.layer(track, bars, numbers, data=table).properties(height=30 * len(top) + 8)
