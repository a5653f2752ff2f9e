"""Uploads into class folders: each file its own outcome, and nothing that was there is changed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from conftest import MakeDataset, draw_image

from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest.uploads import UploadOutcome, store_uploads
from tl_core.data.layout.plan import read_layout
from tl_core.errors import DatasetError, Stopped
from tl_core.progress import Monitor, Progress


def photo(number: int, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    draw_image(0, number).save(buffer, format)
    return buffer.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_upload_becomes_class_folders_without_its_own_name(tmp_path: Path) -> None:
    out_dir = tmp_path / "pets"
    uploads = [("ds/cats/1.png", photo(1)), ("ds/dogs/old/1.png", io.BytesIO(photo(2)))]
    outcomes = store_uploads(uploads, out_dir)
    assert files_below(tmp_path) == {"pets/cats/1.png": photo(1), "pets/dogs/old/1.png": photo(2)}
    assert outcomes == [
        UploadOutcome("ds/cats/1.png", "cats/1.png"),
        UploadOutcome("ds/dogs/old/1.png", "dogs/old/1.png"),
    ]
    assert all(outcome.is_stored for outcome in outcomes)


def test_a_folder_of_one_class_folder_gives_that_class(tmp_path: Path) -> None:
    store_uploads([("ds/cats/1.png", photo(1))], tmp_path / "pets")
    assert list(files_below(tmp_path / "pets")) == ["cats/1.png"]


def test_a_class_folder_uploaded_alone_keeps_its_name(tmp_path: Path) -> None:
    store_uploads([("cats/1.png", photo(1)), ("cats/old/2.png", photo(2))], tmp_path / "pets")
    assert list(files_below(tmp_path / "pets")) == ["cats/1.png", "cats/old/2.png"]


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_photos_of_no_class_join_those_without_classes(tmp_path: Path, folder: str) -> None:
    heap = tmp_path / "heap"
    heap.mkdir()
    for number in (1, 2, 3):
        (heap / f"{number}.png").write_bytes(photo(number))
    outcomes = store_uploads([(f"{folder}{n}.png", photo(n)) for n in (4, 5)], heap)
    assert [one.path for one in outcomes] == ["4.png", "5.png"]
    assert len(read_layout(heap).unlabelled) == 5


def standing(out_dir: Path, *folders: str) -> Path:
    for folder in folders:
        (out_dir / folder).mkdir(parents=True)
        (out_dir / folder / "old.png").write_bytes(photo(9))
    return out_dir


@pytest.mark.parametrize(
    ("folders", "class_name", "path"),
    [
        (["pets/cat", "pets/dog"], "cat", "pets/cat/1.png"),
        (["pets/cat", "pets/dog"], "cow", "pets/cow/1.png"),
        (["val/ape", "val/cat", "train/cat", "train/dog"], "cat", "train/cat/1.png"),
        (["val/ape", "val/cat", "train/cat", "train/dog"], "ape", "train/ape/1.png"),
        (["cat", "dog"], "Cat", "cat/1.png"),
    ],
    ids=["wrapped", "wrapped, new class", "split", "split, class in val only", "other case"],
)
def test_photos_of_a_class_go_where_the_dataset_has_its_classes(
    tmp_path: Path, folders: list[str], class_name: str, path: str
) -> None:
    out_dir = standing(tmp_path / "pets", *folders)
    (outcome,) = store_uploads([("1.png", photo(1))], out_dir, class_name=class_name)
    assert outcome.path == path
    assert (out_dir / path).read_bytes() == photo(1)
    layout = read_layout(out_dir)
    assert set(layout.classes) <= {"ape", "cat", "cow", "dog"}
    assert not any(layout.ignored.values())


@pytest.mark.parametrize(
    ("folders", "names", "paths"),
    [
        (
            ["pets/cat", "pets/dog"],
            ["new/cat/1.png", "new/fox/kits/1.png"],
            ["pets/cat/1.png", "pets/fox/kits/1.png"],
        ),
        (
            ["train/cat", "train/dog", "val/cat"],
            ["new/cat/1.png", "new/fox/1.png"],
            ["train/cat/1.png", "train/fox/1.png"],
        ),
        (
            ["x/training/cat", "x/training/dog", "x/val/cat"],
            ["new/train/cat/1.png", "new/validation/dog/1.png", "new/test/dog/2.png"],
            ["x/training/cat/1.png", "x/val/dog/1.png", "x/test/dog/2.png"],
        ),
        (
            ["cat", "dog"],
            ["new/train/cat/1.png", "new/val/dog/1.png"],
            ["cat/1.png", "dog/1.png"],
        ),
    ],
    ids=["wrapped", "split", "split into split", "split into none"],
)
def test_a_folder_added_to_a_dataset_falls_in_with_its_classes(
    tmp_path: Path, folders: list[str], names: list[str], paths: list[str]
) -> None:
    out_dir = standing(tmp_path / "pets", *folders)
    uploads = [(name, photo(number)) for number, name in enumerate(names)]
    assert [outcome.path for outcome in store_uploads(uploads, out_dir)] == paths
    layout = read_layout(out_dir)
    assert set(layout.classes) <= {"cat", "dog", "fox"}
    assert not any(layout.ignored.values())


def test_single_files_go_into_the_named_class(tmp_path: Path) -> None:
    uploads = [("a.png", photo(1)), ("ds/x/b.png", photo(2)), ("ds/y/b.png", photo(3))]
    outcomes = store_uploads(uploads, tmp_path / "pets", class_name="Äpfel & Co")
    stored = files_below(tmp_path / "pets")
    assert sorted(stored.values()) == sorted(photo(number) for number in (1, 2, 3))
    assert {path.split("/")[0] for path in stored} == {"Äpfel & Co"}
    assert [outcome.path for outcome in outcomes][:2] == ["Äpfel & Co/a.png", "Äpfel & Co/b.png"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("ds/../../1.png", photo(1), "It leads out of the folder"),
        ("/etc/1.png", photo(1), "It has an absolute path"),
        ("ds\\cats\\1.png", photo(1), "It has a backslash"),
        ("ds/cats/.DS_Store", b"", "It is a system or hidden file."),
        ("ds/cats/.1.png", photo(1), "It is a system or hidden file."),
        ("ds/cats/notes.txt", b"hello", "It is not an image file."),
        ("ds/cats/cut.png", photo(1)[:200], "truncated"),
        ("ds/cats/empty.png", b"", "empty"),
        ("ds/cats/text.jpg", b"hello", "text file, not a picture"),
        ("ds/1.png", photo(1), "It is not in a class folder."),
        ("1.png", photo(1), "It is not in a class folder."),
    ],
)
def test_a_bad_file_gets_its_reason_and_spoils_nothing(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    uploads = [("ds/cats/7.png", photo(7)), (name, content), ("ds/dogs/8.png", photo(8))]
    outcomes = store_uploads(uploads, tmp_path / "pets")
    assert [outcome.is_stored for outcome in outcomes] == [True, False, True]
    assert outcomes[1].name == name
    assert reason in (outcomes[1].reason or "")
    assert files_below(tmp_path) == {"pets/cats/7.png": photo(7), "pets/dogs/8.png": photo(8)}


def test_nothing_that_was_there_is_changed(tmp_path: Path) -> None:
    out_dir = tmp_path / "pets"
    store_uploads([("1.png", photo(1)), ("2.png", photo(2))], out_dir, class_name="cats")
    before = files_below(out_dir)
    outcomes = store_uploads(
        [("1.png", photo(3)), ("2.png", photo(2)), ("1.png", photo(3)), ("1.png", photo(4))],
        out_dir,
        class_name="cats",
    )
    after = files_below(out_dir)
    assert {path: after[path] for path in before} == before
    assert sorted(after.values()) == sorted(photo(number) for number in (1, 2, 3, 4))
    assert [outcome.is_stored for outcome in outcomes] == [True, False, False, True]
    assert outcomes[1].reason == "It exists already as 'cats/2.png'."
    assert outcomes[2].reason == f"It exists already as '{outcomes[0].path}'."
    assert (outcomes[0].path or "").startswith("cats/1~")


def test_uploads_of_names_that_differ_in_case_are_both_kept(tmp_path: Path) -> None:
    store_uploads([("a.png", photo(1)), ("A.PNG", photo(2))], tmp_path / "pets", class_name="cats")
    names = {path.casefold() for path in files_below(tmp_path / "pets")}
    assert len(names) == 2


def test_a_file_under_a_folders_name_is_left_out(tmp_path: Path) -> None:
    uploads = [("cats/1.png/2.png", photo(1)), ("cats/1.png", photo(2)), ("dogs/1.png", photo(3))]
    outcomes = store_uploads(uploads, tmp_path / "pets")
    assert [outcome.is_stored for outcome in outcomes] == [True, False, True]
    assert "folder" in (outcomes[1].reason or "")


def test_only_bad_files_make_no_dataset(tmp_path: Path) -> None:
    store_uploads([("cats/1.png", b"hello")], tmp_path / "pets")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("class_name", ["", "a/b", "..", ".cats", "__MACOSX", "a\nb"])
def test_a_class_name_that_cannot_be_one_is_refused(tmp_path: Path, class_name: str) -> None:
    with pytest.raises(DatasetError, match="Expected a plain class name"):
        store_uploads([("1.png", photo(1))], tmp_path / "pets", class_name=class_name)


def test_a_failed_move_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_dir = tmp_path / "pets"
    store_uploads([("1.png", photo(1))], out_dir, class_name="cats")
    rename = Path.rename

    def fail_for_dogs(self: Path, target: Path) -> Path:
        if "dogs" in str(target):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_dogs)
    uploads = [("x/cats/2.png", photo(2)), ("x/birds/1.png", photo(3)), ("x/dogs/1.png", photo(4))]
    with pytest.raises(DatasetError, match=r"No space left on device.*Nothing was changed"):
        store_uploads(uploads, out_dir)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "pets",
        "pets/cats",
        "pets/cats/1.png",
    ]


def test_a_stop_changes_nothing(tmp_path: Path) -> None:
    out_dir = tmp_path / "pets"
    store_uploads([("1.png", photo(1))], out_dir, class_name="cats")
    calls = iter([False, True])
    with pytest.raises(Stopped):
        store_uploads(
            [("2.png", photo(2)), ("3.png", photo(3))],
            out_dir,
            class_name="cats",
            monitor=Monitor(None, lambda: next(calls)),
        )
    assert files_below(tmp_path) == {"pets/cats/1.png": photo(1)}


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"max_files": 1}, "at most 1 files"), ({"max_bytes": 400}, "the limit")],
    ids=["files", "bytes"],
)
def test_beyond_a_limit_nothing_is_taken(
    tmp_path: Path, limits: dict[str, int], message: str
) -> None:
    uploads = [("cats/1.png", photo(1)), ("cats/2.png", photo(2))]
    with pytest.raises(DatasetError, match=message):
        store_uploads(uploads, tmp_path / "pets", **limits)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_files(tmp_path: Path) -> None:
    told: list[Progress] = []
    uploads = [("cats/1.png", photo(1)), ("cats/2.txt", b"")]
    store_uploads(uploads, tmp_path / "pets", monitor=Monitor(told.append))
    assert [(progress.done, progress.total) for progress in told] == [(1, 2), (2, 2)]


def test_photos_of_a_taxonomy_go_to_the_level_that_names_the_class(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    counts = {"fish/cod": 2, "fish/eel": 2, "birds/owl": 2, "birds/tit": 2}
    out_dir = make_dataset(counts, tmp_path / "zoo")

    known = store_uploads([("new.png", photo(31))], out_dir, class_name="owl")
    new = store_uploads([("new.png", photo(41))], out_dir, class_name="jay")

    assert known[0].path == "birds/owl/new.png"
    assert new[0].path is not None
    assert scan_dataset(out_dir).class_counts() == {
        "cod": 2,
        "eel": 2,
        "jay": 1,
        "owl": 3,
        "tit": 2,
    }


def test_photos_cannot_be_added_to_classes_of_a_label_file(tmp_path: Path) -> None:
    rows = ["id,label"]
    for n in range(6):
        (tmp_path / f"{n * 7919 % 9973:04x}.png").write_bytes(photo(n))
        rows.append(f"{n * 7919 % 9973:04x},{'ab'[n % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))

    with pytest.raises(DatasetError, match=r"read as 'table:labels\.csv'.*export a cleaned copy"):
        store_uploads([("new.png", photo(31))], tmp_path, class_name="a")


def test_a_new_dataset_takes_label_files_and_keeps_all_files_where_they_lay(tmp_path: Path) -> None:
    lines = [
        f'{{"file_name": "{n}.png", "label": "{"cat" if n % 2 else "dog"}"}}' for n in range(4)
    ]
    uploads = [(f"ds/train/{n}.png", photo(n)) for n in range(4)]
    uploads += [("ds/train/metadata.jsonl", "\n".join(lines).encode()), ("ds/README.md", b"# Pets")]

    outcomes = store_uploads(uploads, tmp_path / "pets")

    assert [one.is_photo_stored for one in outcomes] == [True] * 4 + [False] * 2
    assert outcomes[4] == UploadOutcome(
        "ds/train/metadata.jsonl", "train/metadata.jsonl", None, is_label_file=True
    )
    assert outcomes[5].reason == "It is not an image file."
    assert scan_dataset(tmp_path / "pets").class_counts() == {"cat": 2, "dog": 2}


def test_photos_beside_a_label_file_are_no_class(tmp_path: Path) -> None:
    table = b"file,breed\n1.png,pug\n2.png,boxer\n"
    uploads = [("dogs/1.png", photo(1)), ("dogs/2.png", photo(2)), ("dogs/labels.csv", table)]
    store_uploads(uploads, tmp_path / "dogs")
    assert sorted(files_below(tmp_path / "dogs")) == ["1.png", "2.png", "labels.csv"]
    assert scan_dataset(tmp_path / "dogs").class_counts() == {"boxer": 1, "pug": 1}


def test_a_dataset_that_is_there_takes_no_label_file(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 2})
    (outcome,) = store_uploads([("more/labels.csv", b"file,label\n1.png,cat\n")], data_dir)
    assert outcome.reason == "It is a label file, which only a new project takes."
