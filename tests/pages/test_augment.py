"""The augmentation laboratory: what it shows is what training sees; presets; measured strength."""

from __future__ import annotations

import io
import json
import tomllib

import numpy as np
import pytest
from app_helpers import DATA, ROOT, TRAIN, assert_sound, open_page, sample_folder, texts
from made_run import make_run
from PIL import Image

from tl_core.analysis.augment_effect import TransformEffect
from tl_core.analysis.effect_cache import KIND, EffectFiles, EffectRecord
from tl_core.backbones.api import get_backbone
from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.data.augmentation.augment import augment_view
from tl_core.data.augmentation.presets import list_presets, save_preset
from tl_core.data.augmentation.preview import strength_strip
from tl_core.data.dataset import scan_dataset
from tl_core.data.images.images import load_image
from tl_core.data.split import split_dataset
from tl_core.features import extract
from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.training import JobQueue
from tl_core.progress import Monitor
from tl_core.training.feature_stage import load_features
from ui.augment import panel
from ui.augment.contact_sheet import GAP, LABEL_HEIGHT, PALETTES, Palette, contact_sheet, make_strip
from ui.augment.effect import effect_table, effect_words
from ui.augment.network_input import HEIGHT, seen_sheet, seen_words
from ui.augment.state import say_augment
from ui.shared.words import plain

AUGMENTATION = {"data_tabs": "Augmentation"}
TINY = {"train.backbone": "tiny", **AUGMENTATION}
RED = Palette("#FF0000", "#000000", "#00FF00")
OAK = AugmentConfig(rotation=40, hue=0.2)


@pytest.fixture
def dataset(workspace, make_dataset):
    return make_dataset({"cat": 6, "dog": 5}, sample_folder(workspace), size=(80, 64))


