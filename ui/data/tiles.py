"""Pictures that can be ticked, and what can be done with those that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath

import streamlit as st

from tl_core.data.dataset import ImageRecord
from tl_core.data.ingest.class_folders import class_folder_name, colliding_name
from tl_core.errors import DatasetError
from ui.datasets.dataset_view import DatasetView
from ui.datasets.decisions import (
    bring_back,
    draw_history,
    draw_refusal,
    exclude,
    move,
    unpick,
)
from ui.shared import session_keys
from ui.shared.errors import open_label_tab
from ui.shared.thumbnails import large_picture, thumbnails
from ui.shared.tile_grid import LARGE_SIDE, Tile, tick_grid
from ui.shared.words import plain

TILE_WIDTH = 128
MORE_LIKE_THESE = "More like these"


def picked_of(view: DatasetView) -> set[str]:
    """Return the paths of the ticked pictures; another dataset begins with none.

    Of a picture whose file has gone or has another path by now the tick goes too.
    """
    if st.session_state.get(session_keys.PICKED_DATASET) != view.dataset.id:
        st.session_state[session_keys.PICKED_DATASET] = view.dataset.id
        st.session_state[session_keys.PICKED] = set()
    picked: set[str] = st.session_state.setdefault(session_keys.PICKED, set())
    picked.intersection_update(view.raw_place)
    return picked


def draw_tiles(
    view: DatasetView,
    records: Sequence[ImageRecord],
    prefix: str,
    notes: Mapping[str, str] | None = None,
    tile_width: int = TILE_WIDTH,
) -> None:
    """Draw pictures in a grid, each with a box to tick it that bears its name.

    Args:
        view: whose pictures they are.
        records: which.
        prefix: of the session keys.
        notes: a line under a picture, by path.
        tile_width: in pixels; the grid has as many columns as fit.
    """
    pictures = thumbnails(view.workspace, view.raw, records)
    tick_grid(
        [
            Tile(
                path=record.path,
                name=PurePosixPath(record.path).name,
                alt=view.class_of(record.path),
                jpeg=picture,
                note=(notes or {}).get(record.path, ""),
            )
            for record, picture in zip(records, pictures, strict=True)
        ],
        picked_of(view),
        f"{prefix}_tiles",
        partial(take_ticks, view),
        tile_width,
        partial(_large, view),
    )


def _large(view: DatasetView, path: str) -> bytes | None:
    return large_picture(view.raw, view.raw.records[view.raw_place[path]], LARGE_SIDE)


def take_ticks(view: DatasetView, shown: set[str], ticked: set[str]) -> None:
    """Make the pictures that are ticked the picked ones among those shown."""
    picked: set[str] = st.session_state[session_keys.PICKED]
    picked.difference_update(shown)
    picked.update(path for path in ticked if path in view.raw_place)


def draw_actions(
    view: DatasetView, shown: Sequence[ImageRecord], prefix: str, *, are_excluded: bool = False
) -> None:
    """Draw the bar: tick all shown, exclude, move to a class or bring back, undo and redo.

    Ticks made where other classes are shown count as well, but not those of excluded pictures among
    pictures that count, nor the other way round.
    """
    draw_refusal()
    out = {record.path for record in view.excluded}
    picked = picked_of(view) & out if are_excluded else picked_of(view) - out
    paths = sorted(picked)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        all_ticked = bool(shown) and all(record.path in picked for record in shown)
        st.button(
            "Untick all" if all_ticked else "Tick all shown",
            key=f"{prefix}_tick_all",
            icon=":material/deselect:" if all_ticked else ":material/select_all:",
            type="tertiary",
            disabled=not shown,
            on_click=_tick_all,
            args=(tuple(record.path for record in shown), paths if all_ticked else ()),
        )
        if picked and not all_ticked:
            st.button(
                f"Untick {len(picked):,}",
                key=f"{prefix}_untick",
                icon=":material/deselect:",
                type="tertiary",
                on_click=unpick,
                args=(paths,),
            )
        if are_excluded:
            if st.button(
                _counted("Bring back", picked),
                key=f"{prefix}_bring_back",
                icon=":material/restore_from_trash:",
                disabled=not picked,
            ):
                bring_back(view, paths)
        elif st.button(
            _counted("Exclude", picked),
            key=f"{prefix}_exclude",
            icon=":material/block:",
            disabled=not picked,
            help="They no longer count anywhere. Their files stay where they are.",
        ):
            exclude(view, paths)
        with st.popover(
            _counted("Move to class", picked),
            icon=":material/drive_file_move:",
            disabled=not picked,
            # Another key with each decision: the popover of the one before is closed.
            key=f"{prefix}_move_{len(view.decisions.steps)}",
        ):
            _draw_move(view, paths, prefix)
        if (
            len(paths) == 1
            and prefix != "map"
            and st.button(
                "Similar",
                key=f"{prefix}_similar",
                icon=":material/scatter_plot:",
                type="tertiary",
                on_click=_show_similar,
                args=(paths[0],),
                help="Shows the most similar photos on the map",
            )
        ):
            st.rerun()  # all of the page: another of its parts is open now
        if (
            picked
            and view.raw.unlabelled
            and st.button(
                MORE_LIKE_THESE,
                key=f"{prefix}_more_like",
                icon=":material/label:",
                type="tertiary",
                on_click=_label_like,
                args=(tuple(paths),),
                help="Shows the most similar photos without a class under *Label*",
            )
        ):
            st.rerun()
        draw_history(view, prefix)


def _draw_move(view: DatasetView, paths: Sequence[str], prefix: str) -> None:
    chosen = st.selectbox(
        "Class",
        view.classes,
        index=None,
        accept_new_options=True,
        key=f"{prefix}_move_target",
        placeholder="Choose a class or type a new one",
        help="They count for this class from now on. Their files stay where they are.",
    )
    target = None
    try:
        target = _class_named(view, chosen or "")
    except DatasetError as error:
        st.warning(plain(str(error)), icon=":material/block:")
    if (
        st.button("Move", key=f"{prefix}_move_now", type="primary", disabled=not (target and paths))
        and target
    ):
        move(view, paths, target)


def _class_named(view: DatasetView, typed: str) -> str | None:
    """Return the class that is meant: one that is there as it is spelled, a new one, or none.

    Raises:
        DatasetError: no class folder could have the new name beside those that are there.
    """
    if typed in view.classes:
        return typed
    if not typed.strip():
        return None
    name = class_folder_name(typed)
    if (taken := colliding_name(name, view.classes)) is not None:
        raise DatasetError(
            f"Expected a new class name, but there is a class '{taken}' already. Choose it from "
            "the list, or type another name."
        )
    return name


def _counted(label: str, picked: set[str]) -> str:
    return f"{label} ({len(picked):,})" if picked else label


def _show_similar(path: str) -> None:
    st.session_state[session_keys.MAP_PICTURE] = path
    st.session_state[session_keys.DATA_TABS] = "Map"


def _label_like(paths: tuple[str, ...]) -> None:
    st.session_state[session_keys.LABEL_LIKE] = paths
    open_label_tab()


def _tick_all(shown: Sequence[str], ticked: Sequence[str]) -> None:
    """Tick all that are shown, or none of ``ticked`` any more when all were."""
    if ticked:
        unpick(ticked)
    else:
        st.session_state.setdefault(session_keys.PICKED, set()).update(shown)
