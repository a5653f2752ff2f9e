"""Photos added to a class: the file is there, counts, and undo and redo take it along."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import png

from tl_core.data.curation.edits import ADDED, Decision, Decisions
from tl_core.data.curation.store import (
    choose_layout,
    decisions_path,
    edit_decisions,
    load_dataset,
    load_decisions,
)
from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest.added_photos import NewPhoto, add_photo, add_photos, take_step
from tl_core.data.ingest.labels import label_photos
from tl_core.errors import DatasetError
from tl_core.workspace import Workspace

PHOTO = png(1, 99)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def pets(workspace: Workspace, make_dataset) -> Path:
    return make_dataset({"cat": 2, "dog": 3}, root=workspace.datasets_dir / "pets")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def counts(workspace: Workspace, data_dir: Path) -> dict[str, int]:
    return load_dataset(data_dir, workspace).class_counts()


def test_the_photo_is_in_its_class_and_counts(workspace, pets) -> None:
    before = files_below(pets)
    path = add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    assert path == "dog/rex.png"
    assert files_below(pets) == {**before, path: PHOTO}
    assert counts(workspace, pets) == {"cat": 2, "dog": 4}
    assert [step.label for step in load_decisions(workspace, pets).steps] == [
        "rex.png added to dog"
    ]


def test_undo_removes_it_and_redo_brings_it_back(workspace, pets) -> None:
    before = files_below(pets)
    path = add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    index = scan_dataset(pets)
    assert take_step(workspace, pets, "undo", index) == "rex.png added to dog"
    assert files_below(pets) == before
    assert counts(workspace, pets) == {"cat": 2, "dog": 3}
    assert take_step(workspace, pets, "redo", index) == "rex.png added to dog"
    assert files_below(pets) == {**before, path: PHOTO}
    assert counts(workspace, pets) == {"cat": 2, "dog": 4}
    with pytest.raises(DatasetError, match="nothing left"):
        take_step(workspace, pets, "redo", index)


def test_a_photo_taken_back_can_be_added_to_another_class(workspace, pets) -> None:
    add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    take_step(workspace, pets, "undo")
    add_photo(workspace, pets, "rex.png", PHOTO, "cat")
    assert counts(workspace, pets) == {"cat": 3, "dog": 3}


def test_the_same_bytes_twice_are_refused_whatever_name_and_class(workspace, pets) -> None:
    add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    before, steps = files_below(pets), load_decisions(workspace, pets)
    with pytest.raises(DatasetError, match=r"is in 'pets' already, as 'dog/rex\.png'"):
        add_photo(workspace, pets, "other.png", PHOTO, "cat")
    assert files_below(pets) == before
    assert load_decisions(workspace, pets) == steps


def test_another_photo_of_a_name_that_is_taken_gets_its_own(workspace, pets) -> None:
    old = (pets / "dog" / "0.png").read_bytes()
    path = add_photo(workspace, pets, "0.png", PHOTO, "dog")
    assert path != "dog/0.png"
    assert (pets / "dog" / "0.png").read_bytes() == old
    take_step(workspace, pets, "undo")
    assert not (pets / path).exists()
    assert (pets / "dog" / "0.png").read_bytes() == old


@pytest.mark.parametrize(
    "name",
    ["../rex.png", "/rex.png", "..\\rex.png", "C:rex.png", "a\nb.png", "", ".png", "~/a.png"],
)
def test_a_hostile_name_is_refused_and_nothing_is_written(workspace, pets, name) -> None:
    before = files_below(workspace.datasets_dir)
    with pytest.raises(DatasetError, match="was not added"):
        add_photo(workspace, pets, name, PHOTO, "dog")
    assert files_below(workspace.datasets_dir) == before
    assert not decisions_path(workspace, pets).exists()


@pytest.mark.parametrize(
    "name", ["my photo: [1] *?.png", "CON.png", f"{'x' * 300}.png", "ü\u200bö.png"]
)
def test_an_odd_name_is_made_one_that_every_system_takes(workspace, pets, name) -> None:
    path = add_photo(workspace, pets, name, PHOTO, "dog")
    assert not set('<>:"|?*\u200b') & set(path)
    assert len(path.encode()) < 200
    assert path.count("/") == 1
    assert (pets / path).read_bytes() == PHOTO


@pytest.mark.parametrize("class_name", ["../out", "a/b", ".hidden", ""])
def test_a_hostile_class_name_is_refused(workspace, pets, class_name) -> None:
    before = files_below(workspace.datasets_dir)
    with pytest.raises(DatasetError, match="plain class name"):
        add_photo(workspace, pets, "rex.png", PHOTO, class_name)
    assert files_below(workspace.datasets_dir) == before


def test_what_is_no_image_is_refused(workspace, pets) -> None:
    with pytest.raises(DatasetError, match="was not added"):
        add_photo(workspace, pets, "rex.png", b"no image", "dog")
    assert not (pets / "dog" / "rex.png").exists()


def test_an_opened_folder_is_never_written_to(workspace, make_dataset, tmp_path) -> None:
    folder = make_dataset({"cat": 2, "dog": 2}, root=tmp_path / "mine")
    workspace.datasets_dir.mkdir(parents=True)
    (workspace.datasets_dir / "linked").symlink_to(folder)
    before = files_below(folder)
    for data_dir in (folder, workspace.datasets_dir / "linked"):
        with pytest.raises(DatasetError, match="never written to"):
            add_photo(workspace, data_dir, "rex.png", PHOTO, "dog")
    assert files_below(folder) == before


def test_damaged_decisions_are_reported_before_anything_is_written(workspace, pets) -> None:
    path = decisions_path(workspace, pets)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    before = files_below(pets)
    with pytest.raises(DatasetError, match="reading them failed"):
        add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    assert files_below(pets) == before


def test_a_photo_that_was_changed_since_is_left_where_it_is(workspace, pets) -> None:
    path = add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    (pets / path).write_bytes(png(1, 100))
    take_step(workspace, pets, "undo")
    assert (pets / path).read_bytes() == png(1, 100)
    assert load_decisions(workspace, pets).steps == ()


def test_redo_does_not_replace_another_file(workspace, pets) -> None:
    path = add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    take_step(workspace, pets, "undo")
    (pets / path).write_bytes(png(1, 100))
    with pytest.raises(DatasetError, match="another file has its name"):
        take_step(workspace, pets, "redo")
    assert (pets / path).read_bytes() == png(1, 100)


def test_only_steps_that_added_a_photo_move_files(workspace, pets) -> None:
    record = scan_dataset(pets).records[0]
    before = files_below(pets)
    decision = Decision(record.path, record.sha256, "exclude")
    edit_decisions(workspace, pets, lambda held: held.decide("excluded", [decision]))
    take_step(workspace, pets, "undo")
    assert files_below(pets) == before


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("../other/secret.png", pytest.raises(DatasetError, match="inside its data folder")),
        ("/etc/secret.png", pytest.raises(DatasetError, match="inside its data folder")),
        ("dog/../../other/secret.png", pytest.raises(DatasetError, match="inside its data folder")),
        ("link/secret.png", nullcontext()),  # names nothing outside, but leads there
    ],
)
def test_undo_never_reaches_outside_of_the_dataset(workspace, pets, path, refusal) -> None:
    secret = pets.parent / "other" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(PHOTO)
    (pets / "link").symlink_to(secret.parent)
    add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    with refusal:
        edit_decisions(
            workspace, pets, lambda held: held.converted(lambda one: replace(one, path=path))
        )
        take_step(workspace, pets, "undo")
    assert secret.read_bytes() == PHOTO


def test_an_exported_file_of_decisions_adds_and_removes_no_photo(workspace, pets) -> None:
    record = scan_dataset(pets).records[0]
    decision = Decision(record.path, record.sha256, "keep", None, ADDED)
    text = Decisions().decide("added", [decision]).to_json()
    (step,) = Decisions.from_json(text).steps
    assert step.decisions == ()


def test_many_photos_are_one_step_whatever_becomes_of_each(workspace, pets, tmp_path) -> None:
    before = files_below(pets)
    (tmp_path / "mine.png").write_bytes(png(0, 98))
    there = (pets / "cat" / "0.png").read_bytes()
    same = (pets / "cat" / "1.png").read_bytes()
    done = add_photos(
        workspace,
        pets,
        [
            NewPhoto("rex.png", PHOTO, "dog"),
            NewPhoto("mine.png", tmp_path / "mine.png", "cat"),
            NewPhoto("again.png", PHOTO, "dog"),
            NewPhoto("there.png", there, "dog"),
            NewPhoto("same.png", same, "cat"),
            NewPhoto("bad.png", b"no image", "cat"),
            NewPhoto("gone.png", tmp_path / "gone.png", "cat"),
        ],
    )
    assert done.added == ("dog/rex.png", "cat/mine.png")
    assert done.moved == ("cat/0.png",)
    assert [name for name, _ in done.refused] == ["same.png", "gone.png", "bad.png"]
    assert counts(workspace, pets) == {"cat": 2, "dog": 5}
    (step,) = load_decisions(workspace, pets).steps
    assert step.label == "3 photos added to 2 classes"
    take_step(workspace, pets, "undo")
    assert files_below(pets) == before
    assert counts(workspace, pets) == {"cat": 2, "dog": 3}


def test_an_added_photo_is_for_train(workspace, pets) -> None:
    path = add_photo(workspace, pets, "rex.png", PHOTO, "dog")
    assert load_dataset(pets, workspace).added == {path}
    take_step(workspace, pets, "undo")
    assert load_dataset(pets, workspace).added == frozenset()


def test_an_invalid_class_leaves_none_of_many_behind(workspace, pets) -> None:
    before = files_below(pets)
    with pytest.raises(DatasetError):
        add_photos(
            workspace,
            pets,
            [NewPhoto("rex.png", PHOTO, "dog"), NewPhoto("x.png", png(0, 97), "../evil")],
        )
    assert files_below(pets) == before
    assert load_decisions(workspace, pets).steps == ()


def test_photos_of_an_opened_folder_are_moved_and_none_added(
    workspace, make_dataset, tmp_path
) -> None:
    folder = make_dataset({"cat": 3, "dog": 3}, root=tmp_path / "mine")
    there = (folder / "cat" / "0.png").read_bytes()
    new = [NewPhoto("rex.png", PHOTO, "dog"), NewPhoto("old.png", there, "dog")]
    done = add_photos(workspace, folder, new)
    assert (done.added, done.moved) == ((), ("cat/0.png",))
    assert done.refused == (("rex.png", "The folder of this project is never written to."),)
    assert not (folder / "dog" / "rex.png").exists()


def dataset_without_folders(workspace: Workspace, make_dataset, source: str) -> Path:
    """Return four photos of two classes, cat and dog, that labels, a table or names give."""
    home = workspace.datasets_dir / source
    heap = make_dataset({"any": 4}, root=home) / "any"
    class_of = {f"{n}.png": ("cat", "dog")[n % 2] for n in range(4)}
    for name in class_of:
        (heap / name).rename(home / (f"{class_of[name]}_{name}" if source == "names" else name))
    heap.rmdir()
    if source == "table":
        rows = [f"{name},{class_name}" for name, class_name in class_of.items()]
        (home / "labels.csv").write_text("\n".join(("file,label", *rows)))
    if source == "labels":
        label_photos(home, class_of, workspace)
    return home


@pytest.mark.parametrize("source", ["labels", "table", "names"])
def test_a_photo_gets_its_class_where_classes_are_no_folders(
    workspace, make_dataset, source
) -> None:
    home = dataset_without_folders(workspace, make_dataset, source)
    before, layout = files_below(home), load_dataset(home, workspace).layout
    assert counts(workspace, home) == {"cat": 2, "dog": 2}

    path = add_photo(workspace, home, "dog_7.PNG", PHOTO, "cat")
    add_photo(workspace, home, "owl.png", png(2, 98), "owl")
    index = load_dataset(home, workspace)

    assert path.startswith("added/")
    assert index.class_counts() == {"cat": 3, "dog": 2, "owl": 1}
    assert path in index.added
    assert index.layout == layout
    for left in ({"cat": 3, "dog": 2}, {"cat": 2, "dog": 2}):
        take_step(workspace, home, "undo")
        assert counts(workspace, home) == left
    assert files_below(home) == before
    take_step(workspace, home, "redo")
    assert counts(workspace, home) == {"cat": 3, "dog": 2}
    with pytest.raises(DatasetError, match="Move that one"):
        add_photo(workspace, home, "again.png", PHOTO, "dog")


def test_a_name_from_which_a_pattern_reads_a_class_is_refused(workspace, make_dataset) -> None:
    home = dataset_without_folders(workspace, make_dataset, "names")
    choose_layout(workspace, home, "names:{class}*")
    before = files_below(home)

    with pytest.raises(DatasetError, match="reads one from its path"):
        add_photo(workspace, home, "new.png", PHOTO, "cat")
    assert files_below(home) == before
