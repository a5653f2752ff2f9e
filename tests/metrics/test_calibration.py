import numpy as np
import pytest
import scipy.optimize

from tl_core.metrics.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    apply_temperature,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    reliability_table,
)
from tl_core.metrics.classification import log_loss


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)


def made_answers(temperature, num=4000, num_classes=4, seed=0):
    """Return labels drawn from true probabilities, and these made too sure or unsure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (num, num_classes))
    drawn = rng.random((num, 1)) > np.cumsum(softmax(logits), axis=1)
    return np.minimum(drawn.sum(axis=1), num_classes - 1), softmax(logits * temperature)


def test_a_temperature_divides_the_logits():
    logits = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 4.0]])
    scaled = apply_temperature(softmax(logits), 2.5)
    np.testing.assert_allclose(scaled, softmax(logits / 2.5), rtol=1e-5)
    assert scaled.dtype == np.float32


def test_a_temperature_of_one_changes_no_bit():
    probabilities = softmax(np.random.default_rng(0).normal(size=(5, 3)))
    assert apply_temperature(probabilities, 1.0).tobytes() == probabilities.tobytes()


@pytest.mark.parametrize("temperature", [MIN_TEMPERATURE, 0.7, 3.0, MAX_TEMPERATURE])
def test_the_most_probable_class_stays_even_where_rounding_would_tie(temperature):
    half = np.float32(0.5)
    near = np.array(
        [[half, np.nextafter(half, np.float32(1))], [1, 0], [1e-30, 1], [0.25, 0.75]], np.float32
    )
    scaled = apply_temperature(near, temperature)
    assert scaled.argmax(axis=1).tolist() == near.argmax(axis=1).tolist()
    np.testing.assert_allclose(scaled.sum(axis=1), 1, atol=1e-6)
    assert np.isfinite(scaled).all()


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.0, 4.0])
def test_fitting_finds_a_planted_temperature(planted):
    labels, probabilities = made_answers(planted)
    assert fit_temperature(labels, probabilities) == pytest.approx(planted, rel=0.08)


def test_the_fitted_temperature_has_the_least_log_loss_as_scipy_finds_it():
    labels, probabilities = made_answers(1.7, num=60)
    found = scipy.optimize.minimize_scalar(
        lambda t: log_loss(labels, apply_temperature(probabilities, t)), bounds=(0.2, 5)
    )
    assert fit_temperature(labels, probabilities) == pytest.approx(found.x, rel=1e-3)


def test_the_prior_pulls_towards_one_and_an_infinite_one_leaves_it_there():
    labels, probabilities = made_answers(3.0, num=30)
    free, held, more = (fit_temperature(labels, probabilities, prior) for prior in (0, 5, 50))
    assert free > held > more > 1
    assert free > 2
    assert fit_temperature(labels, probabilities, np.inf) == 1


def test_answers_without_a_mistake_or_without_a_hit_stay_within_bounds():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    assert fit_temperature(np.array([0, 0]), probabilities) == MIN_TEMPERATURE
    assert fit_temperature(np.array([1, 1]), probabilities) == MAX_TEMPERATURE
    assert fit_temperature(np.array([], int), probabilities[:0]) == 1


def test_the_reliability_table_counts_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]], np.float32)
    table = reliability_table(np.array([0, 1, 1, 0]), probabilities, num_bins=2)
    low, high = table
    assert (low.low, low.high, low.num_images, low.confidence, low.accuracy) == (0, 0.5, 1, 0.5, 1)
    assert (high.low, high.high, high.num_images) == (0.5, 1, 3)
    assert high.confidence == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert high.accuracy == pytest.approx(2 / 3)
    error = expected_calibration_error(np.array([0, 1, 1, 0]), probabilities, num_bins=2)
    assert error == pytest.approx(1 / 4 * 0.5 + 3 / 4 * (0.8 - 2 / 3))


def test_a_bin_without_images_has_neither_confidence_nor_accuracy():
    table = reliability_table(np.array([0]), np.array([[1.0, 0.0]], np.float32), num_bins=4)
    assert [one.num_images for one in table] == [0, 0, 0, 1]
    assert table[0].confidence is None
    assert table[0].accuracy is None


def test_scaling_lowers_the_calibration_error_of_answers_that_are_too_sure():
    labels, probabilities = made_answers(3.0)
    before = expected_calibration_error(labels, probabilities)
    scaled = apply_temperature(probabilities, fit_temperature(labels, probabilities))
    assert expected_calibration_error(labels, scaled) < 0.03 < 0.1 < before


def test_by_chance_the_error_of_perfect_answers_is_met_and_falls_with_their_number():
    labels, probabilities = made_answers(1.0, num=300)
    expected = calibration_error_by_chance(probabilities)
    assert expected == calibration_error_by_chance(probabilities)
    assert expected == pytest.approx(expected_calibration_error(labels, probabilities), abs=0.02)
    assert calibration_error_by_chance(made_answers(1.0)[1]) < expected / 2


def test_of_no_images_nothing_is_known():
    nothing = np.zeros((0, 3), np.float32)
    assert np.isnan(expected_calibration_error(np.array([], int), nothing))
    assert np.isnan(calibration_error_by_chance(nothing))
    assert apply_temperature(nothing, 2.0).shape == (0, 3)
