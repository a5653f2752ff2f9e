import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from made_run import CONFIG, make_run

from tl_core.data.curation.store import Decision, Decisions, edit_decisions, load_dataset
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError, RunError
from tl_core.evaluation.evaluate import Evaluation, evaluate_run
from tl_core.inference.predict import load_predictor
from tl_core.metrics.classification import wilson_interval
from tl_core.runs.files import SPLIT_FILE
from tl_core.runs.image_selection import renamed_classes

CLASS_NAMES = ("cat", "dog", "fox")


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset(dict.fromkeys(CLASS_NAMES, 8))


@pytest.fixture
def run(data_dir, cache_dir, tmp_path):
    return make_run(tmp_path / "runs" / "made", data_dir, cache_dir)


def by_hand(labels, predicted, class_names=CLASS_NAMES):
    """Return an evaluation with these answers, each given with probability 0.7."""
    others = 0.3 / (len(class_names) - 1)
    probabilities = np.full((len(labels), len(class_names)), others, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.7
    paths = tuple(f"{number}.png" for number in range(len(labels)))
    return Evaluation(class_names, "test", Path("data"), paths, labels, probabilities, {})


def test_every_figure_is_scikit_learns():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 90)
    predicted = np.where(rng.random(90) < 0.6, labels, rng.integers(0, 4, 90))
    evaluation = by_hand(labels, predicted, ("a", "b", "c", "d"))
    assert evaluation.predicted.tolist() == predicted.tolist()
    assert evaluation.accuracy == sklearn.metrics.accuracy_score(labels, predicted)
    matrix = sklearn.metrics.confusion_matrix(labels, predicted)
    assert evaluation.confusion_matrix.tolist() == matrix.tolist()
    exact = evaluation.probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert evaluation.log_loss == pytest.approx(sklearn.metrics.log_loss(labels, exact))
    expected = np.transpose(sklearn.metrics.precision_recall_fscore_support(labels, predicted))
    figures = [(one.precision, one.recall, one.f1, one.support) for one in evaluation.per_class]
    np.testing.assert_allclose(figures, expected)


def test_what_cannot_be_known_of_a_class_is_none():
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 0, 2])
    cat, dog, fox = by_hand(labels, predicted).per_class
    assert (cat.precision, cat.recall, cat.support) == (0.5, 0.5, 2)
    assert (dog.precision, dog.recall, dog.f1) == (None, 0, 0)  # never the answer
    assert (fox.precision, fox.recall, fox.support) == (0, None, 0)  # no image of it
    nothing = by_hand(np.array([0]), np.array([0])).per_class[2]
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)


def test_the_interval_is_wilsons():
    evaluation = by_hand(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
    assert evaluation.interval == wilson_interval(3, 4)


def test_confusions_are_mistakes_only_the_most_common_first():
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 2, 2, 0, 2, 1])
    expected = [("cat", "fox", 2), ("dog", "cat", 1), ("fox", "dog", 1)]
    assert by_hand(labels, predicted).confusions() == expected


def test_the_figures_can_be_said_in_json():
    evaluation = by_hand(np.array([0, 1]), np.array([0, 0]))
    values = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert values["accuracy"] == 0.5
    assert values["confusion_matrix"] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert [one["class_name"] for one in values["per_class"]] == list(CLASS_NAMES)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_part_is_exactly_the_images_the_run_put_there(run, cache_dir, part):
    rows = [row for row in run.split() if row.part == part]
    evaluation = evaluate_run(run.run_dir, part=part, cache_dir=cache_dir)
    assert evaluation.part == part
    assert evaluation.paths == tuple(row.path for row in rows)
    names = [evaluation.class_names[label] for label in evaluation.labels]
    assert names == [row.class_name for row in rows]
    predictor = load_predictor(run.run_dir, cache_dir)
    answers = predictor.predict([evaluation.data_dir / path for path in evaluation.paths], 1)
    right = [one.top[0][0] == name for one, name in zip(answers, names, strict=True)]
    assert evaluation.accuracy == np.mean(right)
    assert evaluation.skipped == {}


def test_without_a_test_part_the_validation_part_is_taken_and_named(data_dir, cache_dir, tmp_path):
    config = CONFIG.updated(test_fraction=0)
    run = make_run(tmp_path / "runs" / "untested", data_dir, cache_dir, config)
    assert evaluate_run(run.run_dir, cache_dir=cache_dir).part == "val"


