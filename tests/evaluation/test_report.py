import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from tl_core.errors import ConfigError
from tl_core.evaluation.reliability_rows import coverage_rows, reliability_rows
from tl_core.evaluation.report import Evaluation
from tl_core.head.out_of_distribution import Thresholds
from tl_core.head.temperature import Calibration
from tl_core.metrics.calibration import apply_temperature

CLASS_NAMES = ("cat", "dog", "fox")


def by_hand(labels, probabilities, class_names=CLASS_NAMES, **more):
    probabilities = np.asarray(probabilities, np.float32)
    paths = tuple(f"{number}.png" for number in range(len(labels)))
    labels = np.asarray(labels, np.int64)
    return Evaluation(class_names, "test", Path("data"), paths, labels, probabilities, {}, **more)


@pytest.fixture
def made():
    """Return 120 answers over 4 classes, right more often than not."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 120)
    scores = np.exp(rng.normal(size=(120, 4)) + 1.5 * np.eye(4)[labels])
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return by_hand(labels, probabilities, ("a", "b", "c", "d"))


FEW = by_hand(
    [0, 0, 1, 1, 2],
    [
        [0.6, 0.3, 0.1],  # right
        [0.1, 0.9, 0.0],  # a cat taken for a dog, very sure
        [0.2, 0.7, 0.1],  # right
        [0.4, 0.35, 0.25],  # a dog taken for a cat, unsure
        [0.0, 0.5, 0.5],  # a fox taken for a dog, by a tie
    ],
)


def test_every_figure_is_scikit_learns(made):
    binary = np.eye(4)[made.labels]
    one_by_one = sklearn.metrics.roc_auc_score(binary, made.probabilities, average=None)
    assert [one.auc for one in made.per_class] == pytest.approx(list(one_by_one))
    averages = sklearn.metrics.average_precision_score(binary, made.probabilities, average=None)
    assert [one.average_precision for one in made.per_class] == pytest.approx(list(averages))
    expected = sklearn.metrics.f1_score(made.labels, made.predicted, average="macro")
    assert made.macro_f1 == pytest.approx(expected)
    shares = sklearn.metrics.confusion_matrix(made.labels, made.predicted, normalize="true")
    np.testing.assert_allclose(made.confusion_shares, shares)
    for k in (2, 3):
        expected = sklearn.metrics.top_k_accuracy_score(made.labels, made.probabilities, k=k)
        assert made.top_k[k] == pytest.approx(expected)


def test_top_k_is_not_told_where_every_answer_would_be_right(made):
    assert list(made.top_k) == [2, 3]
    assert list(FEW.top_k) == [2]


def test_a_row_without_images_has_no_shares():
    shares = by_hand([0, 0], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]).confusion_shares
    assert shares[0].tolist() == [0.5, 0.5, 0]
    assert np.isnan(shares[1:]).all()


def test_a_cell_holds_its_images_the_surest_first():
    evaluation = by_hand([0, 0, 0, 1], [[0.3, 0.7, 0], [0.1, 0.9, 0], [0.9, 0.1, 0], [0, 1, 0]])
    assert evaluation.cell("cat", "dog") == [1, 0]
    assert evaluation.cell("cat", "cat") == [2]
    assert evaluation.cell("fox", "cat") == []
    with pytest.raises(ConfigError, match="received 'cow'"):
        evaluation.cell("cow", "cat")


def test_the_worst_mistakes_come_first():
    assert FEW.worst_mistakes() == [1, 4, 3]
    assert FEW.worst_mistakes(1) == [1]


def test_the_least_sure_come_first_by_margin_or_entropy():
    assert FEW.least_sure() == [4, 3, 0, 2, 1]
    expected = np.argsort([-sum(-p * np.log(p) for p in row if p) for row in FEW.probabilities])
    assert FEW.least_sure(by="entropy") == expected.tolist()
    assert FEW.least_sure(2) == [4, 3]


def test_the_table_has_a_row_for_each_image_asked_for():
    table = FEW.table([1, 0])
    assert table["path"] == ["1.png", "0.png"]
    assert table["true"] == ["cat", "cat"]
    assert table["answer"] == ["dog", "cat"]
    assert table["probability"] == pytest.approx([0.9, 0.6])
    assert table["true_probability"] == pytest.approx([0.1, 0.6])
    assert table["is_right"] == [False, True]
    assert len(FEW.table()["path"]) == 5


def test_log_loss_is_told_as_training_told_it_and_as_shown(made):
    raw = made.probabilities
    scaled = by_hand(
        made.labels,
        apply_temperature(raw, 2.0),
        made.class_names,
        raw_probabilities=raw,
        calibration=Calibration(temperature=2.0, num_images=9),
    )
    assert scaled.accuracy == made.accuracy
    assert scaled.log_loss == made.log_loss
    exact = scaled.probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(made.labels, exact)
    assert scaled.scaled_log_loss == pytest.approx(expected, rel=1e-5)
    assert scaled.ece_before == made.ece
    assert scaled.ece != scaled.ece_before
    rows = reliability_rows(scaled, num_bins=5)
    assert [row["stage"] for row in rows] == ["before"] * 5 + ["after"] * 5
    assert sum(row["num_images"] for row in rows) == 2 * made.num_images


def with_limits(distances, min_probability=0.55):
    limits = Thresholds(0.05, 0.5, min_probability, 0.0, None)
    return by_hand(
        FEW.labels,
        FEW.probabilities,
        distances=np.array(distances, np.float32),
        thresholds=limits,
    )


def test_images_too_far_or_too_unsure_are_none_of_these():
    evaluation = with_limits([0.1, 0.6, 0.1, 0.1, 0.1])
    assert evaluation.is_none_of_these.tolist() == [False, True, False, True, True]
    assert evaluation.to_dict()["coverage"] == pytest.approx(0.4)
    assert evaluation.to_dict()["covered_accuracy"] == 1.0
    assert FEW.is_none_of_these.tolist() == [False] * 5
    assert FEW.to_dict()["coverage"] is None


def test_the_coverage_curve_goes_from_strict_to_lenient_and_marks_what_is_obeyed():
    rows = coverage_rows(with_limits([0.1, 0.6, 0.1, 0.1, 0.1]))
    assert [row["num_answered"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["coverage"] for row in rows] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rows[1]["accuracy"] == 1
    assert rows[-1]["accuracy"] == pytest.approx(FEW.accuracy)
    assert [row["is_chosen"] for row in rows] == [False, True, False, False, False]
    strictness = [row["strictness"] for row in rows]
    assert strictness == sorted(strictness, reverse=True)
    assert strictness[1] > 1 > strictness[2]


def test_without_thresholds_the_curve_follows_probability_alone():
    rows = coverage_rows(FEW)
    assert [row["strictness"] for row in rows] == pytest.approx([0.9, 0.7, 0.6, 0.5, 0.4])
    assert not any(row["is_chosen"] for row in rows)
    assert rows[0]["accuracy"] == 0


def test_a_long_coverage_curve_is_thinned_but_keeps_its_ends():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 1000)
    rows = coverage_rows(by_hand(rng.integers(0, 3, 1000), probabilities))
    assert len(rows) == 200
    assert (rows[0]["num_answered"], rows[-1]["num_answered"]) == (1, 1000)


def test_all_figures_can_be_said_in_json():
    values = json.loads(json.dumps(with_limits([0.1] * 5).to_dict(), allow_nan=False))
    assert {"macro_f1", "top_k", "ece", "ece_before", "temperature", "coverage"} <= set(values)
    assert values["per_class"][0]["auc"] == FEW.per_class[0].auc
