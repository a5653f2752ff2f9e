"""Decisions about single images from the pages: exclude, move, bring back, ignore, undo, redo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Literal, NoReturn

import streamlit as st

from tl_core.data.curation.store import (
    Decision,
    Decisions,
    edit_decisions,
    load_decisions,
    validate,
)
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import DatasetError, TLError
from tl_core.workspace import Workspace
from ui.datasets.dataset_view import View
from ui.datasets.picker import DatasetRef, remember_dataset
from ui.shared import session_keys
from ui.shared.words import number_of, plain

REFUSED = "refused_decision"  # session key: why the last one was not made, until it was shown


def exclude(view: View, paths: Iterable[str], reason: str = "") -> None:
    """Leave images out of everything; their files stay where they are."""
    chosen = list(paths)
    label = f"{number_of(len(chosen), 'picture')} excluded"
    _decide(view, label, [_decision(view, path, "exclude", None, reason) for path in chosen])


def move(view: View, paths: Iterable[str], class_name: str, reason: str = "") -> None:
    """Count images to another class; their files stay where they are.

    Those that count for it already are left out, unless a reason is to be noted about them.
    """
    chosen = list(paths)
    out = {record.path for record in view.excluded}
    moving = [path for path in chosen if reason or path in out or view.class_of(path) != class_name]
    if not moving:
        _refuse(f"Nothing to move: {class_name} is their class already.")
    label = f"{number_of(len(moving), 'picture')} moved to {class_name}"
    decisions = [_decision(view, path, "relabel", class_name, reason) for path in moving]
    _decide(view, label, decisions, picked=chosen)


def bring_back(view: View, paths: Iterable[str]) -> None:
    """Count images as their folders say again."""
    chosen = list(paths)
    label = f"{number_of(len(chosen), 'picture')} brought back"
    _decide(view, label, [_decision(view, path, "keep", None, "") for path in chosen])


def ignore(view: View, paths: Iterable[str], kind: str) -> None:
    """Note that a kind of finding about these images is not to be brought up again.

    What was decided about an image for another reason still holds.
    """
    decisions = []
    for path in dict.fromkeys(paths):
        held = view.held(path)
        if held is None:
            decisions.append(_decision(view, path, "keep", None, kind))
        else:
            decisions.append(_decision(view, path, held.action, held.class_name, kind))
    _decide(view, f"{number_of(len(decisions), 'picture')} kept as is", decisions)


def settled(view: View) -> Callable[[str, str], bool]:
    """Return what tells whether ``(kind, path)`` of a finding was decided about."""
    ignored: set[tuple[str, str]] = set()
    for step in view.decisions.steps:
        for decision in step.decisions:
            if decision.sha256 and not view.is_about(decision):
                continue
            if decision.reason:
                ignored.add((decision.reason, decision.path))
            elif decision.action == "keep":  # brought back: its findings count again
                ignored = {pair for pair in ignored if pair[1] != decision.path}

    def is_settled(kind: str, path: str) -> bool:
        held = view.held(path)
        return (kind, path) in ignored or (
            held is not None and (held.action == "exclude" or held.reason == kind)
        )

    return is_settled


def draw_history(view: View, prefix: str) -> None:
    """Draw undo and redo, each with what it would take back."""
    steps, undone = view.decisions.steps, view.decisions.undone
    if st.button(
        "Undo",
        key=f"{prefix}_undo",
        icon=":material/undo:",
        type="tertiary",
        disabled=not steps,
        help=f"Take back: {plain(steps[-1].label)}" if steps else "Nothing was decided yet",
    ):
        take_step(view.workspace, view.raw, "undo")
    if st.button(
        "Redo",
        key=f"{prefix}_redo",
        icon=":material/redo:",
        type="tertiary",
        disabled=not undone,
        help=f"Again: {plain(undone[-1].label)}" if undone else "Nothing was taken back",
    ):
        take_step(view.workspace, view.raw, "redo")


def take_step(workspace: Workspace, raw: DatasetIndex, direction: Literal["undo", "redo"]) -> None:
    """Take the last step back, or make it again, and draw the page anew."""
    labels: list[str] = []

    def change(before: Decisions) -> Decisions:
        # The last step of the file: another tab may have decided since this view was drawn.
        steps = before.steps if direction == "undo" else before.undone
        if not steps:
            raise DatasetError("No step is left: another window took it already.")
        labels.append(steps[-1].label)
        return before.undo() if direction == "undo" else before.redo()

    edit(workspace, raw, change)
    told = "Taken back" if direction == "undo" else "Again"
    st.session_state[session_keys.NOTICE] = f"{told}: {labels[-1]}"
    st.rerun()


def draw_refusal() -> None:
    """Draw why the last decision was not made, once."""
    if words := st.session_state.pop(REFUSED, None):
        st.warning(plain(words), icon=":material/block:")


def draw_way_out(workspace: Workspace, dataset: DatasetRef) -> None:
    """Draw undo alone: for a dataset that, under its decisions, is none any more."""
    steps = load_decisions(workspace, dataset.path).steps
    if steps and st.button(
        f"Take back: {plain(steps[-1].label)}",
        key="way_out",
        icon=":material/undo:",
        type="primary",
    ):
        edit_decisions(workspace, dataset.path, Decisions.undo)
        st.rerun()


def forget_picked(paths: Collection[str] | None = None) -> None:
    """Pick no picture any more, or none of ``paths``."""
    picked: set[str] = st.session_state.setdefault(session_keys.PICKED, set())
    picked.difference_update(set(picked) if paths is None else paths)


def _decide(
    view: View, label: str, decisions: list[Decision], picked: Collection[str] | None = None
) -> None:
    """Note one step and draw the page anew.

    Args:
        view: the dataset.
        label: of the step.
        decisions: what it holds.
        picked: the pictures that were ticked for it and are not any more; those decided about.
    """
    edit(view.workspace, view.raw, lambda before: before.decide(label, decisions))
    forget_picked([decision.path for decision in decisions] if picked is None else picked)
    remember_dataset(view.workspace, view.dataset.id)
    st.session_state[session_keys.NOTICE] = label
    st.rerun()


def edit(workspace: Workspace, raw: DatasetIndex, change: Callable[[Decisions], Decisions]) -> None:
    """Change the decisions about a dataset; a change that is refused draws the page anew.

    What is left must be a dataset that can be trained on.
    """
    try:
        edit_decisions(workspace, raw.data_dir, lambda before: validate(raw, change(before)))
    except TLError as error:
        _refuse(str(error))


def _refuse(words: str) -> NoReturn:
    """Draw the page anew, as it was, with the reason above the actions."""
    st.session_state[REFUSED] = words
    st.rerun()


def _decision(
    view: View,
    path: str,
    action: Literal["exclude", "relabel", "keep"],
    class_name: str | None,
    reason: str,
) -> Decision:
    if path not in view.raw_place:  # of a file that cannot be read only its name is known
        return Decision(path, "", action, class_name, reason)
    record = view.raw.records[view.raw_place[path]]
    if action == "relabel" and class_name == view.raw.class_names[record.label]:
        action, class_name = "keep", None  # back where its folder has it
    return Decision(path, record.sha256, action, class_name, reason)
