import pytest
from app_helpers import (
    TRAIN,
    assert_sound,
    finished_run,
    open_page,
    sample_folder,
    texts,
    unescaped,
)

from tl_core.backbones.api import list_backbones
from tl_core.config.training import AUGMENT_PRESETS, TrainConfig
from tl_core.evaluation.verdict import CUTMIX_FROZEN
from tl_core.files import JsonLines, read_json, write_json
from tl_core.jobs.training import JobQueue
from tl_core.runs.events import BatchEnd, EpochEnd, FeatureProgress, PhaseStarted
from tl_core.runs.files import EVENTS_FILE, STATUS_FILE, end_run, start_run
from tl_core.runs.store import create_run, list_runs
from ui.train import form


def started_run(workspace, dataset):
    """Return a run that this process seems to train, two epochs and a bit into its head."""
    run = create_run(workspace.runs_dir, TrainConfig(epochs=5), dataset)
    start_run(run.run_dir, "head")
    with JsonLines(run.run_dir / EVENTS_FILE) as log:
        log.append(PhaseStarted("features", 0, 11).to_json())
        log.append(FeatureProgress("features", 11, 11, 40.0, 0.0).to_json())
        log.append(PhaseStarted("head", 5, 2).to_json())
        for epoch in range(2):
            log.append(BatchEnd("head", epoch, 1, 0.9, 0.5, 800.0, 4.0).to_json())
            log.append(
                EpochEnd("head", epoch, 0.8, 0.6, 0.7, 0.75, 1e-3, 0.1, True, 800.0, 3.0).to_json()
            )
        log.append(BatchEnd("head", 2, 1, 0.5, 0.8, 810.0, 2.4).to_json())
    return run


def test_every_setting_has_a_control_that_starts_at_its_default(workspace, dataset):
    at = open_page(TRAIN, **{"train.fine_tune_blocks": 5})
    assert_sound(at)
    widgets = [*at.slider, *at.toggle, *at.selectbox, *at.number_input, *at.text_input]
    values = {widget.key: widget.value for widget in widgets}
    defaults = TrainConfig().model_dump()
    for name in set(TrainConfig.model_fields) - {
        "augment",
        "views",
        "fc_layers",
        "image_size",
        "layout",  # chosen on the Data page
        "fine_tune_blocks",
    }:
        assert values[f"train.{name}"] == defaults[name], name
    assert values["train.fc_layers"] == "256"
    assert values["train.image_size"] == ""
    assert values["use_augment"] is False


def test_every_setting_says_what_a_higher_value_does():
    names = set(TrainConfig.model_fields) - {"augment", "layout"}
    without = [name for name in names if "\n\n" not in TrainConfig.help_of(name)]
    assert without == []


def test_the_settings_are_reset_to_the_defaults(workspace, dataset):
    at = open_page(TRAIN, use_augment=True, **{"train.fine_tune_blocks": 2})
    at.number_input(key="train.epochs").set_value(7)
    at.text_input(key="train.fc_layers").set_value("banana").run()
    at.button(key="reset_settings").click().run()
    assert_sound(at)
    assert at.number_input(key="train.epochs").value == TrainConfig().epochs
    assert at.text_input(key="train.fc_layers").value == "256"
    assert at.selectbox(key="train.fine_tune_blocks").value == 0
    assert at.session_state["use_augment"] is False
    assert not at.button(key="start_training").disabled


def test_cutmix_on_a_frozen_backbone_is_said_to_do_nothing(workspace, dataset):
    at = open_page(TRAIN)
    assert CUTMIX_FROZEN not in texts(at)
    at = open_page(TRAIN, **{"train.cutmix": 1.0})
    assert CUTMIX_FROZEN in texts(at)
    at.selectbox(key="train.fine_tune_blocks").set_value(2).run()
    assert CUTMIX_FROZEN not in texts(at)


def test_a_field_that_nobody_grouped_appears_by_itself():
    assert form.grouped([*TrainConfig.model_fields, "brand_new"])["Other"] == ("brand_new",)
    assert "Other" not in form.grouped(TrainConfig.model_fields)


def test_every_grouped_field_exists():
    grouped = {name for names in form.GROUPS.values() for name in names}
    assert grouped | set(form.FIRST) <= set(TrainConfig.model_fields)


def test_the_fine_tuning_settings_come_with_the_blocks_and_go_with_them(workspace, dataset):
    at = open_page(TRAIN)
    assert "train.fine_tune_epochs" not in [box.key for box in at.number_input]
    at.selectbox(key="train.fine_tune_blocks").set_value(5).run()
    at.number_input(key="train.fine_tune_epochs").set_value(4).run()
    at.button(key="start_training").click().run()
    assert_sound(at)
    config = list_runs(workspace.runs_dir)[0].config
    assert (config.fine_tune_blocks, config.fine_tune_epochs) == (5, 4)


def test_blocks_are_told_in_weights_with_the_recommended_number_marked(workspace, dataset):
    options = open_page(TRAIN).selectbox(key="train.fine_tune_blocks").options
    assert options[0] == "None, the backbone stays frozen"
    assert options[1] == "1 of 18: 0.4 of 3.4 million weights"
    assert options[5] == "5 of 18: 2.4 of 3.4 million weights, recommended"
    assert len(options) == 19


