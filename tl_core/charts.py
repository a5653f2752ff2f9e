"""Charts of the studio: a DataFrame in, an ``altair.Chart`` out.

Colours are fixed here, so that a class, or train and val, look the same on every page. They are
readable on the light and on the dark theme alike. Altair is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
_TEXT_PLACE = 1.3  # where a bar's figure ends, the whole bar being 1


def class_color(label: int) -> str:
    """Return the colour of the class with index ``label``; they repeat after ten."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def thin_out(frame: pd.DataFrame, max_points: int = MAX_POINTS) -> pd.DataFrame:
    """Return at most ``max_points`` rows, evenly spread, always with the first and the last."""
    if len(frame) <= max_points:
        return frame
    chosen = np.unique(np.linspace(0, len(frame) - 1, max_points).round().astype(int))
    return frame.iloc[chosen]


def class_counts_chart(counts: pd.DataFrame, class_names: Sequence[str]) -> alt.Chart:
    """Draw how many images each class has, in the order of ``class_names``.

    Args:
        counts: columns ``class`` and ``images``.
    """
    import altair as alt

    most = max(1, int(counts["images"].max()))
    base = alt.Chart(counts).encode(
        y=alt.Y("class:N", sort=list(class_names), title=None, axis=_label_axis(180)),
        x=alt.X("images:Q", axis=None, scale=alt.Scale(domain=[0, 1.12 * most], nice=False)),
        tooltip=[alt.Tooltip("class:N", title="Class"), alt.Tooltip("images:Q", title="Images")],
    )
    bars = base.mark_bar(cornerRadiusEnd=4, height={"band": 0.72}).encode(
        color=_class_color_encoding("class", class_names)
    )
    numbers = base.mark_text(align="left", dx=5, fontWeight=600, color=QUIET).encode(
        text="images:Q"
    )
    return (bars + numbers).properties(height=34 * len(class_names) + 8)


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
    base = alt.Chart(table).encode(
        y=alt.Y("class:N", sort=list(top["class"]), title=None, axis=_label_axis(110)),
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
        color=_class_color_encoding("class", class_names),
    )
    # The text stands behind the track, where it can neither be cut off nor hide a bar.
    numbers = base.mark_text(align="right", fontWeight=600, color=QUIET).encode(
        x=alt.X("place:Q", scale=scale, axis=None), text="percent:N"
    )
    return (track + bars + numbers).properties(height=30 * len(top) + 8)


def history_chart(
    epochs: pd.DataFrame, metric: str, batches: pd.DataFrame | None = None, num_epochs: int = 0
) -> alt.Chart:
    """Draw ``accuracy`` or ``loss`` over the epochs for train and val, batches faintly behind.

    Args:
        epochs: columns ``epoch`` (from 0), ``accuracy``, ``loss``, ``val_accuracy``, ``val_loss``.
        metric: ``"accuracy"`` (axis fixed to [0, 1]) or ``"loss"``.
        batches: columns ``progress`` (epochs done, fractional), ``accuracy``, ``loss``.
        num_epochs: epochs that the run was given, so that the axis does not jump while it trains.
    """
    import altair as alt

    lines = _long_history(epochs, metric)
    last = max(num_epochs, len(epochs), 1)
    x = alt.X(
        "progress:Q",
        title="Epoch",
        scale=alt.Scale(domain=[0, last], nice=False),
        axis=_epoch_axis(last),
    )
    faint = _batch_lines(batches, metric)
    y = _metric_encoding(metric, [*lines["value"], *faint["value"]])
    color = alt.Color(
        "part:N",
        title=None,
        scale=alt.Scale(domain=["train", "val"], range=[PART_COLORS["train"], PART_COLORS["val"]]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1),
    )
    tooltip = [
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("progress:Q", title="Epoch"),
        alt.Tooltip(
            "value:Q", title=metric.capitalize(), format=".1%" if metric == "accuracy" else ".4f"
        ),
    ]
    behind = (
        alt.Chart(faint)
        .mark_line(strokeWidth=1, opacity=0.35, clip=True)
        .encode(x=x, y=y, color=color)
    )
    front = (
        alt.Chart(thin_out(lines))
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=36, filled=True))
        .encode(x=x, y=y, color=color, tooltip=tooltip)
    )
    return (behind + front).properties(height=240)


def compare_chart(histories: dict[str, pd.DataFrame], metric: str) -> alt.Chart:
    """Draw one metric of several runs over each other: val solid, train dashed.

    Args:
        histories: by run name, frames as for :func:`history_chart`.
    """
    import altair as alt
    import pandas as pd

    names = list(histories)
    lines = pd.concat(
        [_long_history(frame, metric).assign(run=name) for name, frame in histories.items()]
    )
    last = max([1, *(len(frame) for frame in histories.values())])
    return (
        alt.Chart(thin_out(lines, MAX_POINTS * len(names)))
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(
            x=alt.X(
                "progress:Q",
                title="Epoch",
                scale=alt.Scale(domain=[0, last], nice=False),
                axis=_epoch_axis(last),
            ),
            y=_metric_encoding(metric, lines["value"]),
            color=alt.Color(
                "run:N",
                title=None,
                scale=alt.Scale(domain=names, range=list(RUN_COLORS[: len(names)])),
                legend=alt.Legend(orient="top", columns=1, labelLimit=320, symbolType="stroke"),
            ),
            strokeDash=alt.StrokeDash(
                "part:N",
                title=None,
                scale=alt.Scale(domain=["val", "train"], range=[[1, 0], [4, 4]]),
                legend=alt.Legend(orient="top", symbolType="stroke"),
            ),
            tooltip=["run:N", "part:N", alt.Tooltip("progress:Q", title="Epoch"), "value:Q"],
        )
        .properties(height=260)
    )


