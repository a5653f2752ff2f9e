import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tl_core.metrics import classification


@pytest.fixture
def outcome():
    """Return 200 labels of 4 classes and probabilities that are right more often than not."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 200)
    scores = rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels, probabilities.astype(np.float32)


def test_accuracy_is_scikit_learns(outcome):
    labels, probabilities = outcome
    expected = sklearn.metrics.accuracy_score(labels, probabilities.argmax(axis=1))
    assert classification.accuracy(labels, probabilities) == expected


def test_log_loss_is_scikit_learns(outcome):
    labels, probabilities = outcome
    exact = probabilities.astype(np.float64)
    expected = sklearn.metrics.log_loss(labels, exact / exact.sum(axis=1, keepdims=True))
    assert classification.log_loss(labels, probabilities) == pytest.approx(expected, rel=1e-5)


def test_confusion_matrix_is_scikit_learns_with_a_row_for_a_class_that_never_came(outcome):
    labels, probabilities = outcome
    predicted = probabilities.argmax(axis=1)
    expected = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(5))
    assert classification.confusion_matrix(labels, predicted, 5).tolist() == expected.tolist()


def test_rows_of_the_confusion_matrix_are_the_true_classes():
    matrix = classification.confusion_matrix(np.array([0, 0, 0]), np.array([1, 1, 0]), 2)
    assert matrix.tolist() == [[1, 2], [0, 0]]


def test_a_certain_mistake_costs_no_more_than_the_clip_allows():
    loss = classification.log_loss(np.array([0]), np.array([[0.0, 1.0]]))
    assert loss == pytest.approx(-math.log(1e-7))


def test_no_rows_have_no_accuracy_and_no_loss():
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    assert math.isnan(classification.accuracy(*nothing))
    assert math.isnan(classification.log_loss(*nothing))


@pytest.mark.parametrize(("correct", "total"), [(5, 10), (110, 120), (0, 10), (10, 10), (1, 1)])
def test_wilson_interval_is_scipys(correct, total):
    expected = scipy.stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert classification.wilson_interval(correct, total) == pytest.approx(
        tuple(expected), abs=1e-7
    )


def test_wilson_interval_of_none_right_is_the_textbooks():
    z_squared = 1.959964**2
    assert classification.wilson_interval(0, 10) == pytest.approx(
        (0.0, z_squared / (10 + z_squared))
    )


def test_with_no_images_nothing_is_known():
    assert classification.wilson_interval(0, 0) == (0.0, 1.0)


def test_more_images_make_the_interval_narrower():
    few, many = classification.wilson_interval(9, 10), classification.wilson_interval(900, 1000)
    assert few[0] < many[0] < 0.9 < many[1] < few[1]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_accuracy_is_scikit_learns(k):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 60)
    probabilities = rng.dirichlet(np.ones(4), 60)
    expected = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k)
    assert classification.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected)


def test_of_equal_probabilities_the_first_class_counts_as_more_probable():
    even = np.full((2, 3), 1 / 3)
    assert classification.top_k_accuracy(np.array([0, 2]), even, 1) == 0.5
    assert classification.top_k_accuracy(np.array([1, 2]), even, 2) == 0.5


def test_macro_f1_is_scikit_learns_also_with_classes_never_seen_or_said():
    labels, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 4])
    matrix = classification.confusion_matrix(labels, predicted, 6)  # 3 and 5 do not occur at all
    expected = sklearn.metrics.f1_score(labels, predicted, average="macro")
    assert classification.macro_f1(matrix) == pytest.approx(expected)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 9), (9, 3), (20, 20), (0, 12)])
def test_mcnemars_exact_test_is_scipys_binomial_test(first, second):
    num = first + second
    expected = scipy.stats.binomtest(first, num).pvalue if num else 1.0
    assert classification.exact_mcnemar(first, second) == pytest.approx(expected)


def test_mcnemars_test_holds_for_thousands_of_images():
    expected = scipy.stats.binomtest(2100, 4000).pvalue
    assert classification.exact_mcnemar(2100, 1900) == pytest.approx(expected)


def test_the_interval_of_a_paired_difference():
    """By hand after Agresti and Min: 5.5 and 2.5 of 102, difference 3/102."""
    low, high = classification.paired_difference_interval(5, 2, 100)
    half = 1.959964 * (8 - 9 / 102) ** 0.5 / 102
    assert (low, high) == pytest.approx((3 / 102 - half, 3 / 102 + half))
    assert classification.paired_difference_interval(0, 0, 0) == (-1, 1)
    low, high = classification.paired_difference_interval(0, 0, 10)
    assert low == -high
