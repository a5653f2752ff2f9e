"""Where added pictures go: the dataset and its classes that the page offers."""

import io
import shutil
import zipfile

import pytest
import streamlit as st
from app_helpers import DATA, assert_sound, open_page, sample_folder, texts
from conftest import png

from tl_core.data.curation.store import kept_layout
from tl_core.data.ingest import intake_budget
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.projects.registry import load_project, rename_project
from ui.data.intake import archives
from ui.data.intake.parts import NEW, NO_NAME, SEE_PHOTOS_OR_LABEL, WITHOUT_CLASSES
from ui.shared import session_keys
from ui.shared.errors import LABEL_TAB
from ui.shared.navigation import ADD_TAB, PHOTOS_TAB

ADD = {"data_tabs": ADD_TAB}
PARTS = (PHOTOS_TAB, "Findings", "Map", "Split", "Augmentation", LABEL_TAB, ADD_TAB)


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 3, "dog": 3}, sample_folder(workspace))


@pytest.fixture
def typed_class(monkeypatch):
    """A class of a new name; AppTest cannot type one into a select box."""
    monkeypatch.setattr("ui.data.intake.panel.draw_class", lambda *_: "ash")


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


@pytest.mark.parametrize("tab", PARTS)
def test_every_tab_leads_to_training_once_the_project_can_be_trained(workspace, dataset, tab):
    at = open_page(DATA, data_tabs=tab)
    assert_sound(at)
    assert [one.key for one in at.button].count("go_train") == 1
    at.button(key="go_train").click().run()
    assert at.title[0].value == "Train"


@pytest.mark.parametrize("tab", [ADD_TAB, LABEL_TAB])
def test_no_tab_leads_to_training_before_there_are_two_classes(workspace, dataset, tab):
    shutil.rmtree(dataset / "dog")
    at = open_page(DATA, data_tabs=tab)
    assert_sound(at)
    assert "go_train" not in [one.key for one in at.button]


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
    assert "1 photo added to" in at.success[0].value
    assert box(at, "intake_target_photos").value == "wood"


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def add_zip(files, name="trees.zip"):
    """Return the page of the sample set after a zip was added on it, as a new project."""
    at = open_page(DATA, dataset=SAMPLE_NAME, **ADD)
    at.file_uploader(key="intake_zip_0").upload(name, zip_of(files)).run()
    at.button(key="add_zip").click().run()
    return at


GOOD = {f"{name}/{n}.png": png(kind, n) for kind, name in enumerate(("elm", "oak")) for n in (1, 2)}


def test_an_archive_is_looked_into_once_and_never_when_there_are_too_many(
    workspace, dataset, monkeypatch
):
    names = []
    look = archives.look_into
    monkeypatch.setattr(
        archives, "look_into", lambda file, name, **more: names.append(name) or look(file, name)
    )
    at = open_page(DATA, dataset=SAMPLE_NAME, **ADD)
    files = at.file_uploader(key="intake_zip_0").upload("elm.zip", zip_of(GOOD))
    files.upload("none.zip", b"none").run()
    at.run()
    assert sorted(names) == ["elm.zip", "none.zip"]
    assert at.button(key="add_zip").label == "Add 2 archives"
    monkeypatch.setattr(intake_budget, "MAX_ARCHIVES", 2)
    files = at.file_uploader(key="intake_zip_0").upload("oak.zip", zip_of(GOOD))
    files.upload("ash.zip", zip_of(GOOD)).upload("fir.zip", zip_of(GOOD)).run()
    assert "at most 2 archives at once, received 3" in at.error[0].value
    assert not at.exception
    assert len(names) == 2


def test_a_zip_with_files_that_cannot_be_read_says_how_many(workspace, dataset):
    at = add_zip(GOOD | {"oak/3.png": b"none", "elm/3.png": b""})
    assert_sound(at)
    assert not at.success
    assert at.warning[0].value.startswith("6 files added to *trees*; 2 of them cannot be read")


def test_a_zip_that_can_be_read_throughout_is_plainly_added(workspace, dataset):
    at = add_zip(GOOD)
    assert_sound(at)
    assert at.success[0].value.startswith("4 photos added to *trees*. ")


def test_a_zip_of_one_class_says_that_it_is_no_dataset_yet(workspace, dataset):
    at = add_zip({"oak/1.png": png(0, 1)})
    assert_sound(at)
    assert "1 file added to *trees*; they cannot be trained on yet." in at.warning[0].value


def test_an_intake_that_a_click_ends_is_told(workspace, dataset, monkeypatch):
    monkeypatch.setattr(
        "ui.data.intake.archives.extract_archives", lambda *_, **__: st.rerun()
    )  # as a click does
    at = add_zip(GOOD)
    assert_sound(at)
    assert at.toast[0].value == "Adding 'trees' was cancelled; nothing was added."
    at.run()
    assert not at.toast


def test_an_intake_that_is_over_leaves_no_word_of_cancelling(workspace, dataset):
    at = add_zip(GOOD)
    assert session_keys.INTAKE_NOW not in at.session_state
    refused = add_zip(GOOD)  # the name is taken
    assert len(refused.error) == 1
    assert session_keys.INTAKE_NOW not in refused.session_state


def test_a_report_is_shown_beside_its_dataset_alone(workspace, dataset):
    at = add_zip(GOOD)
    assert len(at.success) == 1
    at.selectbox(key="dataset").set_value(dataset.name).run()
    assert not at.success


