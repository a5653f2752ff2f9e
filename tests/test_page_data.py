import io
import tomllib
import zipfile

import numpy as np
import pytest
from app_helpers import (
    DATA,
    ROOT,
    assert_sound,
    open_page,
    sample_folder,
    texts,
)
from conftest import draw_image
from PIL import Image

from tl_core.config import AUGMENT_PRESETS, AugmentConfig
from tl_core.data.augment import augment_view
from tl_core.data.dataset import scan_dataset
from tl_core.data.images import load_image
from tl_core.training.explore import look
from tl_core.training.jobs import JobQueue
from ui import augmenting
from ui.thumbnails import PAGE_SIZE, thumbnail_path

AUGMENTATION = {"data_tabs": "Augmentation"}
ADD = {"data_tabs": "Add pictures"}


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 30, "dog": 20}, sample_folder(workspace))


def png(kind: int, seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_image(kind, seed).save(buffer, "PNG")
    return buffer.getvalue()


def test_counts_and_a_first_page_of_thumbnails_are_shown(workspace, dataset):
    at = open_page(DATA)
    assert_sound(at)
    assert "50 photos in 2 classes" in texts(at)
    assert len(at.get("vega_lite_chart")) == 2
    assert len(at.image) == PAGE_SIZE


def test_the_gallery_can_be_turned_to_the_rest(workspace, dataset):
    at = open_page(DATA, **{"gallery_page_All classes": 2})
    assert_sound(at)
    assert len(at.image) == 50 - PAGE_SIZE
    assert "Pictures 37 to 50 of 50." in texts(at)


def test_the_gallery_shows_one_class_alone(workspace, dataset):
    at = open_page(DATA, gallery_class="dog")
    assert_sound(at)
    assert len(at.image) == 20


def test_thumbnails_are_kept_by_content(workspace, dataset):
    open_page(DATA)
    for record in scan_dataset(dataset).records[:PAGE_SIZE]:
        with Image.open(thumbnail_path(workspace.cache_dir, record.sha256)) as tile:
            assert tile.size == (240, 180)


def test_a_file_that_cannot_be_read_is_told_in_plain_words(workspace, dataset):
    (dataset / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    at = open_page(DATA, data_tabs="Findings")
    assert_sound(at)
    titles = [expander.label for expander in at.expander]
    assert any("1 file cannot be read as an image" in title for title in titles)
    assert "`cat/broken.png`" in texts(at)


def test_a_folder_without_findings_says_that_too(workspace, dataset):
    for number, path in enumerate(sorted(dataset.rglob("*.png"))):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(pixels).resize((100, 80), Image.Resampling.NEAREST).save(path)
    look(scan_dataset(dataset), workspace.cache_dir)
    assert "Nothing wrong was found" in texts(open_page(DATA, data_tabs="Findings"))


def test_features_are_computed_ahead_while_the_person_looks(workspace, dataset):
    at = open_page(DATA)
    at.run()
    assert [job.kind for job in JobQueue(workspace).jobs()] == ["features", "explore"]


def test_each_transform_has_a_control_with_its_bounds(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    assert_sound(at)
    drawn = {widget.key for widget in [*at.slider, *at.toggle, *at.selectbox]}
    assert {f"augment.{name}" for name in AugmentConfig.model_fields} <= drawn
    rotation = at.slider(key="augment.rotation")
    assert (rotation.min, rotation.max, rotation.value) == (0.0, 180.0, 15.0)


def test_a_preset_sets_every_control(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    at.get_by_key("augment_preset").set_value("tutorial").run()
    assert_sound(at)
    assert at.slider(key="augment.rotation").value == 90.0
    assert at.slider(key="augment.zoom").value == 0.0
    assert at.toggle(key="augment.vertical_flip").value is True
    assert at.session_state["augment"] == AUGMENT_PRESETS["tutorial"].model_dump()


def test_moving_a_control_leaves_the_preset_and_is_kept_for_training(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    at.slider(key="augment.rotation").set_value(40.0).run()
    assert_sound(at)
    assert at.session_state["augment_preset"] == "custom"
    assert at.session_state["augment"]["rotation"] == 40.0


def sheets_shown(monkeypatch):
    """Have the explorer's tiles noted; return the list of them."""
    shown = []
    draw = augmenting.contact_sheet
    monkeypatch.setattr(
        augmenting, "contact_sheet", lambda tiles, *rest: shown.append(tiles) or draw(tiles, *rest)
    )
    return shown


def test_the_pictures_are_the_pixels_that_training_sees(workspace, dataset, monkeypatch):
    shown = sheets_shown(monkeypatch)
    assert_sound(open_page(DATA, **AUGMENTATION))
    index = scan_dataset(dataset)
    record = index.records[0]
    photo = load_image(index.path_of(record), (224, 224))
    for view, tile in enumerate(shown[-1]):
        expected = augment_view(photo, AUGMENT_PRESETS["photo"], record.sha256, view, 0)
        np.testing.assert_array_equal(tile, expected)
    assert len(shown[-1]) == 1 + augmenting.NUM_VIEWS


def test_a_moved_control_redraws_the_pictures_with_it(workspace, dataset, monkeypatch):
    shown = sheets_shown(monkeypatch)
    at = open_page(DATA, **AUGMENTATION)
    at.slider(key="augment.rotation").set_value(40.0).run()
    record = scan_dataset(dataset).records[0]
    photo = load_image(dataset / record.path, (224, 224))
    config = AUGMENT_PRESETS["photo"].updated(rotation=40.0)
    np.testing.assert_array_equal(shown[-1][3], augment_view(photo, config, record.sha256, 3, 0))


def test_several_photos_show_a_row_of_views_each(workspace, dataset, monkeypatch):
    shown = sheets_shown(monkeypatch)
    at = open_page(DATA, augment_show=augmenting.SEVERAL, **AUGMENTATION)
    assert_sound(at)
    assert len(shown[-1]) == augmenting.NUM_PHOTOS * (augmenting.NUM_PHOTO_VIEWS + 1)


def test_a_contact_sheet_sets_its_tiles_in_rows_on_the_pages_colour():
    tiles = [np.full((40, 60, 3), level, np.uint8) for level in (0, 90, 180, 250)]
    with Image.open(io.BytesIO(augmenting.contact_sheet(tiles, 3, 30, "#FF0000"))) as sheet:
        assert sheet.size == (3 * 30 + 2 * augmenting.GAP, 2 * 20 + augmenting.GAP)
        pixels = np.asarray(sheet).astype(int)
    np.testing.assert_allclose(pixels[10, 15], 0, atol=6)
    np.testing.assert_allclose(pixels[10, 95], 180, atol=6)
    np.testing.assert_allclose(pixels[40, 15], 250, atol=6)
    np.testing.assert_allclose(pixels[40, 95], (255, 0, 0), atol=12)


def test_the_gaps_of_a_sheet_have_the_colours_of_the_theme():
    with (ROOT / ".streamlit" / "config.toml").open("rb") as file:
        theme = tomllib.load(file)["theme"]
    for name, color in augmenting.BACKGROUNDS.items():
        assert theme[name]["backgroundColor"] == color


def test_a_zip_becomes_the_current_dataset(workspace, dataset):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("red", "green"):
            for seed in range(3):
                archive.writestr(f"{name}/{seed}.png", png(len(name), seed))
        archive.writestr("notes.txt", "no image")
    at = open_page(DATA, **ADD)
    at.file_uploader(key="intake_zip_0").upload("shapes.zip", buffer.getvalue()).run()
    assert_sound(at)
    at.button(key="add_zip").click().run()
    assert_sound(at)
    assert at.session_state["dataset"] == "datasets/shapes"
    assert "6 pictures added to" in at.success[0].value
    assert at.dataframe[0].value.values.tolist() == [["notes.txt", "It is not an image file."]]


def test_a_refused_zip_names_the_reason_and_changes_nothing(workspace, dataset):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.png", png(0, 0))
    at = open_page(DATA, **ADD)
    at.file_uploader(key="intake_zip_0").upload("evil.zip", buffer.getvalue()).run()
    at.button(key="add_zip").click().run()
    assert not at.exception
    assert "leads out of the folder" in at.error[0].value
    assert [path.name for path in workspace.datasets_dir.iterdir()] == ["sample"]


def test_photos_go_into_the_class_that_is_named(workspace, dataset):
    at = open_page(DATA, intake_way="Photos", **ADD)
    at.file_uploader(key="intake_photos_0").upload("new.png", png(5, 1)).upload("bad.png", b"no")
    at.run()
    at.selectbox(key="intake_class_photos").set_value("dog").run()
    at.button(key="add_photos").click().run()
    assert_sound(at)
    assert (dataset / "dog" / "new.png").is_file()
    assert "1 picture added to" in at.success[0].value
    told = at.dataframe[0].value.values.tolist()
    assert [row[0] for row in told] == ["bad.png", "new.png"]
    assert told[1][1] == "added as dog/new.png"


def test_an_uploaded_folder_becomes_a_new_dataset_with_its_classes(workspace, dataset):
    at = open_page(DATA, intake_way="Folder", **ADD)
    uploader = at.file_uploader(key="intake_folder_0")
    for seed, name in enumerate(("pets/cat/1.png", "pets/cat/2.png", "pets/dog/1.png")):
        uploader.upload(name, png(0, seed))
    at.run()
    assert_sound(at)
    at.button(key="add_folder").click().run()
    assert_sound(at)
    folder = workspace.datasets_dir / "pets"
    assert sorted(path.name for path in folder.rglob("*.png")) == ["1.png", "1.png", "2.png"]


def test_a_camera_picture_goes_into_its_class_and_the_next_can_follow(workspace, dataset):
    at = open_page(DATA, intake_way="Camera", **ADD)
    at.selectbox(key="intake_class_camera").set_value("cat").run()
    for number in range(2):
        buffer = io.BytesIO()
        draw_image(2, 7 + number).save(buffer, "JPEG")
        at.camera_input(key=f"intake_camera_{number}").upload("shot.jpg", buffer.getvalue()).run()
        assert_sound(at)
    assert len(list((dataset / "cat").glob("camera_*.jpg"))) == 2
    assert "2 pictures added in this session" in texts(at)
    assert at.camera_input(key="intake_camera_2").value is None


@pytest.fixture
def allowed(monkeypatch, tmp_path):
    monkeypatch.setenv("TL_FOLDERS", str(tmp_path))
    return tmp_path


def path_box(at):
    return next(box for box in at.text_input if (box.key or "").startswith("intake_path_"))


def test_a_folder_of_the_machine_is_opened_and_not_written_to(
    workspace, dataset, make_dataset, allowed
):
    outside = make_dataset({"cup": 4, "jar": 4})
    before = sorted(outside.rglob("*"))
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    path_box(at).set_value(str(outside)).run()
    at.button(key="open_folder").click().run()
    assert_sound(at)
    assert at.session_state["dataset"] == str(outside)
    assert sorted(outside.rglob("*")) == before


def test_the_picker_walks_into_folders_and_back_but_not_out(
    workspace, dataset, make_dataset, allowed
):
    make_dataset({"cup": 4, "jar": 4}, allowed / "sets" / "kitchen")
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    assert at.button(key="folder_up").disabled
    at.selectbox(key="folder_into_0").set_value("sets").run()
    at.selectbox(key="folder_into_1").set_value("kitchen").run()
    assert_sound(at)
    assert path_box(at).value == str(allowed / "sets" / "kitchen")
    assert "2 folders and 0 files in it: cup, jar" in texts(at)
    at.button(key="folder_up").click().run()
    assert at.selectbox(key="folder_into_3").options == ["kitchen"]


def test_a_folder_outside_of_the_allowed_one_is_refused(workspace, dataset, allowed):
    (allowed / "way_out").symlink_to("/usr")
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    for path in ("/usr", str(allowed / ".." / ".."), str(allowed / "way_out" / "share")):
        path_box(at).set_value(path).run()
        at.button(key="open_folder").click().run()
        assert "Expected a folder inside" in at.error[0].value


def test_a_wrong_path_is_answered_with_what_to_do(workspace, dataset):
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    path_box(at).set_value("photos").run()
    at.button(key="open_folder").click().run()
    assert "Expected a full path" in at.error[0].value


def test_strangers_may_not_open_folders_of_the_machine(workspace, dataset, monkeypatch):
    monkeypatch.setenv("TL_MODE", "demo")
    at = open_page(DATA, **ADD)
    assert_sound(at)
    options = at.get_by_key("intake_way").options
    assert not any("Folder on this machine" in option for option in options)
