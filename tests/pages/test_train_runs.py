"""What the Train page offers for runs: go on, make better, manage, archive, compare."""

from __future__ import annotations

import json

import numpy as np
import pytest
from app_helpers import TRAIN, assert_sound, finished_run, open_page, texts, unescaped, work_at_once

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset, write_split
from tl_core.evaluation.report import Evaluation
from tl_core.files import write_json
from tl_core.head.model import METADATA_KEY, save_weights
from tl_core.jobs.queue import JobQueue
from tl_core.runs.files import METRICS_FILE, SPLIT_FILE, WEIGHTS_FILE, end_run
from tl_core.runs.store import annotate_run, archive_run, create_run, list_runs
from tl_core.training.checkpoints import Checkpoint, EpochResult
from ui.runs import paired_test
from ui.runs.evaluations import FOLDER_TAB
from ui.runs.start import with_note
from ui.train.compare import NEEDS_TWO

WEIGHTS = {"predictions/kernel": np.zeros((4, 2), np.float32)}


def labels_of(at):
    return {button.key: button.label for button in at.button}


def stopped_run(workspace, dataset, phase="head", num_epochs=2, **settings):
    """Return a stopped run with a checkpoint after ``num_epochs`` of ``phase``."""
    run = finished_run(workspace, dataset, **settings)
    best = EpochResult(phase, num_epochs - 1, 0.5, 0.8, 0.5, 0.8, 0.001, 0.1)
    Checkpoint(phase, num_epochs, (best,), best, WEIGHTS, WEIGHTS, {}).save(run.run_dir)
    end_run(run.run_dir, "stopped", "Stopped. The best weights so far are kept.")
    return run


def head_run(workspace, dataset, **settings):
    """Return a finished run that another can be made from."""
    run = finished_run(workspace, dataset, **settings)
    facts = json.dumps({"schema": 1, "phase": "head", "epoch": 1})
    save_weights(run.run_dir / WEIGHTS_FILE, WEIGHTS, {METADATA_KEY: facts})
    keep_split(run)
    return run


def keep_split(run):
    index = scan_dataset(run.data_dir)
    write_split(run.run_dir / SPLIT_FILE, index, split_dataset(index, run.config))


@pytest.mark.parametrize(
    ("phase", "num_epochs", "settings", "label"),
    [
        ("head", 2, {"epochs": 5}, "Resume from epoch 3 of 5"),
        ("head", 5, {"epochs": 5}, "Finish: all epochs are done"),
        ("head", 5, {"epochs": 5, "fine_tune_blocks": 1}, "Resume with fine-tuning"),
        (
            "fine_tune",
            3,
            {"epochs": 5, "fine_tune_blocks": 1, "fine_tune_epochs": 8},
            "Resume from epoch 4 of 8 of fine-tuning",
        ),
    ],
    ids=["head", "all done", "between the phases", "fine-tuning"],
)
def test_a_stopped_run_offers_to_go_on_where_it_was(
    workspace, dataset, phase, num_epochs, settings, label
):
    stopped_run(workspace, dataset, phase, num_epochs, **settings)
    at = open_page(TRAIN)
    assert_sound(at)
    assert at.button(key="resume_run").label == label


def test_going_on_queues_the_run_and_shows_it_live(workspace, dataset):
    run = stopped_run(workspace, dataset)
    at = open_page(TRAIN)
    at.button(key="resume_run").click().run()
    assert_sound(at)
    assert run.state == "queued"
    assert run.run_dir in [job.run_dir for job in JobQueue(workspace).jobs()]
    assert "stop_run" in labels_of(at)
    assert "resume_run" not in labels_of(at)


def test_a_run_without_a_saved_epoch_starts_again(workspace, dataset):
    run = finished_run(workspace, dataset)
    end_run(run.run_dir, "failed", "The disk was full.")
    at = open_page(TRAIN)
    assert at.button(key="resume_run").label == "Start again: no epoch was saved"


def test_a_damaged_checkpoint_is_told_in_words_and_offers_no_going_on(workspace, dataset):
    run = stopped_run(workspace, dataset)
    (run.run_dir / "checkpoint.safetensors").write_bytes(b"torn")
    at = open_page(TRAIN)
    assert_sound(at)
    assert "resume_run" not in labels_of(at)
    assert "Cannot read the weights" in texts(at)


