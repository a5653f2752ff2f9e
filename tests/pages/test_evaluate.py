import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from app_helpers import (
    assert_sound,
    finished_run,
    grids,
    open_page,
    texts,
    tiles,
    unescaped,
    work_at_once,
)

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, edit_decisions, load_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset, write_split
from tl_core.errors import DatasetError
from tl_core.evaluation.compare import PairedTest
from tl_core.evaluation.report import Evaluation
from tl_core.files import write_bytes, write_json
from tl_core.head.out_of_distribution import fit_detector, load_detector, save_detector
from tl_core.head.temperature import Calibration
from tl_core.jobs import handlers, worker_client
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.files import SPLIT_FILE, WEIGHTS_FILE
from tl_core.runs.image_selection import TRAINED_ON
from tl_core.runs.store import create_run, list_runs
from ui.evaluate import confusion, photos
from ui.evaluate.confusion import confusion_cells, pair_words
from ui.evaluate.downloads import predictions_csv, report_json
from ui.evaluate.other_folder import shift_words
from ui.evaluate.reliability import reliability_words
from ui.evaluate.summary import class_table, curve_points
from ui.runs import before_after, evaluations, retraining
from ui.runs.evaluations import CELL, FOLDER_TAB, PHOTO
from ui.shared.words import NO_MODEL

EVALUATE = "pages/4_Evaluate.py"
NAMES = ("cat", "dog")
PATHS = ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")


def by_hand(dog, labels=(0, 0, 1, 1), data_dir=Path("data"), paths=PATHS, part="test", **more):
    """Return an evaluation of two classes by the probability of "dog" for each photo."""
    dog = np.array(dog, np.float32)
    probabilities = np.stack([1 - dog, dog], axis=1)
    return Evaluation(
        NAMES, part, Path(data_dir), paths, np.array(labels), probabilities, {}, **more
    )


# The second cat is taken for a dog at 90 %, the second dog is right, but only just.
ONE_WRONG = (0.2, 0.9, 0.8, 0.6)


@pytest.fixture
def run(workspace, dataset):
    return finished_run(workspace, dataset)


@pytest.fixture
def asked(monkeypatch, dataset):
    """Answer evaluations by hand; return the list of (folder, part) that were asked for."""
    asked = []

    def evaluate(run_dir, data_dir, *, part, cache_dir, on_progress, should_stop):
        asked.append((data_dir, part))
        if data_dir is not None:
            return by_hand([0.9, 0.9, 0.8, 0.7], data_dir=data_dir, part="all")
        return by_hand(ONE_WRONG, data_dir=dataset, part=part)

    monkeypatch.setattr(handlers, "evaluate_run", evaluate)
    work_at_once(monkeypatch, "evaluate")
    return asked


def open_tab(tab, **session):
    return open_page(EVALUATE, evaluate_tabs=tab, **session)


def labels_of(at):
    return {button.key: button.label for button in at.button}


def test_without_a_model_the_page_leads_to_training(workspace, dataset):
    at = open_page(EVALUATE)
    assert_sound(at)
    assert NO_MODEL in texts(at)
    assert at.button(key="empty_state_next").label == "Train a classifier"


def test_a_run_that_only_waits_cannot_be_evaluated(workspace, dataset):
    create_run(workspace.runs_dir, TrainConfig(), dataset)
    assert NO_MODEL in texts(open_page(EVALUATE))


def test_the_summary_says_the_accuracy_with_its_interval(run, asked):
    at = open_page(EVALUATE)
    assert_sound(at)
    assert asked == [(None, "test")]
    assert "## 75.0 % (30.1 to 95.4)" in texts(at)
    assert "3 of 4 photos the model has not seen got the right answer." in texts(at)
    assert {metric.label for metric in at.metric} == {"Macro F1", "Log loss"}
    assert len(at.get("vega_lite_chart")) == 2


def test_each_class_has_its_figures_in_percent():
    table = class_table(by_hand(ONE_WRONG)).set_index("Class")
    assert list(table["Photos"]) == [2, 2]
    np.testing.assert_allclose(table["Precision"], [100, 200 / 3])
    np.testing.assert_allclose(table["Recall"], [50, 100])
    np.testing.assert_allclose(table["F1"], [200 / 3, 80])


