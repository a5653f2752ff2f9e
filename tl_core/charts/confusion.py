"""The confusion matrix: right answers in one colour, mistakes in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tl_core.charts.base import ACCENT, CLASS_COLORS, INK, percent

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

MAX_WRITTEN_CLASSES = 15  # with more, the cells are too small for their figures

_WRONG = CLASS_COLORS[0]
_CHARACTERS_ACROSS = 40  # of class names below a chart in a narrow window
_FAINT = 0.06  # how much of its colour a cell without images keeps, so that the grid is seen
_SEEN = 0.22  # and at least one with images, so that a single mistake is seen


def confusion_chart(
    cells: pd.DataFrame, class_names: Sequence[str], *, by_share: bool, theme: str = "light"
) -> alt.LayerChart:
    """Draw a confusion matrix: right answers in one colour, mistakes in another.

    A click picks a cell: the selection is named ``cell`` and holds ``true`` and ``answer``.

    Args:
        cells: columns ``true``, ``answer``, ``images``, ``share`` (of its row, in [0, 1]) and
            ``is_chosen``, for the one whose photos are shown.
        class_names: in the order of rows and columns.
        by_share: write the share of the row instead of the number of images.
        theme: ``"light"`` or ``"dark"``, for the figures on pale cells.
    """
    import altair as alt

    table = cells.assign(
        kind=[
            "right" if t == a else "wrong" for t, a in zip(cells.true, cells.answer, strict=True)
        ],
        depth=[
            max(share, _SEEN) if images else _FAINT
            for images, share in zip(cells["images"], cells["share"], strict=True)
        ],
        share_text=[percent(share) if share == share else "no images" for share in cells["share"]],
        text=[
            _cell_text(images, share, by_share)
            for images, share in zip(cells["images"], cells["share"], strict=True)
        ],
    )
    band = alt.Scale(paddingInner=0.04, paddingOuter=0)
    names, ink = list(class_names), INK.get(theme, INK["light"])
    base = alt.Chart(table).encode(
        x=alt.X(
            "answer:N", sort=names, title="Answer", scale=band, axis=_name_axis(_needs_turn(names))
        ),
        y=alt.Y("true:N", sort=names, title="True class", scale=band, axis=_name_axis(None)),
        tooltip=[
            alt.Tooltip("true:N", title="True class"),
            alt.Tooltip("answer:N", title="Answer"),
            alt.Tooltip("images:Q", title="Photos"),
            alt.Tooltip("share_text:N", title="Of this class"),
        ],
    )
    cells_layer = (
        base.mark_rect(cornerRadius=5, strokeWidth=2.5, cursor="pointer")
        .encode(
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["right", "wrong"], range=[ACCENT, _WRONG]),
                legend=None,
            ),
            fillOpacity=alt.FillOpacity(
                "depth:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None
            ),
            stroke=alt.condition(
                "datum.is_chosen",
                alt.value(ink),
                alt.value("transparent"),
            ),
        )
        .add_params(alt.selection_point(name="cell", fields=["true", "answer"]))
    )
    size = 34 if len(names) > 10 else 44 if len(names) > 5 else 64
    layers = [cells_layer]
    if len(names) <= MAX_WRITTEN_CLASSES:
        layers.append(
            base.mark_text(fontWeight=600, fontSize=13 if len(names) <= 10 else 10).encode(
                text=alt.Text("text:N"),
                color=alt.condition("datum.depth > 0.55", alt.value("#FFFFFF"), alt.value(ink)),
                opacity=alt.condition("datum.images > 0", alt.value(1), alt.value(0.35)),
            )
        )
    return alt.layer(*layers).properties(height=min(720, size * len(names) + 40))


def _cell_text(images: int, share: float, by_share: bool) -> str:
    if not by_share:
        return str(images)
    return "" if share != share else f"{100 * share:.0f} %"


def _needs_turn(names: Sequence[str]) -> bool:
    """Whether names must be rotated to fit below the chart."""
    return len(names) * max(map(len, names), default=0) > _CHARACTERS_ACROSS


def _name_axis(is_turned: bool | None) -> Any:
    """Names of classes; None for those next to the chart, which are not rotated."""
    import altair as alt

    angle = {} if is_turned is None else {"labelAngle": -40 if is_turned else 0}
    return alt.Axis(
        labelLimit=110, labelFlush=False, ticks=False, domain=False, labelPadding=8, **angle
    )
