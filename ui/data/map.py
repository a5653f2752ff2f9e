"""The map: pictures as points, near ones alike; drag to list some, click for neighbours of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from tl_core.analysis.cache import Map
from tl_core.analysis.explore import MAX_TSNE
from tl_core.charts.data import map_chart
from tl_core.data.dataset import ImageRecord
from tl_core.metrics.nearest import spread_rows
from ui.data.progress import draw_fallback, draw_job
from ui.data.tiles import draw_actions, draw_tiles
from ui.datasets.dataset_view import DatasetView, read_map
from ui.shared import session_keys
from ui.shared.controls import as_kind, control
from ui.shared.errors import guarded
from ui.shared.page_layout import draw_chart
from ui.shared.words import number_of, plain

MAP = "map"
KINDS = {"pca": "Overview (PCA)", "tsne": "Groups (t-SNE)"}
CHART = "map_chart"


@dataclass(frozen=True)
class _Region:
    """What a drag over the chart tells."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class _Point:
    """What a click on the chart tells."""

    row: int


ABOUT_MAP = "The backbone turns each photo into numbers; similar photos are placed near each other."
MAX_POINTS = 6000
NUM_LISTED = 24
LIST_HEIGHT = 480


@st.fragment(key=MAP)
@guarded
def draw_map(view: DatasetView) -> None:
    """Draw the map, or how far it is, and below it the pictures chosen in it."""
    files = view.features
    known = {} if files is None else {kind: read_map(files, kind) for kind in KINDS}
    maps = {kind: one for kind, one in known.items() if one is not None}
    if len(maps) < len(KINDS):
        draw_job(
            view,
            "explore",
            "The map" if not maps else "The map of groups",
            is_there=lambda files: (
                sum(read_map(files, kind) is not None for kind in KINDS) > len(maps)
            ),
        )
    draw_fallback(view)
    if not maps:
        st.caption(ABOUT_MAP)
        return
    kind = _pick_kind(maps)
    _take_click(view, kind)
    chart, side = st.columns([3, 2], gap="large")
    table = _table(view, maps[kind])
    with chart:
        draw_chart(
            map_chart(table, view.classes),
            key=_chart_key(kind),
            on_select="rerun",
            selection_mode=["region", "picked"],
            alt="Photos as points, similar ones near each other, coloured by class",
        )
        st.caption(_map_caption(view, kind, len(table)))
    with side:
        records, words = _chosen(view, maps[kind], table, kind)
        st.markdown(words)
        shown = records[:NUM_LISTED]
        if shown:
            draw_actions(view, shown, "map")
            with st.container(height=LIST_HEIGHT, border=False):
                draw_tiles(view, shown, "map", tile_width=104)
        if len(records) > len(shown):
            st.caption(f"The first {len(shown)} of {len(records):,}.")


def _pick_kind(maps: dict[str, Map]) -> str:
    options = list(maps)
    if st.session_state.get("map_kind") not in options:
        st.session_state["map_kind"] = options[-1]
    return (
        st.segmented_control(
            "Map",
            options,
            format_func=KINDS.__getitem__,
            label_visibility="collapsed",
            required=True,
            **control("map_kind"),
            help="PCA preserves large distances, t-SNE small ones: its groups have a meaning, the "
            "gaps between them do not.",
        )
        or options[-1]
    )


def _selected(kind: str) -> dict[str, Any]:
    """Return what is chosen in the chart, which the session knows before it is drawn again."""
    state = st.session_state.get(_chart_key(kind))
    return {} if state is None else dict(state.selection)


def _take_click(view: DatasetView, kind: str) -> None:
    """Make a clicked picture the one whose neighbours are shown; the chart then marks them."""
    selection = _selected(kind)
    if selection.get("region"):
        return
    points = as_kind(list[_Point], selection.get("picked"))
    if points and 0 <= points[0].row < len(view.raw.records):
        st.session_state[session_keys.MAP_PICTURE] = view.raw.records[points[0].row].path


def _table(view: DatasetView, one: Map) -> pd.DataFrame:
    """Return a row for each image that counts and has a point; thinned out when very many."""
    places = np.array([view.raw_place[record.path] for record in view.index.records])
    places = places[~np.isnan(one.points[places, 0])]
    places = places[spread_rows(len(places), MAX_POINTS)]
    chosen = view.raw_place.get(st.session_state.get(session_keys.MAP_PICTURE, ""), -1)
    near = set(one.neighbours[chosen].tolist()) if 0 <= chosen < len(one.neighbours) else set()
    records = [view.raw.records[place] for place in places]
    return pd.DataFrame(
        {
            "x": one.points[places, 0],
            "y": one.points[places, 1],
            "class": [view.class_of(record.path) for record in records],
            "name": [PurePosixPath(record.path).name for record in records],
            "row": places,
            "state": [
                "chosen" if place == chosen else "near" if place in near else ""
                for place in places.tolist()
            ],
        }
    )


def _chosen(
    view: DatasetView, one: Map, table: pd.DataFrame, kind: str
) -> tuple[Sequence[ImageRecord], str]:
    """Return the pictures that were dragged over, or a clicked one and its neighbours."""
    region = as_kind(_Region, _selected(kind).get("region"))
    if region is not None:
        inside = table[table["x"].between(*region.x) & table["y"].between(*region.y)]
        records = [view.raw.records[row] for row in inside["row"]]
        return records, f"**{number_of(len(records), 'photo')}** in the region"
    place = view.raw_place.get(st.session_state.get(session_keys.MAP_PICTURE, ""))
    if place is None or place >= len(one.neighbours):
        return (
            [],
            "Drag over points to list their photos, or click one to see what is most like it.",
        )
    counted = {record.path for record in view.index.records}
    near = [view.raw.records[row] for row in one.neighbours[place].tolist()]
    records = [view.raw.records[place], *(record for record in near if record.path in counted)]
    name = PurePosixPath(records[0].path).name
    own = view.class_of(records[0].path)
    others = sum(view.class_of(record.path) != own for record in records[1:])
    text = f"**{plain(name)}** ({plain(own)}) and what is most like it"
    if others:
        text += f"; {others} of {len(records) - 1} are of another class"
    return records, text


def _map_caption(view: DatasetView, kind: str, num_shown: int) -> str:
    words = "Drag to list photos, click one for its neighbours."
    if num_shown < view.index.num_images:
        limit = MAX_TSNE if kind == "tsne" else MAX_POINTS
        words += (
            f" {num_shown:,} of {view.index.num_images:,} photos are drawn, evenly chosen"
            f" (at most {limit:,})."
        )
    return words


def _chart_key(kind: str) -> str:
    return f"{CHART}_{kind}"
