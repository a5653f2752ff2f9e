import json
import math

import pytest

from tl_core.files import JsonLines, read_json_lines
from tl_core.runs.events import (
    BatchEnd,
    EpochEnd,
    FeatureProgress,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
)

EVENTS = [
    PhaseStarted("head", num_epochs=2, num_steps=5),
    FeatureProgress("features", 3, 10, images_per_second=6.0, seconds_left=1.2),
    BatchEnd("head", 0, 5, loss=0.5, accuracy=0.75, images_per_second=100.0, seconds_left=None),
    EpochEnd("head", 0, 0.5, 0.75, 0.6, 0.7, 0.001, 1.5, True, 100.0, 1.5),
    PhaseEnded("head", 3.0),
    RunEnded("finished", {"val_accuracy": 0.7, "val_interval": (0.5, 0.8)}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_one_line_of_json_with_its_name_and_time(event):
    line = event.to_json()
    assert "\n" not in line
    values = json.loads(line)
    assert values["event"] == event.kind
    assert values["time"] == event.time


def test_event_names_are_those_of_their_classes():
    assert [event.kind for event in EVENTS] == [
        "phase_started",
        "feature_progress",
        "batch_end",
        "epoch_end",
        "phase_ended",
        "run_ended",
    ]


def test_a_number_that_is_not_finite_is_written_as_null():
    event = RunEnded("failed", {"loss": math.nan, "interval": [0.0, math.inf]})
    assert json.loads(event.to_json())["metrics"] == {"loss": None, "interval": [0.0, None]}


def test_what_was_appended_is_read_back_in_order(tmp_path):
    path = tmp_path / "events.jsonl"
    with JsonLines(path) as log:
        for event in EVENTS:
            log.append(event.to_json())
    events, offset = read_json_lines(path)
    assert [event["event"] for event in events] == [event.kind for event in EVENTS]
    assert offset == path.stat().st_size


def test_a_reader_goes_on_where_it_was(tmp_path):
    path = tmp_path / "events.jsonl"
    with JsonLines(path) as log:
        log.append(EVENTS[0].to_json())
        _, offset = read_json_lines(path)
        assert read_json_lines(path, offset) == ([], offset)
        log.append(EVENTS[4].to_json())
        events, _ = read_json_lines(path, offset)
    assert [event["event"] for event in events] == ["phase_ended"]


def test_a_line_still_being_written_is_left_for_the_next_call(tmp_path):
    path = tmp_path / "events.jsonl"
    whole, torn = EVENTS[0].to_json(), EVENTS[4].to_json()
    path.write_text(whole + "\n" + torn[:10])
    events, offset = read_json_lines(path)
    assert len(events) == 1
    path.write_text(whole + "\n" + torn + "\n")
    events, _ = read_json_lines(path, offset)
    assert [event["event"] for event in events] == ["phase_ended"]


def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(EVENTS[0].to_json() + "\n" + EVENTS[1].to_json()[:20])
    with JsonLines(path) as log:
        log.append(EVENTS[4].to_json())
    events, _ = read_json_lines(path)
    assert [event["event"] for event in events] == ["phase_started", "phase_ended"]


def test_a_file_begun_anew_is_read_from_its_start(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(EVENTS[0].to_json() + "\n")
    events, _ = read_json_lines(path, offset=10_000)
    assert len(events) == 1


def test_a_file_not_there_yet_has_no_events(tmp_path):
    assert read_json_lines(tmp_path / "events.jsonl") == ([], 0)
