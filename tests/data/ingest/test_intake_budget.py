"""What one intake may cost: counted over all archives of it, and heard between them."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from conftest import png
from demo_helpers import new_visitor, start_demo

from tl_core.data.ingest import archive, name_encoding, visitor_photos
from tl_core.data.ingest.archive import (
    ArchiveReport,
    ArchiveSource,
    extract_archives,
    look_into,
)
from tl_core.data.ingest.archive_entries import propose_class
from tl_core.data.ingest.intake_budget import MAX_ARCHIVES
from tl_core.data.ingest.uploads import add_archives, store_uploads
from tl_core.errors import ArchiveError, LimitError, Stopped
from tl_core.progress import Monitor, Progress

MIB = 2**20
PHOTO = png(0, 0)


def zip_of(contents: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    return file.getvalue()


def tar_of(sizes: Mapping[str, int]) -> bytes:
    """Return a packed tar of files of zeros, of which few bytes are left."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for name, size in sizes.items():
            info = tarfile.TarInfo(name)
            info.size = size
            packed.addfile(info, io.BytesIO(bytes(size)))
    return gzip.compress(file.getvalue())


def extract(data: bytes, out_dir: Path, **options: Any) -> ArchiveReport:
    source = ArchiveSource(io.BytesIO(data), "t.zip", unpack_nested=True)
    return extract_archives([source], out_dir, **options)


def inside(inner: bytes, num: int) -> bytes:
    """Return a zip with a photo and so many times the same archive."""
    return zip_of({"a/1.png": PHOTO, **{f"n{n}.tar.gz": inner for n in range(num)}})


