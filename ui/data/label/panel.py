"""The Label tab: photos without a class get one, in groups or one by one, by a few keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath

import streamlit as st

from tl_core.analysis.labelling import ROUND, SHEET, LabelState, Sheet
from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_decisions
from tl_core.data.ingest.added_photos import take_step
from tl_core.data.ingest.labels import give_labels, leave_out
from tl_core.errors import TLError
from tl_core.jobs import client as jobs
from ui.data.label.classes import draw_class_menu
from ui.data.label.sheet import Action, SheetTile, label_sheet
from ui.data.label.state import (
    GROUPS,
    SINGLE,
    LabelView,
    current_sheet,
    forget_failure,
    open_label_view,
    show_sheet,
    skip_sheet,
)
from ui.data.progress import POLL_SECONDS
from ui.datasets.decisions import draw_refusal, refuse_next
from ui.datasets.picker import remember_dataset
from ui.shared import session_keys
from ui.shared.address import go_to
from ui.shared.controls import control
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.thumbnails import thumbnails
from ui.shared.words import number_of, plain
from ui.shell.page import Studio

SHEET_KEY = "label_sheet"
MODE_KEY = "label_mode"
ALL_HAVE_CLASS = "All photos of this project have a class: their folders or a label file name it."
NO_DATASET = "No project yet. Add photos first."
NAME_CLASSES = "Name the classes first, such as `pizza, steak, sushi`."
NO_GROUPS = "No group of similar photos is left."
NEW_GROUPS = (
    f"Label some one by one: after every {ROUND} labels the rest are grouped again, which can "
    "give new groups."
)
DONE = "All photos have a class."
LIKE_NONE = "There are no other photos without a class."
TILE_WIDTHS = {"single": 200}
TILE_WIDTH = 132


def draw_label(studio: Studio, config: TrainConfig) -> bool:
    """Draw the tab, or why there is nothing to label; return whether it leads to training."""
    if studio.dataset is None:
        st.caption(NO_DATASET)
        return False
    view = open_label_view(studio.workspace, studio.dataset, config)
    if not view.without_class:
        st.info(ALL_HAVE_CLASS, icon=":material/label:")
        return False
    _draw(studio, config)
    return _can_train(view)


def _can_train(view: LabelView) -> bool:
    return view.num_classes >= 2 and view.state is not None


@st.fragment
@guarded
def _draw(studio: Studio, config: TrainConfig) -> None:
    if studio.dataset is None:
        return
    draw_refusal()
    view = open_label_view(studio.workspace, studio.dataset, config)
    _draw_head(view)
    draw_class_menu(view)
    if view.state is None:
        _draw_waiting(view)
        return
    _draw_failure(view)
    if not view.classes:
        st.info(NAME_CLASSES, icon=":material/keyboard:")
        return
    if not len(view.state.open):
        st.success(DONE, icon=":material/check_circle:")
        _draw_undo(view)
        return
    _take_like(view)
    mode = _pick_mode()
    sheet = current_sheet(view, mode)
    if sheet is None:
        st.info(f"{NO_GROUPS} {_after_groups(len(view.state.open))}", icon=":material/grid_view:")
        if view.state.is_due:
            _poll(view, view.state.ranking)
        _draw_undo(view)
        return
    st.markdown(_words(view, sheet))
    _draw_sheet(view, sheet, mode)


def _after_groups(num_open: int) -> str:
    """Return what to do with photos that are in no group."""
    if num_open > ROUND:
        return NEW_GROUPS
    return f"Label the last {number_of(num_open, 'photo')} one by one."


def _draw_head(view: LabelView) -> None:
    """Draw how far labelling is, and the way to training."""
    line, action = st.columns([3, 1], vertical_alignment="center")
    if view.state is not None:
        done, total = len(view.state.class_of), view.state.num_photos
        text = f"{done:,} of {number_of(total, 'photo')} have a class"
        if view.state.left_out:
            text += f" · {len(view.state.left_out):,} left out"
        if view.state.pool.unreadable:
            text += f" · {len(view.state.pool.unreadable):,} cannot be read"
        line.progress(done / total if total else 0.0, text=text)
    if _can_train(view) and view.state is not None:
        count = number_of(len(view.state.class_of), "photo")
        with action:
            if st.button(
                f"Train on {count}",
                key="label_train",
                icon=":material/model_training:",
                type="secondary" if len(view.state.open) else "primary",
                width="stretch",
                help="Photos without a class are left out.",
            ):
                go_to(TRAIN_PAGE)


def _draw_waiting(view: LabelView) -> None:
    if view.failure:
        message = f"The photos could not be grouped. {plain(view.failure)}"
        st.warning(message, icon=":material/warning:")
        _draw_retry(view)
        return
    st.caption("The photos are grouped by what they show. Name the classes meanwhile.")
    _poll(view, None)


def _draw_failure(view: LabelView) -> None:
    """Draw that sorting again failed, where the groups are there."""
    if view.failure:
        message = f"The photos could not be sorted again. {plain(view.failure)}"
        st.warning(message, icon=":material/warning:")
        _draw_retry(view)


def _draw_retry(view: LabelView) -> None:
    if st.button("Try again", key="retry_label", icon=":material/refresh:"):
        forget_failure(view)
        st.rerun(scope="fragment")


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _poll(view: LabelView, before: object) -> None:
    """Draw the worker's progress; the page is drawn again when its result is there."""
    now = open_label_view(view.workspace, view.dataset, view.config)
    after = now.state if before is None else now.state and now.state.ranking
    if now.failure or (after is not None and after is not before):
        st.rerun()
    state = jobs.state_of(view.workspace, LABEL, now.config, view.dataset.path)
    draw_bar(view.workspace, state, "Preparing")


