"""scan_dataset: which images belong to which class, and what is told about everything else."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_core import progress
from tl_core.data import dataset
from tl_core.data.dataset import DatasetIndex, Finding, scan_dataset
from tl_core.data.scan_cache import ScanCache
from tl_core.errors import DatasetError, ImageError, Stopped
from tl_core.progress import Progress

MakeDataset = Callable[..., Path]


def finding(index: DatasetIndex, kind: str) -> Finding:
    """Return the one finding of a kind."""
    found = [finding for finding in index.findings if finding.kind == kind]
    assert len(found) == 1, index.findings
    return found[0]


def kinds(index: DatasetIndex) -> set[str]:
    return {finding.kind for finding in index.findings}


def paths(index: DatasetIndex) -> list[str]:
    return [record.path for record in index.records]


def test_each_folder_is_a_class_and_each_image_in_it_a_record(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 3}, suffix=".jpg")

    index = scan_dataset(data_dir)

    assert index.data_dir == data_dir
    assert index.class_names == ("cat", "dog")
    assert index.class_counts() == {"cat": 2, "dog": 3}
    assert (index.num_images, index.num_classes) == (5, 2)
    assert index.labels.tolist() == [0, 0, 1, 1, 1]
    assert index.findings == ()
    assert index.num_ignored == {}
    assert not index.has_given_split
    record = index.records[2]
    path = data_dir / "dog" / "0.jpg"
    assert index.path_of(record) == path
    assert record.path == "dog/0.jpg"
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (record.num_bytes, record.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert (record.width, record.height, record.format, record.mode) == (48, 40, "JPEG", "RGB")
    assert (record.exif_orientation, record.part) == (1, None)


def test_classes_and_images_come_in_natural_order(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"class 10": 1, "Class 2": 11, "class 1": 1, "b": 1, "A": 1})

    index = scan_dataset(data_dir)

    assert index.class_names == ("A", "b", "class 1", "Class 2", "class 10")
    names = [Path(path).stem for path in paths(index) if path.startswith("Class 2/")]
    assert names == [str(number) for number in range(11)]


def test_images_at_any_depth_belong_to_the_class(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "cat/indoor/2020": 1, "dog": 1, "dog/cat": 1})

    assert scan_dataset(data_dir).class_counts() == {"cat": 2, "dog": 2}


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "validation", "TESTING"), ("train", "valid", "test")],
    ids=["short", "long", "mixed"],
)
def test_a_given_split_is_kept(make_dataset: MakeDataset, names: tuple[str, str, str]) -> None:
    train, val, test = names
    counts = {f"{train}/cat": 3, f"{train}/dog": 2, f"{val}/cat": 1, f"{val}/dog": 1}
    data_dir = make_dataset({**counts, f"{test}/cat": 1, f"{test}/dog": 2})

    index = scan_dataset(data_dir)

    assert index.has_given_split
    assert index.class_counts() == {"cat": 5, "dog": 5}
    parts = [(record.path.split("/")[0], record.part) for record in index.records]
    assert set(parts) == {(train, "train"), (val, "val"), (test, "test")}


def test_two_spellings_of_a_part_are_one_part(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"train/a": 1, "train/b": 1, "val/a": 1, "validation/b": 1})

    assert [record.part for record in scan_dataset(data_dir).records] == [
        *("train", "val", "train", "val")
    ]


def test_classes_named_like_parts_stay_classes(make_dataset: MakeDataset) -> None:
    vehicles = make_dataset({"train": 2, "bus": 1})
    exams = make_dataset({"test": 1, "training": 1}, root=vehicles.parent / "exams")

    trains = make_dataset({"train/steam": 1, "test/run": 1, "bus": 1}, root=vehicles.parent / "t")

    assert scan_dataset(vehicles).class_names == ("bus", "train")
    assert scan_dataset(trains).class_names == ("bus", "test", "train")
    assert scan_dataset(exams).class_names == ("test", "training")


def test_a_folder_beside_train_and_test_is_named_and_left_out(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"train/a": 1, "train/b": 1, "test/a": 1, "previews": 1})

    index = scan_dataset(data_dir)

    assert index.class_names == ("a", "b")
    assert finding(index, "stray").paths == ("previews/",)


def test_test_images_without_class_folders_leave_no_given_split(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"train/a": 2, "train/b": 2, "test": 3})

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"a": 2, "b": 2}
    assert not index.has_given_split
    assert finding(index, "unlabelled").paths == ("test/0.png", "test/1.png", "test/2.png")
    assert index.unlabelled == finding(index, "unlabelled").paths
    assert index.num_ignored == {}


@pytest.mark.parametrize("wrapper", ["pets", "download/pets"])
def test_a_wrapper_folder_is_looked_through(make_dataset: MakeDataset, wrapper: str) -> None:
    data_dir = make_dataset({f"{wrapper}/cat": 1, f"{wrapper}/dog": 1})
    (data_dir / "__MACOSX").mkdir()
    (data_dir / "readme.txt").write_text("pets")

    index = scan_dataset(data_dir)

    assert index.class_names == ("cat", "dog")
    assert paths(index) == [f"{wrapper}/cat/0.png", f"{wrapper}/dog/0.png"]
    assert wrapper in finding(index, "wrapper").message


def test_a_wrapped_split_is_kept(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({f"x/{part}/{name}": 1 for part in ("train", "test") for name in "ab"})

    index = scan_dataset(data_dir)

    assert index.has_given_split
    assert index.class_names == ("a", "b")


def test_a_lone_train_folder_is_a_wrapper(make_dataset: MakeDataset) -> None:
    index = scan_dataset(make_dataset({"train/a": 1, "train/b": 1}))

    assert index.class_names == ("a", "b")
    assert not index.has_given_split


def test_hidden_system_and_other_files_are_counted_and_named(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    for name in (".DS_Store", "cat/Thumbs.db", "cat/desktop.ini", "cat/._0.png", ".hidden.png"):
        (data_dir / name).write_bytes(b"x")
    for name in ("__MACOSX", ".ipynb_checkpoints", ".git", "dog/.ipynb_checkpoints"):
        (data_dir / name).mkdir()
        (data_dir / name / "0.png").write_bytes((data_dir / "cat/0.png").read_bytes())
    (data_dir / "labels.csv").write_text("a,b")
    (data_dir / "cat/notes.txt").write_text("x")

    index = scan_dataset(data_dir)

    assert index.class_names == ("cat", "dog")
    assert index.num_images == 2
    assert index.num_ignored == {"system": 7, "hidden": 2, "other": 2}
    assert set(finding(index, "system").paths) == {
        *(".DS_Store", ".ipynb_checkpoints/", "__MACOSX/", "cat/._0.png", "cat/Thumbs.db"),
        *("cat/desktop.ini", "dog/.ipynb_checkpoints/"),
    }
    assert finding(index, "hidden").paths == (".git/", ".hidden.png")
    assert finding(index, "other").paths == ("cat/notes.txt", "labels.csv")
    assert {found.severity for found in index.findings} == {"info"}


def test_images_at_the_root_are_stray(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    (data_dir / "lost.png").write_bytes((data_dir / "cat/0.png").read_bytes())

    index = scan_dataset(data_dir)

    assert index.num_images == 2
    assert finding(index, "stray").paths == ("lost.png",)
    assert finding(index, "stray").severity == "warning"


def test_an_empty_class_folder_is_told_and_not_counted(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1, "emu": 0, "fox/den": 0})
    (data_dir / "emu/notes.txt").write_text("none yet")

    index = scan_dataset(data_dir)

    assert index.class_names == ("cat", "dog")
    empty = finding(index, "empty_class")
    assert "'emu', 'fox'" in empty.message
    assert empty.paths == ("emu/", "fox/")


def test_unreadable_files_are_findings_with_their_reason(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tl_core.data.images.extra_formats.has_extra_formats", lambda: False)
    data_dir = make_dataset({"cat": 2, "dog": 1})
    whole = (data_dir / "cat/0.png").read_bytes()
    (data_dir / "cat/cut.png").write_bytes(whole[: len(whole) // 2])
    (data_dir / "dog/empty.jpg").write_bytes(b"")
    (data_dir / "dog/nothing.jpg").write_bytes(b"")
    (data_dir / "dog/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"cat": 2, "dog": 1}
    unreadable = {found.paths: found for found in index.findings if found.kind == "unreadable"}
    assert set(unreadable) == {
        ("cat/cut.png",),
        ("dog/empty.jpg", "dog/nothing.jpg"),
        ("dog/phone.HEIC",),
    }
    assert "truncated" in unreadable[("cat/cut.png",)].message
    assert "2 files cannot be read" in unreadable[("dog/empty.jpg", "dog/nothing.jpg")].message
    assert "Convert it to JPEG" in unreadable[("dog/phone.HEIC",)].message
    assert {found.severity for found in unreadable.values()} == {"error"}


def test_a_class_of_unreadable_files_is_no_class(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1, "emu": 0})
    (data_dir / "emu/bird.jpg").write_bytes(b"tweet")

    index = scan_dataset(data_dir)

    assert index.class_names == ("cat", "dog")
    assert {"unreadable", "empty_class"} <= kinds(index)


def test_a_files_content_counts_not_its_suffix(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    (data_dir / "cat/0.png").rename(data_dir / "cat/0.jpg")

    assert scan_dataset(data_dir).records[0].format == "PNG"


@pytest.mark.parametrize(
    "name", ["download", "large.png_large", "images.png.1", "photo.png!d", "pic.png?w=800"]
)
def test_an_image_with_an_odd_ending_or_none_is_used(make_dataset: MakeDataset, name: str) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 1})
    (data_dir / "cat/1.png").rename(data_dir / "cat" / name)
    (data_dir / "cat/LICENSE").write_text("free")
    (data_dir / "cat/BMW").write_text("BM, but text, and longer than a header of a bitmap is")

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"cat": 2, "dog": 1}
    assert finding(index, "odd_name").paths == (f"cat/{name}",)
    assert finding(index, "other").paths == ("cat/BMW", "cat/LICENSE")


def test_class_names_that_look_the_same_are_told_and_kept_apart(make_dataset: MakeDataset) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    data_dir = make_dataset({"Cat": 1, "cat": 1, composed: 1, decomposed: 1, "dog": 1})

    index = scan_dataset(data_dir)

    assert index.num_classes == 5
    twins = {found.paths for found in index.findings if found.kind == "twin_classes"}
    assert twins == {("Cat/", "cat/"), (f"{decomposed}/", f"{composed}/")}


def test_animated_images_are_told(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(data_dir / "cat/wave.gif", save_all=True, append_images=frames[1:])

    assert finding(scan_dataset(data_dir), "animated").paths == ("cat/wave.gif",)


def test_links_are_followed_to_files_inside_the_folder_only(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    outside = make_dataset({"secret": 1}, root=tmp_path / "outside")
    (data_dir / "dog/inside.png").symlink_to(data_dir / "cat/0.png")
    (data_dir / "dog/outside.png").symlink_to(outside / "secret/0.png")
    (data_dir / "dog/folder").symlink_to(outside / "secret")
    (data_dir / "secret").symlink_to(outside / "secret")
    (data_dir / "dog/up").symlink_to(data_dir)
    (data_dir / "dog/broken.png").symlink_to(data_dir / "gone.png")
    (data_dir / "dog/loop.png").symlink_to(data_dir / "dog/loop.png")

    index = scan_dataset(data_dir)

    assert paths(index) == ["cat/0.png", "dog/0.png", "dog/inside.png"]
    assert set(finding(index, "link").paths) == {
        *("dog/broken.png", "dog/folder", "dog/loop.png", "dog/outside.png", "dog/up", "secret")
    }


def test_a_data_folder_that_is_itself_a_link_is_read(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    (data_dir / "dog/copy.png").symlink_to(data_dir / "cat/0.png")
    (tmp_path / "link").symlink_to(data_dir)

    assert scan_dataset(tmp_path / "link").num_images == 3


def test_a_pipe_with_an_images_name_is_not_waited_for(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    os.mkfifo(data_dir / "cat/pipe.jpg")

    assert finding(scan_dataset(data_dir), "other").paths == ("cat/pipe.jpg",)


def test_a_name_that_is_no_unicode_is_left_out(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    name = os.fsencode(data_dir) + b"/cat/\xff\xfe.png"
    Path(os.fsdecode(name)).write_bytes((data_dir / "cat/0.png").read_bytes())

    index = scan_dataset(data_dir, cache_dir=tmp_path / "cache")

    assert index.num_images == 2
    assert index.num_ignored == {"bad_name": 1}
    assert finding(index, "bad_name").paths == ("cat/\\xff\\xfe.png",)


def test_a_folder_that_may_not_be_read_is_told(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = make_dataset({"cat": 1, "cat/private": 1, "dog": 1})
    scandir = os.scandir

    def refuse(path: os.PathLike[str]) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    index = scan_dataset(data_dir)

    assert index.num_images == 2
    assert finding(index, "no_access").paths == ("cat/private/",)


def test_a_missing_folder_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none', found nothing there\. Check the path"):
        scan_dataset(tmp_path / "none")


def test_a_file_instead_of_a_folder_is_a_dataset_error(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK")

    with pytest.raises(DatasetError, match=r"found a file: '.*pets\.zip'\. Unpack it"):
        scan_dataset(tmp_path / "pets.zip")


def test_fewer_than_two_classes_is_a_dataset_error(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 2})

    with pytest.raises(DatasetError) as caught:
        scan_dataset(data_dir)

    assert str(caught.value) == (
        f"Expected at least 2 class folders in '{data_dir.name}', found 1: 'cat'. "
        "Put each class in its own folder, or label the photos."
    )


def test_the_error_of_too_few_classes_tells_what_was_there_instead(
    make_dataset: MakeDataset,
) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 0, "emu": 0})
    (data_dir / "emu/bird.jpg").write_bytes(b"")
    (data_dir / "lost.jpg").write_bytes(b"")

    with pytest.raises(DatasetError) as caught:
        scan_dataset(data_dir)

    message = str(caught.value)
    assert "found 1: 'cat'" in message
    assert "without a readable image: 'dog', 'emu'" in message
    assert "outside any class folder: 'lost.jpg'" in message
    assert "1 unreadable, the first 'emu/bird.jpg': The file is empty" in message


def test_an_empty_folder_has_no_classes(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found none"):
        scan_dataset(tmp_path)


def test_the_data_folder_is_left_as_it_was(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    before = sorted((path, path.stat().st_mtime_ns) for path in data_dir.rglob("*"))

    scan_dataset(data_dir, cache_dir=tmp_path / "cache")

    assert sorted((path, path.stat().st_mtime_ns) for path in data_dir.rglob("*")) == before


def test_the_fingerprint_holds_content_place_and_part(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 1})
    first = scan_dataset(data_dir)
    os.utime(data_dir / "cat/0.png")
    again = scan_dataset(data_dir)
    moved = dataclasses.replace(
        first, records=(dataclasses.replace(first.records[0], part="val"), *first.records[1:])
    )
    (data_dir / "cat/1.png").write_bytes((data_dir / "dog/0.png").read_bytes())
    changed = scan_dataset(data_dir)

    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, moved.fingerprint, changed.fingerprint}) == 3


def test_copies_share_their_sha256(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 1, "dog": 1})
    (data_dir / "dog/copy.png").write_bytes((data_dir / "cat/0.png").read_bytes())

    digests = [record.sha256 for record in scan_dataset(data_dir).records]

    assert digests[0] == digests[2] != digests[1]


def test_labels_cannot_be_changed_by_accident(make_dataset: MakeDataset) -> None:
    index = scan_dataset(make_dataset({"cat": 1, "dog": 1}))

    assert index.labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        index.labels[0] = 1


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows by each file that is decoded from now on."""
    read: list[bytes] = []
    inspect = dataset.inspect_image

    def counting(data: bytes) -> object:
        read.append(data)
        return inspect(data)

    monkeypatch.setattr(dataset, "inspect_image", counting)
    return read


