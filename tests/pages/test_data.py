import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from app_helpers import (
    DATA,
    assert_sound,
    open_page,
    sample_folder,
    texts,
    tiles,
    unescaped,
)
from conftest import draw_image, png
from demo_helpers import let_in
from PIL import Image

from tl_core.analysis.overview import look
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError
from tl_core.jobs.training import JobQueue
from ui.data.findings import FILES_CLEAR
from ui.data.intake import camera
from ui.datasets import dataset_view, picker
from ui.datasets.dataset_view import ensure_audit
from ui.datasets.picker import dataset_id
from ui.shared import session_keys
from ui.shared.navigation import ADD_TAB
from ui.shared.thumbnails import PAGE_SIZE, thumbnail_path

ADD = {"data_tabs": ADD_TAB}


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 30, "dog": 20}, sample_folder(workspace))


def test_counts_and_a_first_page_of_thumbnails_are_shown(workspace, dataset):
    at = open_page(DATA)
    assert_sound(at)
    assert "50 photos in 2 classes" in texts(at)
    assert len(at.get("vega_lite_chart")) == 2
    assert len(tiles(at)) == PAGE_SIZE


def test_the_gallery_can_be_turned_to_the_rest(workspace, dataset):
    at = open_page(DATA)
    at.pagination[0].select(2).run()
    assert_sound(at)
    assert f"Photos {PAGE_SIZE + 1} to 50 of 50." in texts(at)
    assert tiles(at)[-1]["path"] == "dog/19.png"
    assert len(tiles(at)) == 50 - PAGE_SIZE


def test_the_gallery_shows_one_class_alone(workspace, dataset):
    at = open_page(DATA, gallery_class="dog")
    assert_sound(at)
    assert len(tiles(at)) == 20


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
    assert list(at.dataframe[0].value["File"]) == ["cat/broken.png"]


def test_a_folder_without_findings_says_that_too(workspace, dataset):
    for number, path in enumerate(sorted(dataset.rglob("*.png"))):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(pixels).resize((100, 80), Image.Resampling.NEAREST).save(path)
    look(scan_dataset(dataset), workspace.cache_dir)
    assert FILES_CLEAR in texts(open_page(DATA, data_tabs="Findings"))


def test_features_are_computed_ahead_while_the_person_looks(workspace, dataset):
    at = open_page(DATA)
    at.run()
    assert [job.kind for job in JobQueue(workspace).jobs()] == ["features", "explore"]


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
    assert at.session_state["dataset"] == "shapes"
    assert "6 photos added to" in at.success[0].value
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
    assert "1 photo added to" in at.success[0].value
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


def test_a_camera_picture_goes_into_its_class_and_the_next_can_follow(
    workspace, dataset, monkeypatch
):
    at = open_page(DATA, intake_way="Camera", **ADD)
    at.selectbox(key="intake_class_camera").set_value("cat").run()
    monkeypatch.setattr(camera, "NUM_SHOWN", 2)
    for number in range(3):
        buffer = io.BytesIO()
        draw_image(2, 7 + number).save(buffer, "JPEG")
        at.camera_input(key=f"intake_camera_{number}").upload("shot.jpg", buffer.getvalue()).run()
        assert_sound(at)
    assert len(list((dataset / "cat").glob("camera_*.jpg"))) == 3
    assert "3 photos added in this session" in texts(at)
    assert len(at.session_state[session_keys.SHOTS]) == 2
    assert at.camera_input(key="intake_camera_3").value is None


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
    assert at.session_state["dataset"] == dataset_id(workspace, outside)
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


def test_a_folder_of_an_external_drive_is_opened(workspace, dataset, make_dataset, monkeypatch):
    home, drive = workspace.root / "home", workspace.root / "media" / "stick"
    home.mkdir()
    photos = make_dataset({"cup": 4, "jar": 4}, drive / "photos")
    monkeypatch.delenv("TL_FOLDERS")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(picker, "DRIVE_PLACES", (str(drive.parent),))
    mounted = [SimpleNamespace(mountpoint=str(path)) for path in ("/", drive)]
    monkeypatch.setattr(picker.psutil, "disk_partitions", lambda: mounted)
    assert picker.allowed_folders() == (home, drive)
    at = open_page(DATA, intake_way="Folder on this machine", **ADD)
    at.button_group(key="folder_place_0").set_value(drive).run()
    assert_sound(at)
    at.selectbox(key="folder_into_1").set_value("photos").run()
    at.button(key="open_folder").click().run()
    assert_sound(at)
    assert at.session_state["dataset"] == dataset_id(workspace, photos)
    path_box(at).set_value("/usr").run()
    at.button(key="open_folder").click().run()
    assert f"inside '{home}' or '{drive}'" in unescaped(at.error[0].value)


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
    path_box(at).set_value("~nosuch/photos").run()
    at.button(key="open_folder").click().run()
    assert "has no home folder on this machine" in at.error[0].value


def test_strangers_may_not_open_folders_of_the_machine(workspace, dataset, monkeypatch):
    monkeypatch.setenv("TL_MODE", "demo")
    let_in(monkeypatch)
    at = open_page(DATA, **ADD)
    assert_sound(at)
    options = at.get_by_key("intake_way").options
    assert not any("Folder on this machine" in option for option in options)


def test_the_folder_can_be_looked_at_again(workspace, dataset):
    at = open_page(DATA)
    assert "50 photos in 2 classes" in texts(at)
    (dataset / "cat" / "0.png").write_bytes(b"no picture any more")
    at.run()
    assert "50 photos in 2 classes" in texts(at)
    at.button(key="rescan").click().run()
    assert_sound(at)
    assert "49 photos in 2 classes" in texts(at)


def test_a_look_that_failed_can_be_tried_again(workspace, dataset, monkeypatch):
    def fail(*args, **kwargs):
        raise DatasetError("The disk was full.")

    with monkeypatch.context() as patch:
        patch.setattr(dataset_view, "look", fail)
        ensure_audit(workspace, scan_dataset(dataset)).thread.join(60)
    at = open_page(DATA, data_tabs="Findings")
    assert [one.value for one in at.warning] == ["The disk was full."]
    at.button(key="retry_look").click().run()
    ensured = ensure_audit(workspace, scan_dataset(dataset))
    if ensured is not None:
        ensured.thread.join(60)
    at.run()
    assert_sound(at)
    assert not at.warning
    assert "to look at" in texts(at)
