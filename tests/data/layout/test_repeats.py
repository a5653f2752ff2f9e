"""Downloads that hold the same class folders twice, at one place or at two levels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import MakeDataset, draw_image

from tl_core.data.dataset import DatasetIndex, Finding, scan_dataset
from tl_core.data.layout.plan import plan_layout

PLANTS = {"PlantVillage/rust": 3, "PlantVillage/scab": 3, "PlantVillage/spot": 3}


def finding(index: DatasetIndex, kind: str) -> Finding:
    (one,) = (each for each in index.findings if each.kind == kind)
    return one


@pytest.mark.parametrize("place", ["PlantVillage/PlantVillage", "plantvillage/PlantVillage"])
def test_a_second_copy_of_the_whole_set_is_left_out_by_name(
    make_dataset: MakeDataset, place: str, tmp_path: Path
) -> None:
    data_dir = make_dataset(PLANTS)
    shutil.copytree(data_dir / "PlantVillage", tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", data_dir / place)

    plan = plan_layout(data_dir)
    index = scan_dataset(data_dir)

    assert plan.is_sure
    assert index.class_counts() == {"rust": 3, "scab": 3, "spot": 3}
    assert finding(index, "copy").message.startswith("1 folder holds the same files once more")
    assert [one.kind for one in index.findings if one.severity != "info"] == []


def test_a_copy_of_split_folders_is_left_out(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data_dir = make_dataset(
        {f"xray/{part}/{name}": 2 for part in ("train", "test") for name in ("ill", "well")}
    )
    shutil.copytree(data_dir / "xray", tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", data_dir / "xray/xray")

    index = scan_dataset(data_dir)

    assert index.num_images == 8
    assert finding(index, "copy").paths == ("xray/xray/",)


def test_other_files_of_the_same_classes_are_counted_to_them(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({**PLANTS, "PlantVillage/PlantVillage/rust": 0})
    for number, name in enumerate(("rust", "scab")):
        folder = data_dir / "PlantVillage/PlantVillage" / name
        folder.mkdir(exist_ok=True)
        draw_image(7 + number, 50, (24, 20)).save(folder / "more.png")

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"rust": 4, "scab": 4, "spot": 3}
    assert finding(index, "joined").paths == ("PlantVillage/PlantVillage/",)
    assert "copy" not in {one.kind for one in index.findings}


def test_equal_names_and_sizes_make_no_copy_where_the_bytes_differ(
    make_dataset: MakeDataset,
) -> None:
    data_dir = make_dataset({"rust": 2, "scab": 2})
    for number, name in enumerate(("rust", "scab")):
        folder = data_dir / "again" / name
        folder.mkdir(parents=True)
        for path in sorted((data_dir / name).iterdir()):
            draw_image(number + 5, 9, (24, 20)).save(folder / path.name)
            size = max(path.stat().st_size, (folder / path.name).stat().st_size)
            for one in (path, folder / path.name):
                one.write_bytes(one.read_bytes().ljust(size, b"\0"))

    assert scan_dataset(data_dir).class_counts() == {"rust": 4, "scab": 4}


def test_a_test_folder_beside_class_folders_is_the_test_part(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 4, "dog": 4, "test/cat": 2, "test/dog": 2})

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"cat": 6, "dog": 6}
    parts = [record.part for record in index.records]
    assert (parts.count("train"), parts.count("test")) == (8, 4)
    assert index.records[0].path == "cat/0.png"


def test_another_rendering_inside_is_left_out(make_dataset: MakeDataset) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 2, "segmented/cat": 2, "segmented/dog": 2})

    index = scan_dataset(data_dir)

    assert index.class_counts() == {"cat": 2, "dog": 2}
    assert finding(index, "variant").paths == ("segmented/",)


def draw_parts(data_dir: Path) -> None:
    """Draw a set for detecting anomalies, laid out as MVTec AD is."""
    for kind, (folder, names) in enumerate(
        {
            "train/good": ("000.png", "001.png", "002.png"),
            "test/good": ("000.png", "001.png"),
            "test/broken_large": ("000.png", "001.png"),
            "ground_truth/broken_large": ("000_mask.png", "001_mask.png"),
        }.items()
    ):
        (data_dir / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            draw_image(kind, number, (24, 20)).save(data_dir / folder / name)


def test_a_split_that_trains_one_class_is_not_kept_unless_it_is_chosen(tmp_path: Path) -> None:
    draw_parts(tmp_path / "bottle")

    plan = plan_layout(tmp_path / "bottle")
    index = scan_dataset(tmp_path / "bottle")

    assert not plan.is_sure
    assert [one.name for one in plan.readings[:2]] == ["class-folders?split=none", "class-folders"]
    assert index.class_counts() == {"broken_large": 2, "good": 5}
    assert not index.has_given_split
    assert index.num_ignored["mask"] == 2
    assert scan_dataset(tmp_path / "bottle", "class-folders").has_given_split


def test_several_such_sets_are_chosen_from(tmp_path: Path) -> None:
    for name in ("bottle", "cable"):
        draw_parts(tmp_path / "sets" / name)

    plan = plan_layout(tmp_path / "sets")

    assert not plan.is_sure
    assert plan.readings[0].name == "variant:bottle?split=none"
    assert plan.readings[0].class_counts == {"broken_large": 2, "good": 5}
    assert "variant:cable" in [one.name for one in plan.readings]
