"""Zip archives of class folders: what is taken, and that a refused one leaves nothing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path

import pytest
from archive_helpers import extract_archive

from tl_core.data.ingest.archive import ArchiveReport
from tl_core.errors import ArchiveError, DatasetError, Stopped
from tl_core.progress import Monitor, Progress


def make_zip(contents: Mapping[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return file


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


PETS = {"pets/cats/1.jpg": b"cat 1", "pets/cats/old/2.PNG": b"cat 2", "pets/dogs/1.heic": b"dog"}


def test_images_are_taken_in_their_folders(tmp_path: Path) -> None:
    report = extract_archive(make_zip(PETS), tmp_path / "out")
    assert files_below(tmp_path / "out") == PETS
    assert report == ArchiveReport(num_files=3, num_bytes=13, ignored={}, refused=[])
    assert names_in(tmp_path) == ["out"]


def test_a_path_gives_the_same_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(make_zip(PETS).getvalue())
    extract_archive(tmp_path / "pets.zip", tmp_path / "out")
    assert files_below(tmp_path / "out") == PETS


def test_system_files_are_counted_and_others_named(tmp_path: Path) -> None:
    debris = {
        "__MACOSX/pets/cats/._1.jpg": b"",
        "__MACOSX/pets/._cats": b"",
        "pets/.DS_Store": b"",
        "pets/cats/Thumbs.db": b"",
        "pets/cats/._1.jpg": b"",
        "pets/cats/.ipynb_checkpoints/1.jpg": b"",
        "pets/desktop.ini": b"",
        "pets/cats/.hidden.jpg": b"",
    }
    others = {"pets/README.txt": b"hello", "pets/cats/noextension": b"?"}
    report = extract_archive(make_zip(PETS | debris | others), tmp_path / "out")
    assert files_below(tmp_path / "out") == PETS
    assert report.ignored == {
        "__MACOSX": 2,
        ".DS_Store": 1,
        "Thumbs.db": 1,
        "._*": 1,
        ".ipynb_checkpoints": 1,
        "desktop.ini": 1,
        "hidden": 1,
    }
    assert report.refused == [(name, "It is not an image file.") for name in others]


def test_an_empty_class_folder_is_kept_to_be_reported(tmp_path: Path) -> None:
    extract_archive(make_zip(PETS | {"pets/birds/": b"", "__MACOSX/x/": b""}), tmp_path / "out")
    assert (tmp_path / "out/pets/birds").is_dir()
    assert not (tmp_path / "out/__MACOSX").exists()


def test_names_are_labels_and_what_is_written_is_plain(tmp_path: Path) -> None:
    hostile = {
        "a<b>/con.jpg": b"1",
        "caf\u00e9/1.jpg": b"2",
        "cafe\u0301/1.jpg": b"3",
        "Cats/1.jpg": b"4",
        "cats/1.jpg": b"5",
        "x" * 400 + "/" + "y" * 400 + ".jpg": b"6",
    }
    extract_archive(make_zip(hostile), tmp_path / "out")
    written = files_below(tmp_path / "out")
    assert sorted(written.values()) == sorted(hostile.values())
    assert written["a_b_/_con.jpg"] == b"1"
    assert {path.split("/")[0] for path in written if path.startswith("caf")} == {"café"}
    assert all(len(part) <= 120 for path in written for part in path.split("/"))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"cats/../../1.jpg": b""}, r"'cats/\.\./\.\./1\.jpg' leads out"),
        ({"pets/more.zip": b"PK"}, r"'pets/more\.zip' is an archive itself: unpack that one"),
        ({"pets/cats.tar.gz": b""}, "is an archive itself"),
        ({"pets/cats/./1.jpg": b""}, r"'pets/cats/\./1\.jpg' is listed twice"),
        ({"pets/cats/1.jpg/2.jpg": b""}, "is both a file and a folder"),
    ],
    ids=["traversal", "zip inside", "tar inside", "listed twice", "file and folder"],
)
def test_one_bad_entry_refuses_the_whole_archive(
    tmp_path: Path, contents: dict[str, bytes], message: str
) -> None:
    (tmp_path / "pets.zip").write_bytes(make_zip(PETS | contents).getvalue())
    with pytest.raises(ArchiveError, match=f"^Nothing was taken of 'pets.zip'.*{message}"):
        extract_archive(tmp_path / "pets.zip", tmp_path / "out")
    assert names_in(tmp_path) == ["pets.zip"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "There are no images in it: expected one folder for each class"),
        ({"readme.txt": b"hello"}, "There are no images in it"),
        ({"__MACOSX/1.jpg": b""}, "There are no images in it"),
        ({"a.zip": b"PK"}, "There are no images in it. Its entry 'a.zip' is an archive itself"),
    ],
    ids=["empty", "text only", "debris only", "another archive only"],
)
def test_an_archive_without_images_says_so(
    tmp_path: Path, contents: dict[str, bytes], message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        extract_archive(make_zip(contents), tmp_path / "out")
    assert names_in(tmp_path) == []


def test_data_found_damaged_halfway_leaves_nothing(tmp_path: Path) -> None:
    raw = bytearray(make_zip(PETS | {"z.jpg": os.urandom(500)}).getvalue())
    raw[raw.index(b"z.jpg") + 100] ^= 0xFF
    with pytest.raises(ArchiveError, match=r"'z\.jpg' is damaged"):
        extract_archive(io.BytesIO(bytes(raw)), tmp_path / "out")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_files": 2}, "It holds 3 images; the limit is 2"),
        ({"max_bytes": 12}, "the limit is"),
    ],
    ids=["files", "bytes"],
)
def test_what_is_beyond_a_limit_is_refused(
    tmp_path: Path, limits: dict[str, int], message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        extract_archive(make_zip(PETS), tmp_path / "out", **limits)  # type: ignore[arg-type]
    assert names_in(tmp_path) == []


def test_a_full_disk_is_seen_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 64 * 2**20))
    with pytest.raises(ArchiveError, match=r"needs 68 MB of disk space, 1 MB more than is free"):
        extract_archive(make_zip(PETS), tmp_path / "out")
    assert names_in(tmp_path) == []


def test_a_write_error_is_a_refusal_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tl_core.data.ingest.archive._Unpacking._store", fail)
    with pytest.raises(ArchiveError, match="No space left on device"):
        extract_archive(make_zip(PETS), tmp_path / "out")
    assert names_in(tmp_path) == []


def test_a_stop_leaves_nothing(tmp_path: Path) -> None:
    calls = iter([False, False, True])
    with pytest.raises(Stopped):
        extract_archive(
            make_zip(PETS), tmp_path / "out", monitor=Monitor(None, lambda: next(calls))
        )
    assert names_in(tmp_path) == []


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.jpg").write_bytes(b"x")
    asked = []

    def ask() -> bool:
        asked.append("to stop")
        return False

    with pytest.raises(DatasetError, match="'out' is there already"):
        extract_archive(make_zip(PETS), tmp_path / "out", monitor=Monitor(None, ask))
    assert asked == []  # said before the work, not after it
    assert files_below(tmp_path) == {"out/mine.jpg": b"x"}


def test_a_missing_archive_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"Cannot open 'no\.zip': No such file"):
        extract_archive(tmp_path / "no.zip", tmp_path / "out")


def test_progress_counts_bytes_to_the_end(tmp_path: Path) -> None:
    told: list[Progress] = []
    extract_archive(make_zip(PETS), tmp_path / "out", monitor=Monitor(told.append))
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("unpack", 13, 13)


def test_a_kill_leaves_the_aim_untouched(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(make_zip(PETS).getvalue())
    out_dir = tmp_path / "datasets" / "out"
    code = (
        "import os, pathlib, signal\n"
        "from tl_core.data.ingest import archive\n"
        "from tl_core.progress import Monitor\n"
        "calls = iter([False, True])\n"
        "def stop():\n"
        "    if next(calls): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"pets = archive.ArchiveSource(pathlib.Path({str(tmp_path / 'pets.zip')!r}))\n"
        f"archive.extract_archives([pets], "
        f"pathlib.Path({str(out_dir)!r}), monitor=Monitor(None, stop))\n"
    )
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=300, check=False)
    assert killed.returncode == -9
    assert not out_dir.exists()
    [left] = out_dir.parent.iterdir()
    long_ago = time.time() - 25 * 3600
    os.utime(left, (long_ago, long_ago))
    extract_archive(tmp_path / "pets.zip", out_dir)
    assert names_in(out_dir.parent) == ["out"]
