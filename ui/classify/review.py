"""Many answers: counts and filters first, then the table, then the photos to tick and add."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import streamlit as st

from tl_core.charts.base import percent
from tl_core.inference.answer_table import AnswerTable, Filter
from tl_core.inference.bulk import answer_columns, answer_row, write_answers
from tl_core.inference.predict import Prediction
from tl_core.tables import safe_table
from tl_core.workspace import Workspace
from ui.classify.answers import draw_details
from ui.classify.cards import UNSURE_BELOW, UNSURE_KEY, is_unsure
from ui.classify.corrections import (
    FOR_TRAINING,
    WRONG,
    Addition,
    CorrectionTarget,
    draw_left_out,
    start_adding,
)
from ui.classify.models import Model
from ui.classify.photo import Photo
from ui.classify.sources import PhotoSource, large_picture
from ui.datasets.downloads import file_for_download
from ui.shared import session_keys
from ui.shared.controls import control
from ui.shared.errors import guarded
from ui.shared.page_layout import page_key
from ui.shared.tile_grid import LARGE_SIDE, Tile, tick_grid
from ui.shared.words import counted, distinct, number_of, plain

PAGE_SIZE = 36
MAX_ROWS = 1000  # of the table on the page; the download has all
MAX_PILLS = 12
TILE_WIDTH = 150
TABLE_HEIGHT = 280
ALL, UNSURE, NONE, UNREADABLE = "all", "unsure", "none", "unreadable"
AS_ANSWERED = "As answered"
TICK_FIRST = "Wrong? Tick photos first"
WRONG_WIDTH = 240  # pixels

Row = tuple[str, Prediction]


@st.fragment
@guarded
def draw_review(
    workspace: Workspace,
    model: Model,
    table: AnswerTable,
    source: PhotoSource,
    project: CorrectionTarget | None,
    name: str,
) -> None:
    """Draw answers, however many: a page of photos and at most 1,000 rows at a time.

    Args:
        workspace: where runs and thumbnails are kept.
        model: whose answers they are.
        table: the answers.
        source: gives the photos by the keys of the table.
        project: what ticked photos are added to; None where that is not possible.
        name: what the answers are about, for the keys of widgets and the name of the download.
    """
    chosen = _draw_filter(table)
    count = table.count(chosen)
    download_table(workspace, table, f"{model.id}_{name}")
    if not count:
        st.caption("No photo matches.")
        return
    _draw_table([answer for _, answer in table.read(chosen, limit=MAX_ROWS)], table, count)
    num_pages, page = -(-count // PAGE_SIZE), 1
    if num_pages > 1:
        key = page_key("answers", name, model.id, chosen)
        page = min(num_pages, st.pagination(num_pages, key=key, max_visible_pages=5))
    start = (page - 1) * PAGE_SIZE
    rows = table.read(chosen, start, PAGE_SIZE)
    draw_left_out()
    _draw_actions(workspace, model, table, source, project, rows)
    tick_grid(
        [_tile(key, answer, source) for key, answer in rows],
        _picked(),
        "answer_tiles",
        _take_ticks,
        TILE_WIDTH,
        lambda key: large_picture(source.photo(key), LARGE_SIDE),
    )
    st.caption(f"Photos {start + 1:,} to {start + len(rows):,} of {count:,}.")


def _draw_filter(table: AnswerTable) -> Filter:
    """Draw the counts as the choice of which answers are shown."""
    counts = table.counts()
    pills, limit = st.columns([4, 1], vertical_alignment="bottom", gap="medium")
    below = limit.slider(
        "Unsure below",
        30,
        99,
        UNSURE_BELOW,
        format="%d %%",
        key=UNSURE_KEY,
        persist_state="session",
        help="An answer counts as unsure when its probability is lower.",
    )
    filters = {ALL: Filter()}
    labels = {ALL: counted("All", counts.total)}
    num_choices = 3 + len(counts.by_label) + bool(counts.unreadable)
    as_pills = num_choices <= MAX_PILLS  # they read Markdown
    unsure, none, unreadable = "Unsure", "None of these", "Not readable"
    if as_pills:
        unsure, none = f":material/help: {unsure}", f":material/block: {none}"
        unreadable = f":material/broken_image: {unreadable}"
    by_size = sorted(range(len(counts.by_label)), key=lambda label: -counts.by_label[label])
    for label in by_size:
        key = f"class {label}"
        filters[key] = Filter("class", label=label)
        name = table.class_names[label]
        labels[key] = counted(plain(name) if as_pills else name, counts.by_label[label])
    filters[UNSURE] = Filter("unsure", below=below / 100)
    filters[NONE], filters[UNREADABLE] = Filter("none"), Filter("unreadable")
    labels[UNSURE] = counted(unsure, table.count(filters[UNSURE]))
    labels[NONE] = counted(none, counts.none)
    if counts.unreadable:
        labels[UNREADABLE] = counted(unreadable, counts.unreadable)
    labels = distinct(labels)
    if st.session_state.get("answer_filter") not in labels:
        st.session_state["answer_filter"] = ALL
    shared: dict[str, Any] = {
        "label": "Answers",
        "options": list(labels),
        "format_func": labels.__getitem__,
        **control("answer_filter"),
    }
    chosen = pills.pills(**shared, required=True) if as_pills else pills.selectbox(**shared)
    return filters[chosen or ALL]


def download_table(workspace: Workspace, table: AnswerTable, stem: str) -> None:
    """Draw the download of all answers; the file is made when it is asked for."""
    st.download_button(
        "Download CSV",
        lambda: file_for_download(
            workspace, "answers.csv", functools.partial(write_answers, table)
        ),
        file_name=f"{stem}_answers.csv",
        mime="text/csv",
        key="download_answers",
        icon=":material/download:",
        on_click="ignore",
    )


def answers_frame(answers: Sequence[Prediction], class_names: Sequence[str]) -> pd.DataFrame:
    """Return a row a photo: its class, or "none of these" and why, probabilities, or its error."""
    rows = [answer_row(answer, len(class_names)) for answer in answers]
    return pd.DataFrame(rows, columns=answer_columns(class_names))


def draw_table(answers: Sequence[Prediction], class_names: Sequence[str]) -> None:
    """Draw answers as a table, without columns that are empty."""
    frame = answers_frame(answers, class_names)
    shares = [name for name in frame.columns if name == "probability" or name.startswith("p(")]
    empty = [name for name in ("reason", "error") if not frame[name].notna().any()]
    shown = frame.drop(columns=empty)
    text = [name for name in shown.columns if name not in shares]
    shown[text] = shown[text].fillna("")
    shown = shown.assign(**{name: 100 * shown[name].astype(float) for name in shares})
    share = st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
    st.dataframe(
        safe_table(shown),
        hide_index=True,
        height=TABLE_HEIGHT if len(shown) > 6 else "auto",
        key="answers_table",
        column_config=dict.fromkeys(shares, share),
        placeholder="",
        alt="The answer and all probabilities for each photo",
    )


def _draw_table(answers: Sequence[Prediction], table: AnswerTable, count: int) -> None:
    draw_table(answers, table.class_names)
    if count > len(answers):
        st.caption(f"The first {len(answers):,} of {count:,}; the download has all.")


def _tile(key: str, answer: Prediction, source: PhotoSource) -> Tile:
    name = PurePath(answer.name).name
    if answer.error is not None:
        return Tile(key, name, "not readable", None, answer.error)
    best, probability = answer.top[0]
    line = f"none of these, nearest {best}" if answer.is_none_of_these else best
    title = line if answer.is_none_of_these else f"{best} {percent(probability)}"
    if is_unsure(answer):
        title = f"{title}, unsure"
    return Tile(key, title, line, source.tile(key), name)


def _picked() -> set[str]:
    picked: set[str] = st.session_state.setdefault(session_keys.ANSWER_PICKED, set())
    return picked


def _take_ticks(shown: set[str], ticked: set[str]) -> None:
    picked = _picked()
    picked.difference_update(shown)
    picked.update(ticked)


def _draw_actions(
    workspace: Workspace,
    model: Model,
    table: AnswerTable,
    source: PhotoSource,
    project: CorrectionTarget | None,
    rows: Sequence[Row],
) -> None:
    """Draw the bar: tick all shown, untick, details of one, add those that are ticked."""
    picked = {key: answer for key in sorted(_picked()) if (answer := table.find(key)) is not None}
    shown = {key for key, _ in rows}
    all_ticked = shown <= set(picked)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Untick all" if all_ticked else "Tick all shown",
            key="answers_tick_all",
            type="tertiary",
            icon=":material/deselect:" if all_ticked else ":material/select_all:",
            on_click=_tick_all,
            args=(shown, all_ticked),
        )
        one = next(iter(picked.items())) if len(picked) == 1 else None
        if (
            one is not None
            and one[1].error is None
            and st.button("Details", key="answers_details", icon=":material/zoom_in:")
        ):
            photo = source.photo(one[0])
            if photo is not None:
                draw_details(workspace, model, _digest(photo), photo, one[1])
        if project is None:
            return
        _draw_wrong(project, source, picked)
        label = f"Add to the project ({len(picked):,})" if picked else "Add to the project"
        with st.popover(
            label,
            icon=":material/library_add:",
            disabled=not picked,
            key=f"add_answers_{len(project.curated.decisions.steps)}",
        ):
            _draw_add(project, source, picked)


def _draw_wrong(
    project: CorrectionTarget, source: PhotoSource, picked: dict[str, Prediction]
) -> None:
    """Draw the choice of the class that the ticked photos show, which adds them to it."""
    round_number = st.session_state.setdefault(session_keys.CORRECTION_ROUND, 0)
    chosen = st.selectbox(
        WRONG,
        project.curated.classes,
        index=None,
        placeholder=WRONG if picked else TICK_FIRST,
        key=f"answers_wrong_{round_number}",
        disabled=not picked,
        label_visibility="collapsed",
        width=WRONG_WIDTH,
        help=f"Adds the ticked photos to the project in this class. {FOR_TRAINING}",
    )
    if chosen is not None:
        st.session_state[session_keys.CORRECTION_ROUND] = round_number + 1
        start_adding(new_photos(picked, source, project.curated.classes, chosen))


def _draw_add(
    project: CorrectionTarget, source: PhotoSource, picked: dict[str, Prediction]
) -> None:
    options = [AS_ANSWERED, *project.curated.classes]
    chosen = st.selectbox("Class", options, key="add_answers_class")
    photos = new_photos(picked, source, project.curated.classes, chosen)
    st.caption(f"Copied into the project; can be undone. {FOR_TRAINING}")
    if left := len(picked) - len(photos):
        st.caption(f"{number_of(left, 'photo')} left out: unreadable, or answered “none of these”.")
    label = f"Add {number_of(len(photos), 'photo')}"
    if st.button(label, key="add_answers_now", type="primary", disabled=not photos):
        start_adding(photos)


def new_photos(
    picked: dict[str, Prediction],
    source: PhotoSource,
    classes: Sequence[str],
    chosen: str,
) -> list[Addition]:
    """Return photos with their classes, without those that have none or cannot be read."""
    photos = []
    for key, answer in picked.items():
        photo = source.photo(key)
        if answer.error is not None or photo is None:
            continue
        class_name = chosen
        if chosen == AS_ANSWERED:
            if answer.is_none_of_these or answer.top[0][0] not in classes:
                continue
            class_name = answer.top[0][0]
        photos.append(Addition(PurePath(answer.name).name, photo, class_name))
    return photos


def _tick_all(shown: set[str], all_ticked: bool) -> None:
    if all_ticked:
        _picked().clear()
    else:
        _picked().update(shown)


def _digest(photo: Photo | Path) -> str:
    if isinstance(photo, Photo):
        return photo.digest
    return hashlib.sha256(str(photo).encode("utf-8", "surrogateescape")).hexdigest()
