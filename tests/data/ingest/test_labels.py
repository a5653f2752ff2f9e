"""Labels for photos without a class: kept with the decisions, undone, from and to a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tl_core.data.curation.export import export_cleaned_copy
from tl_core.data.curation.store import (
    Decision,
    Decisions,
    apply_decisions,
    edit_decisions,
    follow_changed_files,
    labels_of,
    load_dataset,
    load_decisions,
)
from tl_core.data.dataset import DatasetIndex, scan_dataset, scan_photos
from tl_core.data.ingest.labels import (
    add_label_class,
    label_photos,
    leave_out,
    read_labels_table,
    remove_label_class,
    rename_label_class,
    write_labels_table,
)
from tl_core.errors import DatasetError
from tl_core.workspace import Workspace


@pytest.fixture
def heap(make_dataset, tmp_path: Path) -> Path:
    """Six photos in one folder, 0.png to 5.png, without any class."""
    folder = tmp_path / "heap"
    make_dataset({"any": 6}, tmp_path)
    (tmp_path / "any").rename(folder)
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


ALL = {"0.png": "cat", "1.png": "cat", "3.png": "dog", "4.png": "dog"}


def classes(index: DatasetIndex) -> dict[str, str]:
    return {record.path: index.class_names[record.label] for record in index.records}


def test_labelled_photos_are_a_dataset_and_the_rest_is_left_out_with_a_finding(heap, workspace):
    with pytest.raises(DatasetError, match="6 photos without classes"):
        load_dataset(heap, workspace)
    assert label_photos(heap, ALL, workspace).num_labelled == 4
    index = load_dataset(heap, workspace)
    assert classes(index) == ALL
    assert index.unlabelled == ("2.png", "5.png")
    assert index.labelled == tuple(ALL)
    assert [one.message for one in index.findings if one.kind == "unlabelled"] == [
        "2 images have no class and are not trained on."
    ]
    assert index.decisions_fingerprint != ""


def test_one_labelled_class_is_too_few_and_the_message_says_where_to_go_on(heap, workspace):
    label_photos(heap, {"0.png": "cat"}, workspace)
    with pytest.raises(
        DatasetError, match=r"found 1: 'cat' and 5 photos without classes\. Label them"
    ):
        load_dataset(heap, workspace)


def test_the_fingerprint_tells_other_labels_of_the_same_photos_apart(heap, workspace):
    label_photos(heap, ALL, workspace)
    before = load_dataset(heap, workspace).fingerprint
    label_photos(heap, {path: f"{name}s" for path, name in ALL.items()}, workspace)
    assert load_dataset(heap, workspace).fingerprint != before


def test_a_label_is_undone_and_outlasts_an_exclusion(heap, workspace):
    label_photos(heap, ALL, workspace)
    index = load_dataset(heap, workspace)
    sha = {record.path: record.sha256 for record in index.records}
    leave_out(workspace, heap, {"0.png": sha["0.png"]})
    assert "0.png" not in classes(load_dataset(heap, workspace))
    keep = Decision("0.png", sha["0.png"], "keep")
    edit_decisions(workspace, heap, lambda before: before.decide("brought back", [keep]))
    assert classes(load_dataset(heap, workspace)) == ALL
    leave_out(workspace, heap, {"0.png": sha["0.png"]})
    label_photos(heap, {"0.png": "dog"}, workspace)
    assert classes(load_dataset(heap, workspace))["0.png"] == "dog"
    for _ in range(2):
        edit_decisions(workspace, heap, Decisions.undo)
    assert classes(load_dataset(heap, workspace)) == ALL


def test_a_photo_left_out_without_a_class_is_no_stale_decision(heap, workspace):
    label_photos(heap, ALL, workspace)
    leave_out(workspace, heap, {"2.png": "any"})
    index = load_dataset(heap, workspace)
    assert "stale_decisions" not in [one.kind for one in index.findings]


def test_a_label_of_other_bytes_does_not_count_and_is_reported(heap, workspace):
    label_photos(heap, ALL, workspace)
    shutil.copy(heap / "5.png", heap / "0.png")
    index = load_dataset(heap, workspace)
    assert "0.png" in index.unlabelled
    assert "0.png" not in classes(index)
    stale = next(one for one in index.findings if one.kind == "stale_decisions")
    assert stale.paths == ("0.png",)


def test_a_labelled_photo_can_be_moved_like_any_other(heap, workspace):
    label_photos(heap, ALL, workspace)
    decisions = load_decisions(workspace, heap)
    raw = scan_dataset(heap, labels=labels_of(decisions))
    moved = decisions.decide("moved", [Decision("0.png", raw.records[0].sha256, "relabel", "dog")])
    assert classes(apply_decisions(raw, moved))["0.png"] == "dog"


def test_photos_with_a_class_by_their_folder_keep_it(make_dataset, heap, workspace):
    data = make_dataset({"train/cat": 2, "train/dog": 2})
    shutil.copytree(heap, data / "test1")
    given = {"test1/0.png": "cat", "train/cat/0.png": "dog", "nowhere.png": "dog"}
    taken = label_photos(data, given, workspace)
    assert (taken.num_labelled, taken.unknown) == (1, ("nowhere.png",))
    assert len(taken.has_class) == 1
    index = load_dataset(data, workspace)
    assert index.class_counts() == {"cat": 3, "dog": 2}
    assert not index.has_given_split


def test_photos_labelled_beside_a_given_split_are_trained_on(make_dataset, heap, workspace):
    parts = {f"{part}/{name}": 2 for part in ("train", "val") for name in ("cat", "dog")}
    data = make_dataset(parts)
    shutil.copytree(heap, data / "unlabeled")
    label_photos(data, {"unlabeled/0.png": "cat"}, workspace)
    index = load_dataset(data, workspace)
    part_of = {record.path: record.part for record in index.records}
    assert part_of["unlabeled/0.png"] is None
    assert {part for path, part in part_of.items() if "unl" not in path} == {"train", "val"}


def test_scan_photos_reads_those_without_a_class_and_keeps_them_in_the_cache(heap, tmp_path):
    progress = []
    index = scan_photos(heap, cache_dir=tmp_path)
    assert index.num_images == 6
    assert set(index.labels.tolist()) == {-1}
    assert index.class_names == ()
    scan_photos(heap, cache_dir=tmp_path, on_progress=progress.append)
    assert {one.total for one in progress} <= {0}


def test_the_cleaned_copy_has_the_labelled_photos_in_class_folders(heap, workspace, tmp_path):
    label_photos(heap, ALL, workspace)
    out = export_cleaned_copy(load_dataset(heap, workspace), tmp_path / "copy")
    found = {path.name: path.parent.name for path in out.rglob("*.png")}
    assert found == ALL


def test_classes_are_kept_renamed_and_forgotten(heap, workspace):
    assert add_label_class(workspace, heap, " cat ", []) == "cat"
    with pytest.raises(DatasetError, match="there is a class 'cat' already"):
        add_label_class(workspace, heap, "Cat", ["cat"])
    with pytest.raises(DatasetError, match="plain class name"):
        add_label_class(workspace, heap, "../cat", [])
    label_photos(heap, ALL, workspace)
    label_photos(heap, {"0.png": "cat"}, workspace)
    assert rename_label_class(workspace, heap, "cat", "kitten", ["cat", "dog"]) == "kitten"
    assert load_decisions(workspace, heap).steps[-1].label == "0.png labelled kitten"
    assert load_dataset(heap, workspace).class_counts() == {"dog": 2, "kitten": 2}
    add_label_class(workspace, heap, "bird", ["kitten", "dog"])
    remove_label_class(workspace, heap, "kitten")
    decisions = Decisions.from_json(load_decisions(workspace, heap).to_json())
    assert decisions.classes == ("bird",)
    edit_decisions(workspace, heap, Decisions.undo)
    assert load_decisions(workspace, heap).classes == ("bird",)


def test_a_label_follows_its_class_and_is_taken_when_the_class_is_removed(heap, workspace):
    label_photos(heap, ALL, workspace)
    follow_changed_files(workspace, heap, {}, {"cat": "kitten", "dog": None})
    labels = load_decisions(workspace, heap).labels
    assert {path: one.class_name for path, one in labels.items()} == {
        "0.png": "kitten",
        "1.png": "kitten",
    }


def test_labels_go_through_a_table_and_back(heap, workspace, tmp_path):
    table = tmp_path / "given.csv"
    rows = "".join(f"heap/{path},{name}\n" for path, name in ALL.items())
    table.write_text(f"file_name,label\n{rows}", encoding="utf-8")
    photos = [path.name for path in heap.iterdir()]
    class_of = read_labels_table(table, heap, photos)
    assert class_of == ALL
    label_photos(heap, class_of, workspace)
    out = tmp_path / "out.csv"
    assert write_labels_table(out, workspace, heap) == 4
    assert read_labels_table(out, heap, photos) == ALL
    with pytest.raises(DatasetError, match="file_name and label"):
        read_labels_table(heap / "0.png", heap, photos)


def test_photos_beside_class_folders_can_be_labelled(make_dataset, heap, workspace):
    folder = make_dataset({"cat": 3, "dog": 3}, heap.parent / "pets")
    for name in ("4.png", "5.png"):
        shutil.copy(heap / name, folder / name)
    assert [one.label for one in scan_photos(folder).records].count(-1) == 2

    assert label_photos(folder, {"4.png": "cat", "5.png": "owl"}, workspace).num_labelled == 2
    index = load_dataset(folder, workspace)

    assert index.class_counts() == {"cat": 4, "dog": 3, "owl": 1}
    assert index.num_ignored == {}
    edit_decisions(workspace, folder, Decisions.undo)
    assert load_dataset(folder, workspace).num_ignored == {"stray": 2}


def test_photos_without_a_row_in_the_table_can_be_labelled(heap, workspace):
    (heap / "labels.csv").write_text("file,label\n0.png,cat\n1.png,dog\n2.png,dog\n")
    assert load_dataset(heap, workspace).unlabelled == ("3.png", "4.png", "5.png")

    label_photos(heap, {"2.png": "cat", "3.png": "cat", "4.png": "dog"}, workspace)
    index = load_dataset(heap, workspace)

    assert index.class_counts() == {"cat": 2, "dog": 3}
    assert classes(index)["2.png"] == "dog"  # the table's class is kept
    assert index.num_ignored == {"no_row": 1}
