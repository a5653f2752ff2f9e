from types import SimpleNamespace

import pytest
from app_helpers import DATA, TRAIN, assert_sound, open_page, sample_folder, texts, tiles
from PIL import Image

import ui.tiles
from tl_core.data.dataset import scan_dataset
from tl_core.data.decisions import Decision, edit_decisions, load_dataset, load_decisions
from tl_core.training.explore import look
from ui.data_filter import Filter
from ui.gallery import EXCLUDED


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
    assert "Expected at least 2 classes" in at.error[0].value
    assert load_decisions(workspace, dataset).steps == ()
    at.run()
    assert "20 photos in 2 classes" in texts(at)


def test_ticks_survive_a_turned_page_and_go_on_another_dataset(workspace, dataset, make_dataset):
    make_dataset({"cup": 4, "jar": 4}, workspace.datasets_dir / "kitchen")
    at = tick(open_page(DATA, gallery_class="cat"), 0)
    at.get_by_key("gallery_class").set_value("dog").run()
    assert at.button(key="gallery_exclude").label == "Exclude (1)"
    at.selectbox(key="dataset").set_value("datasets/kitchen").run()
    assert at.button(key="gallery_exclude").label == "Exclude"


def test_search_finds_names(workspace, dataset):
    at = open_page(DATA, gallery_search="11")
    assert names(at) == ["11.png"]
    assert "No picture matches." in texts(open_page(DATA, gallery_search="nothing"))


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
    at = open_page(DATA, gallery_filter=wide)
    assert names(at) == ["wide.png"]
    at.button(key="gallery_filter_off").click().run()
    assert len(names(at)) == 21


def test_a_tick_in_the_browser_counts_for_what_it_showed_and_the_dataset_has(monkeypatch):
    picked = {"cat/0.png", "dog/7.png"}
    monkeypatch.setattr(ui.tiles.st, "session_state", {"picked": picked})
    view = SimpleNamespace(raw_place={"cat/0.png": 0, "cat/1.png": 1, "dog/7.png": 2})
    ui.tiles.take_ticks(view, {"cat/0.png", "cat/1.png", "../x"}, {"cat/1.png", "../x"})
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
    assert "Take some of them back." in at.error[0].value
    at.button(key="way_out").click().run()
    assert_sound(at)
    assert "13 photos in 2 classes" in texts(at)


@pytest.mark.parametrize(("typed", "target"), [("   ", None), (" lynx ", "lynx")])
def test_spaces_are_no_class_to_move_to_nor_part_of_a_new_one(
    workspace, dataset, monkeypatch, typed, target
):
    at = tick(open_page(DATA, gallery_class="cat"), 1)
    drawn = ui.tiles.st.selectbox

    def typed_in(*args, **options):  # a test has no way to type what is not in the list
        value = drawn(*args, **options)
        return typed if options["key"] == "gallery_move_target" else value

    monkeypatch.setattr(ui.tiles.st, "selectbox", typed_in)
    at.run()
    assert at.button(key="gallery_move_now").disabled == (target is None)
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
