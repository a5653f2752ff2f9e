"""Charts of the Train page: curves of one run or of several, and the choice of a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tl_core.charts.base import (
    ACCENT,
    CLASS_COLORS,
    MAX_POINTS,
    PART_COLORS,
    QUIET,
    RUN_COLORS,
    downsample,
    finite,
)

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd


PHASE_TITLES = {"head": "head", "fine_tune": "fine-tuning"}

_LABEL_PLACE = -10  # of the phases' names, in pixels above the chart


def phase_starts(epochs: pd.DataFrame) -> list[tuple[str, int]]:
    """Return each phase of a history with the number of epochs before it."""
    phases = list(epochs["phase"]) if "phase" in epochs else []
    return [(phase, phases.index(phase)) for phase in dict.fromkeys(phases)]


def history_chart(
    epochs: pd.DataFrame,
    metric: str,
    batches: pd.DataFrame | None = None,
    num_epochs: int = 0,
    *,
    starts: Sequence[tuple[str, int]] = (),
    best: int | None = None,
) -> alt.LayerChart:
    """Draw ``accuracy`` or ``loss`` over the epochs for train and val, batches faintly behind.

    Args:
        epochs: a row each in order; columns ``accuracy``, ``loss``, ``val_accuracy``, ``val_loss``,
            and ``phase`` and ``epoch`` (from 0 in each phase) where there are several phases.
        metric: ``"accuracy"`` (axis fixed to [0, 1]) or ``"loss"``. Values that are not finite,
            as in a training that diverged, are left out.
        batches: columns ``progress`` (epochs done, fractional), ``accuracy``, ``loss``.
        num_epochs: epochs that the run was given, so that the axis does not jump while it trains.
        starts: the phases, each with the number of epochs before it; a rule stands between two.
        best: number of the row of the best epoch, which is marked.
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
        legend=alt.Legend(
            orient="top",
            symbolType="stroke",
            symbolStrokeWidth=3,
            symbolOpacity=1,
            offset=22 if len(starts) > 1 else 8,
        ),
    )
    tooltip = [
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("epoch_text:N", title="Epoch"),
        _value_tooltip(metric),
    ]
    behind = (
        alt.Chart(faint)
        .mark_line(strokeWidth=1, opacity=0.35, clip=True)
        .encode(x=x, y=y, color=color)
    )
    front = (
        alt.Chart(downsample(lines))
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=36, filled=True))
        .encode(x=x, y=y, color=color, tooltip=tooltip)
    )
    layers = [behind, front]
    if best is not None:
        layers += _best_mark(lines, best, metric, x, y)
    if len(starts) > 1:
        layers += _phase_rules(starts, x, last)
    return alt.layer(*layers).properties(height=240)


def compare_chart(histories: dict[str, pd.DataFrame], metric: str) -> alt.Chart:
    """Draw one metric of several runs over each other: val solid, train dashed.

    Args:
        histories: by the run's name, which should be short, frames as for :func:`history_chart`.
    """
    import altair as alt
    import pandas as pd

    names = list(histories)
    lines = pd.concat(
        [_long_history(frame, metric).assign(run=name) for name, frame in histories.items()]
    )
    last = max([1, *(len(frame) for frame in histories.values())])
    return (
        alt.Chart(downsample(lines, MAX_POINTS * len(names)))
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
                legend=alt.Legend(
                    orient="top", columns=4, symbolType="stroke", symbolStrokeWidth=3, labelLimit=90
                ),
            ),
            strokeDash=alt.StrokeDash(
                "part:N",
                title=None,
                scale=alt.Scale(domain=["val", "train"], range=[[1, 0], [4, 4]]),
                legend=None,  # two legends do not fit above half a column
            ),
            tooltip=[
                alt.Tooltip("run:N", title="Run"),
                alt.Tooltip("part:N", title="Part"),
                alt.Tooltip("epoch_text:N", title="Epoch"),
                _value_tooltip(metric),
            ],
        )
        .properties(height=260, padding={"left": 5, "top": 5, "right": 12, "bottom": 20})
    )