def test_a_finished_run_has_nothing_to_go_on_with(workspace, dataset):
    finished_run(workspace, dataset)
    assert "resume_run" not in labels_of(open_page(TRAIN))


def test_a_head_run_is_made_better_with_the_recommended_blocks(workspace, dataset):
    run = head_run(workspace, dataset, backbone="EfficientNetLite0", name="frozen")
    at = open_page(TRAIN)
    assert_sound(at)
    blocks = at.selectbox(key=f"better_{run.id}.blocks")
    assert blocks.options[0] == "1 of 18: 0.4 of 3.4 million weights"
    assert blocks.value == 5
    at.number_input(key=f"better_{run.id}.fine_tune_epochs").set_value(4).run()
    at.button(key="start_better").click().run()
    assert_sound(at)
    new = list_runs(workspace.runs_dir)[0]
    assert new.name == "frozen, fine-tuned"
    assert new.state == "queued"
    assert (new.config.fine_tune_blocks, new.config.fine_tune_epochs) == (5, 4)
    assert new.origin["from_run"] == run.id
    assert at.session_state["run"] == new.id


def test_what_cannot_be_made_better_says_why(workspace, dataset):
    finished_run(workspace, dataset)  # its weights are none
    at = open_page(TRAIN)
    at.button(key="start_better").click().run()
    assert not at.exception
    assert "Cannot read the weights" in at.error[0].value
    assert len(list_runs(workspace.runs_dir)) == 1


def test_a_run_whose_photos_have_changed_is_not_offered_to_be_made_better(workspace, dataset):
    run = head_run(workspace, dataset)
    next(dataset.glob("*/0.png")).unlink()
    at = open_page(TRAIN)
    assert_sound(at)
    assert "start_better" not in labels_of(at)
    assert f"no longer those that run '{run.name}' began with" in unescaped(texts(at))


def test_photos_that_changed_since_the_page_was_drawn_stop_the_start_of_a_fine_tuning(
    workspace, dataset
):
    head_run(workspace, dataset, backbone="EfficientNetLite0")
    at = open_page(TRAIN)
    next(dataset.glob("*/0.png")).unlink()
    at.button(key="start_better").click().run()
    assert_sound(at)
    assert len(list_runs(workspace.runs_dir)) == 1


def test_a_run_whose_photos_have_changed_is_not_offered_to_go_on(workspace, dataset):
    run = stopped_run(workspace, dataset)
    keep_split(run)
    assert "resume_run" in labels_of(open_page(TRAIN))
    next(dataset.glob("*/0.png")).unlink()
    at = open_page(TRAIN)
    assert_sound(at)
    assert "resume_run" not in labels_of(at)
    assert "Start a new run with its settings" in texts(at)


def test_a_fine_tuned_run_is_not_offered_to_be_made_better(workspace, dataset):
    run = finished_run(workspace, dataset)
    write_json(run.run_dir / METRICS_FILE, {**run.metrics, "best_phase": "fine_tune"})
    assert "start_better" not in labels_of(open_page(TRAIN))


def test_the_phase_of_the_best_epoch_is_told(workspace, dataset):
    run = finished_run(workspace, dataset, fine_tune_blocks=1)
    write_json(run.run_dir / METRICS_FILE, {**run.metrics, "best_phase": "fine_tune"})
    assert "best in epoch 2 of fine-tuning" in texts(open_page(TRAIN))


def test_a_run_leads_to_its_evaluation(workspace, dataset):
    finished_run(workspace, dataset, name="other")
    run = finished_run(workspace, dataset, name="wanted")
    finished_run(workspace, dataset, name="newest")
    at = open_page(TRAIN, run=run.id)
    at.button(key="go_evaluate").click().run()
    assert at.session_state["run"] == run.id
    assert [title.value for title in at.title] == ["Evaluate"]


def test_a_run_is_evaluated_on_its_own_photos_whatever_was_evaluated_before(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page(TRAIN, evaluate_part="elsewhere", evaluate_tabs=FOLDER_TAB)
    at.button(key="go_evaluate").click().run()
    assert at.session_state["evaluate_part"] == "test"
    assert at.session_state["evaluate_tabs"] == "Summary"


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("256", "256, corrected"),
        ("256, corrected", "256, corrected 2"),
        ("256, corrected 2", "256, corrected 3"),
        ("256, corrected, fine-tuned", "256, corrected, fine-tuned, corrected"),
    ],
)
def test_a_note_that_a_name_has_is_counted(name, noted):
    assert with_note(name, "corrected") == noted


