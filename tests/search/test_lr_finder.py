import numpy as np
import pytest

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import Stopped
from tl_core.progress import Monitor
from tl_core.search import lr_finder
from tl_core.search.lr_cache import RangeFile, settings_that_matter
from tl_core.search.lr_finder import (
    find_learning_rate,
    has_diverged,
    read_curve,
    run_range_test,
    smooth,
)
from tl_core.training.head_phase import HeadData

CONFIG = TrainConfig(backbone="tiny", fc_layers=(8,), batch_size=8)


@pytest.fixture
def data():
    """Sixty points around three corners: easy to learn."""
    labels = np.arange(60) % 3
    noise = np.random.default_rng(0).normal(0, 0.3, (1, 60, 4))
    return HeadData.create((3 * np.eye(4)[labels] + noise).astype(np.float32), labels, 3)


def test_smoothing_weighs_the_steps_on_both_sides_alike_worked_out_by_hand():
    # (2 + 0.8*4 + 0.64*0) / 2.44 = 2.1311; (0.8*2 + 4 + 0.8*0) / 2.6; (0.64*2 + 0.8*4 + 0) / 2.44
    assert smooth(np.array([2.0, 4.0, 0.0])) == pytest.approx([5.2 / 2.44, 5.6 / 2.6, 4.48 / 2.44])
    assert smooth(np.full(9, 1.5)) == pytest.approx(np.full(9, 1.5))
    assert smooth(np.zeros(0)).tolist() == []


def test_the_smoothed_curve_lies_on_a_straight_line_of_points():
    losses = np.linspace(3.0, 1.0, 121)
    assert smooth(losses)[25:-25] == pytest.approx(losses[25:-25], abs=1e-3)


def test_the_rate_is_taken_where_the_loss_has_fallen_halfway():
    rates = np.geomspace(1e-6, 1, 121)  # 20 a decade
    position = np.log10(rates)
    losses = np.interp(position, [-6, -4, -2, -1, 0], [2.0, 2.0, 0.4, 0.4, 3.0])
    test = read_curve(rates, losses)
    # The fall is from 2 to 0.4; the middle, 1.2, is at 1e-3.
    assert test.suggestion == pytest.approx(1e-3, rel=0.06)
    assert "half of its whole fall" in test.reason
    assert f"{test.smoothed.min():.2f}" in test.reason


def test_at_a_step_of_the_loss_the_first_rate_after_it_is_taken():
    rates = np.geomspace(1e-6, 1, 121)
    losses = np.where(np.arange(121) < 60, 2.0, 0.4)
    assert read_curve(rates, losses).suggestion == pytest.approx(1e-3)


def test_how_far_the_loss_runs_away_at_the_end_does_not_matter():
    rates = np.geomspace(1e-6, 1, 121)
    losses = np.interp(np.log10(rates), [-6, -4, -2, 0], [2.0, 2.0, 0.4, 0.4])
    mild, wild = losses.copy(), losses.copy()
    mild[-3:], wild[-3:] = 5.0, 1e12
    assert read_curve(rates, wild).suggestion == read_curve(rates, mild).suggestion


def test_a_loss_that_never_falls_suggests_nothing():
    test = read_curve(np.geomspace(1e-6, 1, 100), np.linspace(1.0, 5.0, 100))
    assert test.suggestion is None
    assert "did not fall" in test.reason


@pytest.mark.parametrize("lost", [float("nan"), float("inf")])
def test_the_curve_ends_before_a_loss_that_is_no_number(make_dataset, tmp_path, lost):
    rates = np.geomspace(1e-6, 1, 101)
    losses = np.append(np.linspace(2.0, 0.4, 100), lost)
    test, without = read_curve(rates, losses), read_curve(rates[:100], losses[:100])
    assert (test.suggestion, test.reason) == (without.suggestion, without.reason)
    assert test.losses.tolist() == losses[:100].tolist()
    assert len(test.learning_rates) == len(test.smoothed) == 100
    kept = RangeFile(tmp_path, scan_dataset(make_dataset({"a": 4, "b": 4})), CONFIG)
    kept.write(test)
    assert kept.read().suggestion == test.suggestion


