import numpy as np
import pytest

from tl_core.errors import ConfigError, RunError
from tl_core.head import out_of_distribution as known_module
from tl_core.head.out_of_distribution import (
    KNOWN_FILE,
    Thresholds,
    fit_detector,
    load_detector,
    save_detector,
)

DIM, NUM_CLASSES = 16, 3


def made_features(num, seed, spread=0.3):
    """Return features of three classes, each around a direction of its own, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % NUM_CLASSES
    features = 5 * np.eye(DIM)[labels] + rng.normal(0, spread, (num, DIM))
    return features.astype(np.float32), labels


def made_probabilities(labels, seed, sure=0.9):
    rng = np.random.default_rng(seed)
    probabilities = np.full((len(labels), NUM_CLASSES), (1 - sure) / 2) + rng.uniform(
        0, 0.02, (len(labels), NUM_CLASSES)
    )
    probabilities[np.arange(len(labels)), labels] = sure
    return (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def made_known(num_val=100, num_train=60, target=0.05, **changes):
    train, train_labels = made_features(num_train, 0)
    val, val_labels = made_features(num_val, 1)
    arguments = {
        "train_features": train,
        "train_labels": train_labels,
        "train_rows": np.arange(num_train),
        "val_features": val,
        "val_labels": val_labels,
        "val_probabilities": made_probabilities(val_labels, 2),
        "feature_dim": DIM,
        "weights": "abc",
        "target": target,
        **changes,
    }
    return fit_detector(**arguments)


def test_photos_like_the_training_images_are_accepted_and_others_turned_away():
    known = made_known()
    alike, labels = made_features(200, 5)
    unlike = 5 * np.eye(DIM)[np.full(50, NUM_CLASSES + 2)].astype(np.float32)
    sure = made_probabilities(labels, 6)
    rejected = known.thresholds.unfamiliarity(known.scores(alike, sure)) > 1
    assert rejected.mean() < 0.12
    rejected = known.thresholds.unfamiliarity(known.scores(unlike, sure[:50])) > 1
    assert rejected.all()


def test_a_photo_without_a_probable_class_can_be_turned_away():
    limits = Thresholds(0.05, max_distance=0.5, min_probability=0.4, false_reject=0, false_accept=0)
    scores = known_module.Scores(np.array([0.1, 0.1, 0.6]), np.array([0.39, 0.41, 0.9]))
    assert (limits.unfamiliarity(scores) > 1).tolist() == [True, False, True]


def test_the_distance_is_one_less_the_mean_cosine_to_the_nearest_three():
    known = made_known()
    photo = made_features(1, 9)[0]
    unit = photo[0] / np.linalg.norm(photo[0])
    cosines = sorted((float(unit @ anchor) for anchor in known.anchors), reverse=True)
    scores = known.scores(photo, np.array([[0.2, 0.7, 0.1]], np.float32))
    assert scores.distance[0] == pytest.approx(1 - np.mean(cosines[:3]), abs=1e-6)
    assert scores.probability[0] == pytest.approx(0.7)


@pytest.mark.parametrize("target", [0.0, 0.02, 0.05, 0.1, 0.3])
def test_no_more_validation_images_than_the_target_are_turned_away(target):
    known = made_known(target=target)
    rejected = known.thresholds.unfamiliarity(known.known) > 1
    assert rejected.mean() <= target
    assert known.thresholds.false_reject == pytest.approx(rejected.mean())
    assert known.thresholds.target == target


def test_a_larger_target_turns_away_more_photos_of_hidden_classes():
    train, labels = made_features(60, 0, spread=1.5)
    val, val_labels = made_features(100, 1, spread=1.5)
    known = made_known(
        train_features=train, train_labels=labels, val_features=val, val_labels=val_labels
    )
    accepted = [known.choose(target).false_accept for target in (0.0, 0.1, 0.3)]
    assert accepted == sorted(accepted, reverse=True)
    assert accepted[0] > accepted[-1]


def test_a_hidden_class_counts_as_if_it_had_never_been_there():
    known = made_known()
    val, labels = made_features(100, 1)
    others = [
        known.anchors[known.labels != label] @ (photo / np.linalg.norm(photo))
        for photo, label in zip(val, labels, strict=True)
    ]
    expected = [1 - np.sort(cosines)[-3:].mean() for cosines in others]
    np.testing.assert_allclose(known.unknown.distance, expected, atol=1e-5)
    assert (known.unknown.probability < 0.7).all()  # the sure class is the hidden one
    assert known.thresholds.false_accept == 0


def test_with_two_classes_nothing_can_be_hidden():
    train, labels = made_features(60, 0)
    two = labels % 2
    val, val_labels = made_features(40, 1)
    known = made_known(
        train_features=train,
        train_labels=two,
        val_features=val,
        val_labels=val_labels % 2,
        val_probabilities=made_probabilities(val_labels % 2, 2)[:, :2],
    )
    assert known.thresholds.false_accept is None


def test_few_validation_images_are_helped_out_by_the_training_images():
    """Of 6 images the farthest says little; the training images then count as well."""
    val, val_labels = made_features(6, 1, spread=0.05)  # all of them by chance very near
    few = made_known(num_val=6, val_features=val, val_labels=val_labels)
    assert len(few.left_out) == 60
    assert few.thresholds.max_distance >= np.quantile(few.left_out, 0.9)
    assert len(made_known(num_val=100).left_out) == 0


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"from 0 to 0.5 to reject, received 0.7"):
        made_known().with_target(0.7)


def test_a_reload_decides_to_the_bit_like_the_run_that_wrote_it(tmp_path):
    known = made_known()
    save_detector(tmp_path, known)
    again = load_detector(tmp_path, "abc")
    photos, labels = made_features(30, 7)
    sure = made_probabilities(labels, 8)
    assert again.thresholds == known.thresholds
    np.testing.assert_array_equal(
        again.scores(photos, sure).distance, known.scores(photos, sure).distance
    )
    assert again.choose(0.1) == known.choose(0.1)
    np.testing.assert_array_equal(again.rows, known.rows)


def test_the_same_run_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_detector(tmp_path / name, made_known())
    assert (tmp_path / "a" / KNOWN_FILE).read_bytes() == (tmp_path / "b" / KNOWN_FILE).read_bytes()


def test_what_belongs_to_other_weights_is_missing_or_damaged_is_not_taken(tmp_path):
    assert load_detector(tmp_path, "abc") is None
    save_detector(tmp_path, made_known())
    assert load_detector(tmp_path, "def") is None
    (tmp_path / KNOWN_FILE).write_bytes(b"damaged")
    assert load_detector(tmp_path, "abc") is None


def test_a_file_of_a_newer_version_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(known_module, "KNOWN_SCHEMA", 2)
    save_detector(tmp_path, made_known())
    monkeypatch.setattr(known_module, "KNOWN_SCHEMA", 1)
    with pytest.raises(RunError, match="schema 2, newer than 1"):
        load_detector(tmp_path, "abc")


def test_of_very_many_training_images_some_of_every_class_are_kept(monkeypatch):
    monkeypatch.setattr(known_module, "MAX_ANCHOR_BYTES", 2 * DIM * 20)
    known = made_known(num_train=90)
    assert known.anchors.shape == (20, DIM)
    assert set(known.labels.tolist()) == {0, 1, 2}
    assert (known.labels == known.rows % NUM_CLASSES).all()


def test_of_a_flattened_map_the_mean_over_its_places_counts():
    maps = np.random.default_rng(0).random((4, 6, DIM)).astype(np.float32)
    mean = maps.mean(axis=1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(
        known_module._directions(maps.reshape(4, -1), DIM), expected, rtol=1e-5
    )
