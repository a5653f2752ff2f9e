"""Charts of an evaluation: curves, reliability, coverage, intervals, recall by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tl_core.charts.base import (
    ACCENT,
    CLASS_COLORS,
    QUIET,
    class_color,
    downsample,
    legend_columns,
    percent,
)

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


_MANY_CLASSES = 15  # with more, a legend takes more room than the curves
_CURVES = {
    "roc": ("False positive rate", "True positive rate"),
    "precision_recall": ("Recall", "Precision"),
}


def curves_chart(points: pd.DataFrame, class_names: Sequence[str], kind: str) -> alt.LayerChart:
    """Draw one curve a class against all others, over the whole of [0, 1].

    Args:
        points: columns ``class``, ``x``, ``y`` and ``area``, in the order along the curve.
        class_names: in class order, for the colours.
        kind: ``"roc"`` or ``"precision_recall"``.
    """
    import altair as alt
    import pandas as pd

    x_title, y_title = _CURVES[kind]
    drawn = [name for name in class_names if name in set(points["class"])]
    thin = pd.concat(
        [points[:0], *(downsample(points[points["class"] == name], 300) for name in drawn)]
    )
    thin = thin.assign(order=range(len(thin)))
    lines = (
        alt.Chart(thin)
        .mark_line(
            strokeWidth=2.5, opacity=0.9, interpolate="linear" if kind == "roc" else "step-before"
        )
        .encode(
            x=alt.X("x:Q", title=x_title, scale=_whole(), axis=_share_axis(grid=True)),
            y=alt.Y("y:Q", title=y_title, scale=_whole(), axis=_share_axis(grid=True)),
            order=alt.Order("order:Q"),
            color=alt.Color(
                "class:N",
                title=None,
                scale=alt.Scale(
                    domain=drawn,
                    range=[class_color(list(class_names).index(name)) for name in drawn],
                ),
                legend=None
                if len(drawn) > _MANY_CLASSES
                else alt.Legend(
                    orient="top",
                    symbolType="stroke",
                    symbolStrokeWidth=3,
                    columns=legend_columns(drawn, 110, 3),
                    labelLimit=110,
                ),
            ),
            tooltip=[
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("area:Q", title="Area under it", format=".3f"),
                alt.Tooltip("x:Q", title=x_title, format=".2f"),
                alt.Tooltip("y:Q", title=y_title, format=".2f"),
            ],
        )
    )
    layers = [_diagonal(), lines] if kind == "roc" else [lines]
    return alt.layer(*layers).properties(height=300)


def reliability_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """Draw confidence against accuracy; on the diagonal the two agree.

    Args:
        rows: columns ``stage`` (``"before"``, ``"after"``), ``confidence``, ``accuracy`` and
            ``num_images``; rows without images are left out.
    """
    import altair as alt

    known = rows.dropna(subset=["confidence", "accuracy"])
    color = alt.Color(
        "stage:N",
        title=None,
        scale=alt.Scale(domain=["before", "after"], range=[CLASS_COLORS[1], ACCENT]),
        legend=alt.Legend(orient="top", symbolOpacity=1, symbolType="circle"),
    )
    base = alt.Chart(known).encode(
        x=alt.X("confidence:Q", title="Probability given", scale=_whole(), axis=_share_axis()),
        y=alt.Y("accuracy:Q", title="Share that was right", scale=_whole(), axis=_share_axis()),
        color=color,
        tooltip=[
            alt.Tooltip("stage:N", title="Scaling"),
            alt.Tooltip("confidence:Q", title="Probability given", format=".1%"),
            alt.Tooltip("accuracy:Q", title="Right", format=".1%"),
            alt.Tooltip("num_images:Q", title="Photos"),
        ],
    )
    lines = base.mark_line(strokeWidth=1.5, opacity=0.6)
    dots = base.mark_circle(opacity=0.9, clip=False).encode(
        size=alt.Size("num_images:Q", scale=alt.Scale(range=[50, 420], zero=True), legend=None)
    )
    return alt.layer(_diagonal(), lines, dots).properties(height=320)


def coverage_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """Draw accuracy over coverage: the share of photos, most confident first, that get an answer.

    Args:
        rows: columns ``coverage``, ``accuracy``, ``num_answered`` and ``is_chosen``.
    """
    import altair as alt

    least = float(rows["accuracy"].min()) if len(rows) else 0.0
    low = max(0.0, min(0.9, 0.1 * int(10 * least)))
    base = alt.Chart(rows).encode(
        x=alt.X("coverage:Q", title="Share of photos answered", scale=_whole(), axis=_share_axis()),
        y=alt.Y(
            "accuracy:Q",
            title="Right among them",
            scale=alt.Scale(domain=[low, 1], nice=False),
            axis=_share_axis(),
        ),
        tooltip=[
            alt.Tooltip("coverage:Q", title="Answered", format=".1%"),
            alt.Tooltip("num_answered:Q", title="Photos"),
            alt.Tooltip("accuracy:Q", title="Right among them", format=".1%"),
        ],
    )
    line = base.mark_line(color=ACCENT, strokeWidth=2.5, interpolate="step-after")
    here = base.transform_filter("datum.is_chosen")
    rule = here.mark_rule(color=QUIET, strokeDash=[4, 4]).encode(y=alt.Y())
    dot = here.mark_circle(color=CLASS_COLORS[0], size=160, opacity=1)
    return alt.layer(line, rule, dot).properties(height=320)


def intervals_chart(rows: pd.DataFrame, colors: Sequence[str]) -> alt.LayerChart:
    """Draw accuracies with their intervals, one below the other.

    Args:
        rows: columns ``name``, ``accuracy``, ``low`` and ``high`` in [0, 1].
        colors: one a row.
    """
    import altair as alt

    table = rows.assign(
        percent_text=[percent(value) for value in rows["accuracy"]],
        between=[
            f"{100 * low:.1f} to {100 * high:.1f} %"
            for low, high in zip(rows["low"], rows["high"], strict=True)
        ],
    )
    names = list(table["name"])
    base = alt.Chart(table).encode(
        y=alt.Y(
            "name:N",
            sort=names,
            title=None,
            axis=alt.Axis(labelLimit=190, labelFlush=False, labelPadding=8),
        ),
        color=alt.Color("name:N", scale=alt.Scale(domain=names, range=list(colors)), legend=None),
        tooltip=[
            alt.Tooltip("name:N", title=" "),
            alt.Tooltip("percent_text:N", title="Accuracy"),
            alt.Tooltip("between:N", title="95 % interval"),
        ],
    )
    x = alt.X("low:Q", title="Accuracy, 95 % interval", scale=_whole(), axis=_share_axis(grid=True))
    bar = base.mark_rule(strokeWidth=5, opacity=0.45, strokeCap="round").encode(
        x=x, x2=alt.X2("high:Q")
    )
    dot = base.mark_circle(size=170, opacity=1).encode(x=alt.X("accuracy:Q", scale=_whole()))
    return alt.layer(bar, dot).properties(height=46 * len(names) + 70)


def recall_chart(
    rows: pd.DataFrame, class_names: Sequence[str], places: Sequence[str]
) -> alt.Chart:
    """Draw the share found of each class, once for each of two sets of photos.

    Args:
        rows: columns ``class``, ``place``, ``recall`` in [0, 1] and ``images``.
        class_names: in class order.
        places: names of the two sets, the run's own first.
    """
    import altair as alt

    return (
        alt.Chart(rows.dropna(subset=["recall"]))
        .mark_bar(cornerRadiusEnd=4)
        .encode(
            y=alt.Y(
                "class:N",
                sort=list(class_names),
                title=None,
                axis=alt.Axis(labelLimit=150, labelFlush=False, labelPadding=8),
            ),
            yOffset=alt.YOffset("place:N", sort=list(places)),
            x=alt.X("recall:Q", title="Share found", scale=_whole(), axis=_share_axis(grid=True)),
            color=alt.Color(
                "place:N",
                title=None,
                scale=alt.Scale(domain=list(places), range=[QUIET, ACCENT]),
                legend=alt.Legend(orient="top", columns=1, labelLimit=300),
            ),
            tooltip=[
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("place:N", title="Photos from"),
                alt.Tooltip("recall:Q", title="Found", format=".1%"),
                alt.Tooltip("images:Q", title="Photos"),
            ],
        )
        .properties(height=44 * len(class_names) + 140)
    )


def _diagonal() -> alt.Chart:
    import altair as alt
    import pandas as pd

    ends = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]})
    line = alt.Chart(ends).mark_line(color=QUIET, strokeDash=[4, 4], strokeWidth=1.5, tooltip=None)
    return line.encode(x=alt.X("x:Q", scale=_whole()), y=alt.Y("y:Q", scale=_whole()))


def _whole() -> Any:
    import altair as alt

    return alt.Scale(domain=[0, 1], nice=False)


def _share_axis(*, grid: bool = False) -> Any:
    import altair as alt

    return alt.Axis(format=".0%", tickCount=5, grid=grid, labelFlush=False)