def test_an_unknown_part_is_refused_with_those_there_are(run, cache_dir):
    with pytest.raises(RunError, match="out of test, train, val in run 'made', received 'tset'"):
        evaluate_run(run.run_dir, part="tset", cache_dir=cache_dir)


def test_features_known_from_training_are_not_computed_again(run, cache_dir):
    seen = []
    evaluate_run(run.run_dir, cache_dir=cache_dir, on_progress=seen.append)
    assert "features" not in {progress.stage for progress in seen}


def test_moved_images_are_found_by_content_and_count_for_the_class_they_are_in_now(
    run, data_dir, cache_dir
):
    before = evaluate_run(run.run_dir, cache_dir=cache_dir)
    moved, *others = before.paths
    (data_dir / moved).rename(data_dir / "fox" / "moved.png")
    after = evaluate_run(run.run_dir, cache_dir=cache_dir)
    assert after.paths == ("fox/moved.png", *others)
    assert after.labels.tolist() == [CLASS_NAMES.index("fox"), *before.labels.tolist()[1:]]


def test_when_a_class_has_got_another_name_its_images_count_for_the_one_they_had(
    run, data_dir, cache_dir
):
    before = evaluate_run(run.run_dir, cache_dir=cache_dir)
    (data_dir / "cat").rename(data_dir / "kitten")
    after = evaluate_run(run.run_dir, cache_dir=cache_dir)
    assert after.labels.tolist() == before.labels.tolist()
    assert after.accuracy == before.accuracy
    assert after.num_relabelled == 0


def test_an_image_moved_to_a_renamed_class_counts_for_the_class_that_it_was(
    run, data_dir, cache_dir
):
    before = evaluate_run(run.run_dir, cache_dir=cache_dir)
    (data_dir / "cat").rename(data_dir / "kitten")
    path = next(path for path in before.paths if path.startswith("dog/"))
    decide(run, path, "relabel", "kitten")
    after = evaluate_run(run.run_dir, cache_dir=cache_dir)
    assert after.class_names[after.labels[after.paths.index(path)]] == "cat"
    assert after.skipped == {}
    assert after.num_relabelled == 1
    index = load_dataset(data_dir, run.workspace)
    assert renamed_classes(run, index) == {"kitten": "cat"}


@pytest.fixture
def copied(data_dir, cache_dir, tmp_path):
    """A run whose data has an image twice, as a cat and as a dog; both are of one part."""
    shutil.copy(data_dir / "cat/0.png", data_dir / "dog/copy.png")
    return make_run(tmp_path / "runs" / "copied", data_dir, cache_dir)


def decide(run, path, action, class_name=None):
    record = next(one for one in scan_dataset(run.data_dir).records if one.path == path)
    decision = Decision(path, record.sha256, action, class_name)
    edit_decisions(run.workspace, run.data_dir, lambda held: held.decide("one", [decision]))


def test_a_copy_does_not_stand_for_the_image_that_was_excluded(copied, cache_dir):
    row = next(row for row in copied.split() if row.path == "cat/0.png")
    before = evaluate_run(copied.run_dir, part=row.part, cache_dir=cache_dir)
    decide(copied, "cat/0.png", "exclude")
    after = evaluate_run(copied.run_dir, part=row.part, cache_dir=cache_dir)
    assert after.paths == tuple(path for path in before.paths if path != "cat/0.png")
    assert after.class_names[after.labels[after.paths.index("dog/copy.png")]] == "dog"
    assert set(after.skipped) == {"cat/0.png"}


def test_copies_that_were_moved_are_found_once_each(copied, data_dir, cache_dir):
    part = next(row.part for row in copied.split() if row.path == "cat/0.png")
    (data_dir / "cat/0.png").rename(data_dir / "cat/moved.png")
    (data_dir / "dog/copy.png").rename(data_dir / "dog/moved.png")
    evaluation = evaluate_run(copied.run_dir, part=part, cache_dir=cache_dir)
    assert {"cat/moved.png", "dog/moved.png"} <= set(evaluation.paths)
    assert len(set(evaluation.paths)) == len(evaluation.paths)
    assert evaluation.skipped == {}


