"""The scan store: shared, bounded, and never a reason for a scan to fail."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from tl_core.data import scan_cache
from tl_core.data.scan_cache import ScanCache, ScannedFile

CAT = ScannedFile(10, 1_700_000_000_000_000_001, "ab" * 32, 30, 20, "JPEG", "RGB", 6, 1, None)
BROKEN = ScannedFile(0, 5, "", 0, 0, "", "", 1, 0, "The file is empty.")


def store_of(tmp_path: Path, name: str = "data") -> ScanCache:
    (tmp_path / name).mkdir(exist_ok=True)
    return ScanCache(tmp_path / "cache", tmp_path / name)


def load(tmp_path: Path, name: str = "data") -> dict[str, ScannedFile]:
    store = store_of(tmp_path, name)
    entries = store.load()
    store.close()
    return entries


def test_entries_come_back_as_they_were_put(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.put({"cat/1.jpg": BROKEN, "dog/ü.jpg": BROKEN})
    store.put({"cat/1.jpg": CAT})
    store.close()

    assert load(tmp_path) == {"cat/1.jpg": CAT, "dog/ü.jpg": BROKEN}


def test_data_folders_do_not_see_each_others_entries(tmp_path: Path) -> None:
    store_of(tmp_path, "data").put({"cat/1.jpg": CAT})
    store_of(tmp_path, "data 2").put({"cat/1.jpg": BROKEN})

    assert load(tmp_path, "data") == {"cat/1.jpg": CAT}
    assert load(tmp_path, "data 2") == {"cat/1.jpg": BROKEN}


def test_pruning_drops_vanished_files_and_vanished_folders(tmp_path: Path) -> None:
    gone = store_of(tmp_path, "gone")
    gone.put({"cat/1.jpg": CAT})
    gone.close()
    shutil.rmtree(tmp_path / "gone")
    store_of(tmp_path, "other").put({"cat/1.jpg": CAT})
    store = store_of(tmp_path)
    store.put({"cat/1.jpg": CAT, "cat/2.jpg": CAT})

    store.prune({"cat/2.jpg"})
    store.close()

    assert load(tmp_path) == {"cat/1.jpg": CAT}
    assert load(tmp_path, "other") == {"cat/1.jpg": CAT}
    assert load(tmp_path, "gone") == {}


def test_entries_of_another_reader_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(tmp_path).put({"cat/1.jpg": CAT})

    monkeypatch.setattr(scan_cache, "_READER", b"other:")

    assert load(tmp_path) == {}


def test_a_file_of_version_0_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    roots = [os.fsencode(tmp_path / "data"), os.fsencode(tmp_path) + b"/\xff"]
    with closing(sqlite3.connect(tmp_path / "cache/scans.sqlite")) as old, old:
        old.execute(
            "CREATE TABLE files (root BLOB, path TEXT, num_bytes, mtime_ns, sha256, width, height,"
            " format, mode, exif_orientation, frames, reason, PRIMARY KEY (root, path))"
            " WITHOUT ROWID"
        )
        places = ", ".join("?" * 12)
        for root in roots:
            large = replace(BROKEN, reason="It has 48.0 megapixels, the limit is 40.")
            deep = replace(CAT, mode="I;16")
            entries = {"cat/1.jpg": CAT, "ü.jpg": BROKEN, "large.jpg": large, "deep.png": deep}
            rows = [(root, path, *astuple(entry)[:10]) for path, entry in entries.items()]
            old.executemany(f"INSERT INTO files VALUES ({places})", rows)
        old.execute("PRAGMA user_version = 1")

    assert load(tmp_path) == {"cat/1.jpg": CAT, "ü.jpg": BROKEN}
    (second := ScanCache(tmp_path / "cache", Path(os.fsdecode(roots[1])))).close()
    assert second.load() == {"cat/1.jpg": CAT, "ü.jpg": BROKEN}


def test_a_destroyed_store_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/scans.sqlite").write_bytes(b"no database at all" * 100)
    store = store_of(tmp_path)
    store.put({"cat/1.jpg": CAT})
    store.close()

    assert load(tmp_path) == {"cat/1.jpg": CAT}


def test_a_store_that_cannot_be_written_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    store = store_of(tmp_path)
    store.put({"cat/1.jpg": CAT})
    store.prune({"cat/1.jpg"})

    assert store.load() == {}
    assert "was not written" in caplog.text


def test_without_a_cache_folder_nothing_is_kept(tmp_path: Path) -> None:
    store = ScanCache(None, tmp_path)
    store.put({"cat/1.jpg": CAT})
    store.prune({"cat/1.jpg"})
    store.close()

    assert store.load() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_fails_underway_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path)
    store.load()
    with sqlite3.connect(tmp_path / "cache/scans.sqlite") as connection:
        connection.execute("DROP TABLE entries")

    store.put({"cat/1.jpg": CAT})

    assert store.load() == {}
    assert "was not written" in caplog.text


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    program = """
import sys
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path
from tl_core.data.scan_cache import ScannedFile, ScanCache
root, worker = Path(sys.argv[1]), sys.argv[2]
entry = ScannedFile(1, 2, "", 3, 4, "PNG", "RGB", 1, 1, None)
store = ScanCache(root / "cache", root / "data")
for number in range(40):
    store.put({f"{worker}/{number}.png": entry})
store.close()
"""
    (tmp_path / "data").mkdir()
    workers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(worker)])
        for worker in range(4)
    ]

    assert [worker.wait(300) for worker in workers] == [0, 0, 0, 0]
    assert len(load(tmp_path)) == 160
