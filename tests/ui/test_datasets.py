import os
import shutil
from pathlib import Path

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, texts
from conftest import draw_image

from tl_core.files import write_json
from tl_core.projects.registry import Project, load_project, rename_project
from tl_core.projects.trash import delete_project
from ui.data.filter import Filter
from ui.data.gallery import NO_MATCH
from ui.datasets.picker import list_datasets
from ui.datasets.scans import folder_stamp, load_raw, rescan
from ui.shared import session_keys
from ui.shared.navigation import ADD_TAB

FUTURE = 4_000_000_000  # seconds


@pytest.fixture
def chosen(workspace, dataset):
    return Project(dataset.name, "Sample", dataset, True)


def add_picture(path: Path, seed: int) -> None:
    draw_image(0, seed).save(path)


def test_an_opened_folder_that_cannot_be_reached_is_passed_over(workspace, dataset):
    # As with a folder that may not be entered, asking whether it is one is an error in itself.
    write_json(workspace.datasets_dir / "opened.json", [str(dataset.parent / ("x" * 300))])
    assert [one.path for one in list_datasets(workspace)] == [dataset]


def test_a_new_file_is_seen_beside_a_folder_dated_in_the_future(workspace, dataset, chosen):
    os.utime(dataset / "cat", (FUTURE, FUTURE))
    assert load_raw(workspace, chosen).num_images == 11
    add_picture(dataset / "dog" / "new.png", 77)
    assert load_raw(workspace, chosen).num_images == 12


def test_a_folder_that_takes_the_place_of_another_is_seen(dataset):
    before = folder_stamp(dataset)
    times = (dataset / "cat").stat().st_mtime, dataset.stat().st_mtime
    (dataset / "cat").rename(dataset / "lynx")
    os.utime(dataset / "lynx", (times[0], times[0]))
    os.utime(dataset, (times[1], times[1]))
    assert folder_stamp(dataset) != before


def test_a_file_changed_in_place_is_seen_when_the_folder_is_looked_at_again(
    workspace, dataset, chosen
):
    before = load_raw(workspace, chosen)
    add_picture(dataset / "cat" / "0.png", 77)
    rescan(chosen)
    after = load_raw(workspace, chosen)
    assert after.records[0].sha256 != before.records[0].sha256
    assert after is load_raw(workspace, chosen)


def test_a_dataset_that_goes_while_it_is_open_is_told_and_the_sidebar_shows_the_next(
    workspace, dataset, make_dataset
):
    gone = make_dataset({"cat": 3, "dog": 3}, workspace.datasets_dir / "todelete")
    at = open_page(DATA, dataset="todelete")
    shutil.rmtree(gone)
    at.run()
    assert_sound(at)
    assert at.selectbox(key="dataset").value == dataset.name
    assert at.query_params["dataset"] == dataset.name
    assert at.toast[0].value.startswith("'todelete' is gone. Shown now: ")


def test_a_project_that_is_gone_is_called_by_its_last_name(workspace, dataset, make_dataset):
    make_dataset({"cat": 3, "dog": 3}, workspace.datasets_dir / "todelete")
    at = open_page(DATA, dataset="todelete")
    project = rename_project(workspace, load_project(workspace, "todelete"), "Summer")
    delete_project(workspace, project)  # both in another window
    at.run()
    assert at.toast[0].value.startswith("'Summer' is gone. Shown now: ")


def test_the_part_of_the_data_page_that_was_left_is_opened_again(workspace, dataset):
    at = open_page(DATA, data_tabs="Split")
    at.switch_page(TRAIN).run()
    at.switch_page(DATA).run()
    assert at.session_state["data_tabs"] == "Split"


def test_a_click_that_comes_upon_a_dataset_gone_does_nothing_to_another(
    workspace, dataset, make_dataset
):
    gone = make_dataset({"cat": 3, "dog": 3, "emu": 3}, workspace.datasets_dir / "todelete")
    where = {"data_tabs": ADD_TAB, "intake_way": "Classes", "class_action": "Remove"}
    at = open_page(DATA, dataset="todelete", **where)
    at.selectbox(key="class_removed_0").set_value("cat").run()
    shutil.rmtree(gone)
    at.button(key="class_remove").click().run()
    assert_sound(at)
    assert (dataset / "cat").is_dir()


def test_a_dataset_that_cannot_be_read_leaves_no_bar_of_progress(workspace, dataset):
    shutil.rmtree(dataset / "dog")
    at = open_page(DATA)
    assert len(at.error) == 1
    assert not [bar for bar in at.get("progress") if "Reading" in bar.proto.text]
    assert not [one for one in at.button if one.key == "go_train"]
    assert str(dataset.parent) not in at.error[0].value


def test_a_dataset_of_one_class_offers_to_add_another(workspace, dataset):
    shutil.rmtree(dataset / "dog")
    at = open_page(DATA)
    at.button(key="offer_intake").click().run()
    assert_sound(at)
    assert at.session_state["data_tabs"] == ADD_TAB
    assert at.session_state["intake_way"] == "Photos"


def test_a_filter_ends_with_the_dataset_it_was_asked_for(workspace, dataset, make_dataset):
    make_dataset({"cat": 3, "dog": 3}, workspace.datasets_dir / "other")
    at = open_page(DATA)
    at.session_state[session_keys.FILTER] = Filter("WEBP", formats=("WEBP",))
    at.run()
    assert NO_MATCH in texts(at)
    at.selectbox(key="dataset").set_value("other").run()
    assert_sound(at)
    assert NO_MATCH not in texts(at)
    assert session_keys.FILTER not in at.session_state
