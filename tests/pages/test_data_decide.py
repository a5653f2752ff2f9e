import re
from types import SimpleNamespace

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, sample_folder, texts, tiles
from PIL import Image

import ui.data.tiles
from tl_core.analysis.overview import look
from tl_core.data.curation.store import Decision, edit_decisions, load_dataset, load_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest import added_photos
from ui.data.filter import Filter
from ui.data.gallery import EXCLUDED, NO_MATCH
from ui.shared.thumbnails import PAGE_SIZE


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 12, "dog": 8}, sample_folder(workspace))


def names(at):
    return [tile["name"] for tile in tiles(at)]


def tick(at, *places):
    """Tick as the browser would, which alone can click in the grid."""
    shown = tiles(at)
    at.session_state["picked"].update(shown[place]["path"] for place in places)
    return at.run()


def test_ticked_pictures_are_excluded_and_no_longer_count(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0, 2)
    at.button(key="gallery_exclude").click().run()
    assert_sound(at)
    assert "18 photos in 2 classes" in texts(at)
    assert "2 photos excluded" in texts(at)
    assert names(at)[:2] == ["1.png", "3.png"]
    held = load_decisions(workspace, dataset).current
    assert {path: one.action for path, one in held.items()} == {
        "cat/0.png": "exclude",
        "cat/2.png": "exclude",
    }
    assert len(list(dataset.rglob("*.png"))) == 20


def test_the_train_page_obeys_at_once(workspace, dataset):
    at = tick(open_page(DATA), 0)
    at.button(key="gallery_exclude").click().run()
    at.switch_page(TRAIN).run()
    assert_sound(at)
    assert "19 photos" in texts(at)


def test_undo_brings_pictures_back_and_redo_takes_them_out(workspace, dataset):
    at = tick(open_page(DATA), 0)
    at.button(key="gallery_exclude").click().run()
    at.button(key="gallery_undo").click().run()
    assert_sound(at)
    assert "20 photos in 2 classes" in texts(at)
    at.button(key="gallery_redo").click().run()
    assert "19 photos in 2 classes" in texts(at)
    assert at.button(key="gallery_redo").disabled


def test_ticked_pictures_move_to_a_class(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 1)
    at.selectbox(key="gallery_move_target").set_value("dog").run()
    at.button(key="gallery_move_now").click().run()
    assert_sound(at)
    assert load_dataset(dataset, workspace).class_counts() == {"cat": 11, "dog": 9}


def test_a_class_that_only_decisions_made_is_a_class_like_others(workspace, dataset):
    record = scan_dataset(dataset).records[0]
    moved = Decision(record.path, record.sha256, "relabel", "lynx")
    edit_decisions(workspace, dataset, lambda before: before.decide("1 moved", [moved]))
    at = open_page(DATA, gallery_class="lynx")
    assert_sound(at)
    assert "20 photos in 3 classes" in texts(at)
    assert names(at) == ["0.png"]
    assert tiles(at)[0]["note"] == "moved from cat"


def test_excluded_pictures_are_shown_and_brought_back(workspace, dataset):
    at = tick(open_page(DATA), 0, 1)
    at.button(key="gallery_exclude").click().run()
    at.get_by_key("gallery_class").set_value(EXCLUDED).run()
    assert names(at) == ["0.png", "1.png"]
    at = tick(at, 1)
    at.button(key="gallery_bring_back").click().run()
    assert_sound(at)
    assert "19 photos in 2 classes" in texts(at)


def test_no_class_but_one_may_be_left(workspace, dataset):
    at = open_page(DATA, gallery_class="dog")
    at.button(key="gallery_tick_all").click().run()
    assert [tile["ticked"] for tile in tiles(at)] == [True] * 8
    at.button(key="gallery_exclude").click().run()
    assert_sound(at)
    told = [warning.value for warning in at.warning]
    assert told == [r"That would leave 1 class; a dataset needs at least 2."]
    assert load_decisions(workspace, dataset).steps == ()
    assert len(names(at)) == 8
    assert at.button(key="gallery_exclude").label == "Exclude (8)"
    at.run()
    assert not at.warning
    assert "20 photos in 2 classes" in texts(at)


