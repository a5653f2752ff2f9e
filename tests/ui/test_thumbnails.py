import errno

from tl_core.data.dataset import scan_dataset
from tl_core.workspace import Workspace
from ui.shared import thumbnails
from ui.shared.thumbnails import thumbnail


def test_a_picture_is_shown_though_the_disk_is_full(tmp_path, make_dataset, monkeypatch):
    index = scan_dataset(make_dataset({"cat": 1, "dog": 1}))

    def refuse(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(thumbnails, "write_bytes", refuse)
    data = thumbnail(Workspace(tmp_path / "workspace"), index, index.records[0])
    assert data is not None
    assert data.startswith(b"\xff\xd8")
