"""The one place where errors reach the person at the screen.

A :class:`TLError` is shown as it stands. Anything else is a bug: the page says where it was
noted, and the traceback goes to ``logs/app.log`` in the workspace.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import streamlit as st

from tl_core.config.mode import current_mode
from tl_core.errors import TLError, UnlabelledError
from tl_core.files import storage_error
from tl_core.logs import add_log_file
from tl_core.visitors.store import exists
from tl_core.workspace import Workspace
from ui.shared import session_keys
from ui.shared.address import go_to
from ui.shared.memory import collect_garbage
from ui.shared.navigation import ADD_TAB, DATA_PAGE, PHOTOS_TAB
from ui.shared.words import plain

P = ParamSpec("P")

logger = logging.getLogger("studio")

LABEL_PHOTOS = "Label these photos"
NO_CLASSES = (
    "No folders, file names or label file give these photos their classes. Label them with a few "
    "keys, or sort them into one folder for each class and rescan."
)
LABEL_TAB = "Label"
FOLLOW_LINKS, KEEP_TOGETHER, READ_THIS_WAY = "Follow links", "Keep together", "Read it this way"
_UNDER_PHOTOS = f"under *Read as ...* in *{PHOTOS_TAB}* on the Data page"
STEPS = {
    "link": f"Click *{FOLLOW_LINKS}* {_UNDER_PHOTOS}.",
    "one_class": f"To label them, click *{READ_THIS_WAY}* beside *photos without classes* "
    f"{_UNDER_PHOTOS}, then open *{LABEL_TAB}*.",
    "unlabelled": f"Open *{LABEL_TAB}* on the Data page, or type a pattern {_UNDER_PHOTOS}.",
    "layout": f"Click *{READ_THIS_WAY}* beside another reading {_UNDER_PHOTOS}.",
    "column": "Keep one column of classes in the label file, and rescan.",
    "archive": f"Add the archives under *{ADD_TAB}* on the Data page.",
    "group_effect": f"Click *{KEEP_TOGETHER}* {_UNDER_PHOTOS}.",
}
"""What to click, for each of :data:`~tl_core.errors.REMEDIES`."""
BUG_MESSAGE = "Something went wrong. The details are in logs/app.log of the workspace."
DELETED = "The data of this workspace were deleted meanwhile. Load this page again."
DEMO_BUG_MESSAGE = "Something went wrong. The operator of this demo can see the details."


def own_bug_message() -> str:
    """Return what to say about an error that is not the user's."""
    return DEMO_BUG_MESSAGE if current_mode() == "demo" else BUG_MESSAGE


@contextmanager
def error_banner(bug_message: str = "") -> Iterator[None]:
    """Show what goes wrong inside as a banner instead of ending the page with a traceback.

    Messages hold names and no Markdown, so they are shown as they stand. Streamlit's own reruns
    and stops are no ``Exception`` and pass through.

    Args:
        bug_message: shown of an error that is not the person's, and says where it was noted; by
            default that of this mode.
    """
    try:
        yield
    except UnlabelledError:
        st.info(NO_CLASSES, icon=":material/label:")
        draw_label_button()
    except Exception as error:
        words, icon = _told(error, bug_message)
        (st.info if words == DELETED else st.error)(words, icon=icon)


@contextmanager
def error_toast() -> Iterator[None]:
    """Show what goes wrong inside as a toast, and go on.

    For callbacks of widgets: they run before the page, or a part of it, has a place for a banner.
    """
    try:
        yield
    except Exception as error:
        words, icon = _told(error)
        st.toast(words, icon=icon, duration="long")


def _told(error: Exception, bug_message: str = "") -> tuple[str, str]:
    """Return what to say about an error, and its icon; one that is a bug of ours is logged."""
    if isinstance(error, TLError):
        return error_words(error), ":material/error:"
    if _is_deleted():
        return DELETED, ":material/delete:"
    logger.exception("Unexpected error on a page")
    problem = storage_error(error) if isinstance(error, OSError) else None
    if problem is None:
        return bug_message or own_bug_message(), ":material/bug_report:"
    return plain(str(problem)), ":material/error:"


def _is_deleted() -> bool:
    """Whether the workspace was deleted while the page ran: by another browser with its link."""
    root = st.session_state.get(session_keys.WORKSPACE_ROOT)
    workspace = Workspace(Path(root)) if root else None
    return workspace is not None and workspace.host is not None and not exists(workspace)


def error_words(error: TLError) -> str:
    """Return the message of an error and what to click, for a place that reads Markdown."""
    return f"{plain(str(error))} {STEPS.get(error.remedy, '')}".strip()


def draw_label_button() -> None:
    """Draw the step after adding photos without classes: it opens the Label tab."""
    if st.button(
        LABEL_PHOTOS,
        key="go_label",
        type="primary",
        icon=":material/label:",
        on_click=open_label_tab,
    ):
        go_to(DATA_PAGE)  # not reached there: its Label tab is open by now


def open_label_tab() -> None:
    """Have the Label tab open on the Data page, for callbacks."""
    st.session_state[session_keys.DATA_TABS] = LABEL_TAB


def guarded(function: Callable[P, Any]) -> Callable[P, None]:
    """Give a fragment its own banner and end: on its own reruns it runs outside the page's."""

    @functools.wraps(function)
    def inside_banner(*args: P.args, **kwargs: P.kwargs) -> None:
        with error_banner():
            function(*args, **kwargs)
        collect_garbage()

    return inside_banner


def log_to(workspace: Workspace) -> None:
    """Send the records of the studio and the core to ``logs/app.log``, once for each process.

    Where that cannot be written they go to the terminal alone.
    """
    for one in (logger, logging.getLogger("tl_core")):
        add_log_file(one, workspace.logs_dir / "app.log", workspace.root)
