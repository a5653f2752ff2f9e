"""Wrong labels and odd images, planted among made features."""

from __future__ import annotations

import numpy as np
import pytest

from tl_core.data.audit import label_errors
from tl_core.data.audit.label_errors import check_labels, dissimilarity
from tl_core.data.folds import assign_folds
from tl_core.errors import Stopped
from tl_core.progress import Monitor


def made(num_each: int = 40, num_classes: int = 4, spread: float = 0.6, seed: int = 0):
    """Return features (n, 32) around one centre a class, and labels."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((num_classes, 32))
    labels = np.repeat(np.arange(num_classes), num_each)
    features = centres[labels] + spread * rng.standard_normal((len(labels), 32))
    return features.astype(np.float32), labels


def test_swapped_labels_are_doubted_and_their_classes_named():
    features, truth = made(spread=0.4)
    labels = truth.copy()
    labels[[3, 50, 90, 130]] = [2, 3, 0, 1]

    check = check_labels(features, labels, 4)
    assert np.flatnonzero(check.confident != labels).tolist() == [3, 50, 90, 130]
    assert check.confident.tolist() == truth.tolist()
    assert set(np.argsort(-check.scores)[:4].tolist()) == {3, 50, 90, 130}
    assert check.suggested.tolist() == truth.tolist()


def test_right_labels_are_left_alone():
    features, labels = made()

    check = check_labels(features, labels, 4)
    assert np.array_equal(check.confident, labels)
    assert check.scores.max() < 0.6


def test_probabilities_are_shares_of_one_and_the_score_is_what_the_label_lacks():
    features, labels = made()

    check = check_labels(features, labels, 4)
    assert check.probabilities.shape == (160, 4)
    assert np.allclose(check.probabilities.sum(axis=1), 1, atol=1e-5)
    own = check.probabilities[np.arange(160), labels]
    assert np.allclose(check.scores, 1 - own)


def test_confident_learning_goes_by_each_class_own_certainty(monkeypatch):
    """By hand: thresholds are 0.8 and 0.5, so 0.6 is confident of the second class, not the first.

    Images 0 to 4 are of class 0, 5 to 9 of class 1.
    """
    second = np.array([0.1, 0.1, 0.1, 0.1, 0.6, 0.5, 0.5, 0.5, 0.6, 0.4])
    probabilities = np.stack([1 - second, second], axis=1).astype(np.float32)
    monkeypatch.setattr(label_errors, "_out_of_fold", lambda *_: probabilities)
    labels = np.repeat([0, 1], 5)

    check = check_labels(np.zeros((10, 3)), labels, 2)
    assert check.confident.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert check.suggested[9] == 0  # more probable, but not as sure as of class 0's own


def test_an_image_is_not_judged_by_its_own_copy():
    """Two copies of an odd image vouch for each other, unless both are held out together."""
    features, labels = made(20, 2, spread=0.3)
    features[[0, 1]] = features[30]  # looks like class 1, filed twice under class 0
    groups = np.arange(40)
    groups[1] = 0

    apart = check_labels(features, labels, 2, groups=groups)
    assert apart.confident[[0, 1]].tolist() == [1, 1]


def test_copies_fall_into_one_fold_and_classes_are_spread_evenly():
    labels = np.repeat([0, 1], 25)
    groups = np.arange(50)
    groups[[1, 2, 30]] = 0

    folds = assign_folds(labels, groups, 5, np.random.default_rng(0))
    assert len(set(folds[[0, 1, 2, 30]].tolist())) == 1
    for label in (0, 1):
        distinct = {int(group): fold for group, fold in zip(groups, folds, strict=True)}
        of_class = [distinct[int(group)] for group in np.unique(groups[labels == label])]
        assert np.ptp(np.bincount(of_class, minlength=5)) <= 2


def test_classes_too_small_to_judge_are_left_out():
    features, labels = made()
    small = np.concatenate([features, features[:2] + 5])

    check = check_labels(small, np.concatenate([labels, [4, 4]]), 5)
    assert check.scores[-2:].tolist() == [0, 0]
    assert check.confident[-2:].tolist() == check.suggested[-2:].tolist() == [4, 4]
    assert np.array_equal(check.confident[:160], labels)


def test_one_class_alone_says_nothing():
    check = check_labels(np.ones((8, 4)), np.zeros(8, int), 2)

    assert check.scores.tolist() == [0] * 8
    assert check.confident.tolist() == [0] * 8


def test_the_same_input_gives_the_same_answer():
    features, labels = made(spread=1.5)

    first, again = (check_labels(features, labels, 4) for _ in range(2))
    assert np.array_equal(first.probabilities, again.probabilities)


def test_wide_features_are_reduced_and_give_the_same_answer(monkeypatch):
    features, labels = made()
    wide = np.concatenate([features, np.zeros((160, 600), np.float32)], axis=1)

    same = check_labels(features, labels, 4).probabilities
    assert np.allclose(check_labels(wide, labels, 4).probabilities, same, atol=0.02)


def test_progress_and_stop():
    features, labels = made()
    seen = []
    check_labels(features, labels, 4, monitor=Monitor(seen.append, report_seconds=0))

    assert [(one.stage, one.done, one.total) for one in seen] == [
        ("labels", done, 5) for done in range(6)
    ]
    with pytest.raises(Stopped):
        check_labels(features, labels, 4, monitor=Monitor(None, lambda: True))


def test_what_is_unlike_its_class_stands_out():
    features, labels = made(num_each=60, spread=0.4)
    rng = np.random.default_rng(1)
    features[[10, 100]] = 1.5 * rng.standard_normal((2, 32))

    scores = dissimilarity(features, labels)
    assert set(np.argsort(-scores)[:2].tolist()) == {10, 100}
    assert scores[[10, 100]].min() > 1.5 * np.delete(scores, [10, 100]).max()


def test_the_scale_is_the_class_own():
    features, labels = made(num_each=200, num_classes=2)
    features[200:] = features[200:] + np.random.default_rng(2).standard_normal((200, 32))

    scores = dissimilarity(features, labels)
    for label in (0, 1):
        assert np.quantile(scores[labels == label], (0.5, 0.95)) == pytest.approx([0, 1], abs=1e-4)


def test_small_classes_have_no_odd_images():
    assert dissimilarity(np.random.default_rng(0).random((10, 4)), np.zeros(10, int)).max() == 0


def test_large_classes_are_compared_with_a_sample(monkeypatch):
    features, labels = made(num_each=300, num_classes=2, spread=0.4)
    features[7] = np.random.default_rng(1).standard_normal(32) * 1.5
    monkeypatch.setattr(label_errors, "_MAX_REFERENCES", 100)

    scores = dissimilarity(features, labels)
    assert scores.argmax() == 7
    assert scores[7] > 1.6


@pytest.mark.parametrize("most", [1000, 60], ids=["all", "a sample"])
def test_distances_are_those_to_the_nearest_others(monkeypatch, most):
    monkeypatch.setattr(label_errors, "_MAX_REFERENCES", most)
    rows = np.random.default_rng(0).standard_normal((120, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    references = np.unique(np.linspace(0, 119, min(120, most)).astype(int))
    nearest = 10 if most > 120 else 5  # half of the class, half of the ten

    expected = []
    for place in range(120):
        others = rows[[other for other in references if other != place]]
        expected.append(np.sort(1 - others @ rows[place])[:nearest].mean())
    assert np.allclose(label_errors._distances(rows), expected, atol=1e-5)
