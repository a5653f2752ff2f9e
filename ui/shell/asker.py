"""For whom a thread of the server works, as large pictures are decoded in turn in a demo."""

from __future__ import annotations

from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

from tl_core.data.images.decode_turns import look_up_asker
from tl_core.fair_turns import Asker
from tl_core.visitors.store import asker_of
from tl_core.workspace import Workspace
from ui.shared import session_keys


def note_askers() -> None:
    """Have pictures of pages, and of threads that a page started, decoded for their visitor."""
    look_up_asker(asker_of_page)


def asker_of_page() -> Asker | None:
    """Return the visitor whose page this thread works for; None in a studio."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or session_keys.WORKSPACE_ROOT not in context.session_state:
        return None
    return asker_of(Workspace(Path(context.session_state[session_keys.WORKSPACE_ROOT])))