def test_a_demo_counts_what_archives_inside_unpack_to_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of 5 MiB are below 16 MiB, four are not; each alone is, and skipped bytes count."""
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    inner = tar_of({"notes.md": 5 * MIB})
    report = extract(inside(inner, 3), mine.datasets_dir / "three")
    assert report.num_files == 1
    with pytest.raises(ArchiveError, match=r"'t\.zip'\. It would grow to more than 17 MB or 100"):
        extract(inside(inner, 4), mine.datasets_dir / "four")
    assert not (mine.datasets_dir / "four").exists()
    monkeypatch.delenv("TL_MODE")
    assert extract(inside(inner, 4), tmp_path / "studio").num_files == 1


def test_entries_are_counted_over_all_archives(tmp_path: Path) -> None:
    """Four files may have twelve entries: one photo, three archives and eight notes do."""

    def packed(num_notes: int) -> bytes:
        inner = {f"{n}.md": b"" for n in range(num_notes)} | {"1.png": PHOTO}
        two = zip_of({f"{n}.md": b"" for n in range(2)} | {"1.png": PHOTO})
        return zip_of({"a.zip": two, "b.zip": two, "c.zip": zip_of(inner)})

    assert extract(packed(2), tmp_path / "twelve", max_files=4).num_files == 3
    with pytest.raises(ArchiveError, match="lists more than 12 entries"):
        extract(packed(3), tmp_path / "thirteen", max_files=4)
    assert [path.name for path in tmp_path.iterdir()] == ["twelve"]


def test_a_demo_takes_so_many_archives_for_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", classes=2))
    inner, new = tar_of({"notes.md": 1}), mine.datasets_dir / "new"
    extract(inside(inner, 10), mine.datasets_dir / "ten")
    with pytest.raises(ArchiveError, match="It holds more than 10 archives, the limit"):
        extract(inside(inner, 11), new)
    sources = [ArchiveSource(io.BytesIO(zip_of({"1.png": PHOTO})))] * 11
    for add in (extract_archives, add_archives):
        with pytest.raises(ArchiveError, match="at most 10 archives at once, received 11"):
            add(sources, new)
    assert not new.exists()
    monkeypatch.delenv("TL_MODE")
    assert extract(inside(inner, 11), tmp_path / "studio").num_files == 1
    assert MAX_ARCHIVES >= 4_000  # classes


def test_copies_that_are_left_out_are_counted_too(tmp_path: Path) -> None:
    """Where 1 MB may be extracted, 2 MB and 64 MiB may be written: 138 copies of half a MB."""
    part = zip_of({"a/1.png": bytes(500_000)}, zipfile.ZIP_DEFLATED)
    sources = [ArchiveSource(io.BytesIO(part))] * 139
    assert extract_archives(sources[:-1], tmp_path / "138", max_bytes=10**6).num_files == 1
    with pytest.raises(ArchiveError, match="It unpacks to more than 70 MB, the limit"):
        extract_archives(sources, tmp_path / "139", max_bytes=10**6)


def test_folders_are_counted(tmp_path: Path) -> None:
    """Two files may have six folders; the one that all are in is the first."""
    assert extract(zip_of({"a/b/c/d/e/1.png": PHOTO}), tmp_path / "six", max_files=2).num_files
    deep = zip_of({"a/b/c/d/e/1.png": PHOTO, "a/f/": b""})
    with pytest.raises(ArchiveError, match="more than 6 folders"):
        extract(deep, tmp_path / "seven", max_files=2)


def test_progress_moves_and_a_stop_is_heard_where_nothing_is_taken(tmp_path: Path) -> None:
    inner = zip_of({"notes.md": b"x" * 100})
    data = zip_of({"a/1.png": PHOTO, **{f"n{n}.zip": inner for n in range(5)}})
    told: list[Progress] = []
    extract(data, tmp_path / "out", monitor=Monitor(told.append, report_seconds=0))
    done = [one.done for one in told if one.stage == "unpack"]
    whole = len(PHOTO) + 5 * len(inner)
    assert {len(PHOTO) + n * len(inner) for n in range(6)} <= set(done)
    assert (told[-1].done, told[-1].total) == (whole, whole)

    for heard in range(1, 12):
        calls = iter([False] * heard + [True])
        with pytest.raises(Stopped):
            extract(data, tmp_path / f"{heard}", monitor=Monitor(None, lambda c=calls: next(c)))
        assert not (tmp_path / f"{heard}").exists()


def test_the_list_of_a_tar_is_read_with_progress_and_can_be_stopped(tmp_path: Path) -> None:
    data = tar_of({"notes.md": 3 * MIB, "a/1.png": 10})
    told: list[Progress] = []
    contents = look_into(io.BytesIO(data), "t.tar.gz", monitor=Monitor(told.append))
    assert contents.num_images == 1
    assert {(one.stage, one.total) for one in told} == {("entries", len(data))}
    assert told[-1].done == len(data)
    for read in (look_into, lambda file, monitor: extract(data, tmp_path / "x", monitor=monitor)):
        with pytest.raises(Stopped):
            read(io.BytesIO(data), monitor=Monitor(None, lambda: True))


class Clock:
    """Stands in the place of the clock of a thread's processor time: ten seconds at each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(visitor_photos, "_POLL_SECONDS", 0.0)
        monkeypatch.setattr(visitor_photos, "child_seconds", lambda: 0.0)  # of tests before
        monkeypatch.setattr(time, "thread_time", self.read)

    def read(self) -> float:
        self.seconds += 10
        return self.seconds


def many_files(out_dir: Path) -> object:
    return store_uploads([(f"a/{n}.png", png(0, n)) for n in range(9)], out_dir)


def many_in_zip(out_dir: Path) -> object:
    return extract(zip_of({f"a/{n}.png": png(0, n) for n in range(9)}), out_dir)


def many_added(out_dir: Path) -> object:
    data = zip_of({f"a/{n}.png": png(0, n) for n in range(9)})
    return add_archives([ArchiveSource(io.BytesIO(data))], out_dir)


def many_inside(out_dir: Path) -> object:
    return extract(inside(tar_of({"notes.md": 1}), 9), out_dir)


def many_listed(out_dir: Path) -> object:
    return look_into(io.BytesIO(tar_of({"notes.md": 9 * MIB})))


@pytest.mark.parametrize("take", [many_files, many_in_zip, many_added, many_inside, many_listed])
def test_an_intake_of_a_demo_ends_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Path], object]
) -> None:
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", intake_seconds=60))
    out_dir = mine.datasets_dir / "new"
    Clock(monkeypatch)
    with pytest.raises(LimitError) as told:
        take(out_dir)
    assert str(told.value) == (
        "This demo allows 60 seconds of processor time for one upload; this would be 70. Add fewer "
        "photos, or smaller ones."
    )
    assert not out_dir.exists()
    monkeypatch.delenv("TL_MODE")
    take(tmp_path / "studio")


