"""Managing a run: name and notes, archive and restore, delete."""

from __future__ import annotations

import streamlit as st

from tl_core.errors import RunError
from tl_core.runs.store import Run, annotate_run, archive_run, delete_run, rename_run, unarchive_run
from ui.runs.picker import choose_run, leave_run, run_title
from ui.shared import session_keys
from ui.shared.forms import draw_problem

PANEL_WIDTH = 320  # pixels
ASKED = "delete_asked"  # id of the run whose deleting waits for a yes


def draw_manage(run: Run) -> None:
    """Draw the menu of a run."""
    with (
        st.popover(
            "Manage", icon=":material/more_horiz:", key=f"manage_run_{run.id}"
        ),  # another run's popover is closed
        st.container(width=PANEL_WIDTH),
    ):
        _draw_words(run)
        _draw_archive(run)
        _draw_delete(run)


def _draw_words(run: Run) -> None:
    name = st.text_input(
        "Name",
        value="" if run.name == run.id else run.name,
        key=f"run_name_{run.id}",
        placeholder=run_title(run),
    )
    notes = st.text_area(
        "Notes",
        value=run.notes,
        key=f"run_notes_{run.id}",
        height=96,
        placeholder="What was tried, and the result",
    )
    if st.button("Save", key="rename_run", icon=":material/save:", width="stretch"):
        try:
            rename_run(run, name)
            annotate_run(run, notes)
        except RunError as error:
            draw_problem(str(error))
            return
        choose_run(run.id)
        st.session_state[session_keys.NOTICE] = "Name and notes are saved."
        st.rerun()


def _draw_archive(run: Run) -> None:
    if run.is_archived:
        if st.button(
            "Restore from the archive",
            key="unarchive_run",
            icon=":material/unarchive:",
            width="stretch",
        ):
            unarchive_run(run)
            choose_run(run.id)
            st.session_state[session_keys.NOTICE] = f"{run_title(run)} is listed again."
            st.rerun()
    elif st.button(
        "Archive",
        key="archive_run",
        icon=":material/archive:",
        width="stretch",
        help="Keeps the run, but leaves it out of the table and of every choice of runs.",
    ):
        archive_run(run)
        leave_run()
        st.session_state[session_keys.NOTICE] = f"Archived {run_title(run)}."
        st.rerun()


def _draw_delete(run: Run) -> None:
    if st.session_state.get(ASKED) != run.id:
        st.button(
            "Delete",
            key="delete_run",
            icon=":material/delete:",
            width="stretch",
            on_click=_ask,
            args=(run.id,),
        )
        return
    st.warning("Its settings, metrics and weights are deleted permanently.")
    yes, no = st.columns(2, gap="small")
    no.button("Cancel", key="delete_no", width="stretch", on_click=_ask, args=(None,))
    if yes.button("Delete run", key="delete_yes", width="stretch"):
        _ask(None)
        title = run_title(run)
        delete_run(run)
        leave_run()
        st.session_state[session_keys.NOTICE] = f"Deleted {title}."
        st.rerun()


def _ask(run_id: str | None) -> None:
    st.session_state[ASKED] = run_id
