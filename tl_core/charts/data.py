"""Charts of the Data page: sizes, brightness, formats, map, split and learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tl_core.charts.base import ACCENT, PART_COLORS, QUIET, class_color, legend_columns
from tl_core.charts.classes import class_counts_chart

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

HEIGHT = 260
MANY_CLASSES = 12  # beyond, a legend would take more room than the chart


def clickable_counts_chart(counts: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw how many images each class has; a click picks one: selection ``picked``, ``class``."""
    import altair as alt

    picked = alt.selection_point(name="picked", fields=["class"])
    return class_counts_chart(counts, class_names).add_params(picked)


def sizes_chart(
    sizes: pd.DataFrame, class_names: Sequence[str], image_size: tuple[int, int]
) -> alt.Chart:
    """Draw widths and heights, and the size that the network sees as a dashed box.

    A click picks a size (selection ``picked``), dragging a region (selection ``region``).

    Args:
        sizes: columns ``width``, ``height``, ``class``, ``images``.
        class_names: in the order of their colours.
        image_size: (height, width) in pixels, of the box.
    """
    import altair as alt
    import pandas as pd

    height, width = image_size
    box = pd.DataFrame({"x": [0], "y": [0], "x2": [width], "y2": [height]})
    points = (
        alt.Chart(sizes)
        .mark_circle(opacity=0.65)
        .encode(
            x=alt.X("width:Q", title="Width, pixels", axis=_grid(6)),
            y=alt.Y("height:Q", title="Height, pixels", axis=_grid(5)),
            color=_class_colors(class_names),
            size=alt.Size("images:Q", legend=None, scale=alt.Scale(type="sqrt", range=[30, 420])),
            tooltip=[
                alt.Tooltip("width:Q", title="Width"),
                alt.Tooltip("height:Q", title="Height"),
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("images:Q", title="Photos"),
            ],
        )
        .add_params(
            alt.selection_point(name="picked", fields=["width", "height"]),
            alt.selection_interval(name="region", encodings=["x", "y"]),
        )
    )
    frame = (
        alt.Chart(box)
        .mark_rect(fill=None, stroke=ACCENT, strokeWidth=2, strokeDash=[6, 4])
        .encode(x=alt.X("x:Q"), x2=alt.X2("x2:Q"), y=alt.Y("y:Q"), y2=alt.Y2("y2:Q"))
    )
    return alt.layer(points, frame).properties(height=HEIGHT)


