from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from made_run import CONFIG

from tl_core.errors import RunError
from tl_core.evaluation import compare
from tl_core.evaluation.compare import (
    compare_evaluations,
    compare_on_test_images,
    metric_rows,
    setting_rows,
)
from tl_core.evaluation.report import Evaluation
from tl_core.files import write_json
from tl_core.runs.files import METRICS_FILE, ORIGIN_FILE, SPLIT_FILE
from tl_core.runs.store import create_run_at


def by_hand(is_right, part="test", first_number=0, data_dir="data"):
    """Return an evaluation of two classes that is right on these images."""
    labels = np.arange(len(is_right)) % 2
    answers = np.where(is_right, labels, 1 - labels)
    probabilities = np.full((len(labels), 2), 0.2, np.float32)
    probabilities[np.arange(len(labels)), answers] = 0.8
    paths = tuple(f"{first_number + number}.png" for number in range(len(labels)))
    return Evaluation(("a", "b"), part, Path(data_dir), paths, labels, probabilities, {})


def test_a_difference_by_chance_is_called_so():
    first, second = np.ones(75, bool), np.ones(75, bool)
    first[:5], second[3:6] = False, False  # 3 and 1 images that only one got right
    test = compare_evaluations(by_hand(first), by_hand(second))
    assert (test.num_only_first, test.num_only_second) == (1, 3)
    assert test.p_value == pytest.approx(scipy.stats.binomtest(1, 4).pvalue)
    assert not test.is_more_than_chance
    assert test.sentence == (
        "'second' is better by 2.7 points on 75 photos: 3 that it alone gets right, 1 that "
        "'first' alone does. That is no more than chance (p = 0.62)."
    )


def test_a_difference_beyond_chance_names_the_better_run():
    first, second = np.ones(100, bool), np.ones(100, bool)
    first[:20], second[19:21] = False, False
    test = compare_evaluations(by_hand(first), by_hand(second), "frozen", "tuned")
    assert test.is_more_than_chance
    assert test.sentence == (
        "'tuned' is better by 18.0 points on 100 photos: 19 that it alone gets right, 1 that "
        "'frozen' alone does. That is more than chance (p < 0.001)."
    )


def test_the_verdict_names_the_better_run_whichever_comes_first():
    right, wrong = np.ones(40, bool), np.arange(40) >= 10
    assert "'good' is better by 25.0 points" in (
        compare_evaluations(by_hand(right), by_hand(wrong), "good", "bad").sentence
    )


def test_runs_that_are_equally_good_are_called_so():
    first, second = np.arange(4) != 0, np.arange(4) != 1
    assert compare_evaluations(by_hand(first), by_hand(second)).sentence == (
        "'first' and 'second' have the same accuracy on 4 photos: each alone is right on 1."
    )
    assert compare_evaluations(by_hand(first), by_hand(first)).sentence == (
        "'first' and 'second' agree on all 4 photos: right in both, or wrong in both."
    )


def test_only_images_that_both_saw_count():
    first = by_hand(np.array([True, True, False]))
    second = by_hand(np.array([True, False, True]), first_number=1)
    test = compare_evaluations(first, second)
    assert test.num_images == 2
    assert (test.first_accuracy, test.second_accuracy) == (0.5, 0.5)


@pytest.mark.parametrize(
    "other",
    [by_hand(np.ones(3, bool), first_number=9), by_hand(np.ones(3, bool), data_dir="else")],
    ids=["other images", "same names elsewhere"],
)
def test_runs_without_a_common_image_cannot_be_compared(other):
    with pytest.raises(RunError, match="none in common"):
        compare_evaluations(by_hand(np.ones(3, bool)), other)


def test_runs_trained_before_and_after_a_correction_are_said_to_be_judged_by_the_classes_of_now():
    before = replace(by_hand(np.ones(4, bool)), num_relabelled=1)
    assert "the class it has now" in compare_evaluations(by_hand(np.ones(4, bool)), before).note
    assert compare_evaluations(before, before).note == ""


@pytest.fixture
def runs(tmp_path):
    configs = CONFIG, CONFIG.updated(dropout=0.3, learning_rate=0.01)
    return [
        create_run_at(tmp_path / "runs" / name, config, tmp_path / "data", name=f"run {name}")
        for name, config in zip(("a", "b"), configs, strict=True)
    ]


def test_different_splits_and_missing_test_images_are_noted(runs, monkeypatch):
    evaluations = {
        runs[0].run_dir: by_hand(np.ones(4, bool)),
        runs[1].run_dir: by_hand(np.ones(4, bool), part="val", first_number=2),
    }
    monkeypatch.setattr(compare, "evaluate_run", lambda run_dir, **_: evaluations[run_dir])
    test = compare_on_test_images(*runs)
    assert (test.first_name, test.second_name, test.num_images) == ("run a", "run b", 2)
    assert "validation images" in test.note
    assert "Compared on 2 of 4 photos" in test.note


def test_settings_that_differ_stand_side_by_side(runs):
    rows = {row.pop("setting"): row for row in setting_rows(runs)}
    assert rows == {
        "dropout": {"differs": True, "a": 0.5, "b": 0.3},
        "learning_rate": {"differs": True, "a": 0.001, "b": 0.01},
    }


def test_settings_that_agree_are_listed_when_asked_for(runs):
    rows = {row.pop("setting"): row for row in setting_rows(runs, include_same=True)}
    assert rows["backbone"] == {"differs": False, "a": "tiny", "b": "tiny"}
    assert rows["dropout"]["differs"]


def test_other_photos_are_told_by_how_they_differ(runs):
    lines = ["a.png,1,cat,train", "b.png,2,cat,val", "c.png,3,dog,test", "d.png,4,dog,train"]
    changed = ["a.png,1,dog,train", "b.png,2,dog,val", "c.png,3,dog,test", "e.png,5,dog,train"]
    for run, rows, fingerprint in zip(runs, (lines, changed), "xy", strict=True):
        text = "\n".join(["path,sha256,class,part", *rows]) + "\n"
        (run.run_dir / SPLIT_FILE).write_text(text, encoding="utf-8")
        write_json(run.run_dir / ORIGIN_FILE, {**run.origin, "fingerprint": fingerprint})
    rows = {row.pop("setting"): row for row in setting_rows(runs)}
    told = "4, 1 left out, 1 added, 2 of another class"
    assert rows["photos"] == {"differs": True, "a": "4", "b": told}


def test_figures_come_with_their_intervals(runs):
    write_json(
        runs[0].run_dir / METRICS_FILE,
        {
            "val_accuracy": 0.9,
            "val_interval": [0.8, 0.95],
            "val_loss": 0.3,
            "test_accuracy": None,
            "test_interval": None,
            "num_images": {"val": 40, "test": 0},
        },
    )
    (row,) = metric_rows(runs)  # the other run has no figure yet
    assert row == {
        "run": "a",
        "name": "run a",
        "part": "val",
        "accuracy": 0.9,
        "low": 0.8,
        "high": 0.95,
        "loss": 0.3,
        "num_images": 40,
    }


def test_the_images_of_a_run_that_was_killed_are_counted_in_its_split(runs):
    figures = {"val_accuracy": 0.5, "val_interval": [0.1, 0.9], "best_epoch": 0}
    for run in runs:
        write_json(run.run_dir / METRICS_FILE, figures)
    lines = ["path,sha256,class,part", "a.png,1,cat,train", "b.png,2,cat,val", "c.png,3,dog,val"]
    (runs[0].run_dir / SPLIT_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert [row["num_images"] for row in metric_rows(runs)] == [2, None]