def test_a_precision_curve_begins_at_no_recall_and_has_one_point_for_each_further_one():
    points = curve_points(by_hand(ONE_WRONG), "precision_recall")
    dog = points[points["class"] == "dog"]
    assert dog["x"].tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(dog["y"], [1 / 2, 1 / 2, 2 / 3])


def test_the_same_evaluation_is_not_computed_twice(run, asked):
    at = open_page(EVALUATE)
    at.run()
    assert len(asked) == 1


@pytest.mark.parametrize("what", ["weights", "decision"])
def test_what_changed_is_computed_anew(workspace, dataset, run, asked, what):
    at = open_page(EVALUATE)
    if what == "weights":
        write_bytes(run.run_dir / WEIGHTS_FILE, b"newer")
    else:
        record = scan_dataset(dataset).records[0]
        decision = Decision(record.path, record.sha256, "exclude")
        edit_decisions(workspace, dataset, lambda held: held.decide("one", [decision]))
    at.run()
    assert_sound(at)
    assert len(asked) == 2


def test_validation_photos_are_evaluated_when_chosen(run, asked):
    at = open_page(EVALUATE, evaluate_part="val")
    assert_sound(at)
    assert asked == [(None, "val")]
    assert "of the validation part" in texts(at)


def test_the_matrix_has_a_row_a_cell_with_its_share():
    cells = confusion_cells(by_hand(ONE_WRONG), ("cat", "dog"))
    assert [tuple(row) for row in cells.itertuples(index=False)] == [
        ("cat", "cat", 1, 0.5, False),
        ("cat", "dog", 1, 0.5, True),
        ("dog", "cat", 0, 0.0, False),
        ("dog", "dog", 2, 1.0, False),
    ]


def test_a_pair_is_told_in_plain_words():
    told = pair_words(by_hand(ONE_WRONG), "cat", "dog", 1)
    assert told == "**cat** taken for **dog**: 1 of 2"


def test_a_click_on_a_pair_shows_its_photos(run, asked):
    at = open_tab("Confusion")
    assert_sound(at)
    assert not grids(at)
    at.button(key="pair_cat_dog").click().run()
    assert_sound(at)
    assert "cat taken for dog" in texts(at)
    assert [(tile["path"], tile["alt"], tile["name"]) for tile in tiles(at)] == [
        ("cat/1.png", "cat", "dog, 90.0 %")
    ]


def test_only_a_photo_of_the_evaluation_is_opened(monkeypatch):
    session = {}
    monkeypatch.setattr(photos.st, "session_state", session)
    looked = SimpleNamespace(evaluation=by_hand(ONE_WRONG))
    photos.open_photo(looked, "../secret.png")
    assert session == {}
    photos.open_photo(looked, "cat/1.png")
    assert session == {PHOTO: "cat/1.png"}


def test_the_mistakes_come_worst_first_and_the_unsure_by_their_margin(run, asked):
    at = open_tab("Mistakes")
    assert_sound(at)
    assert [key for key in labels_of(at) if key and key.startswith("mistakes_open")] == [
        "mistakes_open_cat/1.png"
    ]
    assert "**dog**, 90.0 %" in texts(at)
    at = open_tab("Mistakes", mistakes_order="Least sure")
    opened = [key for key in labels_of(at) if key and key.startswith("mistakes_open")]
    assert opened[0] == "mistakes_open_dog/1.png"
    assert len(opened) == 4


def test_a_photo_that_is_answered_right_can_be_excluded_or_moved_to_any_class(
    workspace, dataset, run, asked
):
    at = open_tab("Mistakes", mistakes_order="Least sure")
    keys = labels_of(at)
    assert "card_exclude_dog/1.png" in keys
    assert "card_move_dog/1.png" not in keys
    other = at.selectbox(key="card_other_dog/1.png")
    assert other.options == ["cat"]
    other.set_value("cat").run()
    assert_sound(at)
    held = load_decisions(workspace, dataset).current["dog/1.png"]
    assert (held.action, held.class_name) == ("relabel", "cat")


