import numpy as np
import pytest
from app_helpers import TRAIN, assert_sound, open_page, send, texts

from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_dataset
from tl_core.files import write_json
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.search import FIND_LR, SWEEP, delete_sweep
from tl_core.runs.files import end_run
from tl_core.runs.store import list_runs
from tl_core.search.lr_cache import RangeFile
from tl_core.search.lr_finder import read_curve
from tl_core.search.ranking import Trial, settings_of
from tl_core.search.store import create_sweep, list_sweeps

LEARNING_RATE, SEARCH = {"train_view": "Learning rate"}, {"train_view": "Search"}
ENOUGH = {"search.learning_rate": ["0.001", "0.01"]}


@pytest.fixture
def range_file(workspace, dataset):
    return RangeFile(workspace.cache_dir, load_dataset(dataset, workspace), TrainConfig())


@pytest.fixture
def sweep(workspace, dataset):
    """Three heads, of which the first two cannot be told apart and the second is simpler."""
    config = SweepConfig(search="grid", fc_layers=((64,), (8,)), dropout=(0.1,), weight_decay=(0,))
    made = create_sweep(workspace, config, TrainConfig(epochs=7), dataset)
    write_json(made.sweep_dir / "origin.json", {**made.origin, "num_images": 100})
    heads = [((64,), 0.01, 0.9, 500), ((8,), 0.003, 0.89, 50), ((8,), 0.0003, 0.5, 50)]
    for number, (layers, rate, accuracy, num_params) in enumerate(heads):
        settings = settings_of(TrainConfig(fc_layers=layers, learning_rate=rate, dropout=0.1))
        figures = (accuracy - 0.01, accuracy, accuracy + 0.01)
        made.add(Trial(number, settings, figures, (0.5,) * 3, (1, 2, 3), num_params, 2.0))
    return made


# Learning rate


def test_a_click_asks_the_worker_for_the_test(workspace, dataset):
    at = open_page(TRAIN, **LEARNING_RATE)
    assert_sound(at)
    at.button(key="find_lr").click().run()
    assert_sound(at)
    (job,) = [job for job in JobQueue(workspace).jobs() if job.kind == FIND_LR]
    assert job.payload["config"]["fc_layers"] == [256]
    assert any("Learning-rate test" in bar.text for bar in at.main.progress)
    at.button(key="stop_find_lr").click().run()
    assert [job for job in JobQueue(workspace).jobs() if job.kind == FIND_LR] == []
    assert at.button(key="find_lr").label == "Find learning rate"


def test_the_suggestion_is_shown_with_its_reason_and_taken_over_by_a_click(range_file):
    rates = np.geomspace(1e-6, 1, 120)
    test = read_curve(rates, np.interp(np.log10(rates), [-6, -4, -2, 0], [2, 2, 0.4, 3]))
    range_file.write(test)
    at = open_page(TRAIN, **LEARNING_RATE)
    assert_sound(at)
    assert f"## {test.suggestion:g}" in texts(at)
    assert test.reason in texts(at)
    assert len(at.get("vega_lite_chart")) == 1
    at.button(key="use_lr").click().run()
    assert_sound(at)
    assert at.number_input(key="train.learning_rate").value == test.suggestion
    assert at.button(key="use_lr").disabled


def test_a_test_without_a_single_loss_shows_its_reason_and_no_chart(range_file):
    test = read_curve(np.geomspace(1e-6, 1, 3), np.full(3, np.nan))
    range_file.write(test)
    at = open_page(TRAIN, **LEARNING_RATE)
    assert_sound(at)
    assert test.reason in at.info[0].value
    assert len(at.get("vega_lite_chart")) == 0


def test_other_layers_need_a_test_of_their_own(range_file):
    rates = np.geomspace(1e-6, 1, 50)
    range_file.write(read_curve(rates, np.linspace(2, 1, 50)))
    at = open_page(TRAIN, **LEARNING_RATE, **{"train.fc_layers": "64"})
    assert at.button(key="find_lr").label == "Find learning rate"


def test_a_test_that_cannot_be_done_says_why(range_file):
    range_file.write_failure("The weights of VGG16 cannot be had.")
    at = open_page(TRAIN, **LEARNING_RATE)
    assert_sound(at)
    assert "The weights of VGG16 cannot be had." in at.warning[0].value
    at.button(key="find_lr").click().run()
    assert range_file.read_failure() is None


# Search


def test_a_search_is_queued_with_what_was_chosen(workspace, dataset):
    at = open_page(TRAIN, **SEARCH, **ENOUGH)
    assert_sound(at)
    at.multiselect(key="search.fc_layers").set_value(["none", "512, 256"]).run()
    at.multiselect(key="search.dropout").set_value([]).run()
    at.number_input(key="search.num_trials").set_value(3).run()
    assert "3 heads, each trained 3 times" in texts(at)
    at.button(key="start_search").click().run()
    assert_sound(at)
    (made,) = list_sweeps(workspace)
    assert made.config == SweepConfig(
        num_trials=3, fc_layers=((), (512, 256)), dropout=(), learning_rate=(0.001, 0.01)
    )
    assert made.data_dir == dataset
    (job,) = [job for job in JobQueue(workspace).jobs() if job.kind == SWEEP]
    assert job.payload == {"sweep": made.id}
    assert any("Search" in bar.text for bar in at.main.progress)
    at.button(key="stop_search").click().run()
    assert_sound(at)
    assert list_sweeps(workspace)[0].state == "stopped"
    assert [job for job in JobQueue(workspace).jobs() if job.kind == SWEEP] == []