def test_another_backbone_with_fewer_blocks_cuts_the_choice(workspace, dataset):
    at = open_page(TRAIN, **{"train.fine_tune_blocks": 12})
    at.selectbox(key="train.backbone").set_value("VGG16").run()
    assert_sound(at)
    assert at.selectbox(key="train.fine_tune_blocks").value == 5


def test_a_small_weight_decay_can_be_typed_in(workspace, dataset):
    at = open_page(TRAIN)
    at.number_input(key="train.weight_decay").set_value(0.00005).run()
    at.button(key="start_training").click().run()
    assert list_runs(workspace.runs_dir)[0].config.weight_decay == 0.00005


def test_start_queues_a_run_with_what_was_set(workspace, dataset):
    at = open_page(TRAIN)
    at.text_input(key="train.fc_layers").set_value("64, 32").run()
    at.number_input(key="train.epochs").set_value(3).run()
    at.text_input(key="train.image_size").set_value("96").run()
    at.button(key="start_training").click().run()
    assert_sound(at)
    (run,) = list_runs(workspace.runs_dir)
    assert run.state == "queued"
    assert run.config == TrainConfig(fc_layers=(64, 32), epochs=3, image_size=(96, 96))
    assert run.data_dir == dataset
    assert JobQueue(workspace).jobs()[0].run_dir == run.run_dir
    assert at.session_state["run"] == run.id


def test_the_augmentation_of_the_data_page_is_trained_on_when_switched_on(workspace, dataset):
    augment = AUGMENT_PRESETS["tutorial"]
    at = open_page(TRAIN, augment=augment.model_dump(), use_augment=True)
    at.number_input(key="train.views").set_value(5).run()
    at.button(key="start_training").click().run()
    assert_sound(at)
    config = list_runs(workspace.runs_dir)[0].config
    assert (config.augment, config.views) == (augment, 5)


@pytest.mark.parametrize(
    ("setting", "typed", "reason"),
    [
        ("fc_layers", "banana", "FC layers: Expected whole numbers such as '256, 128', received"),
        ("fc_layers", "9000", "FC layers: expected at least 1 and at most 8,192, received 9,000."),
        ("fc_layers", "64, 999999999", "at most 8,192, received 999,999,999."),
        ("fc_layers", "9" * 5000, "FC layers: Expected numbers of at most 15 digits, received 5,0"),
        ("fc_layers", ", ".join("8" * 9), "FC layers: expected at most 8 numbers, received 9."),
        ("learning_rate", 50.0, "Learning rate: expected above 0 and at most 1, received 50"),
        ("epochs", 0, "Epochs: expected at least 1 and at most 1,000, received 0"),
        ("epochs", 1_000_000_000, "Epochs: expected at least 1 and at most 1,000, received 1,000,"),
        ("seed", -1, "Seed: expected at least 0 and at most 2,147,483,647, received -1."),
        ("image_size", "0", "Image size: expected at least 32 and at most 1,024, received 0."),
        ("image_size", "64, 64, 64", "Image size: expected at most 2 numbers, received 3."),
    ],
)
def test_a_setting_that_does_not_fit_stops_start_with_the_reason_beside_it(
    workspace, dataset, setting, typed, reason
):
    at = open_page(TRAIN, **{f"train.{setting}": typed})
    assert_sound(at)
    assert at.button(key="start_training").disabled
    told = [unescaped(one.value) for one in at.caption if reason in unescaped(one.value)]
    assert len(told) == 2  # below the setting and below the button
    assert at.number_input(key="train.batch_size").value == 32  # the rest of the form is drawn


def test_each_setting_that_does_not_fit_is_told_beside_it_and_what_does_not_fit_together_once(
    workspace, dataset
):
    at = open_page(TRAIN, **{"train.fc_layers": "9000", "train.epochs": 0})
    told = [unescaped(one.value) for one in at.caption]
    for title in ("FC layers: expected", "Epochs: expected"):
        assert sum(title in one for one in told) == 2
    at = open_page(TRAIN, **{"train.backbone": "Xception", "train.image_size": "64"})
    assert texts(at).count("at least 71 pixels") == 1


def test_boxes_have_no_limits_of_their_own_behind_which_the_last_valid_value_is_kept(
    workspace, dataset
):
    at = open_page(TRAIN, **{"train.fine_tune_blocks": 1})
    boxes = [one.proto for one in at.number_input if one.key != "train.views"]
    assert len(boxes) > 5
    assert [box.label for box in boxes if box.has_min or box.has_max] == []
    assert [box.label for box in at.text_input if box.proto.validate_regex] == []


def test_an_image_size_below_the_backbones_least_is_refused_in_words(workspace, dataset):
    at = open_page(TRAIN, **{"train.backbone": "Xception", "train.image_size": "64"})
    assert_sound(at)
    assert at.button(key="start_training").disabled
    assert "at least 71 pixels" in texts(at)