def brightness_chart(histogram: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw how bright the photos are; a click picks a bar: selection ``picked``, ``low``, ``high``.

    Args:
        histogram: columns ``low``, ``high`` (in [0, 1]), ``class``, ``images``.
        class_names: in the order of their colours.
    """
    import altair as alt

    return (
        alt.Chart(histogram)
        .mark_bar()
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="Mean brightness, from black to white",
                axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], grid=False),
                scale=alt.Scale(domain=[0, 1]),
            ),
            x2=alt.X2("high:Q"),
            y=alt.Y("images:Q", title="Photos", axis=_grid(4)),
            color=_class_colors(class_names),
            tooltip=[
                alt.Tooltip("low:Q", title="From", format=".0%"),
                alt.Tooltip("high:Q", title="To", format=".0%"),
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("images:Q", title="Photos"),
            ],
        )
        .add_params(alt.selection_point(name="picked", fields=["low", "high"]))
        .properties(height=HEIGHT)
    )


def formats_chart(formats: pd.DataFrame) -> alt.Chart:
    """Draw the file formats; a click picks one: selection ``picked``, field ``format``.

    Args:
        formats: columns ``format``, ``images``.
    """
    import altair as alt

    most = max(1, int(formats["images"].max()))
    base = alt.Chart().encode(
        y=alt.Y("format:N", sort="-x", title=None, axis=alt.Axis(ticks=False, domain=False)),
        x=alt.X("images:Q", axis=None, scale=alt.Scale(domain=[0, 1.12 * most], nice=False)),
        tooltip=[alt.Tooltip("format:N"), alt.Tooltip("images:Q")],
    )
    bars = base.mark_bar(cornerRadiusEnd=4, height={"band": 0.72}, color=ACCENT)
    numbers = base.mark_text(align="left", dx=5, fontWeight=600, color=QUIET).encode(
        text=alt.Text("images:Q")
    )
    picked = alt.selection_point(name="picked", fields=["format"])
    layers = alt.layer(bars, numbers, data=formats)
    return layers.add_params(picked).properties(height=34 * len(formats) + 8)


def map_chart(points: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw images as points; dragging picks a region (``region``), a click one image (``picked``).

    Args:
        points: columns ``x``, ``y``, ``class``, ``name``, ``row``; ``state`` is ``"chosen"`` for
            the image whose neighbours are shown, ``"near"`` for these, else ``""``.
        class_names: in the order of their colours.
    """
    import altair as alt

    axis = alt.Axis(labels=False, ticks=False, domain=False, grid=False, title=None)
    scale = alt.Scale(zero=False, padding=12)
    stands_out = "datum.state !== ''"
    return (
        alt.Chart(points)
        .mark_circle()
        .encode(
            x=alt.X("x:Q", axis=axis, scale=scale),
            y=alt.Y("y:Q", axis=axis, scale=scale),
            color=_class_colors(class_names),
            opacity=alt.condition(stands_out, alt.value(1), alt.value(0.6)),
            size=alt.Size(
                "state:N",
                legend=None,
                scale=alt.Scale(domain=["", "near", "chosen"], range=[36, 130, 300]),
            ),
            order=alt.Order("state:N"),
            tooltip=[alt.Tooltip("name:N", title="Photo"), alt.Tooltip("class:N", title="Class")],
        )
        .add_params(
            alt.selection_interval(name="region", encodings=["x", "y"]),
            alt.selection_point(name="picked", fields=["row"]),
        )
        .properties(height=460)
    )


def split_chart(parts: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw how many images of each class are in train, val and test.

    Args:
        parts: columns ``class``, ``part``, ``images``, ``order`` (0 for train).
        class_names: in their order.
    """
    import altair as alt

    base = alt.Chart(parts).encode(
        y=alt.Y(
            "class:N",
            sort=list(class_names),
            title=None,
            axis=alt.Axis(labelLimit=180, ticks=False, domain=False, labelPadding=8),
        ),
        x=alt.X("images:Q", title="Photos", stack="zero", axis=_grid(6)),
        order=alt.Order("order:Q"),
        tooltip=[
            alt.Tooltip("class:N"),
            alt.Tooltip("part:N"),
            alt.Tooltip("images:Q", title="Photos"),
        ],
    )
    bars = base.mark_bar(height={"band": 0.72}).encode(
        color=alt.Color(
            "part:N",
            title=None,
            scale=alt.Scale(domain=list(PART_COLORS), range=list(PART_COLORS.values())),
            legend=alt.Legend(orient="top", symbolType="square"),
        )
    )
    return bars.properties(height=34 * len(class_names) + 110)


def curve_chart(points: pd.DataFrame, fit: pd.DataFrame) -> alt.Chart:
    """Draw measured accuracies over the number of training images, and the fit on beyond them.

    Args:
        points: columns ``images``, ``mean``, ``low``, ``high``.
        fit: columns ``images``, ``accuracy``, ``kind`` (``"fit"`` or ``"guess"``).
    """
    import altair as alt

    x = alt.X(
        "images:Q",
        title="Training photos",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format="d", grid=False, tickCount=5),
    )
    low = max(0.0, float(min(points["low"].min(), fit["accuracy"].min())) - 0.05)
    y = alt.Y(
        "accuracy:Q",
        title="Accuracy",
        scale=alt.Scale(domain=[low, 1], nice=False),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    line = (
        alt.Chart(fit)
        .mark_line(strokeWidth=2, color=QUIET)
        .encode(
            x=x,
            y=y,
            strokeDash=alt.StrokeDash(
                "kind:N",
                title=None,
                scale=alt.Scale(domain=["fit", "guess"], range=[[1, 0], [5, 5]]),
                legend=None,
            ),
        )
    )
    spread = (
        alt.Chart(points)
        .mark_rule(strokeWidth=2, color=ACCENT)
        .encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    )
    dots = (
        alt.Chart(points)
        .mark_circle(size=90, color=ACCENT, opacity=1)
        .encode(
            x=x,
            y=alt.Y("mean:Q"),
            tooltip=[
                alt.Tooltip("images:Q", title="Training photos"),
                alt.Tooltip("mean:Q", title="Accuracy", format=".1%"),
                alt.Tooltip("low:Q", title="Lowest", format=".1%"),
                alt.Tooltip("high:Q", title="Highest", format=".1%"),
            ],
        )
    )
    return alt.layer(line, spread, dots).properties(height=HEIGHT)


def _class_colors(class_names: Sequence[str]) -> Any:
    import altair as alt

    few = len(class_names) <= MANY_CLASSES
    return alt.Color(
        "class:N",
        title=None,
        scale=alt.Scale(
            domain=list(class_names),
            range=[class_color(label) for label in range(len(class_names))],
        ),
        legend=alt.Legend(
            orient="top",
            columns=legend_columns(class_names, 140, 4),
            labelLimit=140,
            symbolOpacity=1,
        )
        if few
        else None,
    )


def _grid(count: int) -> Any:
    import altair as alt

    return alt.Axis(tickCount=count, format="~s", grid=False)
