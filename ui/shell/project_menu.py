"""What can be done to a project itself: rename, re-link, export, import, delete and take back."""

from __future__ import annotations

import functools
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import streamlit as st

from tl_core.data.file_names import safe_component
from tl_core.errors import TLError
from tl_core.files import shown_name
from tl_core.progress import Monitor
from tl_core.projects.archive import export_project, import_project
from tl_core.projects.registry import MAX_TITLE, Project, list_projects, rename_project, runs_of
from tl_core.projects.relink import relink_project
from tl_core.projects.trash import (
    DeletedProject,
    delete_project,
    list_deleted,
    restore_project,
    sweep_trash,
)
from tl_core.workspace import Workspace
from ui.datasets.downloads import file_for_download
from ui.datasets.picker import allowed_path, choose_dataset
from ui.datasets.scans import read_plan
from ui.shared import session_keys
from ui.shared.errors import guarded
from ui.shared.progress import shower
from ui.shared.words import ago, number_of, plain

PANEL_WIDTH = 320  # pixels
ASKED = "project_delete_asked"  # id of the project whose deleting waits for a yes
DELETED = "project_deleted"  # token of the one deleted last in this session
ROUND = "project_import_round"  # counts imports, so that each begins with an empty uploader


def draw_project_menu(
    workspace: Workspace, project: Project | None, may_open_folders: bool
) -> None:
    """Draw the menu of the project in view, and how to take back that one was just deleted.

    Args:
        workspace: where projects are.
        project: the one in view; None while there is none.
        may_open_folders: whether folders of this machine may be named.
    """
    deleted = list_deleted(workspace)
    _draw_undo(workspace, project, deleted)
    with (
        st.popover(
            "Manage project",
            icon=":material/more_horiz:",
            key=f"manage_project_{None if project is None else project.id}",
        ),  # another project's popover is closed
        st.container(width=PANEL_WIDTH),
    ):
        if project is not None:
            _draw_title(workspace, project)
            if may_open_folders and not (project.is_ours and not project.is_missing):
                _draw_relink(workspace, project)
            if not project.is_missing:
                _draw_export(workspace, project)
        if workspace.host is None:
            _draw_import(workspace)
        if project is not None:
            _draw_delete(workspace, project)
        if deleted:
            _draw_deleted(workspace, deleted)


@guarded
def _draw_title(workspace: Workspace, project: Project) -> None:
    title = st.text_input(
        "Name of the project",
        value=project.title,
        key=f"project_title_{project.id}",
        max_chars=MAX_TITLE,
        placeholder=shown_name(project.path.name),
    )
    if st.button("Rename", key="project_rename", icon=":material/edit:", width="stretch"):
        renamed = rename_project(workspace, project, title)
        _begin_again(f"The project is called '{renamed.title}' now.")


@guarded
def _draw_relink(workspace: Workspace, project: Project) -> None:
    path = st.text_input(
        "Folder of the photos",
        value=str(project.path),
        key=f"project_folder_{project.id}",
        help="When the folder was moved or renamed, say where it is now. Decisions, runs and "
        "searches follow.",
    )
    if st.button("Re-link", key="project_relink", icon=":material/link:", width="stretch"):
        moved = relink_project(workspace, project, allowed_path(path))
        _begin_again(f"'{moved.title}' is linked to its folder again.")


@guarded
def _draw_export(workspace: Workspace, project: Project) -> None:
    st.download_button(
        "Export as a zip",
        data=lambda: file_for_download(
            workspace, "project.zip", functools.partial(export_project, workspace, project)
        ),
        file_name=f"{safe_component(project.title)}.zip",
        mime="application/zip",
        key=f"project_export_{project.id}",
        icon=":material/folder_zip:",
        width="stretch",
        on_click="ignore",
        help="Photos, decisions, runs and searches, to keep or to import on another machine. For "
        "more than 2 GB use `tl projects export`.",
    )


