import json
import math

import pandas as pd
import pytest

from tl_core.charts.base import (
    ACCENT,
    CLASS_COLORS,
    MAX_POINTS,
    PART_COLORS,
    RUN_COLORS,
    class_color,
    downsample,
    percent,
)
from tl_core.charts.classes import class_counts_chart, probability_chart
from tl_core.charts.training import backbone_chart, compare_chart, history_chart, phase_starts
from ui.shared.page_layout import LOGO

EPOCHS = pd.DataFrame(
    {
        "epoch": [0, 1],
        "loss": [2.0, 1.0],
        "accuracy": [0.4, 0.6],
        "val_loss": [1.5, 1.25],
        "val_accuracy": [0.5, 0.7],
    }
)
BACKBONES = pd.DataFrame(
    {
        "backbone": ["Small", "Large", "Unknown"],
        "weights_mb": [10.0, 200.0, 50.0],
        "top1": [0.7, 0.8, None],
        "weights": ["included", "downloaded on first use", "included"],
        "speed": ["100 photos/s", "not measured yet", "not measured yet"],
    }
)


def data_of(spec: dict) -> list[dict]:
    """Return all rows that a chart carries."""
    return [row for rows in spec["datasets"].values() for row in rows]


def layers_of(spec: dict) -> list[dict]:
    return spec.get("layer", [spec])


def luminance(color: str) -> float:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", ["#FDFCFA", "#121615"], ids=["light", "dark"])
@pytest.mark.parametrize("color", [*CLASS_COLORS, *PART_COLORS.values(), *RUN_COLORS])
def test_every_colour_stands_out_on_both_themes(color, background):
    assert contrast(color, background) >= 3


def test_a_class_keeps_its_colour_whatever_is_shown_of_it():
    counts = pd.DataFrame({"class": ["a", "b", "c"], "images": [3, 2, 1]})
    top = pd.DataFrame({"class": ["c"], "probability": [0.9]})
    for chart in (
        class_counts_chart(counts, ["a", "b", "c"]),
        probability_chart(top, ["a", "b", "c"]),
    ):
        scales = [
            layer["encoding"]["color"]["scale"]
            for layer in layers_of(chart.to_dict())
            if "color" in layer["encoding"]
        ]
        assert scales[0]["domain"] == ["a", "b", "c"]
        assert scales[0]["range"] == list(CLASS_COLORS[:3])


def test_colours_repeat_after_the_last_one():
    assert class_color(len(CLASS_COLORS)) == class_color(0)


def test_thinning_keeps_both_ends_and_at_most_as_many_rows_as_asked():
    frame = pd.DataFrame({"x": range(12_345)})
    thin = downsample(frame, 1000)
    assert len(thin) == 1000
    assert (thin["x"].iloc[0], thin["x"].iloc[-1]) == (0, 12_344)


def test_thinning_leaves_a_short_frame_alone():
    frame = pd.DataFrame({"x": range(1000)})
    assert downsample(frame, 1000) is frame


def test_accuracy_is_always_drawn_over_the_whole_of_0_to_1():
    spec = history_chart(EPOCHS, "accuracy").to_dict()
    assert all(layer["encoding"]["y"]["scale"]["domain"] == [0, 1] for layer in layers_of(spec))


def test_loss_is_drawn_from_0_to_above_the_largest_value_of_epochs_and_batches():
    batches = pd.DataFrame({"progress": [0.5], "loss": [4.0], "accuracy": [0.1]})
    spec = history_chart(EPOCHS, "loss", batches).to_dict()
    low, high = layers_of(spec)[0]["encoding"]["y"]["scale"]["domain"]
    assert low == 0
    assert 4.0 < high < 5.0


def test_an_epoch_stands_where_it_ended_with_train_and_val():
    rows = data_of(history_chart(EPOCHS, "accuracy").to_dict())
    points = {(row["part"], row["progress"]): row["value"] for row in rows if "part" in row}
    assert points == {("train", 1): 0.4, ("train", 2): 0.6, ("val", 1): 0.5, ("val", 2): 0.7}


def test_the_axis_covers_all_epochs_asked_for_while_training():
    spec = history_chart(EPOCHS, "accuracy", num_epochs=20).to_dict()
    assert layers_of(spec)[0]["encoding"]["x"]["scale"]["domain"] == [0, 20]


def test_a_history_without_rows_can_be_drawn():
    empty = EPOCHS.iloc[:0]
    for metric in ("accuracy", "loss"):
        assert data_of(history_chart(empty, metric).to_dict()) == []


def test_many_batches_are_thinned_out():
    batches = pd.DataFrame({"progress": range(50_000), "loss": 1.0, "accuracy": 0.5})
    rows = data_of(history_chart(EPOCHS, "loss", batches).to_dict())
    assert len(rows) <= MAX_POINTS + 4


