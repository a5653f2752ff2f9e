"""What a page makes of a run's events: phases one after the other, sittings, and no epoch twice."""

from __future__ import annotations

import pytest

from tl_core.config.training import TrainConfig
from tl_core.files import JsonLines
from tl_core.progress import after_words, stage_words
from tl_core.runs.events import (
    BatchEnd,
    EpochEnd,
    FeatureProgress,
    PhaseEnded,
    PhaseStarted,
    RunResumed,
)
from tl_core.runs.files import EVENTS_FILE
from tl_core.runs.store import create_run
from ui.runs.event_feed import Feed
from ui.runs.live_run import BEFORE_HEAD, planned_epochs, progress_text


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "runs", TrainConfig(epochs=3, fine_tune_blocks=2), tmp_path)


def batch(phase, epoch, step):
    return BatchEnd(phase, epoch, step, 0.9, 0.5, 800.0, 4.0)


def end(phase, epoch, val_accuracy=0.5, val_loss=1.0):
    return EpochEnd(phase, epoch, 0.8, 0.6, val_loss, val_accuracy, 1e-3, 0.1, True, 80.0, 3.0)


def row(phase, epoch, val_accuracy=0.5):
    names = ("loss", "accuracy", "val_loss", "learning_rate", "seconds")
    return {
        "phase": phase,
        "epoch": epoch,
        "val_accuracy": val_accuracy,
        **dict.fromkeys(names, 0.5),
    }


HEAD = [
    FeatureProgress("scan", 11, 11, 40.0, 0.0),
    PhaseStarted("features", 0, 11),
    FeatureProgress("features", 11, 11, 40.0, 0.0),
    PhaseStarted("head", 3, 2),
    batch("head", 0, 2),
    end("head", 0),
    batch("head", 1, 2),
    end("head", 1, 0.75, 0.95),
]
TUNING = [
    PhaseStarted("fine_tune", 10, 4),
    FeatureProgress("backbone", 1, 1, 0.0, None),
    batch("fine_tune", 0, 4),
    end("fine_tune", 0, 0.75, 0.9),
    batch("fine_tune", 1, 2),
]


def told(run, *events):
    """Return a feed that has read these events, after whatever was written before."""
    with JsonLines(run.run_dir / EVENTS_FILE) as log:
        for event in events:
            log.append(event.to_json())
    feed = Feed(run.run_dir)
    feed.update()
    return feed


def keys(feed):
    epochs = feed.epochs()
    return list(zip(epochs["phase"], epochs["epoch"], strict=True))


def test_the_second_phase_goes_on_where_the_first_ended_early(run):
    feed = told(run, *HEAD, *TUNING)
    assert keys(feed) == [("head", 0), ("head", 1), ("fine_tune", 0)]
    assert feed.starts() == [("head", 0), ("fine_tune", 2)]
    assert list(feed.batches()["progress"]) == [1.0, 2.0, 3.0, 3.5]
    assert planned_epochs(feed, run.config) == 12


def test_progress_is_that_of_the_phase_under_way(run):
    feed = told(run, *HEAD, *TUNING)
    assert feed.share_done == pytest.approx(0.15)
    assert progress_text(feed) == "Fine-tuning · epoch 2 of 10 · 800 photos/s · 4 s left"


def test_a_phase_that_has_just_begun_is_at_nothing(run):
    feed = told(run, *HEAD, *TUNING[:2])
    assert feed.share_done == 0
    assert progress_text(feed) == "Fine-tuning · preparing"
    assert feed.starts()[-1] == ("fine_tune", 2)


def test_what_a_phase_does_outside_of_its_epochs_is_told(run):
    feed = told(run, *HEAD[:4])
    assert progress_text(feed) == "Training the new layers · loading the training engine"
    feed = told(run, *HEAD[4:], PhaseEnded("head", 2.0))
    assert progress_text(feed) == "Training the new layers · evaluating"


def test_before_the_first_epoch_the_photos_count(run):
    feed = told(run, FeatureProgress("scan", 5, 10, 50.0, 0.1))
    assert feed.share_done == 0.5
    assert (
        progress_text(feed) == "Reading the photos · 5 of 10 photos · 50 photos/s · under 1 s left"
    )


@pytest.mark.parametrize(("views", "noun"), [(1, "photos"), (3, "views")])
def test_views_of_photos_are_not_called_photos(run, views, noun):
    told_now = progress_text(told(run, FeatureProgress("features", 350, 711, 70.0, 5.2)), views)
    counted = "photos" if views == 1 else "views of photos"
    assert told_now == f"Running the backbone · 350 of 711 {counted} · 70 {noun}/s · 5 s left"


@pytest.mark.parametrize(
    ("stage", "follows"), [("features", BEFORE_HEAD), ("scan", after_words("scan"))]
)
def test_after_the_last_photo_a_run_says_what_it_does(run, stage, follows):
    told_now = progress_text(told(run, FeatureProgress(stage, 299, 299, 70.0, 0.0)))
    assert told_now == f"{stage_words(stage).capitalize()} · 299 of 299 photos · {follows}"


def test_a_download_is_told_in_megabytes(run):
    feed = told(run, FeatureProgress("download", 34_000_000, 98_000_000, 8_000_000.0, 8.0))
    assert progress_text(feed) == "Downloading the weights · 34 of 98 MB · 8 s left"


def test_the_head_leaves_room_for_the_fine_tuning_to_come(run):
    assert planned_epochs(told(run, *HEAD), run.config) == 13


def test_the_best_epoch_is_found_across_the_phases(run):
    assert told(run, *HEAD).best() == 1
    assert told(run, *TUNING).best() == 2  # at a smaller loss


def test_a_resumed_run_neither_loses_nor_doubles_an_epoch(run):
    # Two epochs of the fine-tuning were reported, one was saved before the kill.
    sitting = [*HEAD, *TUNING, end("fine_tune", 1), batch("fine_tune", 2, 1)]
    history = [row("head", 0), row("head", 1), row("fine_tune", 0)]
    feed = told(run, *sitting, RunResumed("fine_tune", 1, history))
    assert keys(feed) == [("head", 0), ("head", 1), ("fine_tune", 0)]
    feed = told(
        run, PhaseStarted("fine_tune", 10, 4), batch("fine_tune", 1, 4), end("fine_tune", 1)
    )
    assert keys(feed) == [("head", 0), ("head", 1), ("fine_tune", 0), ("fine_tune", 1)]
    assert list(feed.batches()["progress"]) == [1.0, 2.0, 3.0, 4.0]


def test_a_run_that_begins_anew_forgets_what_was_told_before(run):
    feed = told(run, *HEAD, *TUNING, *HEAD[:-2])
    assert keys(feed) == [("head", 0)]
    assert feed.starts() == [("head", 0)]


def test_a_run_made_from_another_begins_with_its_head(run):
    history = [row("head", 0), row("head", 1), row("head", 2)]
    feed = told(run, RunResumed("fine_tune", 0, history), *TUNING)
    assert feed.starts() == [("head", 0), ("fine_tune", 3)]
    assert list(feed.batches()["progress"]) == [4.0, 4.5]
