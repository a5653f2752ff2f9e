"""Where added pictures go: the dataset and its classes that the page offers."""

import pytest
from app_helpers import DATA, assert_sound, open_page, sample_folder
from test_page_data import png

ADD = {"data_tabs": "Add pictures"}
NEW = "A new dataset"


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))


@pytest.fixture
def typed_class(monkeypatch):
    """A class of a new name; AppTest cannot type one into a select box."""
    monkeypatch.setattr("ui.intake.draw_class", lambda *_: "ash")


def box(at, start):
    return next(box for box in at.selectbox if (box.key or "").startswith(start))


def test_the_classes_on_offer_are_those_of_the_dataset_that_is_added_to(
    workspace, dataset, make_dataset
):
    names = ("trees/train/oak", "trees/train/elm", "trees/val/oak", "trees/val/elm")
    make_dataset(dict.fromkeys(names, 2), workspace.datasets_dir / "wood")
    (dataset / ".hidden").mkdir()
    at = open_page(DATA, intake_way="Photos", **ADD)
    assert box(at, "intake_class_photos").options == ["cat", "dog"]
    box(at, "intake_target_photos").set_value("wood").run()
    assert box(at, "intake_class_photos").options == ["elm", "oak"]
    box(at, "intake_target_photos").set_value(NEW).run()
    assert box(at, "intake_class_photos").options == []
    assert_sound(at)


def test_a_new_dataset_does_not_take_the_name_of_another(
    workspace, dataset, make_dataset, typed_class
):
    make_dataset({"oak": 2, "elm": 2}, workspace.datasets_dir / "wood")
    at = open_page(DATA, intake_way="Photos", **ADD)
    at.file_uploader(key="intake_photos_0").upload("new.png", png(5, 1)).run()
    box(at, "intake_target_photos").set_value(NEW).run()
    at.text_input(key="intake_name_photos_").set_value(" .wood").run()
    at.button(key="add_photos").click().run()
    assert not at.exception
    assert "'wood' is there already" in at.error[0].value
    assert not (workspace.datasets_dir / "wood" / "ash").exists()


def test_more_photos_go_into_the_dataset_that_the_first_ones_made(workspace, dataset, typed_class):
    at = open_page(DATA, intake_way="Photos", **ADD)
    at.file_uploader(key="intake_photos_0").upload("1.png", png(5, 1)).run()
    box(at, "intake_target_photos").set_value(NEW).run()
    at.text_input(key="intake_name_photos_").set_value("wood").run()
    at.button(key="add_photos").click().run()
    assert not at.exception
    assert "1 picture added to" in at.success[0].value
    assert box(at, "intake_target_photos").value == "wood"
