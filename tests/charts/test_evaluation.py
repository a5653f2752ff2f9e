import pandas as pd
import pytest

from tl_core.charts.base import ACCENT, CLASS_COLORS, QUIET
from tl_core.charts.confusion import MAX_WRITTEN_CLASSES, confusion_chart
from tl_core.charts.evaluation import (
    coverage_chart,
    curves_chart,
    intervals_chart,
    recall_chart,
    reliability_chart,
)


def cells(num_classes):
    names = [f"c{number}" for number in range(num_classes)]
    rows = [
        {
            "true": true,
            "answer": answer,
            "images": 2 * (true == answer),
            "share": 0.5,
            "is_chosen": False,
        }
        for true in names
        for answer in names
    ]
    return pd.DataFrame(rows), names


def rows_of(chart, name):
    """Return the rows drawn by the first layer whose data holds the column."""
    datasets = chart.to_dict()["datasets"].values()
    return next(rows for rows in datasets if rows and name in rows[0])


@pytest.mark.parametrize(("by_share", "text"), [(False, "2"), (True, "50 %")])
def test_the_matrix_writes_counts_or_shares(by_share, text):
    table, names = cells(2)
    chart = confusion_chart(table, names, by_share=by_share)
    assert rows_of(chart, "text")[0]["text"] == text


def test_a_row_without_images_has_no_share_to_write():
    table, names = cells(2)
    chart = confusion_chart(table.assign(share=float("nan")), names, by_share=True)
    row = rows_of(chart, "text")[0]
    assert (row["text"], row["share_text"]) == ("", "no images")


def test_a_large_matrix_keeps_its_colours_but_not_its_figures():
    for num_classes, num_layers in ((MAX_WRITTEN_CLASSES, 2), (MAX_WRITTEN_CLASSES + 1, 1)):
        chart = confusion_chart(*cells(num_classes), by_share=False)
        assert len(chart.layer) == num_layers


def test_a_click_picks_a_cell_by_both_classes():
    spec = confusion_chart(*cells(2), by_share=False).to_dict()
    (param,) = [one for one in spec["params"] if one["name"] == "cell"]
    assert param["select"]["fields"] == ["true", "answer"]


@pytest.mark.parametrize(("kind", "num_layers"), [("roc", 2), ("precision_recall", 1)])
def test_curves_keep_the_colours_of_their_classes(kind, num_layers):
    points = pd.DataFrame({"class": ["c"] * 2, "x": [0.0, 1.0], "y": [0.0, 1.0], "area": 0.5})
    chart = curves_chart(points, ["a", "b", "c"], kind)
    assert len(chart.layer) == num_layers
    assert chart.layer[-1].to_dict()["encoding"]["color"]["scale"] == {
        "domain": ["c"],
        "range": [CLASS_COLORS[2]],
    }


def test_an_empty_bin_is_not_drawn():
    rows = pd.DataFrame(
        {
            "stage": ["before", "before"],
            "confidence": [0.9, None],
            "accuracy": [0.8, None],
            "num_images": [10, 0],
        }
    )
    assert [row["num_images"] for row in rows_of(reliability_chart(rows), "stage")] == [10]


@pytest.mark.parametrize(("least", "low"), [(0.97, 0.9), (0.63, 0.6), (0.0, 0.0)])
def test_the_coverage_axis_begins_below_the_lowest_accuracy(least, low):
    rows = pd.DataFrame(
        {
            "coverage": [0.5, 1.0],
            "accuracy": [1.0, least],
            "num_answered": [1, 2],
            "is_chosen": [True, False],
        }
    )
    scale = coverage_chart(rows).to_dict()["layer"][0]["encoding"]["y"]["scale"]
    assert scale["domain"] == pytest.approx([low, 1])


def test_intervals_are_shown_in_percent():
    rows = pd.DataFrame({"name": ["a"], "accuracy": [0.75], "low": [0.3006], "high": [0.9544]})
    row = rows_of(intervals_chart(rows, [ACCENT]), "percent_text")[0]
    assert (row["percent_text"], row["between"]) == ("75.0 %", "30.1 to 95.4 %")


def test_a_class_without_photos_has_no_bar():
    rows = pd.DataFrame(
        {"class": ["a", "b"], "place": ["own", "own"], "recall": [0.5, None], "images": [2, 0]}
    )
    chart = recall_chart(rows, ["a", "b"], ["own", "there"])
    assert [row["class"] for row in rows_of(chart, "class")] == ["a"]
    assert chart.to_dict()["encoding"]["color"]["scale"]["range"] == [QUIET, ACCENT]
