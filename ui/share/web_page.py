"""An exported web page, shown by the studio's own server: in a frame, or in a tab of its own."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from tl_core.export.exporter import Export
from tl_core.export.web.folder import PLAYER_FILE
from tl_core.workspace import visitor_at
from ui.hosted.guard import page_name


def page_address(export: Export, **query: str) -> str:
    """Return the path under which this server shows an exported page.

    The folder is registered as the files of a component, which are served with their right types.
    Its name changes with its content, so that no browser shows an earlier export. In a hosted demo
    it cannot be guessed, and the server shows it to the visitor alone.
    """
    version = export.info.files[PLAYER_FILE].sha256[:12]
    name = f"page_{version}"
    if (visitor := visitor_at(export.folder)) is not None and visitor.host is not None:
        name = page_name(visitor.host, visitor.root.name, version)
    component = st.components.v1.declare_component(name, path=str(export.folder))
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    root = f"/{base}/component" if base else "/component"
    return f"{root}/{component.name}/index.html" + (f"?{urlencode(query)}" if query else "")