def backbone_chart(backbones: pd.DataFrame, chosen: str) -> alt.Chart:
    """Draw size against published accuracy, with the chosen one standing out; a click picks one.

    The selection is named ``picked`` and holds the field ``backbone``.

    Args:
        backbones: columns ``backbone``, ``weights_mb``, ``top1`` in [0, 1] (rows without one are
            left out), ``weights`` (how they are had) and ``speed`` (on this machine, as text).
    """
    import altair as alt

    known = backbones.dropna(subset=["top1"]).assign(
        state=lambda frame: [
            "chosen" if name == chosen else weights
            for name, weights in zip(frame["backbone"], frame["weights"], strict=True)
        ]
    )
    least = max(0.0, float(known["top1"].min()) - 0.02) if len(known) else 0.0
    states = ["chosen", "included", "downloaded on first use"]
    return (
        alt.Chart(known)
        .mark_circle(opacity=0.9, stroke="transparent")
        .encode(
            x=alt.X(
                "weights_mb:Q",
                title="Size of the weights, MB",
                scale=alt.Scale(type="log", nice=False, padding=18),
                axis=alt.Axis(values=[5, 10, 20, 50, 100, 200, 500, 1000], format="d", grid=False),
            ),
            y=alt.Y(
                "top1:Q",
                title="Accuracy on ImageNet (top-1)",
                scale=alt.Scale(domain=[least, 0.9], nice=False),
                axis=alt.Axis(format=".0%", tickCount=6),
            ),
            color=alt.Color(
                "state:N",
                title=None,
                scale=alt.Scale(domain=states, range=[ACCENT, CLASS_COLORS[1], QUIET]),
                legend=alt.Legend(orient="top", symbolSize=80),
            ),
            size=alt.condition("datum.state === 'chosen'", alt.value(260), alt.value(80)),
            order=alt.Order("state:N", sort="descending"),
            tooltip=[
                alt.Tooltip("backbone:N", title="Backbone"),
                alt.Tooltip("top1:Q", title="Top-1", format=".1%"),
                alt.Tooltip("weights_mb:Q", title="MB", format=".0f"),
                alt.Tooltip("speed:N", title="Speed here"),
            ],
        )
        .add_params(alt.selection_point(name="picked", fields=["backbone"]))
        .properties(height=300)
    )


def percent(share: float) -> str:
    """Return a share in [0, 1] as shown to people, with one decimal: ``"91.7 %"``."""
    return f"{100 * share:.1f} %"


def _long_history(epochs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return rows (progress, part, value); an epoch is drawn where it ended."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {"progress": epochs["epoch"] + 1, "part": part, "value": epochs[column].astype(float)}
        )
        for part, column in (("train", metric), ("val", f"val_{metric}"))
        if column in epochs
    ]
    empty = pd.DataFrame({"progress": [], "part": [], "value": []})
    return pd.concat(parts).dropna(subset=["value"]) if parts else empty


def _batch_lines(batches: pd.DataFrame | None, metric: str) -> pd.DataFrame:
    """Return rows as :func:`_long_history` does, thinned out; none without batches."""
    import pandas as pd

    if batches is None:
        return pd.DataFrame({"progress": [], "part": [], "value": []})
    thin = thin_out(batches)
    return pd.DataFrame({"progress": thin["progress"], "part": "train", "value": thin[metric]})


def _metric_encoding(metric: str, values: Iterable[float]) -> alt.Y:
    """Accuracy stands over all of [0, 1]; loss from 0 to a little above what there is."""
    import altair as alt

    if metric == "accuracy":
        high, label_format = 1.0, ".0%"
    else:
        high, label_format = 1.08 * max(values, default=0.0) or 1.0, ".2~f"
    return alt.Y(
        "value:Q",
        title=metric.capitalize(),
        scale=alt.Scale(domain=[0, high], nice=False),
        axis=alt.Axis(format=label_format, tickCount=5),
    )


def _epoch_axis(last: int) -> alt.Axis:
    import altair as alt

    return alt.Axis(tickMinStep=1, format="d", tickCount=min(last, 8), grid=False, labelFlush=True)


def _class_color_encoding(field: str, class_names: Sequence[str]) -> alt.Color:
    import altair as alt

    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(
            domain=list(class_names),
            range=[class_color(label) for label in range(len(class_names))],
        ),
        legend=None,
    )


def _label_axis(limit: int) -> Any:
    import altair as alt

    return alt.Axis(labelLimit=limit, ticks=False, domain=False, labelPadding=8)