def test_what_the_curves_say_stands_below_the_figure(workspace, dataset):
    finished_run(workspace, dataset)
    assert "Only 2 epochs: too few to judge by." in unescaped(texts(open_page(TRAIN)))


def test_a_run_that_waits_leaves_its_figures_empty_in_the_table(workspace, dataset):
    create_run(workspace.runs_dir, TrainConfig(backbone="tiny"), dataset)
    (table,) = [one for one in open_page(TRAIN).dataframe if "State" in one.value]
    assert table.value["State"].tolist() == ["Waiting"]
    assert table.proto.placeholder == ""
    assert table.proto.HasField("placeholder")


def test_a_run_gets_a_name_and_notes(workspace, dataset):
    run = finished_run(workspace, dataset)
    at = open_page(TRAIN)
    at.text_input(key=f"run_name_{run.id}").set_value("the good one")
    at.text_area(key=f"run_notes_{run.id}").set_value("less dropout *helps*")
    at.button(key="rename_run").click().run()
    assert_sound(at)
    kept = list_runs(workspace.runs_dir)[0]
    assert (kept.name, kept.notes) == ("the good one", "less dropout *helps*")
    assert at.selectbox(key="run").options == ["the good one"]
    assert r"less dropout \*helps\*" in texts(at)


@pytest.mark.parametrize("field", ["run_name", "run_notes"])
def test_a_name_or_note_over_the_limit_is_refused_and_not_said_to_be_saved(
    workspace, dataset, field
):
    run = finished_run(workspace, dataset)
    at = open_page(TRAIN)
    box = at.text_input if field == "run_name" else at.text_area
    box(key=f"{field}_{run.id}").set_value("x" * 2001).run()
    at.button(key="rename_run").click().run()
    assert_sound(at)
    assert not at.toast
    assert "received 2,001" in texts(at)
    assert (run.name, run.notes) == (run.id, "")