def test_a_mistake_is_moved_to_its_answer_and_that_is_taken_back(workspace, dataset, run, asked):
    at = open_tab("Mistakes")
    at.button(key="card_move_cat/1.png").click().run()
    assert_sound(at)
    held = load_decisions(workspace, dataset).current["cat/1.png"]
    assert (held.action, held.class_name) == ("relabel", "dog")
    assert "1.png moved to dog" in texts(at).replace("\\", "")
    at.button(key="correct_undo").click().run()
    assert_sound(at)
    assert load_decisions(workspace, dataset).current == {}
    assert "correct_undo" not in labels_of(at)


def test_a_mistake_is_excluded(workspace, dataset, run, asked):
    at = open_tab("Mistakes")
    at.button(key="card_exclude_cat/1.png").click().run()
    assert_sound(at)
    assert load_decisions(workspace, dataset).current["cat/1.png"].action == "exclude"


def test_retraining_takes_the_same_settings_and_shows_how_far_it_is(workspace, dataset, asked):
    run = finished_run(workspace, dataset, epochs=7, dropout=0.3)
    at = open_tab("Mistakes")
    at.button(key="card_exclude_cat/1.png").click().run()
    at.button(key="retrain").click().run()
    assert_sound(at)
    newest = list_runs(workspace.runs_dir)[0]
    assert newest.id != run.id
    assert newest.config == run.config
    assert newest.state == "queued"
    assert at.session_state["run"] == run.id
    assert "Retraining with the same settings" in texts(at)


def test_the_confusion_matrix_has_the_same_panel(workspace, dataset, run, asked):
    record = scan_dataset(dataset).records[0]
    decision = Decision(record.path, record.sha256, "exclude")
    edit_decisions(workspace, dataset, lambda held: held.decide("one excluded", [decision]))
    at = open_tab("Confusion")
    assert_sound(at)
    assert "one excluded" in texts(at)
    at.button(key="retrain").click().run()
    assert_sound(at)
    assert "Retraining with the same settings" in texts(at)
    assert len(list_runs(workspace.runs_dir)) == 2


def test_a_run_of_other_settings_or_the_same_photos_is_no_retraining(workspace, dataset):
    run = finished_run(workspace, dataset)
    later = [
        finished_run(workspace, dataset, dropout=0.1),
        finished_run(workspace, dataset),
        finished_run(workspace, dataset),
    ]
    mended = later[-1]
    write_json(mended.run_dir / "origin.json", {**mended.origin, "decisions_fingerprint": "mended"})
    assert retraining.retrained_from(run, list_runs(workspace.runs_dir)) == mended
    assert retraining.retrained_from(run, later[:-1]) is None


def test_a_retraining_names_the_layout_that_was_found_before(workspace, dataset):
    run = finished_run(workspace, dataset)
    write_json(run.run_dir / "origin.json", {**run.origin, "layout": "table:labels.csv"})
    finished_run(workspace, dataset, layout="top-folders")
    assert retraining.retrained_from(run, list_runs(workspace.runs_dir)) is None
    mended = finished_run(workspace, dataset, layout="table:labels.csv")
    write_json(mended.run_dir / "origin.json", {**mended.origin, "decisions_fingerprint": "mended"})
    assert retraining.retrained_from(run, list_runs(workspace.runs_dir)) == mended


def test_a_decision_about_another_folder_can_be_taken_back(workspace, run, asked, make_dataset):
    folder = make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / "elsewhere")
    session = {"evaluate_part": "elsewhere", "evaluate_folder": "elsewhere"}
    at = open_tab("Mistakes", **session)
    at.button(key="card_exclude_cat/1.png").click().run()
    assert_sound(at)
    assert "retrain" not in labels_of(at)
    at.button(key="correct_undo").click().run()
    assert_sound(at)
    assert load_decisions(workspace, folder).current == {}


def test_both_accuracies_come_with_their_interval():
    rows = before_after.interval_rows(PairedTest("a", "b", 4, 0.75, 1.0, 0, 1, 1.0))
    np.testing.assert_allclose(rows["low"], [0.3006, 0.5101], atol=1e-4)
    np.testing.assert_allclose(rows["high"], [0.9544, 1.0], atol=1e-4)


