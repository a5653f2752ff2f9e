import numpy as np
import pytest
import sklearn.metrics

from tl_core.metrics.curves import precision_recall_curve, roc_curve


def made_scores(seed, num=80, ties=False):
    rng = np.random.default_rng(seed)
    is_positive = rng.random(num) < 0.3
    scores = np.clip(rng.normal(0.4 + 0.2 * is_positive, 0.2), 0, 1).astype(np.float32)
    return is_positive, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_roc_curve_and_its_area_are_scikit_learns(seed, ties):
    is_positive, scores = made_scores(seed, ties=ties)
    curve = roc_curve(is_positive, scores)
    false_rate, true_rate, thresholds = sklearn.metrics.roc_curve(
        is_positive, scores, drop_intermediate=False
    )
    np.testing.assert_allclose(curve.false_positive_rate, false_rate)
    np.testing.assert_allclose(curve.true_positive_rate, true_rate)
    np.testing.assert_allclose(curve.threshold, thresholds)
    assert curve.auc == pytest.approx(sklearn.metrics.roc_auc_score(is_positive, scores))


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", [0, 1])
def test_precision_recall_and_average_precision_are_scikit_learns(seed, ties):
    is_positive, scores = made_scores(seed, ties=ties)
    curve = precision_recall_curve(is_positive, scores)
    precision, recall, thresholds = sklearn.metrics.precision_recall_curve(is_positive, scores)
    # scikit-learn goes from the lowest threshold and adds a last point without images.
    np.testing.assert_allclose(curve.precision, precision[:-1][::-1])
    np.testing.assert_allclose(curve.recall, recall[:-1][::-1])
    np.testing.assert_allclose(curve.threshold, thresholds[::-1])
    expected = sklearn.metrics.average_precision_score(is_positive, scores)
    assert curve.average_precision == pytest.approx(expected)


def test_a_class_that_is_all_or_nothing_has_no_roc_curve():
    scores = np.array([0.2, 0.7])
    for is_positive in (np.array([True, True]), np.array([False, False])):
        assert roc_curve(is_positive, scores) is None
    assert precision_recall_curve(np.array([False, False]), scores) is None
    assert precision_recall_curve(np.array([True, True]), scores).average_precision == 1


def test_no_images_give_no_curve():
    nothing = np.array([], bool)
    assert roc_curve(nothing, np.array([])) is None
    assert precision_recall_curve(nothing, np.array([])) is None
