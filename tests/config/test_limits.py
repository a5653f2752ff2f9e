import re
from pathlib import Path

import pytest
from demo_helpers import start_demo

from tl_core.config import limits
from tl_core.config.limits import Limits, check_classes, check_config, check_search, current_limits
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError, LimitError

DEPLOY = Path(__file__).parents[2] / "docs" / "DEPLOY.md"


def test_a_studio_has_no_limits(monkeypatch):
    monkeypatch.delenv("TL_MODE", raising=False)
    assert current_limits() is None
    check_config(TrainConfig(backbone="ResNet50", epochs=1000, views=50))
    check_classes(10_000)


def test_limits_come_from_the_environment(monkeypatch, tmp_path):
    start_demo(monkeypatch, tmp_path, epochs=7)
    assert current_limits().epochs == 7
    assert current_limits() is current_limits()
    monkeypatch.setenv("TL_DEMO_EPOCHS", "9")
    assert current_limits().epochs == 9


def test_a_limit_that_is_no_number_is_named(monkeypatch, tmp_path):
    start_demo(monkeypatch, tmp_path, job_minutes="soon")
    with pytest.raises(ConfigError, match=r"job_minutes.*TL_DEMO_"):
        current_limits()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epochs": 11}, "allows 10 epochs of a training"),
        ({"fine_tune_blocks": 1, "fine_tune_epochs": 11}, "allows 10 epochs"),
        ({"views": 4}, "allows 3 augmented versions"),
        ({"image_size": (64, 400)}, "allows 320 pixels"),
        ({"backbone": "ResNet50"}, "trains these backbones: tiny, EfficientNetLite0"),
    ],
)
def test_each_setting_over_its_limit_is_named(monkeypatch, tmp_path, settings, told):
    start_demo(monkeypatch, tmp_path, epochs=10, views=3, backbones="tiny, EfficientNetLite0")
    check_config(TrainConfig(backbone="tiny", epochs=10, views=3))
    with pytest.raises(LimitError, match=told):
        check_config(TrainConfig(**{"backbone": "tiny", "epochs": 1, **settings}))


def test_classes_and_heads_are_limited(monkeypatch, tmp_path):
    start_demo(monkeypatch, tmp_path, classes=3, trials=5)
    check_classes(3)
    with pytest.raises(LimitError, match="allows 3 classes"):
        check_classes(4)
    check_search(SweepConfig(), 5)
    with pytest.raises(LimitError, match="allows 5 heads"):
        check_search(SweepConfig(), 6)


def test_the_documented_table_has_every_limit_with_its_default():
    text = DEPLOY.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(TL_DEMO_\w+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE))
    for name, field in Limits.model_fields.items():
        expected = f"{field.default:,}" if not isinstance(field.default, str) else field.default
        assert rows.get(limits.environment_name(name)) == expected, name