def _pick_mode() -> str:
    return (
        st.segmented_control(
            "How",
            [GROUPS, SINGLE],
            label_visibility="collapsed",
            required=True,
            **control(MODE_KEY, GROUPS),
        )
        or GROUPS
    )


def _take_like(view: LabelView) -> None:
    """Show the like of pictures that were ticked elsewhere on the page."""
    paths = st.session_state.pop(session_keys.LABEL_LIKE, None)
    if paths and view.state is not None:
        _show_like(view, view.state, paths)


def _show_like(view: LabelView, state: LabelState, paths: Sequence[str]) -> None:
    sheet = state.more_like(paths)
    if not sheet.paths:
        refuse_next(LIKE_NONE)
        return
    st.session_state[MODE_KEY] = GROUPS
    show_sheet(view, GROUPS, sheet)


def _words(view: LabelView, sheet: Sheet) -> str:
    """Return what a sheet shows and what to do."""
    guess = f"**{plain(sheet.suggestion)}?** " if sheet.suggestion else ""
    if sheet.kind == "single":
        order = "the least sure first" if view.state and view.state.ranking else "a mix of all"
        return f"One key for each photo, {order}. **Enter** takes the class shown under it."
    shown = number_of(len(sheet.paths), "photo")
    what = {
        "group": f"{guess}{shown} that look alike.",
        "sure": f"{guess}{shown} that the model is most sure of.",
        "similar": f"{guess}{shown} most like those that were ticked.",
    }[sheet.kind]
    accept = " **Enter** takes the suggested class." if sheet.suggestion else ""
    return f"{what} Untick what does not belong, then press the key of the class.{accept}"


def _draw_sheet(view: LabelView, sheet: Sheet, mode: str) -> None:
    state = view.state
    if state is None:
        return
    paths = [path for path in sheet.paths if path in state.pool.place_of]
    records = [state.pool.index.records[state.pool.place_of[path]] for path in paths]
    pictures = thumbnails(view.workspace, state.pool.index, records)
    is_single = sheet.kind == "single"
    tiles = []
    for path, picture in zip(paths, pictures, strict=True):
        guess = state.suggestion_for(path) if is_single else None
        tiles.append(
            SheetTile(
                path,
                PurePosixPath(path).name,
                picture,
                state.class_of.get(path, ""),
                path in state.left_out,
                guess[0] if guess else "",
            )
        )
    label_sheet(
        tiles,
        view.classes,
        f"{sheet.kind} {hash(sheet.paths)}",
        SHEET_KEY,
        partial(take_actions, view, sheet, mode),
        ticked=() if is_single else [one.path for one in tiles if not one.label],
        suggestion=sheet.suggestion or "",
        can_undo=bool(view.decisions.steps),
        tile_width=TILE_WIDTHS.get(sheet.kind, TILE_WIDTH),
    )


def take_actions(view: LabelView, sheet: Sheet, mode: str, actions: Sequence[Action]) -> None:
    """Do what the person did on a sheet, in order; what is refused is said on the page."""
    for action in actions:
        try:
            _take_action(view, sheet, mode, action)
        except TLError as error:
            refuse_next(str(error))
            return


def _take_action(view: LabelView, sheet: Sheet, mode: str, action: Action) -> None:
    workspace, data_dir, state = view.workspace, view.dataset.path, view.state
    if state is None:
        return
    # What comes from the browser may be any text.
    paths = [path for path in action.paths[:SHEET] if path in state.pool.place_of]
    if action.act == "undo":
        _undo(view, sheet)
    elif action.act == "next":
        skip_sheet(sheet)
    elif action.act == "more" and paths:
        _show_like(view, state, paths)
    elif action.act == "out" and paths:
        leave_out(workspace, data_dir, state.pool.sha256_of(paths))
    elif action.act == "label" and paths and action.class_name in view.classes:
        labels: dict[str, str | None] = dict.fromkeys(paths, action.class_name)
        give_labels(workspace, data_dir, labels, state.pool.sha256_of(paths))
    remember_dataset(workspace, view.dataset.id)


def _undo(view: LabelView, sheet: Sheet) -> None:
    """Take the last step back, and show the photos that it was about."""
    steps = load_decisions(view.workspace, view.dataset.path).steps
    line = take_step(view.workspace, view.dataset.path, "undo")
    st.session_state[session_keys.NOTICE] = f"Undone: {line}"
    known = view.state.pool.place_of if view.state else {}
    paths = tuple(one.path for one in steps[-1].decisions if one.path in known)
    if paths and not set(paths) <= set(sheet.paths):
        again = Sheet("group", paths) if len(paths) > 1 else Sheet("single", paths)
        show_sheet(view, st.session_state.get(MODE_KEY, GROUPS), again)


def _draw_undo(view: LabelView) -> None:
    """Draw undo where there is no sheet whose keys have it."""
    steps = view.decisions.steps
    if steps and st.button(
        f"Undo: {plain(steps[-1].label)}", key="label_undo", icon=":material/undo:"
    ):
        _undo(view, Sheet("group", ()))
        st.rerun(scope="fragment")
