"""Pictures and downloads of a visitor get addresses that nobody else can compute.

Streamlit names a file by a hash of its content, so that who has a photo could ask whether another
visitor has it too. In a demo the hash is keyed by the server's secret and the session.
"""

from __future__ import annotations

from streamlit.runtime import memory_media_file_storage as storage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from tl_core.visitors.tokens import keyed_hash
from tl_core.workspace import default_workspace
from ui.hosted.internals import streamlit_function

_FUNCTION = "_calculate_file_id"


def key_addresses() -> None:
    """Have Streamlit name media files by session from now on.

    Raises:
        RuntimeError: this version of Streamlit names them in another place.
    """
    by_content = streamlit_function(
        storage, _FUNCTION, "whose media files can be named apart for each visitor"
    )
    if getattr(by_content, "is_keyed", False):
        return

    def by_session(data: bytes, mimetype: str, filename: str | None = None) -> str:
        context = get_script_run_ctx(suppress_warning=True)
        session_id = "" if context is None else context.session_id
        content = by_content(data, mimetype, filename)
        return keyed_hash(default_workspace(), "media", session_id, content).hex()[:56]

    by_session.is_keyed = True  # type: ignore[attr-defined]
    setattr(storage, _FUNCTION, by_session)
