"""The app as a hosted demo: ``TL_MODE=demo streamlit run hosted.py``, see docs/DEPLOY.md."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config

from tl_core.config.limits import current_limits
from tl_core.config.mode import MODE_ENVIRONMENT_NAME
from tl_core.workspace import default_workspace
from ui.hosted.ending import start_upkeep
from ui.hosted.guard import VisitorGuard
from ui.hosted.internals import key_addresses
from ui.hosted.kept import count_uploader_values

st.secrets.load_if_toml_exists()  # its values are environment variables from now on
os.environ.setdefault(MODE_ENVIRONMENT_NAME, "demo")
if (limits := current_limits()) is not None:
    config.set_option("server.maxUploadSize", limits.upload_mb)
    config.set_option("client.showErrorDetails", "none")
    key_addresses()
    count_uploader_values()


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Delete expired data as long as the server runs."""
    ended = start_upkeep(default_workspace())
    yield
    ended.set()


middleware = [] if limits is None else [Middleware(VisitorGuard)]
app = st.App("app.py", middleware=middleware, lifespan=lifespan)
