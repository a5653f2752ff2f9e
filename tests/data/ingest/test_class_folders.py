"""Class folders of workspace datasets: added, renamed, merged, put aside; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_core.data.curation.edits import Action
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    decisions_path,
    edit_decisions,
    load_dataset,
    load_decisions,
)
from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest.class_folders import (
    add_class,
    class_home,
    merge_classes,
    remove_class,
    remove_files,
    rename_class,
)
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.plan import read_layout
from tl_core.errors import DatasetError
from tl_core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def pets(workspace: Workspace, make_dataset) -> Path:
    return make_dataset({"cat": 2, "dog": 3, "cow": 1}, root=workspace.datasets_dir / "pets")


def counts(data_dir: Path) -> dict[str, int]:
    return scan_dataset(data_dir).class_counts()


def test_a_new_class_is_an_empty_folder_beside_the_others(workspace, pets) -> None:
    assert add_class(workspace, pets, " fox ") == pets / "fox"
    assert list((pets / "fox").iterdir()) == []


def test_in_a_given_split_a_new_class_lies_in_the_train_part(workspace, make_dataset) -> None:
    names = ("val/ape", "val/cat", "training/cat", "training/dog")
    data_dir = make_dataset(dict.fromkeys(names, 1), root=workspace.datasets_dir / "pets")
    assert add_class(workspace, data_dir, "fox") == data_dir / "training" / "fox"
    assert add_class(workspace, data_dir, "gnu") == data_dir / "training" / "gnu"


@pytest.mark.parametrize(
    ("folders", "class_name", "part_folder", "home"),
    [
        ([], "cat", "train", "cat"),
        (["cat", "dog"], "cow", "val", "cow"),
        (["cat", "dog"], "Cat", "train", "cat"),
        (["pets/pets/cat", "pets/pets/dog"], "cow", "train", "pets/pets/cow"),
        (["x/Train/cat", "x/Train/dog", "x/val/cat"], "cat", "train", "x/Train/cat"),
        (["x/Train/cat", "x/Train/dog", "x/val/cat"], "dog", "valid", "x/val/dog"),
        (["train/cat", "train/dog", "test/cat"], "cow", "val", "val/cow"),
        (["train/cat", "train/dog"], "cow", "train", "train/cow"),
    ],
)
def test_new_images_of_a_class_belong_beside_those_that_are_there(
    tmp_path, make_dataset, folders, class_name, part_folder, home
) -> None:
    layout = Layout()
    if folders:
        layout = read_layout(make_dataset(dict.fromkeys(folders, 1), root=tmp_path / "ds"))
    assert str(class_home(layout, class_name, part_folder)) == home


def test_renaming_keeps_every_image_even_when_only_the_case_changes(workspace, pets) -> None:
    rename_class(workspace, pets, "cow", "Cattle")
    rename_class(workspace, pets, "cat", "Cat")
    assert counts(pets) == {"Cat": 2, "Cattle": 1, "dog": 3}


def test_merging_keeps_files_of_the_same_name(workspace, pets) -> None:
    before = {path.read_bytes() for path in pets.rglob("*.png")}
    merge_classes(workspace, pets, ["cat", "cow", "dog"], "dog")
    assert {path.read_bytes() for path in (pets / "dog").iterdir()} == before
    assert sorted(path.name for path in pets.iterdir()) == ["dog"]


def test_merging_the_same_names_again_and_again_keeps_every_file(workspace, pets) -> None:
    for round_number in range(3):
        for number in range(2):
            (pets / "ape").mkdir(exist_ok=True)
            (pets / "ape" / f"{number}.png").write_bytes(b"%d %d" % (round_number, number))
        merge_classes(workspace, pets, ["ape"], "dog")
    assert len(list((pets / "dog").iterdir())) == 3 + 3 * 2


def test_several_classes_are_merged_within_one_tick_of_the_clock(
    workspace, pets, monkeypatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1)
    before = {path.read_bytes() for path in pets.rglob("*.png")}
    merge_classes(workspace, pets, ["cat", "cow"], "dog")
    assert {path.read_bytes() for path in (pets / "dog").iterdir()} == before


def test_a_given_split_is_renamed_and_merged_part_by_part(workspace, make_dataset) -> None:
    names = [f"{part}/{name}" for part in ("train", "test") for name in ("cat", "dog", "cow")]
    data_dir = make_dataset(dict.fromkeys(names, 1), root=workspace.datasets_dir / "pets")
    rename_class(workspace, data_dir, "cow", "ox")
    merge_classes(workspace, data_dir, ["ox"], "dog")
    parts = {(record.part, record.label) for record in scan_dataset(data_dir).records}
    assert parts == {("train", 0), ("train", 1), ("test", 0), ("test", 1)}
    assert len(list((data_dir / "test" / "dog").iterdir())) == 2


def test_a_removed_class_is_put_aside_with_its_images(workspace, pets) -> None:
    images = {path.read_bytes() for path in (pets / "dog").iterdir()}
    aside = remove_class(workspace, pets, "dog")
    assert {path.read_bytes() for path in (aside / "dog").iterdir()} == images
    assert counts(pets) == {"cat": 2, "cow": 1}
    with pytest.raises(DatasetError, match="at least 2"):
        remove_class(workspace, pets, "cow")


def test_all_parts_of_a_removed_class_are_put_aside_in_one_folder(workspace, make_dataset) -> None:
    names = [f"x/{part}/{name}" for part in ("train", "val") for name in ("cat", "dog", "cow")]
    data_dir = make_dataset(dict.fromkeys(names, 1), root=workspace.datasets_dir / "pets")
    aside = remove_class(workspace, data_dir, "dog")
    kept = sorted(path.parent.relative_to(aside).as_posix() for path in aside.rglob("*.png"))
    assert kept == ["x/train/dog", "x/val/dog"]


def test_a_class_is_not_renamed_onto_one_that_differs_in_case_alone(
    workspace, make_dataset
) -> None:
    data_dir = make_dataset({"cat": 2, "Cat": 1}, root=workspace.datasets_dir / "pets")
    with pytest.raises(DatasetError, match="'Cat' already"):
        rename_class(workspace, data_dir, "cat", "Cat")
    assert counts(data_dir) == {"Cat": 1, "cat": 2}


def test_a_disk_that_does_not_let_folders_change_is_told_and_parts_stay_of_one_name(
    workspace, make_dataset, monkeypatch
) -> None:
    names = [f"{part}/{name}" for part in ("train", "val") for name in ("cat", "dog", "cow")]
    data_dir = make_dataset(dict.fromkeys(names, 1), root=workspace.datasets_dir / "pets")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent.name == "val" or path.parent.parent.name == "val":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    for change in (
        lambda: rename_class(workspace, data_dir, "cat", "lynx"),
        lambda: merge_classes(workspace, data_dir, ["cat"], "dog"),
        lambda: remove_class(workspace, data_dir, "cow"),
    ):
        with pytest.raises(DatasetError, match="Permission denied"):
            change()
    assert (data_dir / "val" / "cat").is_dir()
    assert not (data_dir / "train" / "lynx").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("Dog", "already"), ("../x", "leads out"), ("a/b", "slash"), (".x", "hidden"), (" ", "name")],
)
def test_names_that_cannot_be_a_new_class_are_refused(workspace, pets, name, words) -> None:
    with pytest.raises(DatasetError, match=words):
        add_class(workspace, pets, name)
    with pytest.raises(DatasetError, match=words):
        rename_class(workspace, pets, "cat", name)
    assert counts(pets) == {"cat": 2, "cow": 1, "dog": 3}


def test_an_unknown_class_is_named_with_the_nearest(workspace, pets) -> None:
    with pytest.raises(DatasetError, match="mean 'cow'"):
        merge_classes(workspace, pets, ["cowe"], "dog")
    with pytest.raises(DatasetError, match="received 'horse'"):
        merge_classes(workspace, pets, ["cow"], "horse")
    assert counts(pets) == {"cat": 2, "cow": 1, "dog": 3}


def test_a_folder_outside_the_workspace_is_never_written_to(workspace, make_dataset) -> None:
    outside = make_dataset({"cat": 1, "dog": 1, "cow": 1})
    for change in (
        lambda: add_class(workspace, outside, "fox"),
        lambda: rename_class(workspace, outside, "cat", "fox"),
        lambda: merge_classes(workspace, outside, ["cat"], "dog"),
        lambda: remove_class(workspace, outside, "cat"),
    ):
        with pytest.raises(DatasetError, match="never written to"):
            change()
    assert counts(outside) == {"cat": 1, "cow": 1, "dog": 1}


# Decisions follow


def decide(workspace: Workspace, data_dir: Path, action: Action, class_name=None, *paths: str):
    """Decide about images by hand, in one step."""
    sha256_of = {record.path: record.sha256 for record in scan_dataset(data_dir).records}
    made = [Decision(path, sha256_of[path], action, class_name) for path in paths]
    edit_decisions(workspace, data_dir, lambda before: before.decide(f"{action} {paths}", made))


def counted(workspace: Workspace, data_dir: Path) -> dict[str, int]:
    """Return the number of images by class under the decisions, all of which must hold."""
    index = load_dataset(data_dir, workspace)
    assert [one for one in index.findings if one.kind == "stale_decisions"] == []
    return index.class_counts()


def test_decisions_follow_a_class_to_its_new_name(workspace, pets) -> None:
    decide(workspace, pets, "relabel", "dog", "cow/0.png")
    decide(workspace, pets, "exclude", None, "dog/1.png")
    edit_decisions(workspace, pets, Decisions.undo)
    rename_class(workspace, pets, "dog", "wolf")
    assert counted(workspace, pets) == {"cat": 2, "wolf": 4}
    edit_decisions(workspace, pets, Decisions.redo)
    assert counted(workspace, pets) == {"cat": 2, "wolf": 3}


def test_decisions_follow_the_files_of_merged_classes(workspace, pets) -> None:
    decide(workspace, pets, "exclude", None, "dog/0.png")  # cat has a file of that name
    decide(workspace, pets, "relabel", "cow", "dog/1.png")
    decide(workspace, pets, "relabel", "dog", "cat/1.png")
    merge_classes(workspace, pets, ["dog"], "cat")
    assert counted(workspace, pets) == {"cat": 3, "cow": 2}


def test_a_removed_class_takes_along_the_images_that_count_for_it_and_no_others(
    workspace, pets
) -> None:
    decide(workspace, pets, "exclude", None, "dog/0.png")
    decide(workspace, pets, "relabel", "cow", "dog/1.png")
    decide(workspace, pets, "relabel", "dog", "cat/1.png")
    aside = remove_class(workspace, pets, "dog")
    assert counted(workspace, pets) == {"cat": 1, "cow": 2}
    assert sorted(path.name for path in (aside / "dog").iterdir()) == ["0.png", "2.png"]
    assert len(list((pets / "cow").iterdir())) == 2


def test_without_decisions_no_file_of_them_is_written(workspace, pets) -> None:
    rename_class(workspace, pets, "dog", "wolf")
    assert not decisions_path(workspace, pets).exists()


def test_the_history_names_a_class_as_it_is_called_after_a_rename(workspace, pets) -> None:
    moved = Decision("cat/0.png", "ab", "relabel", "dog")
    out = Decision("dog/0.png", "cd", "exclude")
    edit_decisions(workspace, pets, lambda held: held.decide("0.png moved to dog", [moved]))
    edit_decisions(workspace, pets, lambda held: held.decide("dog excluded", [out]))
    rename_class(workspace, pets, "dog", "hound")
    steps = load_decisions(workspace, pets).steps
    assert [step.label for step in steps] == ["0.png moved to hound", "dog excluded"]


def test_files_are_removed_with_the_decisions_about_them(workspace, pets) -> None:
    broken = pets / "cat" / "broken.png"
    broken.write_bytes(b"no image")
    kept = Decision("cat/broken.png", "", "keep", None, "unreadable")
    edit_decisions(workspace, pets, lambda held: held.decide("kept", [kept]))
    aside = remove_files(workspace, pets, ["cat/broken.png"])
    assert not broken.exists()
    assert (aside / "cat" / "broken.png").read_bytes() == b"no image"
    assert [step.decisions for step in load_decisions(workspace, pets).steps] == [()]
    with pytest.raises(DatasetError, match="Expected a file inside"):
        remove_files(workspace, pets, ["../other/1.png"])
    with pytest.raises(DatasetError, match="never written to"):
        remove_files(workspace, workspace.root / "elsewhere", ["cat/0.png"])
