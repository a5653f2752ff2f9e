import logging

import pytest
from app_helpers import make_workspace
from demo_helpers import start_demo
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


@pytest.fixture
def host(monkeypatch, tmp_path, make_dataset):
    """Return the workspace of a demo with a small sample set; no worker is started."""
    workspace = make_workspace(monkeypatch, tmp_path)
    start_demo(monkeypatch, workspace.root, backbones="tiny,EfficientNetLite0")
    make_dataset({"cat": 6, "dog": 5}, workspace.datasets_dir / "sample")
    return workspace


@pytest.fixture(autouse=True)
def own_protocols(monkeypatch):
    """Leave uvicorn and its loggers as they were."""
    for protocol in (HttpToolsProtocol, H11Protocol, WebSocketsSansIOProtocol):
        for name in ("connection_made", "connection_lost", "data_received"):
            monkeypatch.setattr(protocol, name, getattr(protocol, name))
    for name in ("on_message_begin", "on_url", "on_header", "on_body"):
        monkeypatch.setattr(HttpToolsProtocol, name, getattr(HttpToolsProtocol, name))
    for name in ("uvicorn.error", "asyncio", *logging.root.manager.loggerDict):
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
