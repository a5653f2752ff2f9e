"""What is downloaded as CSV is text and numbers to a spreadsheet, never a formula."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tl_core.evaluation.report import Evaluation
from tl_core.tables import csv_text, safe_table
from ui.evaluate.downloads import predictions_csv

SHOWING = ("st.dataframe", "st.data_editor", "st.table")
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("text", ["=1+1.jpg", "+cmd", "-x.jpg", "@SUM(A1)", "\t=1", "-1+2", "-"])
def test_text_that_would_be_a_formula_gets_an_apostrophe(text) -> None:
    lines = csv_text(pd.DataFrame({"photo": [text], text: [0.5]})).splitlines()
    assert lines == [f"photo,'{text}", f"'{text},0.5"]


@pytest.mark.parametrize("text", ["cat/0.png", "a=b", "'quoted'", "-1", "+2.5", "", "p(=x)"])
def test_other_text_is_as_it_was(text) -> None:
    assert csv_text(pd.DataFrame({"photo": [text, "x"]})).splitlines()[2] == "x"
    assert pd.DataFrame({"a": [text, "x"]}).to_csv(index=False) == csv_text(
        pd.DataFrame({"a": [text, "x"]})
    )


def test_numbers_flags_and_empty_cells_are_as_they_were() -> None:
    table = pd.DataFrame({"a": [-1.5, 2.0], "b": [-3, 4], "c": [True, False], "d": [None, "x"]})
    table["e"] = np.array([0.1, 1e-9], np.float32)  # as wide as it was
    assert csv_text(table) == table.to_csv(index=False)


def test_the_predictions_of_an_evaluation_hold_no_formula() -> None:
    shares = np.array([[0.25, 0.75]], np.float32)
    evaluation = Evaluation(
        ("=HYPERLINK(1)", "dog"), "test", Path("data"), ("=x/-1.png",), np.array([0]), shares, {}
    )
    line = predictions_csv(evaluation).splitlines()[1]
    assert line.startswith("'=x/-1.png,'=HYPERLINK(1),dog,0.75,")


def test_cells_titles_and_row_names_of_a_shown_table_hold_no_formula() -> None:
    table = pd.DataFrame({"=a": ["=1+1", "x"], "n": [-1, 2]}, index=["+b", "c"])
    assert safe_table(table).reset_index().to_csv(index=False).splitlines() == [
        "index,'=a,n",
        "'+b,'=1+1,-1",
        "c,x,2",
    ]
    assert list(safe_table(pd.DataFrame(columns=["a"])).columns) == ["a"]


def test_every_table_of_the_pages_is_safe_to_download() -> None:
    calls = 0
    for path in [*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]:
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in SHOWING:
                calls += 1
                shown = ast.unparse(node.args[0])
                assert shown.startswith("safe_table(") or f"{shown} = safe_table(" in text, path
    assert calls > 5
