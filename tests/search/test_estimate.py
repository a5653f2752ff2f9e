"""The seconds of a search are the sum of what has to be done, worked out by hand."""

import numpy as np
import pytest

from tl_core.config.training import TrainConfig
from tl_core.data.audit.image_stats import count_unmeasured, measure_dataset
from tl_core.data.dataset import scan_dataset
from tl_core.features.benchmark import remember_speed
from tl_core.features.extract import FeatureSpec, count_missing, extract_features
from tl_core.search import estimate
from tl_core.search.estimate import estimate_seconds

BASE = TrainConfig(
    backbone="tiny",
    fc_layers=(),
    epochs=4,
    batch_size=8,
    val_fraction=0.25,
    test_fraction=0.25,
    augment="photo",
    views=3,
)


@pytest.fixture
def index(make_dataset, tmp_path):
    """Forty photos, of which thirty are searched on."""
    return scan_dataset(make_dataset({"cat": 20, "dog": 20}), cache_dir=tmp_path)


@pytest.fixture
def seconds(monkeypatch, index, tmp_path):
    """Return the estimate of heads when only the given amounts take any time."""
    monkeypatch.setattr(estimate, "num_cores", lambda: 2)
    for name in [name for name in vars(estimate) if name.endswith("_SECONDS")]:
        monkeypatch.setattr(estimate, name, 0.0)

    def of(*configs: TrainConfig, **amounts: float) -> float:
        with monkeypatch.context() as here:
            for name, amount in amounts.items():
                here.setattr(estimate, f"_{name}_SECONDS", amount)
            return estimate_seconds(configs, 3, index, tmp_path)

    return of


def test_training_is_counted_by_steps_epochs_weights_and_shapes(seconds):
    # Two thirds of thirty photos are twenty: three steps of eight an epoch, on two cores.
    assert seconds(BASE, STEP=1.0) == 3 * 4 * 3 / 2
    assert seconds(BASE, EPOCH=1.0) == 3 * 4 / 2
    assert seconds(BASE.updated(early_stopping=3), EPOCH=1.0) == 0.75 * 3 * 4 / 2
    wide = BASE.updated(fc_layers=(10,))
    assert seconds(wide, WEIGHT=1.0) == (32 * 10 + 10 * 2) * 3 * 4 * 3 / 2
    assert seconds(BASE, wide, BASE.updated(dropout=0.1), COMPILE=1.0) == 2
    assert seconds(BASE, START=5.0) == 5


def test_photos_that_are_measured_already_do_not_count(seconds, index, tmp_path):
    assert count_unmeasured(index, tmp_path) == 40
    assert seconds(BASE, MEASURE=1.0) == 40 / 2
    measure_dataset(index, tmp_path)
    assert count_unmeasured(index, tmp_path) == 0
    assert seconds(BASE, MEASURE=1.0) == 0


def test_features_that_are_cached_do_not_count(seconds, index, tmp_path):
    remember_speed(tmp_path, "tiny", 10.0)
    assert seconds(BASE) == 30 * 3 / 10  # views at ten a second
    assert seconds(BASE.updated(image_size=(64, 64))) == 4 * seconds(BASE)
    assert seconds(BASE, LOAD=1.0) == 9 + 30 / 2
    assert seconds(BASE, AUGMENT=1.0) == pytest.approx(9 + 30 * 2 / 2)
    assert seconds(BASE, CONVERT=6.0, OPEN=1.0) == 9 + 7
    spec = FeatureSpec.from_config(BASE)
    everything = np.arange(40)
    assert count_missing(index, everything, spec, views=3, cache_dir=tmp_path) == 120
    extract_features(index, everything, spec, cache_dir=tmp_path)
    assert count_missing(index, everything, spec, views=3, cache_dir=tmp_path) == 80
    assert seconds(BASE, CONVERT=6.0, OPEN=1.0) == pytest.approx(30 * 2 / 10 + 1)
    plain = BASE.updated(views=1)
    assert seconds(plain, CONVERT=6.0, OPEN=1.0, LOAD=1.0) == 0


def test_a_backbone_that_was_not_measured_is_guessed_from_its_size(seconds, monkeypatch):
    monkeypatch.setattr(estimate, "_REFERENCE_SECONDS", 1.0)
    lite = BASE.updated(backbone="EfficientNetLite0", views=1)
    assert seconds(lite) == 30 / 2
    assert seconds(lite.updated(backbone="VGG16")) > 2 * seconds(lite)
