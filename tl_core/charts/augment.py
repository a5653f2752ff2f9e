"""The chart of the augmentation laboratory: a DataFrame in, an ``altair.Chart`` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tl_core.charts.base import ACCENT, CLASS_COLORS, QUIET

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

WARNING = CLASS_COLORS[0]
STATES = {"fits": ACCENT, "too strong": WARNING}
_ROW = 30
_HEAD = 34  # pixels above the bars, for the words at the two lines; part of the chart's height


def effect_chart(effects: pd.DataFrame, same_class: float) -> alt.Chart:
    """Draw how far each transform moves photos, and how far apart photos lie, as two lines.

    Args:
        effects: columns ``transform``, ``shift`` (1 is the distance to another class), ``caption``
            (the words after the bar) and ``state``, one of :data:`STATES`; in the order to draw.
        same_class: the distance of photos of one class, on the same scale.
    """
    import altair as alt
    import pandas as pd

    order = list(effects["transform"])
    longest = max(1.0, float(effects["shift"].max()))
    scale = alt.Scale(domain=[0, 1.45 * longest], nice=False)
    x = alt.X("shift:Q", axis=None, scale=scale)
    base = alt.Chart(effects).encode(
        y=alt.Y(
            "transform:N",
            sort=order,
            title=None,
            axis=alt.Axis(
                labelLimit=190, labelOverlap=False, ticks=False, domain=False, labelPadding=8
            ),
        ),
        tooltip=[
            alt.Tooltip("transform:N", title="Transform"),
            alt.Tooltip("shift:Q", title="Moves by", format=".2f"),
            alt.Tooltip("caption:N", title="In words"),
        ],
    )
    bars = base.mark_bar(cornerRadiusEnd=4, height={"band": 0.66}).encode(
        x=x,
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=list(STATES), range=list(STATES.values())),
            legend=None,
        ),
    )
    words = base.mark_text(align="left", dx=6, color=QUIET, fontWeight=600).encode(
        x=x, text=alt.Text("caption:N")
    )
    marks = pd.DataFrame({"shift": [same_class, 1.0], "caption": ["one class", "another class"]})
    lines = alt.Chart(marks).mark_rule(strokeDash=[5, 4], color=QUIET).encode(x=x)
    layers = [bars, lines, words]
    for row, (align, dx) in enumerate((("right", -4), ("left", 4))):
        layers.append(
            alt.Chart(marks.iloc[[row]])
            .mark_text(align=align, dx=dx, color=QUIET, baseline="top")
            .encode(x=x, y=alt.YValue(-_HEAD + 12), text=alt.Text("caption:N"))
        )
    return alt.layer(*layers).properties(
        height=_ROW * len(effects) + _HEAD,
        padding={"top": _HEAD, "left": 0, "right": 0, "bottom": 0},
    )