def test_the_calibration_is_told_before_and_after():
    raw = by_hand(ONE_WRONG).probabilities
    scaled = by_hand(
        (0.5, 0.5, 0.5, 0.5),
        raw_probabilities=raw,
        calibration=Calibration(temperature=2.0, num_images=50),
    )
    # Before: three right at 0.8, 0.8 and 0.6, one wrong at 0.9. After: all 0.5, two right.
    told = reliability_words(scaled)
    assert told.startswith(
        "Calibration error 42.5 points before temperature scaling, **0.0** after."
    )
    # Of 4 fair coins the share of heads is 3/16 from a half on average; the draws give 0.1575.
    assert told.endswith(
        "Perfectly calibrated probabilities would show about 15.8 points on 4 photos by chance."
    )


def known_images():
    """Return what a run knows of four training and four validation photos on two axes."""
    axes = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    labels, sure = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1]] * 2 + [[0.1, 0.9]] * 2)
    return fit_detector(
        axes, labels, np.arange(4), axes, labels, sure.astype(np.float32), 2, "weights"
    )


def test_the_share_turned_away_is_kept_with_the_run(run, dataset, monkeypatch):
    known = known_images()
    save_detector(run.run_dir, known)
    evaluation = by_hand(
        ONE_WRONG,
        data_dir=dataset,
        distances=np.zeros(4, np.float32),
        thresholds=known.thresholds,
    )
    monkeypatch.setattr(handlers, "evaluate_run", lambda *args, **kwargs: evaluation)
    work_at_once(monkeypatch, "evaluate")
    at = open_tab("Trust")
    assert_sound(at)
    assert at.button(key="keep_target").disabled
    at.slider(key=f"target_{run.id}").set_value(20).run()
    at.button(key="keep_target").click().run()
    assert_sound(at)
    assert load_detector(run.run_dir).thresholds.target == 0.2


def test_trust_of_a_run_that_knows_no_photos_says_so(run, asked):
    at = open_tab("Trust")
    assert_sound(at)
    assert "the training photos of this run are missing" in texts(at)


def test_another_folder_is_asked_for_and_then_compared(workspace, run, asked, make_dataset):
    folder = make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / "elsewhere")
    at = open_page(EVALUATE)
    assert [tab.label for tab in at.tabs] == ["Summary", "Confusion", "Mistakes", "Trust"]
    at.button_group(key="evaluate_part").set_value("elsewhere").run()
    assert "need the names cat, dog" in texts(at)
    at.selectbox(key="evaluate_folder").set_value("elsewhere").run()
    assert_sound(at)
    assert asked == [(None, "test"), (folder, "test")]
    assert at.session_state["evaluate_tabs"] == FOLDER_TAB
    assert "25.0 points worse than on its own test photos; the intervals overlap" in texts(at)


def test_a_run_whose_own_photos_are_gone_still_shows_another_folder(
    workspace, run, asked, make_dataset, monkeypatch
):
    make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / "elsewhere")
    answer = handlers.evaluate_run

    def evaluate(run_dir, data_dir, **settings):
        if data_dir is None:
            raise DatasetError("The photos are gone.")
        return answer(run_dir, data_dir, **settings)

    monkeypatch.setattr(handlers, "evaluate_run", evaluate)
    work_at_once(monkeypatch, "evaluate")
    session = {"evaluate_part": "elsewhere", "evaluate_folder": "elsewhere"}
    at = open_tab(FOLDER_TAB, **session)
    assert_sound(at)
    assert "not available to compare with. The photos are gone" in texts(at)


def test_photos_of_the_folder_that_were_trained_on_are_counted(
    workspace, run, asked, make_dataset, monkeypatch
):
    make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / "elsewhere")
    answer = handlers.evaluate_run

    def evaluate(run_dir, data_dir, **settings):
        evaluation = answer(run_dir, data_dir, **settings)
        return evaluation if data_dir is None else replace(evaluation, skipped={"a": TRAINED_ON})

    monkeypatch.setattr(handlers, "evaluate_run", evaluate)
    work_at_once(monkeypatch, "evaluate")
    session = {"evaluate_part": "elsewhere", "evaluate_folder": "elsewhere"}
    at = open_tab(FOLDER_TAB, **session)
    assert_sound(at)
    assert at.info[0].value.startswith("1 of 5 photos left out: this run was trained on it")


