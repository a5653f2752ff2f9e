import numpy as np
import pandas as pd
import pytest

from tl_core.charts.base import ACCENT, QUIET
from tl_core.charts.search import parallel_chart, range_test_chart
from tl_core.config.training import TrainConfig
from tl_core.search.ranking import Trial, rank_trials, settings_of, trials_table

CURVE = pd.DataFrame(
    {"learning_rate": [1e-6, 1e-3, 1e-1], "loss": [2.0, 1.0, 9.0], "smoothed": [2.0, 1.2, 4.0]}
)


def table():
    heads = [((), 1e-4, 0.5), ((256,), 1e-3, 0.9), ((64, 32), 1e-2, 0.8), ((64,), 1e-2, 0.7)]
    trials = [
        Trial(
            number,
            settings_of(TrainConfig(fc_layers=layers, learning_rate=rate, dropout=0.25)),
            (accuracy,) * 2,
            (0.5, 0.5),
            (0, 0),
        )
        for number, (layers, rate, accuracy) in enumerate(heads)
    ]
    failed = Trial(9, settings_of(TrainConfig()), error="ran away")
    return trials_table(rank_trials([*trials, failed], 100))


def data_of(chart, layer):
    """Return the rows a layer is drawn from, as the browser gets them."""
    values = chart.to_dict()
    return values["datasets"][values["layer"][layer]["data"]["name"]]


def test_the_range_test_marks_what_is_suggested_and_what_is_set():
    values = range_test_chart(CURVE, 2e-3, 1e-3).to_dict()
    assert values["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"
    texts = [
        (rows[0]["caption"], layer["mark"]["color"])
        for layer in values["layer"]
        if layer["mark"]["type"] == "text"
        for rows in [values["datasets"][layer["data"]["name"]]]
    ]
    assert texts == [("suggested 0.002", ACCENT), ("now 0.001", QUIET)]


def test_a_rate_that_is_set_already_is_marked_once():
    chart = range_test_chart(CURVE, 1e-3, 1e-3).to_dict()
    assert sum(layer["mark"]["type"] == "rule" for layer in chart["layer"]) == 1
    chart = range_test_chart(CURVE, None).to_dict()
    assert sum(layer["mark"]["type"] == "rule" for layer in chart["layer"]) == 0


def test_where_the_loss_runs_away_does_not_flatten_the_curve():
    curve = pd.DataFrame(
        {
            "learning_rate": np.geomspace(1e-6, 1, 100),
            "loss": 1.0,
            "smoothed": [*[2.0] * 90, *[500.0] * 10],
        }
    )
    domain = range_test_chart(curve, None).to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert domain == pytest.approx([1.8, 2.5])


def test_a_head_is_a_line_through_its_settings():
    chart = parallel_chart(table(), ["fc_layers", "learning_rate"], chosen=2)
    rows = data_of(chart, 0)
    corners = {
        (row["number"], row["axis"]): row["place"]
        for row in rows
        if row["axis"] in ("FC layers", "Learning rate")
    }
    # In order: none, 64, then 64, 32, then 256; the rates by their logarithm.
    assert [corners[number, "FC layers"] for number in (0, 3, 2, 1)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert [corners[number, "Learning rate"] for number in (0, 1, 2)] == pytest.approx([0, 0.5, 1])
    ends = {row["number"]: row["place"] for row in rows if row["axis"] == "Accuracy"}
    assert ends == pytest.approx({0: 0, 1: 1, 2: 0.75, 3: 0.5})
    assert {row["number"] for row in rows if row["state"] == "chosen"} == {2}


def test_an_axis_tells_its_values_and_one_without_choice_stands_in_the_middle():
    ticks = data_of(parallel_chart(table(), ["fc_layers", "dropout"], None), 1)
    labels = {(row["axis"], row["label"]): row["place"] for row in ticks}
    assert labels["FC layers", "64, 32"] == pytest.approx(2 / 3)
    assert labels["Dropout", "25 %"] == 0.5
    assert labels["Accuracy", "90.0 %"] == 1
    assert labels["Accuracy", "50.0 %"] == 0
