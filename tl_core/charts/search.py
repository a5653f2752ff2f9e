"""Charts of searching: the learning-rate test, and all heads of a search at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.charts.base import ACCENT, CLASS_COLORS, GROUND, INK, QUIET, percent
from tl_core.config.training import TrainConfig

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

WORSE_TO_BETTER = (CLASS_COLORS[0], CLASS_COLORS[1], ACCENT)
ACCURACY_AXIS = "Accuracy"

_MAX_LABELS = 9  # an axis with more values shows the ends and some between


def range_test_chart(
    curve: pd.DataFrame, suggestion: float | None, current: float | None = None
) -> alt.LayerChart:
    """Draw the loss over the learning rate, on a logarithmic axis, with the suggested rate.

    Args:
        curve: columns ``learning_rate``, ``loss``, ``smoothed``.
        suggestion: marked with its value; None for no mark.
        current: the rate that is set, marked faintly; None for no mark.
    """
    import altair as alt
    import pandas as pd

    low = 0.9 * float(curve["smoothed"].min())
    high = 1.25 * float(curve["smoothed"].iloc[: max(1, len(curve) // 2)].max())
    x = alt.X(
        "learning_rate:Q",
        title="Learning rate",
        scale=alt.Scale(
            type="log",
            domain=[float(curve["learning_rate"].min()), float(curve["learning_rate"].max())],
            nice=False,
        ),
        axis=alt.Axis(format=".0e", grid=False, values=[10.0**power for power in range(-6, 1)]),
    )
    scale = alt.Scale(domain=[low, high], nice=False)
    y_axis = alt.Axis(tickCount=5, format=".2~f")
    raw = (
        alt.Chart(curve)
        .mark_line(strokeWidth=1, color=QUIET, opacity=0.7, clip=True)
        .encode(x=x, y=alt.Y("loss:Q", title="Loss", scale=scale, axis=y_axis))
    )
    line = (
        alt.Chart(curve)
        .mark_line(strokeWidth=3, color=ACCENT, clip=True)
        .encode(
            x=x,
            y=alt.Y("smoothed:Q", title="Loss", scale=scale, axis=y_axis),
            tooltip=[
                alt.Tooltip("learning_rate:Q", title="Learning rate", format=".2~g"),
                alt.Tooltip("smoothed:Q", title="Loss, smoothed", format=".3f"),
            ],
        )
    )
    layers = [raw, line]
    marks = [(suggestion, f"suggested {suggestion:g}", ACCENT)] if suggestion else []
    if current and (not suggestion or not math.isclose(current, suggestion, rel_tol=0.02)):
        marks.append((current, f"now {current:g}", QUIET))
    for place, (rate, caption, color) in enumerate(marks):
        mark = pd.DataFrame({"learning_rate": [rate], "caption": [caption]})
        base = alt.Chart(mark).encode(x=x)
        layers.append(base.mark_rule(color=color, strokeWidth=2, strokeDash=[5, 4], clip=True))
        layers.append(
            base.mark_text(
                align="left", dx=7, color=color, fontWeight=600, fontSize=13, clip=False
            ).encode(text=alt.Text("caption:N"), y=alt.YValue(12 + 18 * place))
        )
    return alt.layer(*layers).properties(height=300)


def parallel_chart(
    trials: pd.DataFrame, fields: Sequence[str], chosen: int | None, *, theme: str = "light"
) -> Any:
    """Draw a line for each head through its settings to its accuracy.

    Args:
        trials: as :func:`~tl_core.search.ranking.trials_table` gives them.
        fields: the settings to draw an axis for, in order.
        chosen: number of the highlighted head.
        theme: ``"light"`` or ``"dark"``, for the values, which stand out from the lines.
    """
    import altair as alt

    known = trials.dropna(subset=["val_accuracy"])
    points, ticks = _parallel_points(known, fields)
    points["state"] = np.where(points["number"] == chosen, "chosen", "other")
    axes = [TrainConfig.title_of(name) for name in fields] + [ACCURACY_AXIS]
    x = alt.X(
        "axis:N",
        sort=axes,
        title=None,
        scale=alt.Scale(type="point", padding=0.35),
        axis=alt.Axis(
            orient="top", labelAngle=0, labelFontWeight=600, ticks=False, domain=False, grid=True
        ),
    )
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.08], nice=False))
    accuracies = known["val_accuracy"]
    low, high = float(accuracies.min()), float(accuracies.max())
    lines = (
        alt.Chart(points)
        .mark_line(strokeJoin="round")
        .encode(
            x=x,
            y=y,
            detail=alt.Detail("number:N"),
            color=alt.Color(
                "val_accuracy:Q",
                scale=alt.Scale(
                    domain=[low, (low + high) / 2, max(high, low + 1e-6)],
                    range=list(WORSE_TO_BETTER),
                ),
                legend=None,
            ),
            strokeWidth=alt.condition("datum.state === 'chosen'", alt.value(4.5), alt.value(1.6)),
            opacity=alt.condition("datum.state === 'chosen'", alt.value(1), alt.value(0.4)),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("caption:N", title="Head"),
                alt.Tooltip("val_accuracy:Q", title="Accuracy", format=".1%"),
            ],
        )
    )
    ground = GROUND.get(theme, GROUND["light"])
    text = alt.Chart(ticks).encode(x=x, y=y, text=alt.Text("label:N"))
    style = {"align": "right", "dx": -7, "dy": -9, "fontSize": 12, "fontWeight": 600}
    halo = text.mark_text(
        **style, color=ground, stroke=ground, strokeWidth=5, strokeJoin="round", tooltip=None
    )
    labels = text.mark_text(**style, color=INK.get(theme, INK["light"]))
    return alt.layer(lines, halo, labels).properties(height=330)


def _parallel_points(
    trials: pd.DataFrame, fields: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the corners of every line, and the values to write at each axis."""
    import pandas as pd

    rows, ticks = [], []
    for order, name in enumerate([*fields, "val_accuracy"]):
        values = trials[name]
        places = _places(trials, name)
        axis = ACCURACY_AXIS if name == "val_accuracy" else TrainConfig.title_of(name)
        for number, value, place, accuracy in zip(
            trials["number"], values, places, trials["val_accuracy"], strict=True
        ):
            rows.append((number, axis, order, place, accuracy, _label(name, value)))
        seen = {_label(name, value): place for value, place in zip(values, places, strict=True)}
        ordered = sorted(seen.items(), key=lambda item: item[1])
        for label, place in _spread(ordered, 3 if name == "val_accuracy" else _MAX_LABELS):
            ticks.append((axis, place, label))
    points = pd.DataFrame(
        rows, columns=["number", "axis", "order", "place", "val_accuracy", "label"]
    )
    caption = points[points["axis"] != ACCURACY_AXIS].groupby("number")["label"].agg(" · ".join)
    points["caption"] = points["number"].map(caption)
    return points, pd.DataFrame(ticks, columns=["axis", "place", "label"])


def _places(trials: pd.DataFrame, name: str) -> np.ndarray:
    """Return where on its axis each value stands, from 0 at the bottom to 1 at the top."""
    values = trials[name]
    if name == "learning_rate":
        numbers = np.log10(values.to_numpy(float))
    elif name in ("fc_layers", "backbone"):
        # Layers by width, the deeper of equal widths last; the steps between are equal.
        order = sorted(set(values), key=_layers_key if name == "fc_layers" else None)
        numbers = np.array([order.index(value) for value in values], float)
    else:
        numbers = values.to_numpy(float)
    low, high = numbers.min(), numbers.max()
    return (numbers - low) / (high - low) if high > low else np.full(len(numbers), 0.5)


def _layers_key(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(width) for width in text.split(", "))


def _spread(items: list[tuple[str, float]], most: int) -> list[tuple[str, float]]:
    chosen = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[place] for place in chosen]


def _label(name: str, value: Any) -> str:
    if name in ("dropout", "label_smoothing"):
        return f"{100 * value:.0f} %"
    if name == "val_accuracy":
        return percent(value)
    return value if isinstance(value, str) else f"{value:g}"
