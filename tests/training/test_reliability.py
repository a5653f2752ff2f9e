import json

import numpy as np
import pytest
from conftest import draw_image
from made_run import CONFIG, make_run
from PIL import Image

from tl_core.data.dataset import scan_dataset
from tl_core.errors import RunError
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.evaluation.reliability_rows import calibrate_run, threshold_rows
from tl_core.head import temperature as calibration_module
from tl_core.head.model import load_weights, save_weights
from tl_core.head.out_of_distribution import KNOWN_FILE
from tl_core.head.temperature import (
    CALIBRATION_FILE,
    NOT_CALIBRATED,
    fit_calibration,
    load_calibration,
    save_calibration,
    weights_digest,
)
from tl_core.inference.nearest_images import nearest_training_images
from tl_core.inference.predict import load_predictor
from tl_core.inference.rejection import set_target
from tl_core.inference.reliability import load_reliability
from tl_core.metrics.calibration import fit_temperature
from tl_core.metrics.classification import log_loss
from tl_core.runs.files import METRICS_FILE, WEIGHTS_FILE
from tl_core.training.trainer import train

CLASS_NAMES = ("cat", "dog", "fox")


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset(dict.fromkeys(CLASS_NAMES, 20))


@pytest.fixture
def old_run(data_dir, cache_dir, tmp_path):
    """Return a run without calibration, as older versions wrote them."""
    return make_run(tmp_path / "runs" / "old", data_dir, cache_dir)


def wall():
    """Return a picture unlike all of the set's: a fine chequered pattern."""
    pixels = np.indices((40, 48)).sum(axis=0) % 2 * 255
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def save(picture, path):
    picture.save(path)
    return path


def test_training_writes_both_and_a_reload_shows_the_same_numbers(data_dir, cache_dir, tmp_path):
    config = CONFIG.updated(epochs=3, label_smoothing=0.3)
    index = scan_dataset(data_dir)
    run = train(config, index, tmp_path / "runs" / "new", cache_dir=cache_dir)
    assert (run.run_dir / CALIBRATION_FILE).exists()
    assert (run.run_dir / KNOWN_FILE).exists()
    evaluation = evaluate_run(run.run_dir, cache_dir=cache_dir)
    assert evaluation.calibration.temperature != 1
    assert evaluation.log_loss == run.metrics["test_loss"]
    paths = [evaluation.data_dir / path for path in evaluation.paths]
    predictions = load_predictor(run.run_dir, cache_dir).predict(paths)
    shown = np.stack([prediction.probabilities for prediction in predictions])
    np.testing.assert_allclose(shown, evaluation.probabilities, atol=1e-6)
    turned_away = [prediction.is_none_of_these for prediction in predictions]
    assert turned_away == evaluation.is_none_of_these.tolist()
    metrics = json.loads((run.run_dir / METRICS_FILE).read_text())
    assert metrics["test_accuracy"] == evaluation.accuracy


def test_an_older_run_gets_both_when_it_is_evaluated(old_run, cache_dir):
    path = old_run.data_dir / "cat" / "0.png"
    before = load_predictor(old_run.run_dir, cache_dir)
    assert before.reliability.calibration is NOT_CALIBRATED
    assert not before.predict([path])[0].is_none_of_these
    evaluation = evaluate_run(old_run.run_dir, cache_dir=cache_dir)
    assert evaluation.calibration.num_images == 15
    assert evaluation.thresholds is not None
    after = load_predictor(old_run.run_dir, cache_dir)
    assert after.reliability.is_complete
    assert after.reliability.calibration == evaluation.calibration
    answers = [one.predict([path])[0] for one in (before, after)]
    assert answers[0].top[0][0] == answers[1].top[0][0]


def test_what_is_there_is_not_computed_again(old_run, cache_dir):
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    stamps = [
        (old_run.run_dir / name).stat().st_mtime_ns for name in (CALIBRATION_FILE, KNOWN_FILE)
    ]
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    again = [(old_run.run_dir / name).stat().st_mtime_ns for name in (CALIBRATION_FILE, KNOWN_FILE)]
    assert again == stamps


def test_other_weights_make_both_stale_and_they_are_computed_anew(old_run, cache_dir):
    first = calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    weights = load_weights(old_run.run_dir / WEIGHTS_FILE)
    weights["predictions/kernel"] = 3 * weights["predictions/kernel"]
    save_weights(old_run.run_dir / WEIGHTS_FILE, weights)
    assert load_reliability(old_run, weights).calibration is NOT_CALIBRATED
    second = calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    assert second.calibration.weights == weights_digest(weights) != first.calibration.weights


def test_a_run_in_training_is_read_but_not_written(old_run, cache_dir, monkeypatch):
    monkeypatch.setattr(type(old_run), "is_active", True)
    assert evaluate_run(old_run.run_dir, cache_dir=cache_dir).calibration is NOT_CALIBRATED
    assert not (old_run.run_dir / CALIBRATION_FILE).exists()


def test_another_folder_is_evaluated_also_when_the_runs_own_images_are_gone(
    old_run, cache_dir, data_dir, make_dataset, tmp_path
):
    other = make_dataset(dict.fromkeys(CLASS_NAMES, 3), root=tmp_path / "other", size=(50, 40))
    data_dir.rename(tmp_path / "gone")
    evaluation = evaluate_run(old_run.run_dir, other, cache_dir=cache_dir)
    assert evaluation.num_images == 9
    assert evaluation.calibration is NOT_CALIBRATED