def test_child_processes_that_decode_count_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", intake_seconds=60))
    monkeypatch.setattr(visitor_photos, "_POLL_SECONDS", 0.0)
    seconds = iter(range(0, 1_000, 25))
    monkeypatch.setattr(visitor_photos, "child_seconds", lambda: next(seconds))
    with pytest.raises(LimitError, match=r"this would be 7[56]\."):
        many_files(mine.datasets_dir / "new")


def test_a_demo_looks_into_no_more_than_can_be_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zip_of({f"a/{n}.png": b"" for n in range(10)})
    assert look_into(io.BytesIO(data)).num_images == 10
    start_demo(monkeypatch, tmp_path / "demo", photos=3)
    with pytest.raises(ArchiveError, match="more than 9 entries"):
        look_into(io.BytesIO(data))


def test_a_large_file_is_not_read_again_for_each_small_one_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    digest = archive._digest

    def note(path: Path) -> str:
        read.append(path.stat().st_size)
        return digest(path)

    monkeypatch.setattr(archive, "_digest", note)
    files: list[BinaryIO] = [
        io.BytesIO(zip_of({"a/1.png": data})) for data in (bytes(5_000), b"1", b"2", b"2")
    ]
    report = extract_archives([ArchiveSource(file) for file in files], tmp_path / "out")
    assert report.num_files == 3
    assert sorted(path.stat().st_size for path in (tmp_path / "out/a").iterdir()) == [1, 1, 5_000]
    assert 5_000 not in read


def test_few_letters_of_many_long_names_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 names with a thousand letters of two kinds, each kind once for each encoding."""
    names = [("да" * 500).encode("cp866")] * 200
    seen: list[str] = []
    likeness = name_encoding._likeness

    def note(character: str, encoding: str) -> float:
        seen.append(encoding)
        return likeness(character, encoding)

    monkeypatch.setattr(name_encoding, "_likeness", note)
    assert name_encoding.guess_encoding(names) == "cp866"
    assert seen.count("cp866") == 2
    assert len(seen) <= 2 * 6

    different = [
        "".join(map(chr, range(0x4E00 + 100 * n, 0x4E00 + 100 * n + 500))) for n in range(200)
    ]
    seen.clear()
    name_encoding.guess_encoding([name.encode("gbk") for name in different])
    assert seen.count("gbk") == 500 + 7 * 100  # 8,192 bytes hold eight names


@pytest.mark.parametrize(("length", "is_taken"), [(4_096, True), (4_100, False)])
def test_extra_fields_of_a_zip_have_a_length(tmp_path: Path, length: int, is_taken: bool) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in ("a/1.png", "a/2.png"):
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH", 0x7777, length - 4) + bytes(length - 4)
            packed.writestr(info, PHOTO)
    if is_taken:
        assert extract(file.getvalue(), tmp_path / "out").num_files == 2
    else:
        with pytest.raises(ArchiveError, match="4,100 bytes of extra fields; the limit is 4,096"):
            extract(file.getvalue(), tmp_path / "out")


def test_a_label_file_that_is_too_long_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are none in its encoding take a microsecond each."""
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", label_rows=10))
    decoded: list[int] = []
    monkeypatch.setattr(
        visitor_photos, "num_rows", lambda name, data: decoded.append(len(data)) or 0
    )
    files = {"1.png": PHOTO, "labels.csv": b"\x81" * 2_750}  # 250 bytes are a row
    with pytest.raises(LimitError, match=r"allows 10 rows.*; this would be 11\."):
        extract(zip_of(files), mine.datasets_dir / "new")
    assert decoded == []
    extract(zip_of({**files, "labels.csv": b"\x81" * 2_749}), mine.datasets_dir / "new")
    assert decoded == [2_749]


def test_the_class_that_a_name_proposes_takes_no_longer_for_a_long_name() -> None:
    assert propose_class("cat" + "-001" * 20 + ".zip" * 20) == "cat"
    assert len(propose_class("x" * 10**6 + ".zip")) == 251
