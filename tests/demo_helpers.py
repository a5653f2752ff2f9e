"""What the tests of a hosted demo share."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tl_core.config.limits import environment_name
from tl_core.visitors.store import open_visitor
from tl_core.visitors.tokens import issue_token
from tl_core.workspace import Workspace


def start_demo(monkeypatch: pytest.MonkeyPatch, root: Path, **limits: object) -> Workspace:
    """Make this process that of a demo with these limits, and return its workspace."""
    monkeypatch.setenv("TL_MODE", "demo")
    monkeypatch.setenv("TL_WORKSPACE", str(root))
    for name, value in limits.items():
        monkeypatch.setenv(environment_name(name), str(value))
    monkeypatch.setattr("tl_core.jobs.worker_client._spawn", _no_worker)
    return Workspace(root)


def new_visitor(host: Workspace) -> Workspace:
    """Return the workspace of a visitor who has just come."""
    return open_visitor(host, issue_token(host))


def put(workspace: Workspace, name: str, num_bytes: int) -> Path:
    """Write a file of so many bytes into a workspace, and return its path."""
    path = workspace.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(num_bytes))
    return path


def _no_worker(*_: object) -> None:
    raise OSError("no worker in tests")


def run_async(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: this one may have the event loop of a browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def let_in(monkeypatch: pytest.MonkeyPatch, token: str | None = None) -> None:
    """Serve pages as if behind the guard, to a browser with this cookie."""
    from streamlit.runtime.context import ContextProxy

    from ui.hosted import guard

    cookies = {} if token is None else {guard.COOKIE: token}
    monkeypatch.setattr(guard._Installed, "guard", object())
    monkeypatch.setattr(ContextProxy, "cookies", property(lambda self: cookies))
