import pytest
from app_helpers import DATA, assert_sound, open_page, sample_folder, texts

from ui.shared.navigation import ADD_TAB

CLASSES = {"data_tabs": ADD_TAB, "intake_way": "Classes"}


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 3, "cow": 3, "dog": 3}, sample_folder(workspace))


def folders(dataset):
    return {path.name: len(list(path.iterdir())) for path in sorted(dataset.iterdir())}


def open_classes(action):
    return open_page(DATA, class_action=action, **CLASSES)


def test_a_class_is_added_empty(workspace, dataset):
    at = open_classes("Add")
    at.text_input(key="class_new_0").set_value("yak").run()
    at.button(key="class_add").click().run()
    assert_sound(at)
    assert folders(dataset) == {"cat": 3, "cow": 3, "dog": 3, "yak": 0}


def test_a_class_is_renamed(workspace, dataset):
    at = open_classes("Rename")
    at.selectbox(key="class_old_0").set_value("cow").run()
    at.text_input(key="class_renamed_0").set_value("bull").run()
    at.button(key="class_rename").click().run()
    assert_sound(at)
    assert folders(dataset) == {"bull": 3, "cat": 3, "dog": 3}


def test_classes_are_merged_and_no_picture_is_lost(workspace, dataset):
    at = open_classes("Merge")
    at.multiselect(key="class_sources_0").set_value(["cow"]).run()
    at.selectbox(key="class_target_0").set_value("cat").run()
    at.button(key="class_merge").click().run()
    assert_sound(at)
    assert folders(dataset) == {"cat": 6, "dog": 3}


def test_a_removed_class_is_put_aside(workspace, dataset):
    at = open_classes("Remove")
    at.selectbox(key="class_removed_0").set_value("dog").run()
    at.button(key="class_remove").click().run()
    assert_sound(at)
    assert folders(dataset) == {"cat": 3, "cow": 3}
    assert len(list(workspace.datasets_dir.glob(".removed/*/dog/*.png"))) == 3


def test_a_name_that_is_taken_is_refused_in_words(workspace, dataset):
    at = open_classes("Add")
    at.text_input(key="class_new_0").set_value("Dog").run()
    at.button(key="class_add").click().run()
    assert "there is a class" in at.error[0].value


def test_a_class_without_a_name_is_answered_in_words(workspace, dataset):
    at = open_classes("Add")
    at.button(key="class_add").click().run()
    assert "Expected a plain class name" in at.error[0].value


def test_a_folder_opened_by_path_has_no_classes_to_manage(
    workspace, dataset, make_dataset, monkeypatch, tmp_path
):
    monkeypatch.setenv("TL_FOLDERS", str(tmp_path))
    outside = make_dataset({"cup": 4, "jar": 4}).resolve()
    at = open_page(DATA, intake_way="Folder on this machine", data_tabs=ADD_TAB)
    box = next(one for one in at.text_input if (one.key or "").startswith("intake_path_"))
    box.set_value(str(outside)).run()
    at.button(key="open_folder").click().run()
    assert_sound(at)
    assert not any("Classes" in option for option in at.get_by_key("intake_way").options)


def test_a_class_name_over_the_limit_is_refused(workspace, dataset):
    at = open_classes("Rename")
    at.selectbox(key="class_old_0").set_value("cow").run()
    at.text_input(key="class_renamed_0").set_value("x" * 81).run()
    at.button(key="class_rename").click().run()
    assert folders(dataset) == {"cat": 3, "cow": 3, "dog": 3}
    assert "Expected at most 80 characters, received 81" in texts(at)