def test_a_label_does_not_depend_on_a_decision_about_another_image(data_dir, cache_dir, tmp_path):
    """An image was moved to another class, the run trained, and that decision taken back."""
    source = make_run(tmp_path / "runs" / "source", data_dir, cache_dir)
    decide(source, "cat/0.png", "relabel", "dog")
    split = source.run_dir / SPLIT_FILE
    lines = split.read_text().splitlines()
    trained = [line.replace(",cat,", ",dog,") if "cat/0.png" in line else line for line in lines]
    split.write_text("\n".join(trained) + "\n")
    edit_decisions(source.workspace, source.data_dir, Decisions.undo)
    part = next(row.part for row in source.split() if row.path == "cat/0.png")
    alone = evaluate_run(source.run_dir, part=part, cache_dir=cache_dir)
    other = next(row.path for row in source.split() if row.part != part)
    decide(source, other, "exclude")
    beside = evaluate_run(source.run_dir, part=part, cache_dir=cache_dir)
    assert beside.labels.tolist() == alone.labels.tolist()
    assert alone.class_names[alone.labels[alone.paths.index("cat/0.png")]] == "cat"


def test_images_changed_or_gone_since_are_left_out_and_named(run, data_dir, cache_dir):
    before = evaluate_run(run.run_dir, cache_dir=cache_dir)
    changed, gone, *others = before.paths
    (data_dir / gone).unlink()
    shutil.copy(data_dir / others[0], data_dir / changed)
    after = evaluate_run(run.run_dir, cache_dir=cache_dir)
    assert after.paths == tuple(others)
    assert set(after.skipped) == {changed, gone}


def test_when_all_images_are_gone_the_error_says_so(run, data_dir, cache_dir, make_dataset):
    shutil.rmtree(data_dir)
    make_dataset({"new": 3, "other": 3})
    with pytest.raises(DatasetError, match="found none of them"):
        evaluate_run(run.run_dir, cache_dir=cache_dir)


def test_another_folder_is_evaluated_whole(run, cache_dir, make_dataset, tmp_path):
    """Its classes have other labels there, and one of the run's classes is missing."""
    other = make_dataset({"ape": 2, "cat": 3, "fox": 4}, root=tmp_path / "other", size=(50, 44))
    evaluation = evaluate_run(run.run_dir, other, cache_dir=cache_dir)
    assert evaluation.part == "all"
    assert evaluation.labels.tolist() == [0] * 3 + [2] * 4
    assert [one.support for one in evaluation.per_class] == [3, 0, 4]
    assert set(evaluation.skipped) == {"ape/0.png", "ape/1.png"}
    assert "no class 'ape'" in evaluation.skipped["ape/0.png"]


def test_a_folder_without_any_of_the_classes_is_refused(run, cache_dir, make_dataset, tmp_path):
    other = make_dataset({"Cat": 2, "bird": 2}, root=tmp_path / "other")
    with pytest.raises(DatasetError, match=r"named cat, dog, fox in .* found bird, Cat"):
        evaluate_run(run.run_dir, other, cache_dir=cache_dir)


def test_photos_of_another_folder_that_training_used_are_left_out_and_counted(
    run, data_dir, cache_dir, make_dataset, tmp_path
):
    other = make_dataset({"cat": 3, "fox": 2}, root=tmp_path / "other", size=(50, 44))
    rows = [row for row in run.split() if row.class_name == "cat"]
    for part in ("train", "val", "test"):
        row = next(row for row in rows if row.part == part)
        shutil.copy(data_dir / row.path, other / "cat" / f"same_{part}.png")
    evaluation = evaluate_run(run.run_dir, other, cache_dir=cache_dir)
    assert evaluation.skipped == {
        "cat/same_train.png": "the run was trained on it",
        "cat/same_val.png": "the run was validated with it while it trained",
    }
    assert evaluation.num_used_in_training == 2
    assert "cat/same_test.png" in evaluation.paths
    assert evaluation.num_images == 6


def test_a_folder_whose_photos_were_all_trained_on_is_refused(run, data_dir, cache_dir, tmp_path):
    other = tmp_path / "other"
    for row in run.split():
        if row.part == "train":
            (other / row.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(data_dir / row.path, other / row.path)
    with pytest.raises(DatasetError, match="trained on all 12 of its classes"):
        evaluate_run(run.run_dir, other, cache_dir=cache_dir)