def test_a_class_of_one_photo_stops_start_with_the_reason(workspace, make_dataset):
    make_dataset({"cat": 8, "dog": 8, "emu": 1}, sample_folder(workspace))
    at = open_page(TRAIN)
    assert_sound(at)
    assert at.button(key="start_training").disabled
    assert "emu" in texts(at)


def test_the_picker_offers_every_backbone_but_the_hidden_one(workspace, dataset):
    at = open_page(TRAIN)
    names = [backbone.name for backbone in list_backbones()]
    assert at.selectbox(key="train.backbone").options == names
    assert "tiny" not in names
    assert "75.1 % on ImageNet" in texts(at)
    assert at.get_by_key("backbone_chart") is not None


def test_a_training_run_shows_how_far_it_is_and_its_curves(workspace, dataset):
    started_run(workspace, dataset)
    at = open_page(TRAIN)
    assert_sound(at)
    (bar,) = [bar for bar in at.main.progress if "epoch" in bar.text]
    assert "epoch 3 of 5 · 810 photos/s · 2 s left" in bar.text
    assert bar.value == 50
    assert len(at.get("vega_lite_chart")) == 2
    assert at.button(key="stop_run").label == "Stop"


def test_stop_ends_a_waiting_run(workspace, dataset):
    at = open_page(TRAIN)
    at.button(key="start_training").click().run()
    at.button(key="stop_run").click().run()
    assert_sound(at)
    (run,) = list_runs(workspace.runs_dir)
    assert run.state == "stopped"
    assert "Cancelled before it started." in texts(at)


def test_a_finished_run_tells_its_figure_on_unseen_photos(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page(TRAIN)
    assert_sound(at)
    assert "## 90.0 % (75.5 to 96.8)" in texts(at)
    assert "on 40 photos the model has not seen." in texts(at)
    assert at.button(key="go_classify").label == "Classify"


def test_without_a_test_part_the_validation_figure_says_what_it_is(workspace, dataset):
    finished_run(workspace, dataset, test_accuracy=None)
    at = open_page(TRAIN)
    assert "## 80.0 % (60.0 to 92.0)" in texts(at)
    assert "which also picked the best epoch" in texts(at)


def test_a_failed_run_says_why(workspace, dataset):
    run = create_run(workspace.runs_dir, TrainConfig(), dataset)
    end_run(run.run_dir, "failed", "The weights of VGG16 cannot be had.")
    at = open_page(TRAIN)
    assert_sound(at)
    assert at.warning[0].value == "The weights of VGG16 cannot be had."


def test_a_run_whose_process_died_shows_as_interrupted(workspace, dataset):
    run = started_run(workspace, dataset)
    status = read_json(run.run_dir / STATUS_FILE)
    write_json(run.run_dir / STATUS_FILE, {**status, "pid": 2**22 + 1, "pid_create_time": 1.0})
    at = open_page(TRAIN)
    assert_sound(at)
    assert "ended unexpectedly" in at.warning[0].value


def test_a_damaged_run_spoils_no_page(workspace, dataset):
    run = finished_run(workspace, dataset)
    (run.run_dir / STATUS_FILE).write_text("{", encoding="utf-8")
    assert_sound(open_page(TRAIN))
    assert_sound(open_page())


def test_all_runs_are_listed_with_their_figures(workspace, dataset):
    finished_run(workspace, dataset, name="first")
    finished_run(workspace, dataset, name="second", dropout=0.2)
    table = open_page(TRAIN).dataframe(key="runs_table_2").value
    assert set(table["Run"]) == {"first", "second"}
    assert list(table["Test accuracy"]) == [90.0, 90.0]
    assert set(table["Dropout"]) == {0.5, 0.2}


def test_the_settings_of_a_run_can_be_taken_over(workspace, dataset):
    finished_run(
        workspace, dataset, backbone="MobileNet", dropout=0.25, augment="document", views=4
    )
    at = open_page(TRAIN)
    at.button(key="take_over").click().run()
    assert_sound(at)
    assert at.selectbox(key="train.backbone").value == "MobileNet"
    assert at.slider(key="train.dropout").value == 0.25
    assert at.number_input(key="train.views").value == 4
    assert at.session_state["augment"] == AUGMENT_PRESETS["document"].model_dump()


def test_a_measured_speed_is_shown_with_the_backbone(workspace, dataset):
    write_json(workspace.cache_dir / "speeds.json", {"EfficientNetLite0": 161.4})
    assert "161 photos/s here" in texts(open_page(TRAIN))


def test_settings_that_the_form_cannot_hold_become_the_nearest_that_it_can(workspace, dataset):
    given = {"dropout": 0.995, "val_fraction": 0.002, "learning_rate": 1e-8, "seed": 7}
    finished_run(workspace, dataset, **given)
    at = open_page(TRAIN)
    at.button(key="take_over").click().run()
    assert_sound(at)
    assert at.slider(key="train.dropout").value == pytest.approx(0.99)
    assert at.slider(key="train.val_fraction").value == pytest.approx(0.005)
    assert at.number_input(key="train.learning_rate").value == 1e-8
    assert at.number_input(key="train.seed").value == 7
    at.run()
    assert_sound(at)
