"""The demo's part of the sidebar: jobs that wait, the visitor's data, the operator's text."""

from __future__ import annotations

import os

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from tl_core.config.limits import MEGABYTE, Limits, current_limits
from tl_core.jobs.fair_queue import FairQueue, is_in_advance
from tl_core.jobs.queue import JobQueue
from tl_core.visitors.usage import usage
from tl_core.workspace import Workspace
from ui.hosted.ending import delete_now
from ui.hosted.guard import is_logged_in_demo
from ui.hosted.uploads import has_lost_upload, note_run
from ui.hosted.visitor import COOKIES_BLOCKED, leave, own_link
from ui.shared import words
from ui.shared.errors import guarded

BANNER_ENVIRONMENT_NAME = "TL_DEMO_BANNER"
POLL_SECONDS = 2.0
PANEL_WIDTH = 320  # pixels
BLOCKED = (
    "Cookies are blocked here, as in a frame of another site: when this page is closed, only its "
    "link leads back to your photos."
)
UPLOAD_LOST = (
    "A file that you had chosen is not there any more: others needed the memory for uploads. "
    "Choose it again."
)
ASKED = "delete_data_asked"


def draw_demo_panel(workspace: Workspace) -> None:
    """Draw what a visitor of a demo should know; nothing in a studio."""
    limits = current_limits()
    if limits is None or workspace.host is None:
        return
    context = get_script_run_ctx()
    if context is not None:
        note_run(context.session_id)
        if has_lost_upload(context.session_id):
            st.toast(UPLOAD_LOST, icon=":material/warning:", duration="long")
    if st.session_state.get(COOKIES_BLOCKED):
        st.caption(BLOCKED)
        st.link_button(
            "Open in a tab of its own", own_link(), icon=":material/open_in_new:", width="stretch"
        )
    polls = POLL_SECONDS if _has_jobs(workspace) else None
    st.fragment(run_every=polls)(_draw_jobs)(workspace)
    with (
        st.popover("Your data", icon=":material/shield_person:", key="your_data"),
        st.container(width=PANEL_WIDTH),
    ):
        _draw_data(workspace, limits)
    if text := os.environ.get(BANNER_ENVIRONMENT_NAME):
        st.caption(text)  # of whoever runs the server, so Markdown is welcome


def upload_caption() -> str:
    """Return what to say beside an uploader about limits; empty in a studio."""
    limits = current_limits()
    if limits is None:
        return ""
    hours = words.number_of(round(limits.hours), "hour")
    return (
        f"This demo takes uploads of up to {limits.upload_mb} MB each, photos of up to "
        f"{limits.megapixels} megapixels, and {limits.photos:,} photos of a visitor. They are "
        f"stored without their metadata, and deleted {hours} after you leave."
    )


def waiting_jobs(workspace: Workspace, host: Workspace) -> list[int]:
    """Return how many jobs of all visitors come before each of a visitor's, in order.

    An active job has 0; jobs computed in advance are left out.
    """
    # Those of all take long to read.
    return FairQueue(host).positions(workspace) if _has_jobs(workspace) else []


def _has_jobs(workspace: Workspace) -> bool:
    """Whether a visitor asked for jobs that are not over."""
    return not all(map(is_in_advance, JobQueue(workspace).jobs()))


@guarded
def _draw_jobs(workspace: Workspace) -> None:
    host = workspace.host
    if host is None:
        return
    positions = waiting_jobs(workspace, host)
    queue = FairQueue(host)
    waiting = [position for position in positions if position]
    if not positions:
        return
    parts = ["1 job running"] if len(waiting) < len(positions) else []
    if waiting:
        first = min(waiting)
        wait = words.seconds(max(1.0, queue.wait_seconds(first)))
        parts.append(
            f"{words.number_of(len(waiting), 'job')} waiting, {first} before the next, about {wait}"
        )
    st.caption(f"Yours: {'; '.join(parts)}")


@guarded
def _draw_data(workspace: Workspace, limits: Limits) -> None:
    used = usage(workspace)
    hours = words.number_of(round(limits.hours), "hour")
    st.markdown(
        f"**{used.num_photos:,}** of {limits.photos:,} photos, "
        f"**{used.num_bytes / MEGABYTE:,.1f}** of {limits.visitor_mb:,} MB. "
        f"Everything is deleted {hours} after you leave."
    )
    if not is_logged_in_demo():
        st.caption("The link to your workspace. Who has it sees and changes what is in it.")
        st.code(own_link(), language=None, wrap_lines=True)
    else:
        st.button("Log out", key="logout", icon=":material/logout:", on_click=st.logout)
    if not st.session_state.get(ASKED):
        st.button(
            "Delete my data now",
            key="delete_data",
            icon=":material/delete_forever:",
            width="stretch",
            on_click=_ask,
            args=(True,),
        )
        return
    st.warning("Photos, runs and models of this workspace are deleted. This cannot be undone.")
    yes, no = st.columns(2, gap="small")
    no.button("Cancel", key="delete_data_no", width="stretch", on_click=_ask, args=(False,))
    if yes.button("Delete my data", key="delete_data_yes", type="primary", width="stretch"):
        delete_now(workspace)
        leave()
        st.rerun()


def _ask(is_asked: bool) -> None:
    st.session_state[ASKED] = is_asked
