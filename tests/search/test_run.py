import dataclasses
import math
import shutil

import numpy as np
import pytest
from conftest import png

from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset
from tl_core.errors import RunError, Stopped, TLError
from tl_core.jobs.search import delete_sweep
from tl_core.progress import Monitor
from tl_core.runs.files import put_back_run, start_run
from tl_core.search import run as sweep_module
from tl_core.search.ranking import Fold, Trial, rank_trials, settings_of, trials_table
from tl_core.search.run import cross_validation, run_sweep, try_heads
from tl_core.search.store import create_sweep, list_sweeps
from tl_core.training.feature_stage import load_features
from tl_core.training.head_phase import HeadData
from tl_core.training.trainer import train
from tl_core.workspace import Workspace

BASE = TrainConfig(backbone="tiny", epochs=3, test_fraction=0.2, batch_size=8)
CONFIG = SweepConfig(
    search="grid", folds=3, fc_layers=((), (8,)), dropout=(0.25,), learning_rate=(0.003, 0.03)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace that keeps the converted backbone and features for all tests here."""
    return Workspace(tmp_path_factory.mktemp("place"))


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset({"cat": 18, "dog": 15, "owl": 12})


@pytest.fixture
def new_sweep(place, data_dir):
    return lambda config=CONFIG, base=BASE: create_sweep(place, config, base, data_dir)


def test_a_fold_comes_to_what_a_run_on_the_same_images_comes_to(place, data_dir, tmp_path):
    index = scan_dataset(data_dir, cache_dir=place.cache_dir)
    base = BASE.updated(augment="photo", views=2, class_weights="balanced", early_stopping=2)
    pool, folds = cross_validation(index, split_dataset(index, base), 3, seed=0)
    parts = {int(p): "val" if f == 1 else "train" for p, f in zip(pool, folds, strict=True)}
    given = tuple(
        dataclasses.replace(record, part=parts.get(position, "test"))
        for position, record in enumerate(index.records)
    )
    run = train(
        base.updated(fc_layers=(8,)),
        dataclasses.replace(index, records=given),
        tmp_path / "run",
        cache_dir=place.cache_dir,
    )
    nothing = np.zeros(0, np.int64)
    features = load_features(
        base, index, sweep_module.Split(pool, nothing, nothing), cache_dir=place.cache_dir
    )
    data = HeadData.create(features.train, index.labels[pool], 3)
    numbered = [(0, base.updated(fc_layers=(8,)))]
    (trial,) = try_heads(data, folds, numbered, lambda: None, Monitor())
    assert trial.accuracies[1] == run.metrics["val_accuracy"]
    assert trial.losses[1] == pytest.approx(run.metrics["val_loss"], abs=1e-6)
    assert trial.best_epochs[1] == run.metrics["best_epoch"]


def test_no_image_of_the_test_part_is_in_a_fold(place, data_dir):
    index = scan_dataset(data_dir, cache_dir=place.cache_dir)
    split = split_dataset(index, BASE)
    pool, folds = cross_validation(index, split, 3, seed=0)
    assert set(pool.tolist()) == {*split.train.tolist(), *split.val.tolist()}
    assert not set(pool.tolist()) & set(split.test.tolist())
    assert len(split.test) == 8
    assert set(folds.tolist()) == {0, 1, 2}


def test_every_head_is_kept_with_its_figures(place, new_sweep):
    sweep, told, stages = new_sweep(), [], []
    run_sweep(sweep, on_trial=told.append, monitor=Monitor(stages.append))
    assert (sweep.state, sweep.message) == ("finished", "")
    assert sweep.trials() == told
    assert [trial.number for trial in told] == [0, 1, 2, 3] == list(range(sweep.num_trials))
    for trial in told:
        assert len(trial.accuracies) == len(trial.losses) == len(trial.best_epochs) == 3
        assert trial.val_accuracy == pytest.approx(sum(trial.accuracies) / 3)
        assert 0 <= min(trial.best_epochs) <= max(trial.best_epochs) < 3
        assert trial.seconds > 0
        assert trial.config(BASE).early_stopping == 3
    assert told[0].num_params < told[2].num_params  # without and with a layer
    assert sweep.num_images == 37
    of_heads = [progress for progress in stages if progress.stage == "sweep"]
    assert (of_heads[-1].done, of_heads[-1].total) == (12, 12)
    assert place.sweeps_dir in sweep.sweep_dir.parents


def test_a_search_is_a_function_of_its_settings(new_sweep):
    figures = []
    for _ in range(2):
        sweep = new_sweep()
        run_sweep(sweep)
        figures.append([(trial.accuracies, trial.losses) for trial in sweep.trials()])
    assert figures[0] == figures[1]


def test_a_stop_keeps_the_heads_tried_and_the_rest_can_be_tried_later(new_sweep):
    whole = new_sweep()
    run_sweep(whole)
    sweep, told = new_sweep(), []
    with pytest.raises(Stopped):
        run_sweep(sweep, on_trial=told.append, monitor=Monitor(None, lambda: len(told) >= 2))
    assert sweep.state == "stopped"
    assert "kept" in sweep.message
    num_tried = len(sweep.trials())
    assert 2 <= num_tried < 4
    run_sweep(sweep, on_trial=told.append)
    assert sweep.state == "finished"
    assert len(told) == 4
    figures = [[(t.number, t.accuracies) for t in one.trials()] for one in (whole, sweep)]
    assert figures[0] == figures[1]


def test_heads_on_other_images_are_not_mixed_in(new_sweep, data_dir):
    sweep, told = new_sweep(), []
    with pytest.raises(Stopped):
        run_sweep(sweep, on_trial=told.append, monitor=Monitor(None, lambda: bool(told)))
    (data_dir / "cat" / "0.png").unlink()
    with pytest.raises(RunError, match="images have changed"):
        run_sweep(sweep)
    assert sweep.state == "failed"
    assert "Start a new search" in sweep.message


# A search that makes place for others


def figures_of(sweep):
    return [
        (trial.number, trial.accuracies, trial.losses, trial.best_epochs, trial.num_params)
        for trial in sweep.trials()
    ]


@pytest.fixture
def count_fits(monkeypatch):
    """Train one fold at a time; return the list of the learning rates of those that are begun."""
    fit, begun = sweep_module.fit_head, []

    def fit_and_note(steps, data, config, *rest):
        begun.append(config.learning_rate)
        return fit(steps, data, config, *rest)

    monkeypatch.setattr(sweep_module, "fit_head", fit_and_note)
    monkeypatch.setattr(sweep_module, "num_cores", lambda: 1)
    return begun


@pytest.fixture
def stop_after(count_fits):
    """Return a function that runs a search until so many folds are done, and stops the next."""

    def run_part(sweep, num_folds):
        count_fits.clear()
        with pytest.raises(Stopped):
            run_sweep(sweep, monitor=Monitor(None, lambda: len(count_fits) > num_folds))
        count_fits.clear()

    return run_part


def test_folds_of_a_head_that_is_not_finished_are_not_trained_again(
    new_sweep, stop_after, count_fits
):
    whole, sweep = new_sweep(), new_sweep()
    run_sweep(whole)
    stop_after(sweep, 5)
    assert [trial.number for trial in sweep.trials()] == [0]
    assert [(fold.number, fold.fold) for fold in sweep.folds()] == [
        *((0, 0), (0, 1), (0, 2)),
        *((1, 0), (1, 1)),
    ]
    stages = []
    run_sweep(sweep, monitor=Monitor(stages.append))
    assert count_fits == [0.03] + [0.003] * 3 + [0.03] * 3  # 7 of 12 were left
    assert figures_of(sweep) == figures_of(whole)
    of_heads = [progress.done for progress in stages if progress.stage == "sweep"]
    assert (of_heads[0], of_heads[-1]) == (5, 12)
    assert sweep.folds() == []  # they are in the trials


def test_a_fold_that_runs_away_is_not_trained_again(new_sweep, stop_after, monkeypatch):
    sweep = new_sweep()
    fold = Fold(0, 1, error="The loss is no longer a number.")
    sweep.add_fold(fold)
    run_sweep(sweep)
    assert sweep.trials()[0].error == fold.error
    assert [trial.error for trial in sweep.trials()[1:]] == ["", "", ""]


def test_a_search_goes_on_where_no_fold_can_be_kept(new_sweep, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    sweep = new_sweep()
    monkeypatch.setattr(type(sweep), "add_fold", fail)
    run_sweep(sweep)
    assert (sweep.state, len(sweep.trials())) == ("finished", 4)


@pytest.mark.parametrize("line", ["{", "[]", '{"number": 0}', '{"number": "x", "fold": 1}'])
def test_folds_that_cannot_be_read_are_trained_again(new_sweep, line):
    sweep = new_sweep()
    (sweep.sweep_dir / "folds.jsonl").write_text(f"{line}\n")
    kept = Fold(2, 1, 0.5, 0.6931471805599453, 3, 17, 0.25)
    sweep.add_fold(kept)
    assert sweep.folds() == [kept]


def add_nothing(data_dir):
    pass


def add_photos(data_dir):
    """Add a photo to a class, and a class that comes first by its name."""
    (data_dir / "ant").mkdir()
    (data_dir / "cat" / "new.png").write_bytes(png(0, 5000))
    for number in range(8):
        (data_dir / "ant" / f"{number}.png").write_bytes(png(3, 5000 + number))


@pytest.mark.parametrize("num_folds", [2, 4], ids=["in its first head", "later"])
@pytest.mark.parametrize("change", [add_nothing, add_photos])
def test_a_search_that_made_place_goes_on_with_its_own_images(
    new_sweep, data_dir, stop_after, change, num_folds
):
    whole, sweep = new_sweep(), new_sweep()
    run_sweep(whole)
    stop_after(sweep, num_folds)
    change(data_dir)
    put_back_run(sweep.sweep_dir, is_continued=True)
    run_sweep(sweep)
    assert (sweep.state, sweep.message) == ("finished", "")
    assert figures_of(sweep) == figures_of(whole)
    assert sweep.class_names == ("cat", "dog", "owl")
    assert sweep.origin == whole.origin


def test_a_search_that_made_place_before_it_had_anything_takes_the_images_of_now(
    new_sweep, data_dir, stop_after
):
    sweep = new_sweep()
    stop_after(sweep, 0)
    add_photos(data_dir)
    put_back_run(sweep.sweep_dir, is_continued=True)
    run_sweep(sweep)
    assert sweep.state == "finished"
    assert sweep.class_names == ("ant", "cat", "dog", "owl")


def test_a_search_that_made_place_keeps_its_heads_when_an_image_is_gone(
    new_sweep, data_dir, stop_after
):
    sweep = new_sweep()
    stop_after(sweep, 4)
    before = figures_of(sweep)
    (data_dir / "cat" / "0.png").unlink()
    put_back_run(sweep.sweep_dir, is_continued=True)
    run_sweep(sweep)
    assert (sweep.state, figures_of(sweep)) == ("stopped", before)
    assert sweep.message == (
        "'cat/0.png' was changed, moved or excluded while others had their turn. The best so far "
        "is kept."
    )
    put_back_run(sweep.sweep_dir, is_continued=False)  # asked for by a person
    with pytest.raises(RunError, match="images have changed"):
        run_sweep(sweep)


def test_folds_on_other_images_are_not_mixed_in(new_sweep, data_dir, stop_after, count_fits):
    sweep = new_sweep()
    stop_after(sweep, 2)
    shutil.rmtree(data_dir / "owl")
    run_sweep(sweep)  # no head of it was finished, so it begins with the images of now
    assert sweep.state == "finished"
    assert len(count_fits) == 12


def test_too_few_images_fail_in_words(place, make_dataset):
    data_dir = make_dataset({"train/a": 5, "train/b": 1, "test/a": 1})
    sweep = create_sweep(place, CONFIG, BASE.updated(val_fraction=0.3), data_dir)
    with pytest.raises(TLError, match="Class 'b' has 1 distinct image"):
        run_sweep(sweep)
    assert (sweep.state, "Class 'b'" in sweep.message) == ("failed", True)


def test_a_head_that_runs_away_is_kept_with_the_reason(new_sweep, monkeypatch):
    fit = sweep_module.fit_head

    def run_away(steps, data, config, *rest):
        if config.learning_rate > 0.01:
            raise TLError("The loss is no longer a number.")
        return fit(steps, data, config, *rest)

    monkeypatch.setattr(sweep_module, "fit_head", run_away)
    sweep = new_sweep()
    run_sweep(sweep)
    assert sweep.state == "finished"
    failed = [trial for trial in sweep.trials() if trial.error]
    assert [trial.settings["learning_rate"] for trial in failed] == [0.03, 0.03]
    assert [trial.number for trial in sweep.ranking().trials][-2:] == [1, 3]


def test_searches_are_listed_newest_first_and_can_be_deleted(tmp_path, data_dir):
    place = Workspace(tmp_path)
    assert list_sweeps(place) == []
    first, second = (create_sweep(place, CONFIG, BASE, data_dir) for _ in range(2))
    assert [sweep.id for sweep in list_sweeps(place)] == [second.id, first.id]
    start_run(first.sweep_dir, "sweep")
    with pytest.raises(RunError, match="queued or running"):
        delete_sweep(first)
    (second.sweep_dir / "status.json").write_text("{")
    assert second.state == "damaged"
    delete_sweep(second)
    assert [sweep.id for sweep in list_sweeps(place)] == [first.id]


def test_a_torn_line_spoils_no_other(new_sweep):
    sweep = new_sweep()
    trial = Trial(0, settings_of(BASE), (0.5, 0.75), (1.0, 0.5), (1, 2), 10, 0.1)
    sweep.add(trial)
    with (sweep.sweep_dir / "trials.jsonl").open("a") as file:
        file.write('{"number": 1, "sett')
    again = dataclasses.replace(trial, number=2)
    sweep.add(again)
    assert sweep.trials() == [trial, again]


# Ranking


def trial(number, accuracies, num_params=10, loss=0.5, **settings):
    config = BASE.updated(**settings)
    losses = (loss,) * len(accuracies)
    return Trial(number, settings_of(config), tuple(accuracies), losses, (1, 0, 2), num_params)


def test_spread_and_middle_epoch_are_those_of_the_folds():
    one = trial(0, (0.7, 0.8, 0.9))
    assert one.val_accuracy == pytest.approx(0.8)
    assert one.val_accuracy_spread == pytest.approx(0.1)  # sqrt((0.01 + 0 + 0.01) / 2)
    assert (one.val_loss, one.val_loss_spread, one.best_epoch) == (0.5, 0, 1)


def test_heads_within_one_standard_error_of_the_best_are_ties_and_the_simplest_is_suggested():
    # Of folds: 0.03 / sqrt(3) = 0.01732. Of 900 photos: sqrt(0.9 * 0.1 / 900) = 0.01.
    best = trial(0, (0.87, 0.9, 0.93), num_params=500)
    close = trial(1, (0.89, 0.89, 0.89), num_params=300)
    simple = trial(2, (0.884, 0.884, 0.884), num_params=100, loss=0.6)
    worse = trial(3, (0.88, 0.88, 0.88), num_params=1)
    ranking = rank_trials([worse, simple, close, best], 900)
    assert ranking.standard_error == pytest.approx(0.03 / math.sqrt(3))
    assert [one.number for one in ranking.trials] == [0, 1, 2, 3]
    assert ranking.tied == {0, 1, 2}
    assert ranking.suggested == 2


def test_folds_that_agree_by_luck_do_not_make_photos_many():
    best, next_best = trial(0, (0.9, 0.9, 0.9), 5), trial(1, (0.81, 0.81, 0.81), 1)
    assert rank_trials([best, next_best], 9).standard_error == pytest.approx(0.1)
    assert rank_trials([best, next_best], 9).suggested == 1
    assert rank_trials([best, next_best], 900).suggested == 0


def test_of_equal_accuracy_the_lesser_loss_is_better():
    ranking = rank_trials([trial(0, (0.9,), loss=0.4), trial(1, (0.9,), loss=0.3)], 10)
    assert ranking.best.number == 1
    assert ranking.suggested == 1


def test_without_figures_nothing_is_best():
    ranking = rank_trials([Trial(0, settings_of(BASE), error="no")], 10)
    assert (ranking.best, ranking.suggested) == (None, None)


def test_the_table_tells_layers_in_words_and_marks_ties():
    ranking = rank_trials(
        [trial(0, (0.9, 0.8), fc_layers=(256, 128)), trial(1, (0.4, 0.3), fc_layers=())], 1000
    )
    table = trials_table(ranking)
    assert list(table["fc_layers"]) == ["256, 128", "none"]
    assert list(table["tied"]) == [True, False]
    assert list(table["suggested"]) == [True, False]
    assert table["val_accuracy"].tolist() == pytest.approx([0.85, 0.35])
