"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tl_core.data.ingest.staging import check_is_new, incoming_folder, move_in_place
from tl_core.errors import DatasetError


def test_the_folder_is_hidden_beside_its_aim_and_gone_afterwards(tmp_path: Path) -> None:
    out_dir = tmp_path / "datasets" / "pets"
    with incoming_folder(out_dir) as folder:
        (folder / "1.jpg").write_bytes(b"x")
        assert folder.parent == out_dir.parent
        assert folder.name.startswith(".")
    assert list(out_dir.parent.iterdir()) == []


def test_an_error_inside_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with incoming_folder(tmp_path / "pets") as folder:
            (folder / "cats").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_moved_in_place_stays(tmp_path: Path) -> None:
    with incoming_folder(tmp_path / "pets") as folder:
        (folder / "1.jpg").write_bytes(b"x")
        move_in_place(folder, tmp_path / "pets")
    assert [path.name for path in tmp_path.rglob("*")] == ["pets", "1.jpg"]


def test_what_a_killed_process_left_is_swept_away_a_day_later(tmp_path: Path) -> None:
    left_behind = tmp_path / f".{'a' * 32}.incoming"
    left_behind.mkdir()
    (left_behind / "1.jpg").write_bytes(b"x")
    with incoming_folder(tmp_path / "pets"):
        assert left_behind.exists()
    long_ago = time.time() - 25 * 3600
    os.utime(left_behind, (long_ago, long_ago))
    with incoming_folder(tmp_path / "pets"):
        assert not left_behind.exists()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    out_dir = tmp_path / "pets"
    out_dir.mkdir()
    check_is_new(out_dir)
    with incoming_folder(out_dir) as folder:
        (folder / "1.jpg").write_bytes(b"x")
        move_in_place(folder, out_dir)
    assert [path.name for path in out_dir.iterdir()] == ["1.jpg"]


@pytest.mark.parametrize("kind", ["full folder", "file", "dangling link"])
def test_what_is_there_already_is_never_replaced(tmp_path: Path, kind: str) -> None:
    out_dir = tmp_path / "pets"
    if kind == "full folder":
        out_dir.mkdir()
        (out_dir / "mine.jpg").write_bytes(b"x")
    elif kind == "file":
        out_dir.write_bytes(b"x")
    else:
        out_dir.symlink_to(tmp_path / "nowhere")
    with incoming_folder(out_dir) as folder, pytest.raises(DatasetError, match="'pets' is there"):
        move_in_place(folder, out_dir)
    assert out_dir.is_symlink() or out_dir.exists()
    if kind == "full folder":
        assert [path.name for path in out_dir.iterdir()] == ["mine.jpg"]