def test_each_transform_has_a_control_with_its_bounds(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    assert_sound(at)
    drawn = {widget.key for widget in [*at.slider, *at.toggle, *at.selectbox]}
    assert {f"augment.{name}" for name in AugmentConfig.model_fields} <= drawn
    rotation = at.slider(key="augment.rotation")
    assert (rotation.min, rotation.max, rotation.value) == (0.0, 180.0, 15.0)


def test_the_size_typed_on_the_train_page_is_what_the_network_sees(workspace, dataset):
    at = open_page(DATA, **TINY, **{"train.image_size": "48, 96"})
    assert_sound(at)
    assert "48 × 96" in texts(at) or "96 × 48" in texts(at)
    too_small = open_page(DATA, **TINY, **{"train.image_size": "0"})
    assert_sound(too_small)
    assert "224 × 224" in texts(too_small)  # as if nothing was set, until the form is mended


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
    draw = panel.contact_sheet
    monkeypatch.setattr(
        panel, "contact_sheet", lambda tiles, *rest: shown.append(tiles) or draw(tiles, *rest)
    )
    return shown


def pixels_of_training(monkeypatch, workspace, dataset, config):
    """Return what training would put through the backbone, as bytes, without a backbone."""
    seen = set()

    def run_pipeline(jobs, load, make_view, engines, num_workers, on_result, monitor):
        for job in jobs:
            views = [make_view(job, load(job), view) for view in job.views]
            seen.update(view.tobytes() for view in views)
            on_result(job, np.zeros((len(views), get_backbone("tiny").feature_dim), np.float32))

    def no_engine(*_):
        raise OSError("no engine is needed")

    monkeypatch.setattr(extract, "run_pipeline", run_pipeline)
    monkeypatch.setattr(extract, "_prepare_engine", no_engine)
    index = scan_dataset(dataset)
    load_features(config, index, split_dataset(index, config), cache_dir=workspace.cache_dir)
    return seen


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_pictures_are_the_bytes_that_training_puts_through_the_backbone(
    workspace, dataset, monkeypatch, resize
):
    shown = sheets_shown(monkeypatch)
    left_on_train = {"train.seed": 3, "train.resize": resize}
    at = open_page(DATA, augment=OAK.model_dump(), **left_on_train, **TINY)
    for number in range(11):
        at.session_state["augment_photo"] = number
        at.run()
    assert_sound(at)
    config = TrainConfig(backbone="tiny", seed=3, resize=resize, augment=OAK, views=9)
    trained_on = pixels_of_training(monkeypatch, workspace, dataset, config)
    split = split_dataset(scan_dataset(dataset), config)
    for number, tiles in enumerate(shown[-11:]):
        is_known = [tile.tobytes() in trained_on for tile in tiles]
        # Photos for validation and test go through as they are, never changed.
        assert is_known == [True] + 8 * [number in split.train]


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
    at = open_page(DATA, augment_show=panel.SEVERAL, **AUGMENTATION)
    assert_sound(at)
    assert len(shown[-1]) == panel.NUM_PHOTOS * (panel.NUM_PHOTO_VIEWS + 1)


def test_a_contact_sheet_sets_its_tiles_in_rows_on_the_pages_colour():
    tiles = [np.full((40, 60, 3), level, np.uint8) for level in (0, 90, 180, 250)]
    with Image.open(io.BytesIO(contact_sheet(tiles, 3, 30, RED))) as sheet:
        assert sheet.size == (3 * 30 + 2 * GAP, 2 * 20 + GAP)
        pixels = np.asarray(sheet).astype(int)
    np.testing.assert_allclose(pixels[10, 15], 0, atol=6)
    np.testing.assert_allclose(pixels[10, 95], 180, atol=6)
    np.testing.assert_allclose(pixels[40, 15], 250, atol=6)
    np.testing.assert_allclose(pixels[40, 95], (255, 0, 0), atol=12)


def test_a_label_stands_below_its_tile_and_the_marked_one_is_framed():
    tiles = [np.full((40, 40, 3), 128, np.uint8)] * 2
    data = contact_sheet(tiles, 2, 40, RED, ["off", "on"], {1})
    with Image.open(io.BytesIO(data)) as sheet:
        assert sheet.size == (2 * 40 + GAP, 40 + LABEL_HEIGHT)
        pixels = np.asarray(sheet).astype(int)
    np.testing.assert_allclose(pixels[20, 2], 128, atol=12)
    assert pixels[20, 52, 1] > pixels[20, 52, 0] + 60  # the frame is green
    below = pixels[40:]
    assert (below[:, :40].sum(axis=2) < 120).any()  # black letters
    assert (below[:, 50:, 1] > 150).any()  # green ones


def test_sheets_have_the_colours_of_the_theme():
    with (ROOT / ".streamlit" / "config.toml").open("rb") as file:
        theme = tomllib.load(file)["theme"]
    for name, palette in PALETTES.items():
        colors = theme[name]
        assert palette.background == colors["backgroundColor"]
        assert palette.text == colors["grayColor"]
        assert palette.mark == colors["primaryColor"]


def test_one_transform_is_shown_from_off_to_its_strongest_with_the_setting_framed(
    workspace, dataset, monkeypatch
):
    shown = []
    draw = panel.contact_sheet
    monkeypatch.setattr(panel, "contact_sheet", lambda *given: shown.append(given) or draw(*given))
    at = open_page(DATA, augment_show=panel.TRANSFORM, augment=OAK.model_dump(), **AUGMENTATION)
    assert_sound(at)
    tiles, columns, _, _, labels, marked = shown[-1]
    assert columns == 6
    assert labels[:7] == ["off", "+40°", "+45°", "+90°", "+135°", "+180°", "off"]
    assert marked == {1, 7, 13, 19}  # both sides of the first photo, one of two others
    photo = load_image(next((dataset / "cat").glob("0.png")), (224, 224))
    np.testing.assert_array_equal(tiles[0], photo)
    np.testing.assert_array_equal(
        tiles[1], strength_strip(photo, "rotation", 2, strongest=40)[1][1]
    )
    np.testing.assert_array_equal(
        tiles[7], strength_strip(photo, "rotation", 2, strongest=40, direction=-1)[1][1]
    )


def test_the_strip_follows_the_control_that_is_moved(workspace, dataset):
    at = open_page(DATA, augment_show=panel.TRANSFORM, **AUGMENTATION)
    assert at.selectbox(key="augment_transform").value == "rotation"
    at.slider(key="augment.blur").set_value(2.0).run()
    assert_sound(at)
    assert at.selectbox(key="augment_transform").value == "blur"
    at.selectbox(key="augment.fill").set_value("black").run()  # fill has no strengths
    assert_sound(at)
    assert at.selectbox(key="augment_transform").value == "blur"


def test_a_switch_has_a_strip_of_off_and_on():
    photos = [np.full((8, 8, 3), level, np.uint8) for level in range(4)]
    strip = make_strip(photos, "vertical_flip", AugmentConfig(vertical_flip=True))
    assert (len(strip.tiles), strip.columns) == (8, 4)
    assert strip.labels == ["off", "on"] * 4
    assert strip.marked == {1, 3, 5, 7}


@pytest.mark.parametrize(
    ("size", "resize", "told"),
    [
        ((400, 300), "squash", "400 × 300 pixels become 224 × 224: squashed, things look 25 %"),
        ((400, 300), "squash", "25 % narrower."),
        ((300, 400), "squash", "25 % flatter."),
        ((400, 300), "crop", "25 % of it is cut off, left and right."),
        ((300, 400), "crop", "25 % of it is cut off, above and below."),
        ((400, 300), "pad", "25 % of that is black, above and below."),
        ((300, 400), "pad", "25 % of that is black, left and right."),
        ((500, 500), "squash", "the aspect ratio stays the same."),
        ((56, 56), "squash", "enlarged 4.0 times"),
        ((56, 112), "crop", "enlarged 4.0 times"),
        ((56, 112), "pad", "enlarged 2.0 times"),
    ],
)
def test_what_resizing_does_is_said(size, resize, told):
    assert told in seen_words(*size, (224, 224), resize)


def test_what_a_crop_cuts_off_is_dark_in_the_photo():
    white = Image.new("RGB", (160, 120), "white")
    data = seen_sheet(white, np.full((224, 224, 3), 255, np.uint8), "crop", RED)
    with Image.open(io.BytesIO(data)) as sheet:
        row = np.asarray(sheet).astype(int)[HEIGHT // 2, :160, 1]
    np.testing.assert_allclose(row[[2, 16, 143, 157]], 76, atol=14)  # 20 of 160 on either side
    np.testing.assert_allclose(row[[24, 80, 135]], 255, atol=14)


def test_the_page_says_what_the_network_sees(workspace, dataset):
    at = open_page(DATA, **{"train.resize": "crop"}, **AUGMENTATION)
    assert "80 × 64 pixels become 224 × 224: 20 % of it is cut off, left and right." in texts(at)


def test_a_setting_is_saved_under_a_name_and_chosen_again(workspace, dataset):
    at = open_page(DATA, augment=OAK.model_dump(), **AUGMENTATION)
    at.text_input(key="augment_preset_name").set_value("Oak").run()
    at.button(key="augment_preset_save").click().run()
    assert_sound(at)
    assert [preset.augment for preset in list_presets(workspace)] == [OAK]
    assert at.session_state["augment_preset"] == "/Oak"
    at.get_by_key("augment_preset").set_value("none").run()
    assert at.session_state["augment"] == AugmentConfig().model_dump()
    at.get_by_key("augment_preset").set_value("/Oak").run()
    assert_sound(at)
    assert at.session_state["augment"] == OAK.model_dump()
    assert at.slider(key="augment.rotation").value == 40.0


def test_a_preset_with_the_values_of_a_built_in_one_stays_the_one_that_is_set(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    at.text_input(key="augment_preset_name").set_value("Mine").run()
    at.button(key="augment_preset_save").click().run()
    assert at.session_state["augment_preset"] == "/Mine"
    at.get_by_key("augment_preset").set_value("photo").run()
    assert at.session_state["augment_preset"] == "photo"
    at.get_by_key("augment_preset").set_value("/Mine").run()
    assert_sound(at)
    assert at.session_state["augment_preset"] == "/Mine"
    at.slider(key="augment.rotation").set_value(40.0).run()
    assert at.session_state["augment_preset"] == "custom"


def test_a_preset_without_a_name_is_answered_in_words(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    at.button(key="augment_preset_save").click().run()
    assert "Expected a name for the preset" in at.error[0].value
    assert list_presets(workspace) == []


def test_a_saved_preset_is_deleted_and_the_setting_stays(workspace, dataset):
    save_preset(workspace, "Oak", OAK)
    at = open_page(DATA, augment=OAK.model_dump(), **AUGMENTATION)
    at.button(key="augment_preset_delete").click().run()
    assert_sound(at)
    assert list_presets(workspace) == []
    assert at.session_state["augment_preset"] == "custom"
    assert at.session_state["augment"] == OAK.model_dump()


def test_a_preset_that_was_passed_on_is_taken_in_and_set(workspace, dataset):
    data = json.dumps({"preset": "Oak", "augment": OAK.model_dump()}).encode()
    at = open_page(DATA, **AUGMENTATION)
    at.file_uploader(key="augment_preset_file_0").upload("oak.json", data).run()
    assert_sound(at)
    assert at.session_state["augment"] == OAK.model_dump()
    assert at.session_state["augment_preset"] == "/Oak"


def test_a_file_that_is_no_preset_is_told_and_changes_nothing(workspace, dataset):
    at = open_page(DATA, **AUGMENTATION)
    at.file_uploader(key="augment_preset_file_0").upload("cat.json", b'{"cat": 1}').run()
    assert not at.exception
    assert "this JSON is something else" in at.error[0].value
    assert list_presets(workspace) == []
    assert at.session_state["augment_preset"] == "photo"


def test_a_built_in_name_is_refused_with_the_reason(workspace, dataset):
    at = open_page(DATA, augment=OAK.model_dump(), **AUGMENTATION)
    at.text_input(key="augment_preset_name").set_value("Photo").run()
    at.button(key="augment_preset_save").click().run()
    assert plain("'Photo' is a built-in preset") in at.error[0].value


def test_one_button_takes_the_setting_to_the_train_page(workspace, dataset):
    at = open_page(DATA, augment=OAK.model_dump(), **AUGMENTATION)
    at.button(key="augment_train").click().run()
    assert_sound(at)
    assert at.session_state["use_augment"] is True
    assert at.title[0].value == "Train"
    at.switch_page(TRAIN).run()  # AppTest itself is still at the page it opened
    at.button(key="start_training").click().run()
    (job,) = [job for job in JobQueue(workspace).jobs() if job.kind == "train"]
    assert TrainConfig.from_json((job.run_dir / "config.json").read_text()).augment == OAK


def test_nothing_to_train_with_is_not_offered(workspace, dataset):
    at = open_page(DATA, augment=AugmentConfig().model_dump(), **AUGMENTATION)
    assert at.button(key="augment_train").disabled
    assert "No transform is on" in texts(at)
    assert say_augment(AugmentConfig()) == "nothing"
    told = say_augment(AugmentConfig(horizontal_flip=True, rotation=15, zoom=0.2, blur=1))
    assert told == "flip left-right, rotation 15°, zoom 20 %, blur 1 px"


def effect(transform, shift, flips=0.0, same_class=0.8):
    return TransformEffect(transform, shift, same_class, flips, 72)


def work(workspace):
    """Do the waiting measurements, as the worker would."""
    queue = JobQueue(workspace)
    for job in queue.jobs():
        if job.kind == KIND:
            KINDS[KIND].run(JobContext(workspace, job, Monitor()))
            queue.finish(job.id)


def measuring(workspace):
    return [job for job in JobQueue(workspace).jobs() if job.kind == KIND]


def test_measuring_is_asked_of_the_worker_and_its_result_is_shown(workspace, dataset):
    at = open_page(DATA, augment=OAK.model_dump(), **TINY)
    assert not at.get("vega_lite_chart")
    at.button(key="augment_measure").click().run()
    assert_sound(at)
    assert len(measuring(workspace)) == 1
    assert "augment_measure" not in [button.key for button in at.button]
    work(workspace)
    at.run()
    assert_sound(at)
    assert len(at.get("vega_lite_chart")) == 1
    assert "augment_measure" not in [button.key for button in at.button]
    assert "there is no run with this backbone yet" in texts(at)


def test_measuring_can_be_cancelled(workspace, dataset):
    at = open_page(DATA, augment=OAK.model_dump(), **TINY)
    at.button(key="augment_measure").click().run()
    at.button(key="augment_measure_cancel").click().run()
    assert_sound(at)
    assert measuring(workspace) == []
    assert at.button(key="augment_measure")


def test_a_measurement_of_other_settings_says_so_until_these_are_measured(workspace, dataset):
    config = TrainConfig(backbone="tiny", augment=OAK)
    files = EffectFiles(workspace.cache_dir, scan_dataset(dataset), config)
    files.write(EffectRecord(OAK, (effect("rotation", 1.1), effect("hue", 0.2)), None), None)
    at = open_page(DATA, augment=OAK.model_dump(), **TINY)
    assert "with other settings" not in texts(at)
    at.slider(key="augment.rotation").set_value(20.0).run()
    assert_sound(at)
    assert "made with other settings: rotation 40°, hue 20 %." in texts(at)
    assert "Rotation** moves your photos 1.10 times" in texts(at)
    assert at.button(key="augment_measure")
    at.run()  # the whole page: the last run drew the pictures and the measurement alone
    at.slider(key="augment.rotation").set_value(40.0).run()
    assert "with other settings" not in texts(at)


def test_the_newest_fitting_run_answers_and_is_named(workspace, dataset, cache_dir):
    make_run(workspace.runs_dir / "20261124-101500_tiny", dataset, cache_dir)
    at = open_page(DATA, augment=OAK.model_dump(), **TINY)
    at.button(key="augment_measure").click().run()
    assert measuring(workspace)[0].payload["run"] == "runs/20261124-101500_tiny"
    work(workspace)
    at.run()
    assert_sound(at)
    assert "views for which no FC layers, lr 0.001, frozen answers otherwise" in texts(at)


def test_why_it_could_not_be_measured_is_told_and_it_can_be_tried_again(workspace, dataset):
    config = TrainConfig(backbone="tiny", augment=OAK)
    files = EffectFiles(workspace.cache_dir, scan_dataset(dataset), config)
    files.explore.write_failure(KIND, "A photo is gone.")
    at = open_page(DATA, augment=OAK.model_dump(), **TINY)
    assert "A photo is gone." in at.warning[0].value
    at.button(key="augment_measure").click().run()
    assert not at.warning
    assert len(measuring(workspace)) == 1


def test_what_is_too_strong_is_named_with_what_to_do():
    told = effect_words([effect("vertical_flip", 0.3, 0.4), effect("rotation", 1.1, 0.02)])
    assert len(told) == 2
    assert (
        "**Rotation** moves your photos 1.10 times as far as another class is away and changes "
        "the answer for 2 % of the views: lower it." in told[0]
    )
    assert told[1].endswith("for 40 % of the views: switch it off.")


def test_transforms_that_fit_alone_can_be_too_strong_together():
    told = effect_words([effect("zoom", 0.6), effect("hue", 0.7), effect("all", 0.95)])
    assert len(told) == 1
    assert "**all together** they move your photos 0.95 times" in told[0]
    assert "lower some, hue first" in told[0]


def test_nothing_too_strong_is_said_with_the_strongest():
    told = effect_words([effect("zoom", 0.2), effect("hue", 0.3), effect("all", 0.4)])
    assert "**Nothing is too strong.** Hue moves your photos most, 0.30 times" in told[0]
    assert told[1].startswith("All together they move your photos 0.40 times")


def test_where_classes_are_no_further_apart_than_photos_of_one_the_answers_decide():
    effects = [
        effect("zoom", 0.2, 0.01, 0.97),
        effect("hue", 0.3, 0.04, 0.97),
        effect("all", 0.4, 0.12, 0.97),
    ]
    told = " ".join(effect_words(effects))
    assert "Nothing is too strong" not in told
    assert "those of one class lie as far apart (0.97) as those of two classes (1)" in told
    assert "no transform is too strong: all together changes most, 12 % of the views" in told
    assert "Hue" in " ".join(effect_words([effect("hue", 1.2, same_class=1.0)]))


def test_the_chart_has_all_together_first_and_then_the_strongest():
    effects = (effect("zoom", 0.2), effect("hue", 0.95, 0.5), effect("all", 0.4))
    table = effect_table(EffectRecord(AugmentConfig(zoom=0.1, hue=0.3), effects, None))
    assert list(table["transform"]) == ["All together", "Hue 30 %", "Zoom 10 %"]
    assert list(table["state"]) == ["fits", "too strong", "fits"]
    assert table["caption"][1] == "0.95, 50 % flip"