def test_a_drop_beyond_the_intervals_is_called_one():
    good, bad = [0.1] * 20 + [0.9] * 20, [0.9] * 20 + [0.6] * 20
    many = {"labels": [0] * 20 + [1] * 20, "paths": tuple(map(str, range(40)))}
    told = shift_words(by_hand(good, **many), by_hand(bad, **many))
    assert told == (
        "50.0 points worse than on its own test photos, and the intervals lie apart: these "
        "photos are harder for "
        "it."
    )


def test_the_predictions_hold_every_probability():
    lines = predictions_csv(by_hand((0.25, 0.75, 1.0, 1.0))).splitlines()
    assert lines[0].startswith("path,true,answer,probability,")
    assert lines[0].endswith("p(cat),p(dog)")
    assert lines[2].startswith("cat/1.png,cat,dog,0.75,0.25,False,")
    assert lines[2].endswith("0.25,0.75")


def test_the_report_holds_figures_and_settings(run):
    report = json.loads(report_json(run, by_hand(ONE_WRONG)))
    assert report["accuracy"] == 0.75
    assert report["config"]["backbone"] == "tiny"


def test_each_cell_opens_on_its_first_page(run, monkeypatch, dataset):
    paths = (*(f"cat/{number}.png" for number in range(4)), "dog/0.png")
    chance, labels = (0.2, 0.2, 0.9, 0.9, 0.8), (0, 0, 0, 0, 1)
    evaluation = by_hand(chance, labels, dataset, paths)
    monkeypatch.setattr(handlers, "evaluate_run", lambda *args, **kwargs: evaluation)
    work_at_once(monkeypatch, "evaluate")
    monkeypatch.setattr(confusion, "PAGE_SIZE", 1)
    at = open_tab("Confusion", **{CELL: ("cat", "cat")})
    key = at.get("pagination")[0].proto.id.rpartition("$$")[2].split("-", 2)[2]
    at.session_state[key] = 2
    at.run()
    assert_sound(at)
    assert [tile["path"] for tile in tiles(at)] == ["cat/1.png"]
    at.session_state[CELL] = ("cat", "dog")
    at.run()
    assert [tile["path"] for tile in tiles(at)] == ["cat/2.png"]


# The worker does it


def bars(at):
    return [bar.text for bar in at.get("progress")]


def test_what_the_worker_is_at_is_shown_with_the_time_left_and_can_be_stopped(workspace, run):
    at = open_page(EVALUATE)
    assert_sound(at)
    queue = JobQueue(workspace)
    (job,) = queue.jobs()
    assert (job.kind, job.payload["part"], job.payload["data_dir"]) == ("evaluate", "test", None)
    queue.take()
    queue.report(job.id, {"stage": "features", "done": 50, "total": 200, "seconds": 10.0})
    at.run()  # as by a click or a reload: it goes on
    assert [one.id for one in queue.jobs()] == [job.id]
    assert "50 of 200" in bars(at)[0]
    assert "30 s left" in bars(at)[0]
    stop = next(button for button in at.button if button.label == "Stop")
    stop.click().run()
    assert queue.is_stop_requested(job.id)
    queue.finish(job.id)
    at.run()
    assert evaluations.STOPPED_TEXT in texts(at)
    assert (bars(at), queue.jobs()) == ([], [])
    next(button for button in at.button if button.label == "Evaluate").click().run()
    assert [one.kind for one in queue.jobs()] == ["evaluate"]


def test_another_session_finds_the_evaluation_with_the_run(run, asked):
    open_page(EVALUATE)
    at = open_page(EVALUATE)
    assert_sound(at)
    assert "## 75.0 % (30.1 to 95.4)" in texts(at)
    assert len(asked) == 1


def answer_waiting(workspace):
    """Do the waiting evaluation as the worker would."""
    queue = JobQueue(workspace)
    job = queue.take()
    handlers.KINDS[job.kind].run(handlers.JobContext(workspace, job, Monitor()))
    queue.finish(job.id)