def test_compared_runs_have_colours_of_their_own_and_the_same_scale():
    spec = compare_chart({"first": EPOCHS, "second": EPOCHS}, "accuracy").to_dict()
    assert spec["encoding"]["color"]["scale"]["domain"] == ["first", "second"]
    assert spec["encoding"]["y"]["scale"]["domain"] == [0, 1]
    assert {row["run"] for row in data_of(spec)} == {"first", "second"}


def test_backbones_without_a_published_accuracy_are_not_drawn():
    spec = backbone_chart(BACKBONES, "Large").to_dict()
    states = {row["backbone"]: row["state"] for row in data_of(spec)}
    assert states == {"Small": "included", "Large": "chosen"}


def test_the_legend_of_backbones_names_only_what_is_drawn():
    def legend(backbones):
        return backbone_chart(backbones, "Large").to_dict()["encoding"]["color"]["scale"]

    assert legend(BACKBONES)["domain"] == ["chosen", "included"]
    alone = legend(BACKBONES[BACKBONES["backbone"] == "Large"])
    assert (alone["domain"], len(alone["range"])) == (["chosen"], 1)


def test_a_click_in_the_backbone_chart_names_the_backbone():
    spec = backbone_chart(BACKBONES, "Large").to_dict()
    (parameter,) = spec["params"]
    assert parameter["name"] == "picked"
    assert parameter["select"]["fields"] == ["backbone"]


def test_bars_of_probabilities_are_measured_against_the_whole():
    top = pd.DataFrame({"class": ["a", "b"], "probability": [0.75, 0.25]})
    rows = data_of(probability_chart(top, ["a", "b"]).to_dict())
    assert {row["percent"] for row in rows} == {"75.0 %", "25.0 %"}
    assert {row["whole"] for row in rows} == {1.0}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.9166, "91.7 %"), (0.0, "0.0 %"), (1.0, "100.0 %"), (math.pi / 4, "78.5 %")],
)
def test_percent_has_one_decimal(share, text):
    assert percent(share) == text


def test_the_logo_uses_the_colours_of_the_charts():
    assert all(color in LOGO for color in (*CLASS_COLORS[:3], ACCENT))


TWO_PHASES = pd.DataFrame(
    {
        "phase": ["head", "head", "fine_tune"],
        "epoch": [0, 1, 0],
        **{name: [0.5, 0.5, 0.5] for name in ("loss", "accuracy", "val_loss")},
        "val_accuracy": [0.5, 0.7, 0.9],
    }
)


def test_a_rule_stands_where_fine_tuning_took_over_and_epochs_go_on_counting():
    starts = phase_starts(TWO_PHASES)
    assert starts == [("head", 0), ("fine_tune", 2)]
    rows = data_of(history_chart(TWO_PHASES, "accuracy", starts=starts).to_dict())
    assert {"progress": 2, "change": "head → fine-tuning"} in rows
    val = [(row["progress"], row["epoch_text"]) for row in rows if row.get("part") == "val"]
    assert val == [(1, "head, 1"), (2, "head, 2"), (3, "fine-tuning, 1")]


def test_one_phase_alone_has_no_rule():
    head = TWO_PHASES.iloc[:2]
    spec = history_chart(head, "accuracy", starts=phase_starts(head)).to_dict()
    assert [row for row in data_of(spec) if "change" in row] == []
    assert len(layers_of(spec)) == 2


def test_the_best_epoch_is_marked_on_the_validation_line():
    spec = history_chart(TWO_PHASES, "accuracy", best=2).to_dict()
    ring = next(layer for layer in layers_of(spec) if layer["mark"]["type"] == "point")
    assert [row["value"] for row in spec["datasets"][ring["data"]["name"]]] == [0.9]


DIVERGED = pd.DataFrame(
    {
        "loss": [0.9, None, float("inf")],
        "accuracy": [0.5, 0.5, 0.5],
        "val_loss": [0.8, float("nan"), 3.0],
        "val_accuracy": [0.5, 0.5, 0.6],
    }
)


def test_a_loss_that_is_no_number_is_left_out():
    batches = pd.DataFrame(
        {
            "progress": [0.2, 0.4, 0.6, 0.8],
            "loss": [None, 2.0, float("nan"), float("-inf")],
            "accuracy": 0.5,
        }
    )
    spec = history_chart(DIVERGED, "loss", batches, best=2).to_dict()
    json.dumps(spec, allow_nan=False)
    assert sorted(row["value"] for row in data_of(spec)) == [0.8, 0.9, 2.0, 3.0, 3.0]
    assert layers_of(spec)[0]["encoding"]["y"]["scale"]["domain"] == [0, pytest.approx(3.24)]
    ring = next(layer for layer in layers_of(spec) if layer["mark"]["type"] == "point")
    assert [row["epoch_text"] for row in spec["datasets"][ring["data"]["name"]]] == ["3"]


def test_runs_that_diverged_are_compared_by_what_is_a_number():
    json.dumps(compare_chart({"A": DIVERGED, "B": EPOCHS}, "loss").to_dict(), allow_nan=False)
