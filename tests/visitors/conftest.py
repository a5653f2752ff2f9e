import pytest
from demo_helpers import start_demo


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Return the workspace of a demo."""
    return start_demo(monkeypatch, tmp_path / "demo")