def test_a_step_taken_back_may_not_leave_one_class_either(workspace, dataset):
    cat, *records = scan_dataset(dataset).records
    dogs = [record for record in records if record.path.startswith("dog/")]
    out = [Decision(dog.path, dog.sha256, "exclude") for dog in dogs]
    moved = [Decision(cat.path, cat.sha256, "relabel", "dog")]
    edit_decisions(
        workspace,
        dataset,
        lambda before: before.decide("dogs out", out).decide("1 moved", moved),
    )
    at = open_page(DATA)
    at.button(key="gallery_undo").click().run()
    assert_sound(at)
    assert "That would leave 1 class" in at.warning[0].value
    assert len(load_decisions(workspace, dataset).steps) == 2
    assert len(names(at)) == 12


def test_ticks_survive_a_turned_page_and_go_on_another_dataset(workspace, dataset, make_dataset):
    make_dataset({"cup": 4, "jar": 4}, workspace.datasets_dir / "kitchen")
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.get_by_key("gallery_class").set_value("dog").run()
    assert at.button(key="gallery_exclude").label == "Exclude (1)"
    at.selectbox(key="dataset").set_value("kitchen").run()
    assert at.button(key="gallery_exclude").label == "Exclude"


def test_bringing_back_is_for_excluded_pictures_alone(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.button(key="gallery_exclude").click().run()
    at = tick(at, 0)
    at.selectbox(key="gallery_move_target").set_value("dog").run()
    at.button(key="gallery_move_now").click().run()
    at.session_state["picked"].add("cat/1.png")
    at.get_by_key("gallery_class").set_value(EXCLUDED).run()
    assert at.button(key="gallery_bring_back").disabled
    at = tick(at, 0)
    assert at.button(key="gallery_bring_back").label == "Bring back (1)"
    at.button(key="gallery_bring_back").click().run()
    assert_sound(at)
    assert load_decisions(workspace, dataset).current.keys() == {"cat/1.png"}
    assert at.session_state["picked"] == {"cat/1.png"}


def test_excluded_pictures_that_are_ticked_are_not_moved_from_another_class(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.button(key="gallery_exclude").click().run()
    at.session_state["picked"].add("cat/0.png")
    at.run()
    assert names(at)[0] == "1.png"
    assert at.button(key="gallery_exclude").disabled
    assert at.button(key="gallery_exclude").label == "Exclude"


@pytest.mark.parametrize("action", ["exclude", "relabel"])
def test_a_decision_about_other_bytes_is_not_shown_as_if_it_held(workspace, dataset, action):
    target = "dog" if action == "relabel" else None
    decision = Decision("cat/0.png", scan_dataset(dataset).records[0].sha256, action, target)
    edit_decisions(workspace, dataset, lambda before: before.decide("1 decided", [decision]))
    Image.new("RGB", (70, 50), "red").save(dataset / "cat" / "0.png")
    at = open_page(DATA, gallery_class="cat")
    assert_sound(at)
    assert EXCLUDED not in at.get_by_key("gallery_class").options
    assert "excluded" not in texts(at)
    assert names(at)[0] == "0.png"
    assert (tiles(at)[0]["alt"], tiles(at)[0]["note"]) == ("cat", "")


def test_pictures_that_are_in_the_class_already_are_not_moved(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.session_state["picked"].add("dog/0.png")
    at.selectbox(key="gallery_move_target").set_value("dog").run()
    at.button(key="gallery_move_now").click().run()
    (step,) = load_decisions(workspace, dataset).steps
    assert step.label == "0.png moved to dog"
    assert [decision.path for decision in step.decisions] == ["cat/0.png"]
    assert at.session_state["picked"] == set()
    at.session_state["picked"].add("cat/0.png")
    at.run()
    at.button(key="gallery_move_now").click().run()
    assert_sound(at)
    assert "dog is their class already" in at.warning[0].value
    assert len(load_decisions(workspace, dataset).steps) == 1


def test_each_move_has_a_popover_of_its_own_so_that_the_last_one_is_closed(workspace, dataset):
    def popovers(at):
        return {one.proto.id for one in at.get("popover") if "gallery_move" in one.proto.id}

    at = tick(open_page(DATA, gallery_class="cat"), 0)
    before = popovers(at)
    at.selectbox(key="gallery_move_target").set_value("dog").run()
    assert popovers(at) == before
    at.button(key="gallery_move_now").click().run()
    assert_sound(at)
    assert before
    assert popovers(at).isdisjoint(before)


def test_an_excluded_picture_moved_to_its_own_class_counts_again(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.button(key="gallery_exclude").click().run()
    at.get_by_key("gallery_class").set_value(EXCLUDED).run()
    at = tick(at, 0)
    at.selectbox(key="gallery_move_target").set_value("cat").run()
    at.button(key="gallery_move_now").click().run()
    assert_sound(at)
    assert load_dataset(dataset, workspace).num_images == 20


def test_undo_names_the_step_it_took_back_not_the_last_this_window_knew(workspace, dataset):
    at = tick(open_page(DATA), 0)
    at.button(key="gallery_exclude").click().run()
    record = scan_dataset(dataset).records[1]
    in_another_window = Decision(record.path, record.sha256, "relabel", "dog")
    drawn = added_photos.edit_decisions

    def edit(workspace, data_dir, change):
        drawn(workspace, data_dir, lambda before: before.decide("theirs", [in_another_window]))
        return drawn(workspace, data_dir, change)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(added_photos, "edit_decisions", edit)
        at.button(key="gallery_undo").click().run()
    assert "theirs" in at.toast[0].value
    assert [step.label for step in load_decisions(workspace, dataset).steps] == ["0.png excluded"]


def test_a_step_that_another_window_took_back_is_not_told_as_taken_back_here(workspace, dataset):
    at = tick(open_page(DATA), 0)
    at.button(key="gallery_exclude").click().run()
    drawn = added_photos.edit_decisions

    def edit(workspace, data_dir, change):
        drawn(workspace, data_dir, lambda before: before.undo())
        return drawn(workspace, data_dir, change)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(added_photos, "edit_decisions", edit)
        at.button(key="gallery_undo").click().run()
    assert_sound(at)
    assert not at.toast
    assert "another window" in at.warning[0].value


def test_another_search_order_or_filter_begins_on_the_first_page(workspace, make_dataset):
    make_dataset({"cat": 60, "dog": 60}, sample_folder(workspace))
    at = open_page(DATA)
    at.pagination[0].select(2).run()
    first = f"Photos 1 to {PAGE_SIZE}"
    assert first not in texts(at)
    at.selectbox(key="gallery_order").set_value("Largest first").run()
    assert first in texts(at)
    at.pagination[0].select(2).run()
    at.session_state["gallery_search"] = "png"
    at.run()
    assert first in texts(at)
    at.pagination[0].select(2).run()
    at.session_state["gallery_filter"] = Filter("all widths", bounds=(("width", 0, 9999),))
    at.run()
    assert first in texts(at)


def test_search_finds_names(workspace, dataset):
    at = open_page(DATA, gallery_search="11")
    assert names(at) == ["11.png"]
    assert NO_MATCH in texts(open_page(DATA, gallery_search="nothing"))


def test_order_by_brightness_and_size(workspace, dataset):
    Image.new("RGB", (20, 20), "black").save(dataset / "cat" / "night.png")
    Image.new("RGB", (90, 90), "white").save(dataset / "dog" / "snow.png")
    look(scan_dataset(dataset), workspace.cache_dir)
    assert names(open_page(DATA, gallery_order="Darkest first"))[0] == "night.png"
    assert names(open_page(DATA, gallery_order="Brightest first"))[0] == "snow.png"
    assert names(open_page(DATA, gallery_order="Smallest first"))[0] == "night.png"
    assert names(open_page(DATA, gallery_order="Largest first"))[0] == "snow.png"


def test_a_filter_from_a_chart_narrows_the_gallery_until_it_is_taken_away(workspace, dataset):
    Image.new("RGB", (90, 30), "white").save(dataset / "dog" / "wide.png")
    wide = Filter("width 80 to 100", bounds=(("width", 80, 100),))
    at = open_page(DATA, gallery_filter=wide, gallery_filter_dataset="sample")
    assert names(at) == ["wide.png"]
    at.button(key="gallery_filter_off").click().run()
    assert len(names(at)) == 21


def test_a_tick_in_the_browser_counts_for_what_it_showed_and_the_dataset_has(monkeypatch):
    picked = {"cat/0.png", "dog/7.png"}
    monkeypatch.setattr(ui.data.tiles.st, "session_state", {"picked": picked})
    view = SimpleNamespace(raw_place={"cat/0.png": 0, "cat/1.png": 1, "dog/7.png": 2})
    ui.data.tiles.take_ticks(view, {"cat/0.png", "cat/1.png", "../x"}, {"cat/1.png", "../x"})
    assert picked == {"cat/1.png", "dog/7.png"}


def test_one_ticked_picture_leads_to_what_is_like_it(workspace, dataset):
    at = tick(open_page(DATA), 3)
    at.button(key="gallery_similar").click().run()
    assert_sound(at)
    assert at.session_state["map_picture"] == "cat/3.png"
    assert at.session_state["data_tabs"] == "Map"


def test_when_files_have_gone_the_decisions_can_still_be_taken_back(workspace, dataset):
    at = open_page(DATA, gallery_class="dog", gallery_search="7")
    at = tick(at, 0)
    at.button(key="gallery_exclude").click().run()
    for number in range(7):
        (dataset / "dog" / f"{number}.png").unlink()
    at.run()
    assert "Undo some of them." in at.error[0].value
    at.button(key="way_out").click().run()
    assert_sound(at)
    assert "13 photos in 2 classes" in texts(at)


@pytest.mark.parametrize(
    ("typed", "target", "told"),
    [
        ("   ", None, None),
        (" lynx ", "lynx", None),
        ("\u202elynx", "lynx", None),
        (":red[x]", "_red[x]", None),
        ("../../evil", None, "leads out of the folder"),
        ("cat/dog", None, "has a slash in its name"),
        ("DOG", None, "there is a class 'dog' already"),
        (".hidden", None, "hidden or system folder"),
    ],
)
def test_a_class_to_move_to_is_one_that_a_folder_could_bear_the_name_of(
    workspace, dataset, monkeypatch, typed, target, told
):
    at = tick(open_page(DATA, gallery_class="cat"), 1)
    drawn = ui.data.tiles.st.selectbox

    def typed_in(*args, **options):  # a test has no way to type what is not in the list
        value = drawn(*args, **options)
        return typed if options["key"] == "gallery_move_target" else value

    monkeypatch.setattr(ui.data.tiles.st, "selectbox", typed_in)
    at.run()
    assert at.button(key="gallery_move_now").disabled == (target is None)
    warnings = [re.sub(r"\\(.)", r"\1", warning.value) for warning in at.warning]
    assert bool(warnings) == (told is not None)
    assert told is None or told in warnings[0]
    if target is not None:
        at.button(key="gallery_move_now").click().run()
        counts = load_dataset(dataset, workspace).class_counts()
        assert counts == {"cat": 11, "dog": 8, target: 1}


def test_ticks_go_with_their_files_when_a_class_gets_another_name(workspace, dataset):
    at = tick(open_page(DATA, gallery_class="cat"), 0, 1)
    at.session_state["picked"].add("dog/1.png")
    (dataset / "cat").rename(dataset / "lion")
    at.run()
    assert_sound(at)
    assert at.button(key="gallery_exclude").label == "Exclude (1)"
    at.button(key="gallery_exclude").click().run()
    assert_sound(at)
    assert load_decisions(workspace, dataset).current.keys() == {"dog/1.png"}