@pytest.mark.parametrize(
    ("setting", "typed", "reason"),
    [
        (
            "learning_rate",
            "fast",
            "Learning rates: expected a number such as 0.01, received 'fast'",
        ),
        ("learning_rate", "50", "Learning rates: expected above 0 and at most 1, received 50."),
        ("dropout", "nan", "Dropout: expected a number"),
        (
            "fc_layers",
            "9000, 8",
            "FC layers: expected at least 1 and at most 8,192, received 9,000",
        ),
    ],
)
def test_a_value_to_try_that_does_not_fit_is_explained_and_start_waits(
    workspace, dataset, setting, typed, reason
):
    at = open_page(TRAIN, **SEARCH, **{f"search.{setting}": [typed]})
    assert not at.exception
    assert reason in at.error[0].value
    assert at.button(key="start_search").disabled


def test_heads_that_need_more_memory_than_there_is_are_refused_in_the_form(
    workspace, dataset, monkeypatch
):
    monkeypatch.setattr("tl_core.training.memory.available_bytes", lambda: 900 * 10**6)
    at = open_page(TRAIN, **SEARCH, **{"search.fc_layers": ["8192, 8192"]})
    assert not at.exception
    assert "A search with these settings needs about" in at.error[0].value
    assert "900 MB are available" in at.error[0].value
    assert at.button(key="start_search").disabled


def test_a_finished_search_names_the_simplest_of_the_best(sweep):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    assert_sound(at)
    assert "## 89.0 %" in texts(at)
    assert "FC layers 8, dropout 10 %, learning rate 0.003" in texts(at)
    assert "the simplest of 2 heads" in texts(at)
    table = at.dataframe(key=f"search_table_done_{sweep.id}").value
    assert list(table["Accuracy"]) == pytest.approx([90, 89, 50])
    assert list(table["±"]) == pytest.approx([1, 1, 1])
    assert list(table["Verdict"]) == ["tie", "suggested", ""]
    assert list(table["Best epoch"]) == [3, 3, 3]
    assert len(at.get("vega_lite_chart")) == 1


@pytest.mark.parametrize("rows", ["[99]", "[-9]", '["x"]', "1", '{"0": 1}'])
def test_a_row_that_the_table_does_not_have_picks_no_head(sweep, rows):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    table = at.dataframe(key=f"search_table_done_{sweep.id}").proto.id
    send(at, (table, "string_value", f'{{"selection": {{"rows": {rows}}}}}'))
    assert_sound(at)
    assert "## 89.0 %" in texts(at)


def test_the_suggested_head_becomes_a_run(workspace, dataset, sweep):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    at.button(key="promote").click().run()
    assert_sound(at)
    (run,) = list_runs(workspace.runs_dir)
    config = run.config
    assert (config.fc_layers, config.learning_rate, config.epochs) == ((8,), 0.003, 7)
    assert run.data_dir == dataset
    assert at.session_state["train_view"] == "This run"


def test_the_suggested_settings_can_be_put_into_the_form(sweep):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    at.button(key="search_take_over").click().run()
    assert_sound(at)
    assert at.text_input(key="train.fc_layers").value == "8"
    assert at.number_input(key="train.learning_rate").value == 0.003


def test_a_search_that_ended_early_can_go_on_or_be_deleted(workspace, sweep):
    end_run(sweep.sweep_dir, "stopped", "Stopped. The heads tried so far are kept.")
    at = open_page(TRAIN, **SEARCH)
    assert_sound(at)
    assert "heads tried so far are kept" in at.warning[0].value
    at.button(key="resume_search").click().run()
    assert_sound(at)
    assert [job.kind for job in JobQueue(workspace).jobs() if job.kind == SWEEP] == [SWEEP]
    at.button(key="stop_search").click().run()
    at.button(key="delete_search").click().run()
    assert_sound(at)
    assert list_sweeps(workspace) == []


def test_a_search_whose_job_was_lost_does_not_wait_for_ever(sweep):
    at = open_page(TRAIN, **SEARCH)
    assert_sound(at)
    assert at.button(key="resume_search").label == "Resume"


def test_a_click_on_a_search_that_is_gone_does_nothing_to_another(workspace, dataset, sweep):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    kept = create_sweep(workspace, sweep.config, sweep.base, dataset)  # in another tab
    end_run(kept.sweep_dir, "finished")
    delete_sweep(sweep)
    at.button(key="delete_search").click().run()
    assert_sound(at)
    assert [one.id for one in list_sweeps(workspace)] == [kept.id]
    assert "The search that was shown is gone" in at.toast[0].value


def test_a_search_made_in_another_tab_does_not_take_the_place_of_the_one_shown(
    workspace, dataset, sweep
):
    end_run(sweep.sweep_dir, "finished")
    at = open_page(TRAIN, **SEARCH)
    newer = create_sweep(workspace, sweep.config, sweep.base, dataset)
    end_run(newer.sweep_dir, "finished")
    at.button(key="delete_search").click().run()
    assert_sound(at)
    assert [one.id for one in list_sweeps(workspace)] == [newer.id]