def backbone_chart(backbones: pd.DataFrame, chosen: str) -> alt.Chart:
    """Draw size against published accuracy, with the chosen one highlighted; a click picks one.

    The selection is named ``picked`` and holds the field ``backbone``.

    Args:
        backbones: columns ``backbone``, ``weights_mb``, ``top1`` in [0, 1] (rows without one are
            left out), ``weights`` (where they come from) and ``speed`` (on this machine, as text).
    """
    import altair as alt

    known = backbones.dropna(subset=["top1"]).assign(
        state=lambda frame: [
            "chosen" if name == chosen else weights
            for name, weights in zip(frame["backbone"], frame["weights"], strict=True)
        ]
    )
    least = max(0.0, float(known["top1"].min()) - 0.02) if len(known) else 0.0
    all_states = {
        "chosen": ACCENT,
        "included": CLASS_COLORS[1],
        "downloaded on first use": QUIET,
    }
    there = set(known["state"])  # the legend explains only dots that are drawn
    states = [state for state in all_states if state in there]
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
                scale=alt.Scale(domain=states, range=[all_states[state] for state in states]),
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


def _long_history(epochs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return rows (progress, epoch_text, part, value); an epoch is drawn where it ended."""
    import pandas as pd

    progress = range(1, len(epochs) + 1)
    if len(phase_starts(epochs)) > 1:
        pairs = zip(epochs["phase"], epochs["epoch"], strict=True)
        epoch_text = [f"{PHASE_TITLES.get(phase, phase)}, {epoch + 1}" for phase, epoch in pairs]
    else:
        epoch_text = [str(number) for number in progress]
    parts = [
        pd.DataFrame(
            {
                "progress": progress,
                "epoch_text": epoch_text,
                "part": part,
                "value": finite(epochs[column]),
            }
        )
        for part, column in (("train", metric), ("val", f"val_{metric}"))
        if column in epochs
    ]
    empty = pd.DataFrame({"progress": [], "epoch_text": [], "part": [], "value": []})
    return pd.concat(parts).dropna(subset=["value"]) if parts else empty


def _best_mark(lines: pd.DataFrame, best: int, metric: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a ring around the best epoch and its name."""
    import altair as alt

    row = lines[(lines["part"] == "val") & (lines["progress"] == best + 1)]
    base = alt.Chart(row).encode(x=x, y=y)
    ring = base.mark_point(size=170, strokeWidth=2, color=PART_COLORS["val"], filled=False)
    below = metric == "accuracy"  # where its line is seldom
    name = base.mark_text(dy=18 if below else -16, fontSize=12, color=QUIET, text="best")
    return [ring, name]


def _phase_rules(starts: Sequence[tuple[str, int]], x: alt.X, last: int) -> list[alt.Chart]:
    """Return a rule between two phases, with both names above it."""
    import altair as alt
    import pandas as pd

    titles = [PHASE_TITLES.get(phase, phase) for phase, _ in starts]
    charts = []
    for (_, start), before, after in zip(starts[1:], titles, titles[1:], strict=False):
        row = pd.DataFrame([{"progress": start, "change": f"{before} → {after}"}])
        base = alt.Chart(row).encode(x=x)
        align = "left" if start < last / 3 else "center" if start < 2 * last / 3 else "right"
        name = base.mark_text(align=align, fontSize=12, color=QUIET)
        charts += [
            base.mark_rule(color=QUIET, strokeDash=[4, 4], tooltip=None),
            name.encode(text=alt.Text("change:N"), y=alt.YValue(_LABEL_PLACE)),
        ]
    return charts


def _value_tooltip(metric: str) -> alt.Tooltip:
    import altair as alt

    return alt.Tooltip(
        "value:Q", title=metric.capitalize(), format=".1%" if metric == "accuracy" else ".4f"
    )


def _batch_lines(batches: pd.DataFrame | None, metric: str) -> pd.DataFrame:
    """Return rows as :func:`_long_history` does, thinned out; none without batches."""
    import pandas as pd

    if batches is None:
        return pd.DataFrame({"progress": [], "part": [], "value": []})
    known = batches.assign(value=finite(batches[metric])).dropna(subset=["value"])
    thin = downsample(known)
    return pd.DataFrame({"progress": thin["progress"], "part": "train", "value": thin["value"]})


def _metric_encoding(metric: str, values: Iterable[float]) -> alt.Y:
    """Return the axis: [0, 1] for accuracy, from 0 to a little above the values for loss."""
    import altair as alt

    if metric == "accuracy":
        high, label_format = 1.0, ".0%"
    else:
        high, label_format = 1.08 * max(values, default=0.0) or 1.0, ".2~f"
    return alt.Y(
        "value:Q",
        title=metric.capitalize(),
        scale=alt.Scale(domain=[0, high], nice=False),
        axis=alt.Axis(format=label_format, tickCount=5, labelFlush=False),
    )


def _epoch_axis(last: int) -> alt.Axis:
    import altair as alt

    return alt.Axis(tickMinStep=1, format="d", tickCount=min(last, 8), grid=False, labelFlush=True)
