import json

import pytest

from tl_core.config.training import (
    AUGMENT_PRESETS,
    AugmentConfig,
    TrainConfig,
    augment_preset,
    load_config,
)
from tl_core.errors import ConfigError

WRONG = {
    "unknown": ({"bachsize": 3}, "Unknown setting 'bachsize'. Did you mean 'batch_size'?"),
    "unknown inner": (
        {"augment": {"rotaton": 20}},
        "Unknown setting 'augment.rotaton'. Did you mean 'rotation'?",
    ),
    "too large": ({"dropout": 1.0}, "'dropout': expected less than 1, received 1.0"),
    "too small": ({"epochs": 0}, "'epochs': expected greater than or equal to 1, received 0"),
    "no number": ({"learning_rate": "fast"}, "'learning_rate': expected a valid number"),
    "not finite": ({"learning_rate": float("nan")}, "'learning_rate': expected a finite number"),
    "no choice": ({"resize": "stretch"}, "'resize': expected 'squash', 'crop' or 'pad'"),
    "inner": ({"augment": {"rotation": 181}}, "'augment.rotation': expected less than or equal"),
    "preset": ({"augment": "foto"}, "received 'foto'. Did you mean 'photo'?"),
    "layer": ({"fc_layers": (0,)}, "'fc_layers.0': expected greater than or equal to 1"),
    "size": ({"image_size": (16, 224)}, "'image_size.0': expected greater than or equal to 32"),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named_with_what_was_expected(values, message):
    with pytest.raises(ConfigError) as caught:
        TrainConfig.create(values)
    assert message in str(caught.value)


def test_settings_survive_the_way_through_json():
    config = TrainConfig(
        image_size=(96, 128), fc_layers=(64, 32), augment=augment_preset("photo"), views=3
    )
    assert TrainConfig.from_json(config.to_json()) == config


def test_the_json_holds_every_field_so_that_new_defaults_cannot_change_an_old_run():
    stored = json.loads(TrainConfig().to_json())
    assert set(stored) == set(TrainConfig.model_fields)
    assert set(stored["augment"]) == set(AugmentConfig.model_fields)


def test_fields_left_out_of_the_json_take_their_defaults():
    assert TrainConfig.from_json('{"epochs": 3}') == TrainConfig(epochs=3)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "3", "[" * 100_000], ids=["empty", "list", "torn", "number", "deep"]
)
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(ConfigError, match="Expected settings as a JSON object"):
        TrainConfig.from_json(text)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().epochs = 3


def test_updated_validates_like_a_new_one():
    assert TrainConfig().updated(epochs=3).epochs == 3
    with pytest.raises(ConfigError, match="'epochs'"):
        TrainConfig().updated(epochs=-1)


def test_every_field_has_a_title_for_the_form():
    for model in (TrainConfig, AugmentConfig):
        assert [name for name, field in model.model_fields.items() if not field.title] == []


def test_only_the_preset_none_changes_nothing():
    assert [name for name, preset in AUGMENT_PRESETS.items() if preset.is_identity] == ["none"]


def test_the_fill_alone_changes_nothing():
    assert AugmentConfig(fill="black").is_identity
    assert not AugmentConfig(fill="black", rotation=1).is_identity


def test_the_tutorials_preset_is_flips_and_a_quarter_turn():
    preset = augment_preset("tutorial")
    assert (preset.horizontal_flip, preset.vertical_flip, preset.rotation) == (True, True, 90)
    assert preset.updated(horizontal_flip=False, vertical_flip=False, rotation=0).is_identity


def test_a_config_file_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"augment": "photo", "epochs": 4}', encoding="utf-8")
    assert load_config(path) == TrainConfig(epochs=4, augment=AUGMENT_PRESETS["photo"])


def test_a_config_file_that_is_missing_or_no_text_is_named(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    for name in ("missing.json", "binary.json"):
        with pytest.raises(ConfigError, match=f"Cannot read settings from .*{name}"):
            load_config(tmp_path / name)