def test_what_is_added_on_the_data_page_goes_to_the_project_that_is_open(
    workspace, dataset, make_dataset
):
    wood = make_dataset({"oak": 2, "elm": 2}, workspace.datasets_dir / "wood")
    at = open_page(DATA, dataset="wood", **ADD)
    assert box(at, "intake_target_zip").value == "wood"
    at.file_uploader(key="intake_zip_0").upload("ash.zip", zip_of({"1.png": png(3, 1)})).run()
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert (wood / "ash" / "1.png").is_file()
    assert box(open_page(dataset="wood"), "intake_target_zip").value == NEW  # on Home
    assert box(open_page(DATA, dataset=dataset.name, **ADD), "intake_target_zip").value == NEW


def test_a_report_has_the_projects_title_and_ends_with_a_click_or_another_page(workspace, dataset):
    at = add_zip(GOOD)
    rename_project(workspace, load_project(workspace, "trees"), "Our trees")
    at.run()
    assert "added to *Our trees*" in at.success[0].value
    elsewhere = add_zip(GOOD, "others.zip")
    at.button(key="close_report").click().run()
    assert not at.success
    elsewhere.switch_page("app.py").run()
    assert not elsewhere.success


def test_the_next_intake_takes_the_report_of_the_last_away(workspace, dataset):
    at = add_zip(GOOD)
    assert len(at.success) == 1
    at.file_uploader(key="intake_zip_1").upload("trees.zip", b"no zip at all").run()
    at.text_input[0].set_value("other").run()
    at.button(key="add_zip").click().run()
    assert len(at.error) == 1
    assert not at.success
    assert "intake_cancel" not in [button.key for button in at.button]  # nor its bar


def test_a_zip_without_a_name_is_answered_in_words(workspace, dataset):
    at = open_page(DATA, **ADD)
    at.file_uploader(key="intake_zip_0").upload("trees.zip", zip_of(GOOD)).run()
    at.text_input[0].set_value(" ").run()
    at.button(key="add_zip").click().run()
    assert at.error[0].value == NO_NAME


@pytest.mark.parametrize("way", ["Photos", "Folder"])
def test_the_upload_box_takes_any_file_so_that_the_report_names_it(workspace, dataset, way):
    at = open_page(DATA, intake_way=way, **ADD)
    uploader = at.file_uploader(key=f"intake_{way.lower()}_0")
    assert list(uploader.proto.type) == []
    files = {"new.png": png(5, 1), "clip.mp4": b"x", "crash.poc": b"x"}
    where = "" if way == "Photos" else "animals/cat/"
    uploader.set_value([(where + name, data, "") for name, data in files.items()]).run()
    if way == "Photos":
        box(at, "intake_class_photos").set_value("cat").run()
    at.button(key=f"add_{'photos' if way == 'Photos' else 'folder'}").click().run()
    assert_sound(at)
    assert "1 photo added to" in at.success[0].value
    shown = texts(at) + "".join(str(table.value) for table in at.dataframe)
    for name in ("clip.mp4", "crash.poc"):
        assert name in shown


def test_a_folder_without_a_path_is_answered_in_words(workspace, dataset):
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    next(one for one in at.text_input if one.key.startswith("intake_path_")).set_value("").run()
    at.button(key="open_folder").click().run()
    assert "Expected a full path" in at.error[0].value


def test_photos_added_to_a_project_without_classes_are_found_under_label(workspace, dataset):
    folder = workspace.datasets_dir / "heap"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number, 1))
    at = open_page(DATA, dataset="heap", **ADD)
    at.file_uploader(key="intake_zip_0").upload("more.zip", zip_of({"9.png": png(9, 1)})).run()
    next(one for one in at.text_input if "Class of" in one.label).set_value("").run()
    at.button(key="add_zip").click().run()
    assert_sound(at)
    (said,) = [one.value for one in (*at.success, *at.warning)]
    assert said == f"1 file added to *heap*; {WITHOUT_CLASSES}"


def test_photos_added_beside_some_without_a_class_name_both_tabs(workspace, dataset):
    (dataset / "loose.png").write_bytes(png(9, 9))
    at = open_page(DATA, dataset=dataset.name, **ADD)
    box(at, "intake_target_zip").set_value(box(at, "intake_target_zip").options[1]).run()
    at.file_uploader(key="intake_zip_0").upload("cat.zip", zip_of({"x/9.png": png(8, 1)})).run()
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert at.success[0].value.endswith(SEE_PHOTOS_OR_LABEL)


def test_one_flat_zip_for_each_class_becomes_one_dataset(workspace, dataset):
    at = open_page(DATA, **ADD)
    files = [
        (
            f"{name}-samples.zip",
            zip_of({f"{n}.png": png(kind, n) for n in range(2)}),
            "application/zip",
        )
        for kind, name in enumerate(("Ash", "Yew"))
    ]
    at.file_uploader(key="intake_zip_0").set_value(files).run()
    assert [field.value for field in at.text_input if "Class of" in field.label] == ["Ash", "Yew"]
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert at.success[0].value.startswith("4 photos added to *my classes*")
    assert (workspace.datasets_dir / "my classes" / "Yew" / "1.png").is_file()


def test_the_folder_in_a_zip_of_photos_without_a_class_is_no_class(workspace, dataset):
    at = open_page(DATA, **ADD)
    photos = {f"holiday/DSC_{n:04}.png": png(1, n) for n in range(4)}
    at.file_uploader(key="intake_zip_0").upload("holiday.zip", zip_of(photos)).run()
    assert [one.value for one in at.text_input if "Class of" in one.label] == [""]
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert kept_layout(workspace, workspace.datasets_dir / "holiday") == "unlabelled"
    assert WITHOUT_CLASSES in at.warning[0].value
