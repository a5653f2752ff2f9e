"""What the tests of a hosted demo share."""

from pathlib import Path

import pytest

from tl_core.config.limits import environment_name, forget_limits
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
    forget_limits()
    return Workspace(root)


def new_visitor(host: Workspace) -> Workspace:
    """Return the workspace of a visitor who has just come."""
    return open_visitor(host, issue_token(host))


def _no_worker(*_: object) -> None:
    raise OSError("no worker in tests")