@guarded
def _draw_import(workspace: Workspace) -> None:
    number = st.session_state.get(ROUND, 0)
    file = st.file_uploader(
        "Import an exported project", type=["zip"], key=f"project_import_{number}"
    )
    if file is None:
        return
    if st.button("Import", key="project_import", icon=":material/upload:", width="stretch"):
        bar = st.progress(0.0, text="Starting")
        project = import_project(workspace, file, monitor=Monitor(shower(bar)))
        st.session_state[ROUND] = number + 1
        choose_dataset(workspace, project.id)
        _begin_again(f"'{project.title}' was imported and is open now.")


@guarded
def _draw_delete(workspace: Workspace, project: Project) -> None:
    if project.is_sample:
        st.caption("The sample set cannot be deleted: it is drawn again when it is missing.")
        return
    if st.session_state.get(ASKED) != project.id:
        st.button(
            "Delete project",
            key="project_delete",
            icon=":material/delete:",
            width="stretch",
            on_click=_ask,
            args=(project.id,),
        )
        return
    count = number_of(len(runs_of(workspace, project, include_archived=True)), "run")
    what = (
        f"its photos and {count}" if project.is_ours else f"{count}; its photos stay where they are"
    )
    after = "It can be restored for a day." if workspace.host is None else "This cannot be undone."
    st.warning(f"Removes *{plain(project.title)}*: {what}. {after}")
    st.caption(plain(project_facts(workspace, project)))
    yes, no = st.columns(2, gap="small")
    no.button("Cancel", key="project_delete_no", width="stretch", on_click=_ask, args=(None,))
    if yes.button("Delete it", key="project_delete_yes", width="stretch"):
        _ask(None)
        deleted = delete_project(workspace, project)
        st.session_state[DELETED] = deleted.token
        if workspace.host is not None:  # its bytes count for the visitor's limit
            sweep_trash(workspace, timedelta(0))
        rest = list_projects(workspace)
        notice = f"'{deleted.title}' was deleted."
        if rest:
            choose_dataset(workspace, rest[0].id)
            notice = f"{notice} Open now: {rest[0].title}"
        _begin_again(notice)


def project_facts(workspace: Workspace, project: Project) -> str:
    """Return what tells projects of one title apart: the folder, its photos, its last change."""
    facts = [f"Folder {project.path.name if project.is_ours else project.path}"]
    with suppress(TLError, OSError):
        chosen = read_plan(workspace, project).chosen
        if chosen is not None:
            count = sum(chosen.class_counts.values()) + chosen.num_unlabelled
            facts.append(number_of(count, "photo"))
    with suppress(OSError):
        changed = datetime.fromtimestamp(project.path.stat().st_mtime, UTC)
        facts.append(f"changed {ago(changed)}")
    return " · ".join(facts)


def _draw_undo(
    workspace: Workspace, project: Project | None, deleted: list[DeletedProject]
) -> None:
    """Draw what was deleted last in this session, what is open now, and the button to undo it."""
    for one in deleted:
        if one.token == st.session_state.get(DELETED):
            now = "" if project is None else f" Open now: *{plain(project.title)}*."
            st.caption(f"*{plain(one.title)}* was deleted.{now}")
            _draw_restore(workspace, one, f"Undo: restore {plain(one.title)}", "project_undo")


def _draw_deleted(workspace: Workspace, deleted: list[DeletedProject]) -> None:
    st.caption("Deleted within the last day")
    for one in deleted:
        until = f"{one.expires.astimezone():%d %b %H:%M}"
        _draw_restore(
            workspace, one, f"Restore {plain(one.title)}, until {until}", f"restore_{one.token}"
        )


@guarded
def _draw_restore(workspace: Workspace, one: DeletedProject, label: str, key: str) -> None:
    if st.button(label, key=key, icon=":material/undo:", width="stretch"):
        project = restore_project(workspace, one.token)
        st.session_state.pop(DELETED, None)
        choose_dataset(workspace, project.id)
        _begin_again(f"'{project.title}' was restored.")


def _ask(project_id: str | None) -> None:
    st.session_state[ASKED] = project_id


def _begin_again(notice: str) -> None:
    st.session_state[session_keys.NOTICE] = notice
    st.rerun()