def test_a_rescan_reads_only_what_changed(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, cache_dir = make_dataset({"cat": 4, "dog": 4}), tmp_path / "cache"
    (data_dir / "dog/broken.jpg").write_bytes(b"")
    first = scan_dataset(data_dir, cache_dir=cache_dir)
    read = count_reads(monkeypatch)

    assert scan_dataset(data_dir, cache_dir=cache_dir) == first
    assert read == []

    touched = data_dir / "cat/1.png"
    os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1))
    Image.new("RGB", (9, 9)).save(data_dir / "dog/new.png")
    (data_dir / "dog/0.png").unlink()
    changed = scan_dataset(data_dir, cache_dir=cache_dir)

    assert len(read) == 2
    assert changed.class_counts() == {"cat": 4, "dog": 4}
    assert changed == scan_dataset(data_dir)
    with ScanCache(cache_dir, data_dir) as store:
        assert store.load().keys() == {*paths(changed), "dog/broken.jpg"}


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError()])
def test_a_fault_that_may_pass_is_not_kept(
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    data_dir, cache_dir = make_dataset({"cat": 2, "dog": 2}), tmp_path / "cache"
    locked = (data_dir / "cat/0.png").read_bytes()
    inspect = dataset.inspect_image

    def fail(data: bytes) -> object:
        if data != locked:
            return inspect(data)
        if isinstance(error, OSError):
            raise error
        raise ImageError("There is not enough memory to decode it.") from error

    with monkeypatch.context() as patched:
        patched.setattr(dataset, "inspect_image", fail)
        first = scan_dataset(data_dir, cache_dir=cache_dir)

    assert finding(first, "unreadable").paths == ("cat/0.png",)
    assert scan_dataset(data_dir, cache_dir=cache_dir).num_images == 4


def test_progress_counts_the_files_that_are_read(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0)
    monkeypatch.setattr(dataset, "_TASK", 1)
    data_dir, seen = make_dataset({"cat": 3, "dog": 3}), list[Progress]()

    scan_dataset(data_dir, cache_dir=tmp_path / "cache", on_progress=seen.append)
    scan_dataset(data_dir, cache_dir=tmp_path / "cache", on_progress=seen.append)

    assert [(event.stage, event.done, event.total) for event in seen] == [
        ("scan", done, 6) for done in range(1, 7)
    ]


def test_a_stopped_scan_keeps_what_it_read(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, cache_dir = make_dataset({"cat": 5, "dog": 5}), tmp_path / "cache"
    seen: list[Progress] = []
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0)
    monkeypatch.setattr(dataset, "_TASK", 1)

    with pytest.raises(Stopped):
        scan_dataset(
            data_dir,
            cache_dir=cache_dir,
            on_progress=seen.append,
            should_stop=lambda: len(seen) >= 4,
        )
    read = count_reads(monkeypatch)
    index = scan_dataset(data_dir, cache_dir=cache_dir)

    assert len(read) == 6
    assert index.num_images == 10


def test_one_worker_and_many_find_the_same(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 8, "dog": 8})

    assert scan_dataset(data_dir, num_workers=1) == scan_dataset(data_dir, num_workers=6)


def test_a_file_that_vanishes_during_the_scan_is_a_finding(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 1})
    read_layout = dataset.read_layout

    def and_then_delete(*arguments: object) -> object:
        layout = read_layout(*arguments)
        (data_dir / "cat/1.png").unlink()
        return layout

    monkeypatch.setattr(dataset, "read_layout", and_then_delete)

    found = finding(scan_dataset(data_dir), "unreadable")

    assert found.paths == ("cat/1.png",)
    assert "No such file" in found.message


def test_an_index_can_be_built_from_bytes_written_by_any_program(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        buffer = io.BytesIO()
        Image.new("CMYK", (10, 20)).save(buffer, "JPEG")
        (tmp_path / name / "print.JPEG").write_bytes(buffer.getvalue())

    assert [record.mode for record in scan_dataset(str(tmp_path)).records] == ["CMYK", "CMYK"]
