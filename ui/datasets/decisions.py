"""Decisions about single images from the pages: exclude, move, add, bring back, undo, redo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import NoReturn

import streamlit as st

from tl_core.data.curation.edits import Action
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    edit_decisions,
    load_decisions,
    validate,
)
from tl_core.data.ingest import added_photos
from tl_core.data.ingest.class_folders import remove_files
from tl_core.errors import TLError
from tl_core.projects.registry import Project
from tl_core.workspace import Workspace
from ui.datasets.picker import remember_dataset
from ui.datasets.scans import CuratedDataset
from ui.shared import session_keys
from ui.shared.words import number_of, plain

REFUSED = "refused_decision"  # session key: why the last one was not made, until it was shown


def exclude(data: CuratedDataset, paths: Iterable[str], reason: str = "") -> None:
    """Leave images out of everything; their files stay where they are."""
    chosen = list(paths)
    label = f"{_named(chosen)} excluded"
    _decide(data, label, [_decision(data, path, "exclude", None, reason) for path in chosen])


def move(data: CuratedDataset, paths: Iterable[str], class_name: str, reason: str = "") -> None:
    """Count images to another class; their files stay where they are.

    Those that count for it already are left out, unless a reason is to be noted about them.
    """
    chosen = list(paths)
    out = {record.path for record in data.excluded}
    moving = [path for path in chosen if reason or path in out or data.class_of(path) != class_name]
    if not moving:
        _refuse(f"Nothing to move: {class_name} is their class already.")
    label = f"{_named(moving)} moved to {class_name}"
    decisions = [_decision(data, path, "relabel", class_name, reason) for path in moving]
    _decide(data, label, decisions, picked=chosen)


def add(data: CuratedDataset, name: str, content: bytes, class_name: str) -> None:
    """Copy a photo from outside of the dataset into one of its classes."""
    folder = data.raw.data_dir
    try:
        path = added_photos.add_photo(data.workspace, folder, name, content, class_name)
    except TLError as error:
        _refuse(str(error))
    remember_dataset(data.workspace, data.dataset.id)
    text = f"{name} added to {class_name} of {data.dataset.title}: {path}"
    st.session_state[session_keys.NOTICE] = text
    st.rerun()


def bring_back(data: CuratedDataset, paths: Iterable[str]) -> None:
    """Count images as their folders say again."""
    chosen = list(paths)
    label = f"{_named(chosen)} brought back"
    _decide(data, label, [_decision(data, path, "keep", None, "") for path in chosen])


def ignore(data: CuratedDataset, paths: Iterable[str], kind: str) -> None:
    """Note that a kind of finding about these images is not to be brought up again.

    What was decided about an image for another reason still holds.
    """
    decisions = []
    for path in dict.fromkeys(paths):
        held = data.held(path)
        if held is None:
            decisions.append(_decision(data, path, "keep", None, kind))
        else:
            decisions.append(_decision(data, path, held.action, held.class_name, kind))
    _decide(data, f"{_named([one.path for one in decisions])} kept as is", decisions)


def remove(data: CuratedDataset, paths: Sequence[str]) -> None:
    """Move files that cannot be read out of a project of the workspace."""
    try:
        aside = remove_files(data.workspace, data.raw.data_dir, paths)
    except TLError as error:
        _refuse(str(error))
    remember_dataset(data.workspace, data.dataset.id)
    where = data.workspace.relative(aside)
    text = f"{number_of(len(paths), 'file')} removed; now in {where} of the workspace"
    st.session_state[session_keys.NOTICE] = text
    st.rerun()


def settled(data: CuratedDataset) -> Callable[[str, str], bool]:
    """Return what tells whether ``(kind, path)`` of a finding was decided about."""
    ignored: set[tuple[str, str]] = set()
    for step in data.decisions.steps:
        for decision in step.decisions:
            if decision.sha256 and not data.is_about(decision):
                continue
            if decision.reason:
                ignored.add((decision.reason, decision.path))
            elif decision.action == "keep":  # brought back: its findings count again
                ignored = {pair for pair in ignored if pair[1] != decision.path}

    def is_settled(kind: str, path: str) -> bool:
        held = data.held(path)
        return (kind, path) in ignored or (
            held is not None and (held.action == "exclude" or held.reason == kind)
        )

    return is_settled


def draw_history(data: CuratedDataset, prefix: str) -> None:
    """Draw undo and redo, each with what it would take back."""
    steps, undone = data.decisions.steps, data.decisions.undone
    if st.button(
        "Undo",
        key=f"{prefix}_undo",
        icon=":material/undo:",
        type="tertiary",
        disabled=not steps,
        help=f"Undo: {plain(steps[-1].label)}" if steps else "Nothing to undo",
    ):
        take_step(data, "undo")
    if st.button(
        "Redo",
        key=f"{prefix}_redo",
        icon=":material/redo:",
        type="tertiary",
        disabled=not undone,
        help=f"Redo: {plain(undone[-1].label)}" if undone else "Nothing to redo",
    ):
        take_step(data, "redo")


def take_step(data: CuratedDataset, direction: added_photos.Direction) -> None:
    """Undo or redo the last step, and draw the page again."""
    try:
        label = added_photos.take_step(data.workspace, data.raw.data_dir, direction, data.raw)
    except TLError as error:
        _refuse(str(error))
    text = "Undone" if direction == "undo" else "Redone"
    st.session_state[session_keys.NOTICE] = f"{text}: {label}"
    st.rerun()


def draw_refusal() -> None:
    """Draw why the last decision was not made, once."""
    if words := st.session_state.pop(REFUSED, None):
        st.warning(plain(words), icon=":material/block:")


def draw_undo_only(workspace: Workspace, dataset: Project) -> None:
    """Draw undo alone: for a dataset that, under its decisions, is none any more."""
    steps = load_decisions(workspace, dataset.path).steps
    if steps and st.button(
        f"Undo: {plain(steps[-1].label)}",
        key="way_out",
        icon=":material/undo:",
        type="primary",
    ):
        added_photos.take_step(workspace, dataset.path, "undo")
        st.rerun()


def unpick(paths: Collection[str] | None = None) -> None:
    """Pick no picture any more, or none of ``paths``."""
    picked: set[str] = st.session_state.setdefault(session_keys.PICKED, set())
    picked.difference_update(set(picked) if paths is None else paths)


def _decide(
    data: CuratedDataset,
    label: str,
    decisions: list[Decision],
    picked: Collection[str] | None = None,
) -> None:
    """Keep one step of decisions and draw the page again.

    Args:
        data: the dataset.
        label: of the step.
        decisions: what it holds.
        picked: the pictures that were ticked for it and are not any more; those decided about.
    """
    _edit(data, lambda before: before.decide(label, decisions))
    unpick([decision.path for decision in decisions] if picked is None else picked)
    remember_dataset(data.workspace, data.dataset.id)
    st.session_state[session_keys.NOTICE] = label
    st.rerun()


def _edit(data: CuratedDataset, change: Callable[[Decisions], Decisions]) -> None:
    """Change the decisions about a dataset; a change that is refused draws the page again.

    What is left must be a dataset that can be trained on.
    """
    try:
        edit_decisions(
            data.workspace,
            data.raw.data_dir,
            lambda before: validate(data.raw, change(before)),
        )
    except TLError as error:
        _refuse(str(error))


def _named(paths: Sequence[str]) -> str:
    """Return what a step is about: the name of a single photo, or how many there are."""
    return PurePosixPath(paths[0]).name if len(paths) == 1 else number_of(len(paths), "photo")


def refuse_next(words: str) -> None:
    """Have the reason shown above the actions when the page is drawn next, for callbacks."""
    st.session_state[REFUSED] = words


def _refuse(words: str) -> NoReturn:
    """Draw the page again, unchanged, with the reason above the actions."""
    refuse_next(words)
    st.rerun()


def _decision(
    data: CuratedDataset,
    path: str,
    action: Action,
    class_name: str | None,
    reason: str,
) -> Decision:
    if path not in data.raw_place:  # of a file that cannot be read only its name is known
        return Decision(path, "", action, class_name, reason)
    record = data.raw.records[data.raw_place[path]]
    if action == "relabel" and class_name == data.raw.class_names[record.label]:
        action, class_name = "keep", None  # back where its folder has it
    return Decision(path, record.sha256, action, class_name, reason)
