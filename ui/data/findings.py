"""What is wrong with a dataset, in plain words, each with its pictures and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd
import streamlit as st

from tl_core.analysis.cache import ExploreFiles
from tl_core.data.audit.findings import unreadable_files
from tl_core.data.dataset import Finding, ImageRecord
from tl_core.tables import safe_table
from ui.data.progress import POLL_SECONDS, draw_audit_progress, draw_fallback, draw_job
from ui.datasets.dataset_view import DatasetView, ensure_audit, read_measured
from ui.datasets.decisions import draw_history, draw_refusal, exclude, ignore, move, remove
from ui.datasets.downloads import draw_files_download
from ui.datasets.finding_items import (
    LABELS,
    UNREADABLE,
    FindingItem,
    OpenFinding,
    is_checked,
    kind_words,
    open_findings,
    unchecked_words,
)
from ui.runs.retraining import draw_project_retraining
from ui.shared.errors import STEPS, guarded
from ui.shared.navigation import PHOTOS_TAB
from ui.shared.thumbnails import thumbnails
from ui.shared.words import number_of, plain

SEVERITIES = {
    "error": (":material/error:", "red"),
    "warning": (":material/warning:", "orange"),
    "info": (":material/info:", "blue"),
}
ALL_CLEAR = "No problems were found in the photos and their labels."
FILES_CLEAR = "No problems were found in the files."
EXCLUDE = "\x00exclude"  # no class can have this name
OTHERWISE = "Exclude or move"  # whole in the narrowest tile
EXCLUDED, DONE = "Excluded", "Decided"
NO_FOLDER = f"Photos were moved to it, but no folder has that name. See them under *{PHOTOS_TAB}*."
NO_PHOTO = "No single photo is wrong. *Split* shows how the photos are divided."
LEFT_OUT = "Files that cannot be read are left out of training. Kept ones are not listed again."
ONLY_READ = "This folder is never written to: delete or replace the files there."
REMOVE_HELP = "Moves the files out of the project into a folder of the workspace."
ITEMS_A_PAGE = 12
GROUPS_A_PAGE = 4
MAX_IN_GROUP = 8
MAX_NAMES = 30
TILE_WIDTH = 132


def draw_findings(view: DatasetView) -> None:
    """Draw the findings that are open, the worst first, then those that are settled."""
    draw_refusal()
    draw_project_retraining(view)
    found = open_findings(view)
    waiting = [one for one in found if one.is_open]
    settled = [one for one in found if not one.is_open]
    with st.container(horizontal=True, vertical_alignment="center"):
        if waiting:
            st.markdown(f"**{number_of(len(waiting), 'finding')}** to look at")
        elif is_checked(view):
            st.markdown(f":green[:material/check_circle:] {ALL_CLEAR}")
        elif view.measured is not None:
            st.markdown(f"{FILES_CLEAR} {LABELS}: {unchecked_words(view)}.")
        draw_history(view, "findings")
    if view.measured is None:
        draw_audit_progress(view)
    elif not view.measured.has_features:
        draw_job(
            view, "explore", "The search for odd and mislabelled photos", is_there=_is_complete
        )
    draw_fallback(view)
    if (files := unreadable_files(view.raw.findings)) and len(files) > 1:
        row = st.container(horizontal=True, vertical_alignment="center")
        with row:
            st.caption(f"{number_of(len(files), 'file')} cannot be read.")
            draw_files_download(row, files, "unreadable.csv", "download_unreadable")
    for number, one in enumerate(waiting):
        icon, color = SEVERITIES[one.finding.severity]
        with st.expander(
            f":{color}[{icon}] {plain(one.finding.message)}",
            expanded=number == 0,
            key=f"finding_{one.key}",
            on_change="rerun",
        ) as expander:
            if expander.open:
                draw_finding(view, one)
    if settled:
        names = sorted({kind_words(one.finding.kind) for one in settled})
        st.caption(f":material/done_all: Resolved: {', '.join(names)}.")


def _is_complete(files: ExploreFiles) -> bool:
    measured = read_measured(files)
    return measured is not None and measured.has_features


@st.fragment
@guarded
def draw_finding(view: DatasetView, one: OpenFinding) -> None:
    """Draw one finding: a button for all of it, then its pictures, each with its own."""
    finding = one.finding
    if finding.remedy:
        st.markdown(STEPS[finding.remedy])
    if not one.items:
        _draw_names(finding)
        return
    if finding.kind == UNREADABLE:
        _draw_files(view, one)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if one.proposed and st.button(
            _all_label(finding, len(one.proposed)),
            key=f"fix_all_{one.action_key}",
            type="primary",
            icon=":material/done_all:",
            help="Can be undone. The files stay where they are.",
        ):
            _propose(view, finding, one.proposed)
        if st.button(
            "Keep all as they are", key=f"ignore_all_{one.action_key}", icon=":material/check:"
        ):
            ignore(view, [path for item in one.items for path in item.paths], finding.kind)
        if one.num_settled:
            st.caption(f"{one.num_settled:,} resolved already")
    is_grouped = bool(finding.groups)
    size = GROUPS_A_PAGE if is_grouped else ITEMS_A_PAGE
    places = one.items if is_grouped else _in_their_places(view, one)
    num_pages = -(-len(places) // size)
    page = st.pagination(num_pages, key=f"page_{one.key}") if num_pages > 1 else 1
    shown = places[(min(page, num_pages) - 1) * size :][:size]
    if is_grouped:
        for item in shown:
            _draw_group(view, finding, item, is_only=len(one.items) == 1)
        return
    if not set(shown) & set(one.items):  # the page is done: the next ones take its place
        st.session_state.pop(_done_key(one), None)
        shown = one.items[:size]
    _draw_singles(view, one, shown)


def _in_their_places(view: DatasetView, one: OpenFinding) -> tuple[FindingItem, ...]:
    """Return the open items, and in their places those decided since they are shown.

    So that the next click is on the picture it was meant for.
    """
    done = st.session_state.get(_done_key(one), ())
    by_path = {item.paths[0]: item for item in one.items}
    target = one.finding.target if one.finding.action == "relabel" else None
    return tuple(
        by_path.get(path) or FindingItem((path,), (), target)
        for path in one.finding.paths
        if path in by_path or (path in done and path in view.raw_place)
    )


def _done_key(one: OpenFinding) -> str:
    return f"finding_done_{one.key}"


@guarded
def draw_counts(view: DatasetView) -> None:
    """Draw in the sidebar how many findings of each severity are open; poll while looking."""
    looking = ensure_audit(view.workspace, view.raw)
    is_busy = view.measured is None and looking is not None and not looking.error
    st.fragment(run_every=POLL_SECONDS if is_busy else None)(_draw_counts)(view, is_busy)


@guarded
def _draw_counts(view: DatasetView, is_busy: bool) -> None:
    if is_busy:
        looking = ensure_audit(view.workspace, view.raw)
        if looking is None or looking.error or not looking.thread.is_alive():
            st.rerun()
        st.caption("Findings: checking the photos")
        return
    counted = dict.fromkeys(SEVERITIES, 0)
    for one in open_findings(view):
        counted[one.finding.severity] += one.is_open
    parts = [
        f":{color}[{icon}] {counted[severity]}"
        for severity, (icon, color) in SEVERITIES.items()
        if counted[severity]
    ]
    text = " &nbsp; ".join(parts) or ("none open" if is_checked(view) else "none so far")
    st.caption(f"Findings: {text}")
    if not is_checked(view):
        what = "Photos" if view.measured is None else LABELS
        st.caption(f"{what}: {unchecked_words(view)}")


def _draw_group(view: DatasetView, finding: Finding, item: FindingItem, *, is_only: bool) -> None:
    """Draw pictures that belong together side by side, with what is proposed for them."""
    with st.container(border=True, key=f"item_{finding.kind}_{item.key}"):
        records = [view.raw.records[view.raw_place[path]] for path in item.paths]
        with st.grid("auto", min_column_width=TILE_WIDTH, gap="small"):
            _draw_pictures(view, records[:MAX_IN_GROUP], item)
        if len(records) > MAX_IN_GROUP:
            st.caption(f"and {len(records) - MAX_IN_GROUP:,} more")
        with st.container(horizontal=True):
            if finding.kind.endswith("two_classes"):
                _draw_classes_to_keep(view, finding, item)
            if is_only:
                return  # the buttons above are for it already
            if item.proposed and st.button(
                _all_label(finding, len(item.proposed)),
                key=f"fix_{finding.kind}_{item.key}",
                icon=":material/block:",
            ):
                _propose(view, finding, item.proposed)
            if st.button(
                "Keep as they are", key=f"ignore_{finding.kind}_{item.key}", type="tertiary"
            ):
                ignore(view, item.paths, finding.kind)


def _draw_classes_to_keep(view: DatasetView, finding: Finding, item: FindingItem) -> None:
    """Draw a button for each class that copies in several could belong to: the others go."""
    for class_name in dict.fromkeys(view.class_of(path) for path in item.paths):
        others = [path for path in item.paths if view.class_of(path) != class_name]
        if st.button(
            f"It is {plain(class_name)}",
            key=f"keep_{class_name}_{finding.kind}_{item.key}",
            icon=":material/check:",
            help="Excludes what lies in the other class.",
        ):
            exclude(view, others, finding.kind)


def _draw_singles(view: DatasetView, one: OpenFinding, items: Sequence[FindingItem]) -> None:
    """Draw pictures one by one, each with what can be decided about it, or what was."""
    finding = one.finding
    records = [view.raw.records[view.raw_place[item.paths[0]]] for item in items]
    tiles = thumbnails(view.workspace, view.raw, records)
    grid = st.grid("auto", min_column_width=TILE_WIDTH, gap="small")
    for record, data, item in zip(records, tiles, items, strict=True):
        key = f"item_{finding.kind}_{item.key}"
        with grid.cell(), st.container(gap="xxsmall", key=key):
            is_done = item not in one.items
            _draw_picture(view, record, data, ":green[:material/check:] " if is_done else "")
            if is_done:
                held = view.held(record.path)
                st.caption(EXCLUDED if held and held.action == "exclude" else DONE)
                continue
            with st.container(horizontal=True, gap="xsmall"):
                target = item.target
                if st.button(
                    "Exclude" if target is None else f"To {plain(target)}",
                    key=f"fix_{finding.kind}_{item.key}",
                    type="tertiary",
                    icon=":material/block:" if target is None else ":material/drive_file_move:",
                ):
                    _note_done(one, record.path)
                    _apply(view, finding, [record.path], target)
                if st.button("Keep", key=f"ignore_{finding.kind}_{item.key}", type="tertiary"):
                    _note_done(one, record.path)
                    ignore(view, [record.path], finding.kind)
            if target is not None:
                _draw_others(view, one, record, item)


def _draw_others(
    view: DatasetView, one: OpenFinding, record: ImageRecord, item: FindingItem
) -> None:
    """Draw the choice of what else a photo of a doubted label can be: any class, or excluded."""
    known = (item.target, view.class_of(record.path))
    chosen = st.selectbox(
        OTHERWISE,
        [EXCLUDE, *(name for name in view.classes if name not in known)],
        index=None,
        format_func=lambda name: "Exclude" if name == EXCLUDE else name,
        placeholder=OTHERWISE,
        key=f"other_{one.finding.kind}_{item.key}",
        label_visibility="collapsed",
    )
    if chosen is None:
        return
    _note_done(one, record.path)
    _apply(view, one.finding, [record.path], None if chosen == EXCLUDE else chosen)


def _note_done(one: OpenFinding, path: str) -> None:
    st.session_state.setdefault(_done_key(one), set()).add(path)


def _draw_pictures(view: DatasetView, records: Sequence[ImageRecord], item: FindingItem) -> None:
    for record, data in zip(records, thumbnails(view.workspace, view.raw, records), strict=True):
        with st.container(gap="xxsmall"):
            is_out = record.path in item.proposed
            _draw_picture(view, record, data, ":red[:material/block:] " if is_out else "")


def _draw_picture(view: DatasetView, record: ImageRecord, data: bytes | None, mark: str) -> None:
    name, class_name = PurePosixPath(record.path).name, view.class_of(record.path)
    if data is None:
        st.caption(f":material/broken_image: {plain(name)} cannot be read any more")
        return
    st.image(data, width="stretch", alt=f"{class_name}: {name}")
    part = f", {record.part}" if record.part else ""
    st.caption(f"{mark}{plain(class_name)}{part}: {plain(name)}")


def _propose(view: DatasetView, finding: Finding, paths: Sequence[str]) -> None:
    _apply(view, finding, paths, finding.target if finding.action == "relabel" else None)


def _apply(view: DatasetView, finding: Finding, paths: Sequence[str], target: str | None) -> None:
    if target is None:
        exclude(view, paths, finding.kind)
    else:
        move(view, paths, target, finding.kind)


def _all_label(finding: Finding, count: int) -> str:
    if finding.action == "relabel" and finding.target:
        return f"Move {count:,} to {plain(finding.target)}"
    return f"Exclude {count:,}" if count == 1 else f"Exclude all {count:,}"


def _draw_files(view: DatasetView, one: OpenFinding) -> None:
    """Draw files that cannot be read, why each of them, and what to do with them."""
    paths = [item.paths[0] for item in one.items]
    with st.container(horizontal=True, vertical_alignment="center"):
        if view.dataset.is_ours and st.button(
            f"Remove {number_of(len(paths), 'file')}",
            key=f"remove_all_{one.action_key}",
            icon=":material/delete:",
            help=REMOVE_HELP,
        ):
            remove(view, paths)
        if st.button(
            "Keep all as they are", key=f"ignore_all_{one.action_key}", icon=":material/check:"
        ):
            ignore(view, paths, one.finding.kind)
    st.caption(LEFT_OUT if view.dataset.is_ours else f"{LEFT_OUT} {ONLY_READ}")
    reason_of = dict(zip(one.finding.paths, one.finding.reasons, strict=True))
    st.dataframe(
        safe_table(
            pd.DataFrame([(path, reason_of[path]) for path in paths], columns=["File", "Why"])
        ),
        hide_index=True,
        key=f"files_{one.key}",
        alt="Files that cannot be read, and why",
    )


def _draw_names(finding: Finding) -> None:
    paths = finding.paths
    if not paths:
        if finding.remedy:
            return
        st.caption(NO_FOLDER if finding.kind == "small_class" else NO_PHOTO)
        return
    shown = ", ".join(plain(path) for path in paths[:MAX_NAMES])
    more = f" and {len(paths) - MAX_NAMES:,} more" if len(paths) > MAX_NAMES else ""
    st.caption(f"{shown}{more}")
