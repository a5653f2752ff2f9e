import pytest
from app_helpers import make_workspace
from demo_helpers import start_demo


@pytest.fixture
def host(monkeypatch, tmp_path, make_dataset):
    """Return the workspace of a demo with a small sample set; no worker is started."""
    workspace = make_workspace(monkeypatch, tmp_path)
    start_demo(monkeypatch, workspace.root, backbones="tiny,EfficientNetLite0")
    make_dataset({"cat": 6, "dog": 5}, workspace.datasets_dir / "sample")
    return workspace
