import pytest
from demo_helpers import start_demo

from tl_core.config.limits import forget_limits


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Return the workspace of a demo."""
    yield start_demo(monkeypatch, tmp_path / "demo")
    forget_limits()
