"""A cleaned copy holds what counts, under the class it counts for, and appears whole or not."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import png
from demo_helpers import new_visitor, start_demo

from tl_core.data.curation.export import export_cleaned_copy
from tl_core.data.curation.store import Decision, Decisions, apply_decisions
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.errors import DatasetError, LimitError, Stopped
from tl_core.progress import Monitor
from tl_core.workspace import Workspace
from ui.data.export import _zipped


@pytest.fixture
def cleaned(make_dataset) -> DatasetIndex:
    """Two cats and three dogs, of which cat/0 is left out and cat/1 is a dog."""
    index = scan_dataset(make_dataset({"cat": 3, "dog": 3}))
    sha_of = {record.path: record.sha256 for record in index.records}
    decisions = [
        Decision("cat/0.png", sha_of["cat/0.png"], "exclude"),
        Decision("cat/1.png", sha_of["cat/1.png"], "relabel", "dog"),
    ]
    return apply_decisions(index, Decisions().decide("clean", decisions))


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_copy_holds_each_image_byte_for_byte_in_its_class(cleaned, tmp_path) -> None:
    out = export_cleaned_copy(cleaned, tmp_path / "copy")
    files = files_in(out)
    assert files["cat/2.png"] == (cleaned.data_dir / "cat/2.png").read_bytes()
    moved = (cleaned.data_dir / "cat/1.png").read_bytes()
    assert next(name for name, data in files.items() if data == moved).startswith("dog/")
    assert len(files) == 5  # dog/1.png was there already: both are kept
    again = scan_dataset(out)
    assert again.class_counts() == {"cat": 1, "dog": 4}


def test_a_zip_holds_the_same_files_as_a_folder(cleaned, tmp_path) -> None:
    folder = export_cleaned_copy(cleaned, tmp_path / "copy")
    with zipfile.ZipFile(export_cleaned_copy(cleaned, tmp_path / "copy.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files_in(folder)


def test_a_given_split_stays(make_dataset, tmp_path) -> None:
    names = [f"{part}/{name}" for part in ("train", "test") for name in ("cat", "dog")]
    index = scan_dataset(make_dataset(dict.fromkeys(names, 2)))
    out = export_cleaned_copy(index, tmp_path / "copy")
    assert sorted(files_in(out)) == sorted(files_in(index.data_dir))


def test_a_taken_place_or_one_inside_the_dataset_is_refused(cleaned, tmp_path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="taken"):
        export_cleaned_copy(cleaned, tmp_path / "taken")
    with pytest.raises(DatasetError, match="outside"):
        export_cleaned_copy(cleaned, cleaned.data_dir / "copy")
    assert files_in(tmp_path / "taken") == {"notes.txt": b"mine"}


@pytest.mark.parametrize("name", ["copy", "copy.zip"])
def test_a_stop_or_a_missing_file_leaves_nothing_behind(cleaned, tmp_path, name) -> None:
    before = sorted(tmp_path.iterdir())
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        export_cleaned_copy(cleaned, tmp_path / name, monitor=Monitor(None, lambda: next(asked)))
    (cleaned.data_dir / "dog/2.png").unlink()
    with pytest.raises(DatasetError, match="is missing"):
        export_cleaned_copy(cleaned, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("names", [("a?", "a:", "a_"), ("cat.", "cat", "Cat")])
@pytest.mark.parametrize("kind", ["copy", "copy.zip"])
def test_classes_whose_names_some_system_takes_for_one_stay_apart(
    make_dataset, tmp_path, names, kind
) -> None:
    index = scan_dataset(make_dataset(dict.fromkeys(names, 2)))
    out = export_cleaned_copy(index, tmp_path / kind)
    if out.suffix == ".zip":
        with zipfile.ZipFile(out) as archive:
            archive.extractall(tmp_path / "unpacked")
        out = tmp_path / "unpacked"
    again = scan_dataset(out)
    assert list(again.class_counts().values()) == [2, 2, 2]
    assert len({name.casefold() for name in again.class_names}) == 3
    assert names[2] in again.class_names  # it is the first that can stay as it is


def test_a_file_older_than_zips_is_copied(cleaned, tmp_path) -> None:
    os.utime(cleaned.data_dir / "cat/2.png", (0, 0))
    with zipfile.ZipFile(export_cleaned_copy(cleaned, tmp_path / "copy.zip")) as archive:
        assert archive.getinfo("cat/2.png").date_time[0] == 1980


@pytest.mark.parametrize("name", ["copy", "copy.zip"])
def test_a_full_disk_is_said_in_words_and_leaves_nothing_behind(
    cleaned, tmp_path, monkeypatch, name
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fail)
    monkeypatch.setattr("zipfile.ZipFile.write", fail)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="No space left"):
        export_cleaned_copy(cleaned, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def test_copies_of_a_visitor_end_where_the_limit_is(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=1)
    mine = new_visitor(host)
    for number in range(4):
        path = mine.datasets_dir / "pets" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number, number) + bytes(100_000))
    index = scan_dataset(mine.datasets_dir / "pets")
    export_cleaned_copy(index, mine.datasets_dir / "first")  # 0.8 MB
    with pytest.raises(LimitError, match=r"allows 1 MB of a visitor.*this would be 1\.0"):
        export_cleaned_copy(index, mine.datasets_dir / "second")
    assert sorted(path.name for path in mine.datasets_dir.iterdir()) == ["first", "pets"]
    export_cleaned_copy(index, tmp_path / "elsewhere")
    export_cleaned_copy(index, mine.cache_dir / "download" / "copy.zip")  # goes with its download


def test_what_could_not_be_zipped_is_no_download(cleaned, tmp_path) -> None:
    (cleaned.data_dir / "dog/2.png").unlink()
    view = SimpleNamespace(index=cleaned, workspace=Workspace(tmp_path / "workspace"))
    with pytest.raises(DatasetError, match="is missing"):
        _zipped(view)