def test_a_photo_of_something_else_is_none_of_these_with_the_reason(old_run, cache_dir, tmp_path):
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    predictor = load_predictor(old_run.run_dir, cache_dir)
    known, unknown = predictor.predict(
        [
            save(draw_image(0, 77), tmp_path / "known.png"),
            save(wall(), tmp_path / "wall.png"),
        ]
    )
    assert not known.is_none_of_these
    assert known.reasons == ()
    assert unknown.is_none_of_these
    assert unknown.reasons[0].startswith("Too different from the training photos")
    assert unknown.to_dict()["none_of_these"] is True
    assert len(unknown.top) == 3  # what comes nearest is still told


def test_another_target_is_kept_and_obeyed(old_run, cache_dir):
    with pytest.raises(RunError, match="Evaluate it once"):
        set_target(old_run.run_dir, 0.3)
    assert threshold_rows(old_run.run_dir) == []
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    rows = threshold_rows(old_run.run_dir)
    assert [row["target"] for row in rows] == sorted(row["target"] for row in rows)
    chosen = set_target(old_run.run_dir, 0.3)
    assert load_predictor(old_run.run_dir, cache_dir).reliability.detector.thresholds == chosen
    val = evaluate_run(old_run.run_dir, part="val", cache_dir=cache_dir)
    assert 0 < val.is_none_of_these.mean() <= 0.3


def test_the_nearest_training_image_of_a_training_image_is_itself(old_run, cache_dir):
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    rows = [row for row in old_run.split() if row.part == "train"]
    chosen = [rows[0], rows[17], rows[-1]]
    photos = [old_run.data_dir / row.path for row in chosen]
    found = nearest_training_images(old_run.run_dir, [*photos, b"no image"], 4, cache_dir=cache_dir)
    assert [neighbours[0].path for neighbours in found[:3]] == [row.path for row in chosen]
    assert [neighbours[0].sha256 for neighbours in found[:3]] == [row.sha256 for row in chosen]
    assert [neighbours[0].class_name for neighbours in found[:3]] == [
        row.class_name for row in chosen
    ]
    for neighbours in found[:3]:
        likeness = [neighbour.similarity for neighbour in neighbours]
        assert likeness[0] == pytest.approx(1, abs=1e-3)
        assert likeness == sorted(likeness, reverse=True)
        assert len(neighbours) == 4
    assert found[3] == []


def test_a_run_that_does_not_know_its_images_has_no_neighbours(old_run, cache_dir):
    photo = old_run.data_dir / "cat" / "0.png"
    assert nearest_training_images(old_run.run_dir, [photo], cache_dir=cache_dir) == [[]]


def test_opening_a_run_with_all_it_knows_reads_its_folder_and_computes_nothing(
    old_run, cache_dir, data_dir, tmp_path, monkeypatch
):
    calibrate_run(old_run.run_dir, cache_dir=cache_dir)
    data_dir.rename(tmp_path / "gone")
    predictor = load_predictor(old_run.run_dir, tmp_path / "empty cache")
    assert predictor.reliability.is_complete
    assert not (tmp_path / "empty cache").exists()


def made_answers(num, temperature, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (num, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((num, 1)) > np.cumsum(true, axis=1)).sum(axis=1)
    scaled = np.exp(logits * temperature)
    return labels, (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)


def test_many_images_decide_the_temperature_few_are_held_back():
    many = fit_calibration(*made_answers(2000, 3.0), "w")
    assert many.temperature == pytest.approx(3, rel=0.1)
    assert many.note == ""
    assert many.ece_after < 0.03 < many.ece_before
    answers = made_answers(8, 3.0)
    few = fit_calibration(*answers, "w")
    assert 1 <= few.temperature < 0.95 * fit_temperature(*answers)
    assert "8 validation images only" in few.note


def test_few_images_make_answers_softer_sooner_than_surer():
    softer, surer = (
        np.mean(
            [fit_calibration(*made_answers(20, planted, s), "w").temperature for s in range(20)]
        )
        for planted in (1.5, 1 / 1.5)
    )
    assert 1.35 < softer < 1.6
    assert 0.8 < surer < 1


def test_true_probabilities_are_hardly_harmed_by_a_temperature_from_few_images():
    unseen = made_answers(2000, 1.0, seed=100)
    before = log_loss(*unseen)
    after = [
        log_loss(unseen[0], fit_calibration(*made_answers(20, 1.0, seed), "w").apply(unseen[1]))
        for seed in range(20)
    ]
    assert np.mean(after) < before + 0.02


def test_without_validation_images_nothing_is_scaled():
    calibration = fit_calibration(np.array([], int), np.zeros((0, 3), np.float32), "w")
    assert calibration.temperature == 1
    assert not calibration.is_known
    assert "No validation images" in calibration.note


def test_a_calibration_is_read_as_it_was_written_and_by_its_weights_only(tmp_path):
    calibration = fit_calibration(*made_answers(50, 2.0), "mine")
    save_calibration(tmp_path, calibration)
    assert load_calibration(tmp_path, "mine") == calibration
    assert load_calibration(tmp_path, "other") is None
    (tmp_path / CALIBRATION_FILE).write_text("{ torn")
    assert load_calibration(tmp_path, "mine") is None


def test_a_calibration_of_a_newer_version_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration_module, "CALIBRATION_SCHEMA", 2)
    save_calibration(tmp_path, NOT_CALIBRATED)
    monkeypatch.setattr(calibration_module, "CALIBRATION_SCHEMA", 1)
    with pytest.raises(RunError, match="schema 2, newer than 1"):
        load_calibration(tmp_path, "")


def test_the_digest_names_the_heads_values_and_not_the_backbones():
    head = {"fc_0/kernel": np.ones((2, 2)), "predictions/bias": np.zeros(2)}
    same = {name: head[name].copy() for name in reversed(head)}
    assert weights_digest(head) == weights_digest({**same, "backbone/0/kernel": np.ones(3)})
    assert weights_digest(head) != weights_digest({**head, "fc_0/kernel": np.full((2, 2), 2.0)})