def test_after_a_correction_the_page_stays_until_the_new_figures_are_there(
    workspace, run, asked, monkeypatch
):
    at = open_tab("Mistakes", mistakes_order="Least sure")
    before = [key for key in labels_of(at) if key.startswith("card_exclude")]
    assert evaluations.AGAIN_TEXT not in texts(at)
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *args, **kwargs: None)
    at.button(key="card_exclude_cat/1.png").click().run()
    assert_sound(at)
    assert evaluations.AGAIN_TEXT in texts(at)
    assert len(bars(at)) == 1
    after = [key for key in labels_of(at) if key.startswith("card_exclude")]
    assert after == [key for key in before if key != "card_exclude_cat/1.png"] != []
    assert "download_report" not in [one.key for one in at.get("download_button")]
    # More is decided while the worker is at it: the result is of neither, and asked for again.
    queue = JobQueue(workspace)
    job = queue.take()
    at.button(key=after[0]).click().run()
    assert_sound(at)
    assert [one.id for one in queue.jobs()] == [job.id]
    queue.finish(job.id)
    at.run()
    assert_sound(at)
    assert evaluations.AGAIN_TEXT in texts(at)
    answer_waiting(workspace)
    at.run()
    assert_sound(at)
    assert evaluations.AGAIN_TEXT not in texts(at)
    assert (bars(at), len(asked)) == ([], 2)
    assert "download_report" in [one.key for one in at.get("download_button")]


def test_other_weights_leave_no_figures_from_before(workspace, run, asked, monkeypatch):
    at = open_page(EVALUATE)
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *args, **kwargs: None)
    write_bytes(run.run_dir / WEIGHTS_FILE, b"newer")
    at.run()
    assert_sound(at)
    assert evaluations.AGAIN_TEXT not in texts(at)
    assert not at.tabs


def test_a_failure_is_one_message_without_a_bar_and_can_be_tried_again(run, asked, monkeypatch):
    answer = handlers.evaluate_run
    reasons = iter([DatasetError("The photos are gone."), None])

    def fail_once(*args, **kwargs):
        if reason := next(reasons):
            raise reason
        return answer(*args, **kwargs)

    monkeypatch.setattr(handlers, "evaluate_run", fail_once)
    at = open_page(EVALUATE)
    assert [error.value for error in at.error] == ["The photos are gone."]
    assert bars(at) == []
    at.run()
    assert [error.value for error in at.error] == ["The photos are gone."]
    next(button for button in at.button if button.label == "Evaluate").click().run()
    assert_sound(at)
    assert "## 75.0 % (30.1 to 95.4)" in texts(at)


def test_a_job_that_was_lost_is_not_asked_for_again_and_again(workspace, run):
    at = open_page(EVALUATE)
    queue = JobQueue(workspace)
    queue.finish(queue.take().id)  # as when the worker was killed
    at.run()
    assert [error.value for error in at.error] == [evaluations.LOST_TEXT]
    assert (bars(at), queue.jobs()) == ([], [])


@pytest.mark.usefixtures("run")
def test_figures_after_corrections_say_so_and_name_the_figure_of_the_training(
    dataset, asked, monkeypatch
):
    def evaluate(run_dir, data_dir, *, part, **settings):
        changed = {"num_relabelled": 2}
        skipped = {"cat/3.png": "excluded"}
        return replace(by_hand(ONE_WRONG, data_dir=dataset, part=part), skipped=skipped, **changed)

    assert "After your corrections" not in texts(open_page(EVALUATE))
    monkeypatch.setattr(handlers, "evaluate_run", evaluate)
    (run,) = list_runs(dataset.parents[1] / "runs")
    write_bytes(run.run_dir / WEIGHTS_FILE, b"other")
    assert unescaped(texts(open_page(EVALUATE))).count(
        "After your corrections: 2 moved to another class and 1 left out. As evaluated when it "
        "was trained: 90.0 % (75.5 to 96.8) on 40 photos."
    )


def test_a_mistake_is_moved_to_the_class_as_it_is_called_now(workspace, run, asked, dataset):
    index = scan_dataset(dataset)
    write_split(run.run_dir / SPLIT_FILE, index, split_dataset(index, run.config))
    (dataset / "dog").rename(dataset / "wolf")
    at = open_tab("Mistakes")
    assert "Since it was trained, dog is called wolf." in texts(open_page(EVALUATE))
    assert labels_of(at)["card_move_cat/1.png"] == "It is wolf"
    at.button(key="card_move_cat/1.png").click().run()
    assert_sound(at)
    decisions = load_decisions(workspace, dataset)
    assert decisions.current["cat/1.png"].class_name == "wolf"