def test_a_run_is_deleted_only_after_a_yes(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page(TRAIN)
    at.button(key="delete_run").click().run()
    assert len(list_runs(workspace.runs_dir)) == 1
    at.button(key="delete_no").click().run()
    assert "delete_yes" not in labels_of(at)
    at.button(key="delete_run").click().run()
    at.button(key="delete_yes").click().run()
    assert_sound(at)
    assert list_runs(workspace.runs_dir) == []


def test_after_a_deletion_the_box_is_told_which_run_is_shown(workspace, dataset):
    """The browser goes on showing the deleted run's name unless it receives another value."""
    kept = finished_run(workspace, dataset)
    deleted = finished_run(workspace, dataset)
    at = open_page(TRAIN, run=deleted.id)
    at.button(key="delete_run").click().run()
    at.button(key="delete_yes").click().run()
    assert_sound(at)
    box = at.selectbox(key="run")
    assert box.value == kept.id
    assert box.proto.set_value


def test_a_yes_to_deleting_is_for_one_run_alone(workspace, dataset):
    first = finished_run(workspace, dataset)
    finished_run(workspace, dataset)
    at = open_page(TRAIN)
    at.button(key="delete_run").click().run()
    at.selectbox(key="run").set_value(first.id).run()
    assert "delete_yes" not in labels_of(at)


def test_an_archived_run_leaves_choices_and_table_until_it_is_shown(workspace, dataset):
    finished_run(workspace, dataset, name="old")
    finished_run(workspace, dataset, name="new")
    at = open_page(TRAIN)
    assert "show_archived" not in [switch.key for switch in at.toggle]
    at.button(key="archive_run").click().run()
    assert_sound(at)
    assert at.selectbox(key="run").options == ["old"]
    assert list(at.dataframe(key="runs_table_1").value["Run"]) == ["old"]
    at.toggle(key="show_archived").set_value(True).run()
    assert at.selectbox(key="run").options == ["new", "old"]
    table = at.dataframe(key="runs_table_2").value
    assert list(table["State"]) == ["Finished, archived", "Finished"]


def test_an_archived_run_is_taken_back(workspace, dataset):
    run = finished_run(workspace, dataset)
    archive_run(run)
    at = open_page(TRAIN, show_archived=True)
    at.button(key="unarchive_run").click().run()
    assert_sound(at)
    assert not run.is_archived


def test_when_all_runs_are_archived_they_can_still_be_shown(workspace, dataset):
    archive_run(finished_run(workspace, dataset))
    at = open_page(TRAIN)
    assert_sound(at)
    assert "All runs are archived." in texts(at)
    assert at.toggle(key="show_archived").value is False


def compare(workspace, dataset, **session):
    """Open the comparison of two runs that differ in dropout."""
    finished_run(workspace, dataset, name="first")
    annotate_run(finished_run(workspace, dataset, name="second", dropout=0.2), "drier")
    return open_page(TRAIN, train_view="Compare", **session)


def test_two_runs_stand_side_by_side_with_figures_curves_and_what_differs(workspace, dataset):
    at = compare(workspace, dataset)
    assert_sound(at)
    figures = at.dataframe[0].value
    assert "**A**  second  \n**B**  first" in texts(at)
    assert list(figures.columns) == ["A", "B"]
    assert list(figures.loc["Accuracy on test photos"]) == ["90.0 %"] * 2
    assert list(figures.loc["Interval on test photos"]) == ["75.5 to 96.8"] * 2
    assert list(figures.loc["Notes"]) == ["drier", ""]
    table = at.dataframe[1].value
    assert list(table.index) == ["dropout"]
    assert list(table.loc["dropout"]) == ["0.2", "0.5"]
    assert len(at.get("vega_lite_chart")) == 3


def test_a_number_of_photos_that_is_not_known_is_not_given_as_none(workspace, dataset):
    finished_run(workspace, dataset, name="first")
    killed = finished_run(workspace, dataset, name="second", test_accuracy=None)
    write_json(killed.run_dir / METRICS_FILE, {"val_accuracy": 0.8, "val_interval": [0.6, 0.92]})
    at = open_page(TRAIN, train_view="Compare")
    assert_sound(at)
    figures = at.dataframe[0].value
    assert list(figures.loc["Accuracy on validation photos"]) == ["80.0 %"] * 2
    assert list(figures.loc["Number of validation photos"]) == ["", "20"]


def test_all_settings_are_listed_on_request(workspace, dataset):
    at = compare(workspace, dataset)
    at.toggle(key="compare_only").set_value(False).run()
    table = at.dataframe[1].value
    assert list(table.loc["learning rate"]) == ["0.001", "0.001"]
    assert list(table.loc["dropout"]) == ["0.2", "0.5"]


def test_runs_of_the_same_settings_are_called_so(workspace, dataset):
    finished_run(workspace, dataset)
    finished_run(workspace, dataset)
    at = open_page(TRAIN, train_view="Compare")
    assert_sound(at)
    assert "Same settings, same images." in texts(at)


def test_the_difference_of_two_runs_is_put_to_the_test(workspace, dataset, monkeypatch):
    labels = np.zeros(20, np.int64)

    def evaluate(_, run, source):
        share = 1.0 if run.name == "second" else 0.0
        probabilities = np.tile(np.float32([share, 1 - share]), (20, 1))
        paths = tuple(f"{number}.png" for number in range(20))
        return Evaluation(("cat", "dog"), source.part, dataset, paths, labels, probabilities, {})

    monkeypatch.setattr(paired_test, "evaluate", evaluate)
    at = compare(workspace, dataset)
    assert_sound(at)
    told = texts(at).replace("\\", "")
    assert "'A' is better by 100.0 points on 20 photos" in told
    assert "more than chance (p < 0.001)" in told


def test_runs_that_cannot_be_asked_say_why_and_spoil_nothing(workspace, dataset, monkeypatch):
    work_at_once(monkeypatch, "evaluate")
    at = compare(workspace, dataset)  # their weights are none
    assert_sound(at)
    assert "Cannot read the weights" in texts(at)
    assert list(at.dataframe[1].value.index) == ["dropout"]


def test_one_run_alone_is_not_compared(workspace, dataset):
    finished_run(workspace, dataset)
    at = open_page(TRAIN, train_view="Compare")
    assert_sound(at)
    assert NEEDS_TWO in texts(at)


def test_a_compared_run_that_was_deleted_is_forgotten(workspace, dataset):
    at = compare(workspace, dataset, compared=["gone"])
    assert_sound(at)
    assert "Choose at least two." in texts(at)
