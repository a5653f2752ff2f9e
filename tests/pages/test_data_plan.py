"""The Data page shows how a folder is read where that is not sure, and one click changes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_helpers import DATA, open_page, sample_folder, texts
from conftest import MakeDataset, draw_image

from tl_core.data.curation.store import kept_layout
from tl_core.workspace import Workspace
from ui.shared.errors import STEPS


@pytest.fixture
def plants(workspace: Workspace, make_dataset: MakeDataset) -> Path:
    counts = {f"{v}/{name}": 3 for v in ("color", "gray") for name in ("rust", "scab")}
    return make_dataset(counts, sample_folder(workspace))


def test_where_two_readings_are_plausible_the_plan_comes_first(
    workspace: Workspace, plants: Path
) -> None:
    at = open_page(DATA)

    assert not at.exception
    assert "Read as 2 classes of 'color'.** rust (3), scab (3)" in texts(at)
    assert "color (6), gray (6)" in texts(at)


def test_one_click_changes_the_reading_and_it_is_not_asked_again(
    workspace: Workspace, plants: Path
) -> None:
    at = open_page(DATA)
    at.button(key="plan_layout_0").click().run()

    assert kept_layout(workspace, plants) == "class-folders"
    assert "6 photos" not in texts(at)
    assert "12 photos in 2 classes" in texts(at)
    assert not [one for one in at.button if one.key == "plan_layout_keep"]

    at.button(key="plan_layout_forget").click().run()
    assert kept_layout(workspace, plants) is None


def test_a_plain_folder_of_classes_is_not_talked_about(workspace: Workspace, dataset: Path) -> None:
    assert "**Read as" not in texts(open_page(DATA))


def test_photos_without_classes_get_them_from_a_typed_pattern(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = sample_folder(workspace)
    folder.mkdir()
    for number in range(8):
        draw_image(number % 2, number).save(folder / f"IMG_{'ab'[number % 2]}{number}.png")

    at = open_page(DATA)
    assert "Read as 8 photos without classes" in texts(at)
    (field,) = [one for one in at.text_input if one.label == "Class from the file name"]
    field.set_value("IMG_{class}{n}").run()
    assert "This gives 2 classes" in texts(at)
    at.button(key="plan_layout_pattern_use").click().run()

    assert kept_layout(workspace, folder) == "names:IMG_{class}{n}"
    assert "8 photos in 2 classes" in texts(at)


def test_groups_that_names_show_are_kept_together_by_one_click(
    workspace: Workspace, make_dataset: MakeDataset
) -> None:
    folder = make_dataset({"on": 0, "off": 0}, sample_folder(workspace))
    for kind, name in enumerate(("on", "off")):
        for clip in range(4):
            for frame in range(3):
                path = folder / name / f"vid{clip}_frame{frame}.png"
                draw_image(kind, 10 * clip + frame).save(path)

    at = open_page(DATA)
    at.button(key="plan_group").click().run()

    assert kept_layout(workspace, folder) == "class-folders?group=name:{group}_frame{n}"
    assert "4 groups of photos stay together" in texts(at)


def test_folders_that_are_links_are_followed_by_one_click(
    workspace: Workspace, make_dataset: MakeDataset
) -> None:
    pool = make_dataset({"the cats": 3, "the dogs": 3}, workspace.datasets_dir / "a_pool")
    folder = sample_folder(workspace)
    folder.mkdir(parents=True)
    for name in ("the cats", "the dogs"):
        (folder / name).symlink_to(pool / name, target_is_directory=True)
    at = open_page(DATA)
    assert STEPS["link"] in at.error[0].value
    assert "`" not in texts(at)  # a name in backticks would show the escapes of its marks

    at.button(key="plan_follow_links").click().run()
    assert not at.error
    assert "6 photos in 2 classes" in texts(at)
