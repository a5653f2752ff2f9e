import pytest

from tl_core.cli.options import build_config, with_settings
from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.data.augmentation.presets import Preset
from tl_core.errors import ConfigError


def test_no_options_leave_the_defaults():
    assert build_config(None, {}) == TrainConfig()


GIVEN = {
    "number": ({"epochs": 3}, {"epochs": 3}),
    "off": ({"shuffle": False}, {"shuffle": False}),
    "commas": ({"fc_layers": ["256,128"]}, {"fc_layers": (256, 128)}),
    "repeated": ({"fc_layers": ["256", "128"]}, {"fc_layers": (256, 128)}),
    "no layers": ({"fc_layers": ["none"]}, {"fc_layers": ()}),
    "square": ({"image_size": "96"}, {"image_size": (96, 96)}),
    "height first": ({"image_size": "96x128"}, {"image_size": (96, 128)}),
    "preset": ({"augment": "photo"}, {"augment": AUGMENT_PRESETS["photo"]}),
    "one transform": ({"rotation": 20.0}, {"augment": AugmentConfig(rotation=20)}),
    "preset changed": (
        {"augment": "tutorial", "rotation": 20.0, "vertical_flip": False},
        {"augment": AugmentConfig(horizontal_flip=True, rotation=20, fill="edge")},
    ),
}


@pytest.mark.parametrize(("given", "expected"), GIVEN.values(), ids=GIVEN)
def test_options_become_settings(given, expected):
    assert build_config(None, given) == TrainConfig(**expected)


def test_options_change_what_the_file_says(tmp_path):
    path = tmp_path / "config.json"
    stored = TrainConfig(epochs=5, dropout=0.1, augment=AUGMENT_PRESETS["photo"])
    path.write_text(stored.to_json())
    changed = build_config(path, {"epochs": 7, "rotation": 90.0})
    augment = AUGMENT_PRESETS["photo"].updated(rotation=90)
    assert changed == stored.updated(epochs=7, augment=augment.model_dump())
    assert build_config(path, {"augment": "none"}).augment.is_identity


WRONG = {
    "layers": ({"fc_layers": ["256,wide"]}, "'fc_layers': expected whole numbers"),
    "size": ({"image_size": "96x96x3"}, "'image_size': expected one side"),
    "least size": ({"image_size": "9"}, "'image_size.0': expected greater than or equal to 32"),
    "range": ({"rotation": 200.0}, "'rotation': expected less than or equal to 180"),
    "preset": ({"augment": "foto"}, "Did you mean 'photo'?"),
    "choice": ({"resize": "stretch"}, "expected 'squash', 'crop' or 'pad', received 'stretch'"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_explained(given, message):
    with pytest.raises(ConfigError) as caught:
        build_config(None, given)
    assert message in str(caught.value)


def test_an_option_cannot_hide_a_setting_of_the_same_name():
    def command(epochs: int = 0, **settings: object) -> None: ...

    with pytest.raises(ValueError, match="duplicate parameter name: 'epochs'"):
        with_settings(command)


def test_augment_takes_the_file_of_a_saved_preset(tmp_path) -> None:
    preset = Preset("Oak", AugmentConfig(rotation=40, fill="edge"))
    path = tmp_path / preset.file_name
    path.write_text(preset.to_json(), encoding="utf-8")
    config = build_config(None, {"augment": str(path), "hue": 0.1})
    assert config.augment == preset.augment.updated(hue=0.1)
    with pytest.raises(ConfigError, match=r"Cannot read '.*gone\.json'"):
        build_config(None, {"augment": str(tmp_path / "gone.json")})