def test_losses_that_are_no_numbers_from_the_start_suggest_nothing():
    test = read_curve(np.geomspace(1e-6, 1, 3), np.full(3, np.nan))
    assert test.suggestion is None
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed) == 0


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ([1.0] * 30, False),
        ([1.0] * 30 + [200.0], True),
        ([1.0, float("nan")], True),
        ([0.1, 90.0], False),
    ],
    ids=["level", "far above the least", "no number", "too early to say"],
)
def test_the_test_ends_when_the_loss_runs_away(losses, diverged):
    assert has_diverged(np.array(losses)) is diverged


def test_the_first_loss_is_that_of_untrained_weights_and_the_curve_falls(data):
    test = run_range_test(data, CONFIG)
    assert test.learning_rates[0] == pytest.approx(1e-6)
    assert np.all(np.diff(test.learning_rates) > 0)
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed)
    assert test.smoothed.min() < 0.5 * test.smoothed[0]
    assert 1e-4 < test.suggestion < 1e-1


def test_the_rate_that_is_set_does_not_matter_and_the_seed_decides(data):
    one, same, other = (
        run_range_test(data, CONFIG.updated(**changes)).losses
        for changes in ({}, {"learning_rate": 0.5, "epochs": 1}, {"seed": 9})
    )
    assert one.tolist() == same.tolist()
    assert one[:10].tolist() != other[:10].tolist()


def test_a_batch_larger_than_the_set_is_the_set(data):
    assert run_range_test(data, CONFIG.updated(batch_size=512)).suggestion is not None


def test_it_can_be_stopped(data):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(Stopped):
        run_range_test(data, CONFIG, monitor=Monitor(should_stop=should_stop))
    assert len(asked) == 6


def test_on_photos_only_the_training_part_is_learned_from(make_dataset, cache_dir, monkeypatch):
    index = scan_dataset(make_dataset({"a": 12, "b": 12}), cache_dir=cache_dir)
    seen = []

    def note(data, config, **_):
        seen.append(data)

    monkeypatch.setattr(lr_finder, "run_range_test", note)
    find_learning_rate(
        CONFIG.updated(test_fraction=0.25, val_fraction=0.25), index, cache_dir=cache_dir
    )
    assert seen[0].num_images == 12
    assert sorted(np.bincount(seen[0].labels).tolist()) == [6, 6]


def test_what_was_found_is_kept_for_the_settings_that_decide_it(make_dataset, tmp_path):
    index = scan_dataset(make_dataset({"a": 4, "b": 4}), cache_dir=tmp_path)
    kept = RangeFile(tmp_path, index, CONFIG)
    assert kept.read() is None
    test = read_curve(np.geomspace(1e-6, 1, 50), np.linspace(2.0, 1.0, 50))
    kept.write(test)
    other_epochs = RangeFile(tmp_path, index, CONFIG.updated(epochs=3, learning_rate=0.1))
    again = other_epochs.read()
    assert (again.suggestion, again.reason) == (test.suggestion, test.reason)
    assert again.losses.tolist() == test.losses.tolist()
    assert RangeFile(tmp_path, index, CONFIG.updated(dropout=0.1)).read() is None
    kept.forget()
    kept.write_failure("no weights")
    assert (kept.read(), kept.read_failure()) == (None, "no weights")


def test_every_setting_counts_unless_it_is_known_not_to():
    assert set(TrainConfig.model_fields) - set(settings_that_matter(CONFIG)) == {
        "learning_rate",
        "epochs",
        "early_stopping",
        "cutmix",
        "mixed_precision",
        "tensorboard",
        *(name for name in TrainConfig.model_fields if name.startswith("fine_tune_")),
    }
