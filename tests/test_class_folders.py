"""Class folders of workspace datasets: added, renamed, merged, put aside; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_core.data.class_folders import add_class, merge_classes, remove_class, rename_class
from tl_core.data.dataset import scan_dataset
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


def test_renaming_keeps_every_image_even_when_only_the_case_changes(workspace, pets) -> None:
    rename_class(workspace, pets, "cow", "Cattle")
    rename_class(workspace, pets, "cat", "Cat")
    assert counts(pets) == {"Cat": 2, "Cattle": 1, "dog": 3}


def test_merging_keeps_files_of_the_same_name(workspace, pets) -> None:
    before = {path.read_bytes() for path in pets.rglob("*.png")}
    merge_classes(workspace, pets, ["cat", "cow", "dog"], "dog")
    assert {path.read_bytes() for path in (pets / "dog").iterdir()} == before
    assert sorted(path.name for path in pets.iterdir()) == ["dog"]


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
