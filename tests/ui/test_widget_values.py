"""Odd values of widgets in a browser's message: the widget keeps its value, the page goes on."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    TRAIN,
    element_ids,
    finished_run,
    open_page,
    sample_folder,
    send,
    work_at_once,
)
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.testing.v1 import AppTest

from tl_core.errors import ConfigError
from tl_core.evaluation.report import Evaluation
from tl_core.jobs import handlers
from ui.shared.errors import BUG_MESSAGE
from ui.shell import widget_values

HOME, EVALUATE, SHARE = None, "pages/4_Evaluate.py", "pages/5_Share.py"
NAN, INF = float("nan"), float("inf")
DEEP = "[" * 900 + "]" * 900

# Whatever a widget is, at most one field of these is its own.
OF_OTHER_KINDS: list[tuple[str, Any]] = [
    ("double_value", 0.5),
    ("double_value", NAN),
    ("int_value", 2**63 - 1),
    ("bool_value", True),
    ("string_value", "nope"),
    ("string_array_value", ["nope"]),
    ("double_array_value", [INF, 1.0]),
    ("int_array_value", [2**31]),
    ("json_value", '{"selection": 1}'),
    ("json_value", "{bad"),
    ("json_trigger_value", '[{"event": 1}]'),
    ("json_trigger_value", "{bad"),
    ("string_trigger_value", "x"),
    ("chat_input_value", "x"),
    ("bytes_value", b"\xff"),
    ("arrow_value", None),
    ("file_uploader_state_value", ["nope"]),
]
# Of a widget's own kind, and yet nothing that it can hold.
ODD: list[tuple[str, str, Any]] = [
    ("whole", "double_value", NAN),
    ("whole", "double_value", INF),
    ("number", "double_value", -INF),
    ("slide", "double_array_value", [NAN]),
    ("choice", "string_value", "nope"),
    ("choices", "string_array_value", ["nope"]),
    ("pills", "string_array_value", ["nope"]),
    ("tabs", "string_value", "nope"),
    ("text", "string_value", "a\0b"),
    ("table", "string_value", "{bad"),
    ("table", "string_value", "1"),
    ("table", "string_value", '{"selection": null}'),
    ("table", "string_value", '{"selection": {"cells": [1]}}'),
    ("table", "string_value", '{"selection": {"columns": ["\\ud800"]}}'),
    ("table", "string_value", '{"selection": {"rows": [NaN]}}'),
    ("table", "string_value", '{"selection": {"rows": ' + DEEP + "}}"),
    ("chart", "string_value", "null"),
    ("chart", "string_value", '{"selection": 1}'),
    ("part", "json_value", "[NaN]"),
    ("part", "json_value", '{"told": "\\ud800"}'),
    ("part", "json_value", DEEP),
    # More than any widget of the app has; the session would keep it.
    ("text", "string_value", "a" * 100_001),
    ("text", "string_value", "," * 5_001),
    ("table", "string_value", '{"selection": {"rows": [' + "{}," * 2_500 + "{}]}}"),
    ("part", "json_value", '{"told": [' + "[]," * 2_500 + "[]]}"),
    ("choices", "string_array_value", ["A"] * 40_000),
]
SENT: dict[str, tuple[str, Any, Any]] = {  # what a person could choose, and what the page sees
    "whole": ("double_value", 4.0, 4),
    "number": ("double_value", 0.25, 0.25),
    "slide": ("double_array_value", [4.0], 4),
    "choice": ("string_value", "B", "b"),
    "choices": ("string_array_value", ["B"], ["b"]),
    "pills": ("string_array_value", ["B"], "b"),
    "tabs": ("string_value", "Second", "Second"),
    "text": ("string_value", "hello", "hello"),
    "tick": ("bool_value", True, True),
    "table": ("string_value", '{"selection": {"rows": [1]}}', [1]),
    "chart": ("string_value", '{"selection": {"picked": [{"x": 1}]}}', [{"x": 1}]),
    "part": ("json_value", '{"told": 5}', 5),
}
# Selections in charts and tables of the shape that Streamlit reads, but of none that they send.
SELECTIONS = [
    '{"picked": 1, "cell": 1, "region": 1, "rows": 1}',
    '{"picked": [1], "cell": [1], "region": [1], "rows": [99]}',
    '{"picked": [{}], "cell": [{}], "region": {"x": 1, "width": 1}, "rows": ["x"]}',
    '{"picked": [{"class": [], "width": "x", "backbone": "nope", "row": "x"}], "rows": [-9]}',
    '{"region": {"x": [1], "y": ["a", {}], "width": [1], "height": []}, "cell": [{"true": []}]}',
    '{"cell": [{"true": "nope", "answer": "dog"}], "rows": {"0": 1}}',
]
# The same of what the components of the app tell.
TOLD = [
    '{"told": 1, "acted": 1}',
    '{"told": {}, "acted": {}}',
    '{"told": {"ticks": {}, "viewed": {"a": 1}, "opened": []}, "acted": {"actions": [1]}}',
    '{"told": {"ticks": null, "viewed": 1, "opened": 1}, "acted": {"actions": [{"id": 1}]}}',
    '{"told": {"ticks": {"id": {}, "shown": 3}, "viewed": [], "opened": 1}}',
    '{"told": {"ticks": {"id": "1", "shown": [[1]], "ticked": [{}]}, "viewed": "", "opened": ""}}',
    *(f'[{{"event": "{one}", "value": 1}}]' for one in ("told", "acted")),
    '[{"event": "told", "value": {"ticks": {"id": {}, "shown": 3}}}, 1, {"event": []}]',
    '[{"event": "told", "value": {"ticks": null, "viewed": "no/such", "opened": "no/such"}}]',
]
PAGES: list[tuple[str | None, dict[str, Any]]] = [
    (HOME, {}),
    *((DATA, {"data_tabs": tab}) for tab in ("Photos", "Split", "Augmentation", "Add photos")),
    *((TRAIN, {"train_view": view}) for view in ("This run", "Compare", "Search", "Backbones")),
    *((CLASSIFY, {"photo_source": source}) for source in ("Examples", "Upload")),
    *((EVALUATE, {"evaluate_tabs": tab}) for tab in ("Summary", "Confusion", "Mistakes", "Trust")),
    (SHARE, {}),
]


def all_widgets() -> None:
    import altair as alt
    import pandas as pd
    import streamlit as st

    from ui.shell.widget_values import check_widget_values

    check_widget_values()
    state = st.session_state
    called = state.setdefault("called", [])

    def placed(key: str) -> dict:
        return {"key": key, "on_change": lambda: called.append(key)}

    def upper(text: str) -> str:
        return text.upper()

    rows = pd.DataFrame({"x": [1, 2], "y": [1, 2]})
    picked = alt.selection_point("picked")
    points = alt.Chart(rows).mark_point().encode(x="x", y="y").add_params(picked)
    part = st.components.v2.component("part", html="<p></p>")
    told = part(key="part", on_told_change=lambda: called.append("part")).told
    state["seen"] = {
        "whole": st.number_input("Whole", 1, 9, 3, **placed("whole")),
        "number": st.number_input("Number", 0.0, 1.0, 0.5, **placed("number")),
        "slide": st.slider("Slide", 0, 9, 3, **placed("slide")),
        "choice": st.selectbox("Choice", ["a", "b"], format_func=upper, **placed("choice")),
        "choices": st.multiselect("More", ["a", "b"], format_func=upper, **placed("choices")),
        "pills": st.pills("Pills", ["a", "b"], format_func=upper, **placed("pills")),
        "text": st.text_input("Text", **placed("text")),
        "tick": st.checkbox("Tick", **placed("tick")),
        "part": told,
    }
    first, _ = st.tabs(["First", "Second"], **placed("tabs"))
    state["seen"]["tabs"] = "First" if first.open else "Second"
    table = st.dataframe(rows, key="table", on_select=lambda: called.append("table"))
    state["seen"]["table"] = table["selection"]["rows"]
    chart = st.altair_chart(points, key="chart", on_select=lambda: called.append("chart"))
    state["seen"]["chart"] = chart["selection"].get("picked")
    st.caption("The end")


@pytest.fixture(scope="module")
def widgets() -> dict[str, str]:
    """The ids of the widgets of :func:`all_widgets`."""
    found = element_ids(opened())
    assert set(found) == set(SENT)
    return found


def opened() -> AppTest:
    return AppTest.from_function(all_widgets).run()


def odd_for(key: str) -> list[tuple[str, Any]]:
    """Return the values that a widget cannot hold."""
    own = SENT[key][0]
    taken = (own, "int_value") if own == "double_value" else (own,)
    others = [one for one in OF_OTHER_KINDS if one[0] not in taken]
    return others + [(field, value) for name, field, value in ODD if name == key]


def assert_whole(at: AppTest) -> None:
    """Assert that the page was drawn to its end and that nothing went wrong."""
    assert not at.exception
    assert [one.value for one in (*at.error, *at.toast)] == []
    assert [one.value for one in at.caption] == ["The end"]


@pytest.mark.parametrize(
    ("key", "field", "value", "seen"),
    [
        ("text", "string_value", "a" * 99_000, "a" * 99_000),
        ("text", "string_value", "," * 5_000, "," * 5_000),
        ("part", "json_value", '{"told": [' + "1," * 4_900 + "1]}", [1] * 4_901),
    ],
)
def test_what_a_person_could_enter_at_most_is_taken(widgets, key, field, value, seen):
    at = send(opened(), (widgets[key], field, value))
    assert_whole(at)
    assert at.session_state["seen"][key] == seen


@pytest.mark.parametrize("key", SENT)
def test_values_of_their_kind_are_taken(widgets, key):
    field, value, seen = SENT[key]
    at = send(opened(), (widgets[key], field, value))
    assert_whole(at)
    assert at.session_state["seen"][key] == seen
    assert at.session_state["called"] == [key]


def odd_options() -> None:
    import streamlit as st

    from ui.shell.widget_values import check_widget_values

    check_widget_values()
    options = ["a", "\0mark", ("\0", 1)]
    titles = dict(zip(options, ("A", "Mark", "Pair"), strict=True))
    named = {"options": options, "format_func": lambda one: titles.get(one, one)}
    st.session_state["seen"] = {
        "box": st.selectbox("Box", key="box", **named),
        "typed": st.selectbox("Typed", key="typed", accept_new_options=True, **named),
        "radio": st.radio("Radio", key="radio", **named),
        "pills": st.pills("Pills", key="pills", **named),
        "segments": st.segmented_control("Segments", key="segments", **named),
        "several": st.multiselect("Several", key="several", **named),
    }


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("typed", "Mark"),  # of a pair Streamlit takes the title for what was typed
        *itertools.product(["box", "radio", "pills", "segments", "several"], ["Mark", "Pair"]),
    ],
)
def test_options_of_the_app_may_be_what_nobody_can_type(key, title):
    at = AppTest.from_function(odd_options).run()
    is_list = key in ("pills", "segments", "several")
    field = "string_array_value" if is_list else "string_value"
    send(at, (element_ids(at)[key], field, [title] if is_list else title))
    assert not at.exception
    seen = at.session_state["seen"][key]
    (chosen,) = seen if key == "several" else (seen,)
    assert chosen[0] == "\0"


def test_a_whole_number_may_come_as_one(widgets):
    """As browsers send that of a number input without decimals."""
    at = send(opened(), (widgets["whole"], "int_value", 4))
    assert_whole(at)
    assert at.session_state["seen"]["whole"] == 4
    at = send(AppTest.from_function(all_widgets), (widgets["whole"], "int_value", 4))
    assert at.session_state["seen"]["whole"] == 4


@pytest.mark.parametrize("key", SENT)
def test_an_odd_value_leaves_what_was_chosen(widgets, key):
    field, value, seen = SENT[key]
    at = send(opened(), (widgets[key], field, value))
    for odd in odd_for(key):
        send(at, (widgets[key], *odd))
        assert_whole(at)
        assert at.session_state["seen"][key] == seen, odd
        assert at.session_state["called"] == [key], odd  # not called for that


@pytest.mark.parametrize("key", SENT)
def test_an_odd_value_that_comes_before_its_widget_is_drawn_gives_the_default(widgets, key):
    usual = opened().session_state["seen"][key]
    for odd in odd_for(key):
        at = send(AppTest.from_function(all_widgets), (widgets[key], *odd))
        assert_whole(at)
        assert at.session_state["seen"][key] == usual, odd


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("whole", "double_value", 1e308),
        ("whole", "int_value", 2**63 - 1),
        ("number", "int_value", -(2**63)),
        ("slide", "double_array_value", []),
        ("slide", "double_array_value", [99.0]),
    ],
)
def test_what_is_out_of_range_gives_the_default(widgets, key, field, value):
    at = opened()
    usual = at.session_state["seen"][key]
    send(at, (widgets[key], *SENT[key][:2]))
    send(at, (widgets[key], field, value))
    assert_whole(at)
    assert at.session_state["seen"][key] == usual


def test_the_browser_is_told_the_value_that_was_kept(widgets):
    at = opened()
    assert not at.text_input[0].proto.set_value
    send(at, (widgets["text"], "bool_value", True))
    assert at.text_input[0].proto.set_value
    send(at, (widgets["text"], "string_value", "hello"))
    assert not at.text_input[0].proto.set_value


def test_odd_values_are_logged_once_and_without_a_traceback(widgets, caplog):
    widget_values._note.cache_clear()
    caplog.set_level(logging.WARNING, "studio")
    at = opened()
    for _ in range(3):
        send(at, (widgets["tick"], "bytes_value", b"x"))
    logged = [one for one in caplog.records if one.name == "studio"]
    assert [one.getMessage() for one in logged] == [
        "Left out a value of a browser: bytes_value for bool_value, TypeError"
    ]
    assert logged[0].exc_info is None


@pytest.fixture
def evaluated(workspace, make_dataset, monkeypatch):
    """The sample set with a run, which is evaluated at once."""
    data_dir = make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace))
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]], np.float32)
    paths = ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    labels = np.array([0, 0, 1, 1])
    result = Evaluation(("cat", "dog"), "test", Path(data_dir), paths, labels, probabilities, {})
    monkeypatch.setattr(handlers, "evaluate_run", lambda *args, **kwargs: result)
    work_at_once(monkeypatch, "evaluate")
    return finished_run(workspace, data_dir)


def odd_messages(at: AppTest) -> Iterator[list[tuple[str, str, Any]]]:
    """Return messages with the same odd value for all widgets of a kind that the page has."""
    for selection in SELECTIONS:
        drawn = [one.proto.id for kind in ("vega_lite_chart", "dataframe") for one in at.get(kind)]
        yield [(one, "string_value", f'{{"selection": {selection}}}') for one in drawn if one]
    for told in TOLD:
        parts = [one.proto.id for one in at.get("bidi_component")]
        yield [(one, "json_value", told) for one in parts]
        yield [(_make_trigger_id(one, "events"), "json_trigger_value", told) for one in parts]
    for field, value in OF_OTHER_KINDS:
        yield [(one, field, value) for one in element_ids(at).values()]


@pytest.mark.parametrize(("page", "session"), PAGES, ids=str)
def test_every_page_goes_on_after_odd_values_for_all_that_it_has(evaluated, caplog, page, session):
    at = open_page(page, **session)
    for values in odd_messages(at):
        send(at, *values)
        assert not at.exception, values[:1]
        assert [one for one in caplog.records if one.exc_info] == [], values[:1]  # no bug
    send(at)
    assert not at.exception
    assert [one.value for one in at.error] == []


@pytest.mark.parametrize("told", TOLD)
def test_odd_actions_on_the_sheet_of_labels_are_none(told):
    def sheet():
        import streamlit as st

        from ui.data.label.sheet import label_sheet
        from ui.shell.widget_values import check_widget_values

        check_widget_values()
        st.session_state.setdefault("acts", [])
        label_sheet(
            [],
            {"cat": 1},
            "1",
            "sheet",
            st.session_state["acts"].append,
            ticked=[],
            suggestion="",
            can_undo=False,
            tile_width=100,
        )

    at = AppTest.from_function(sheet).run()
    (sheet_id,) = element_ids(at).values()
    send(at, (sheet_id, "json_value", told))
    send(at, (_make_trigger_id(sheet_id, "events"), "json_trigger_value", told))
    assert not at.exception
    assert [one.value for one in at.toast] == []
    assert [one for acts in at.session_state["acts"] for one in acts] == []


@pytest.mark.parametrize(
    ("error", "shown"),
    [(ConfigError("Choose a *number*."), "Choose a \\*number\\*."), (ValueError("x"), BUG_MESSAGE)],
    ids=["of the person", "bug"],
)
def test_what_goes_wrong_in_a_callback_is_said_and_the_page_is_drawn(error, shown, caplog):
    def with_callback(error):
        import streamlit as st

        from ui.shell.widget_values import check_widget_values

        check_widget_values()

        def fail():
            raise error

        st.button("Go", key="go", on_click=fail)
        st.caption("The end")

    at = AppTest.from_function(with_callback, args=(error,)).run()
    at.button(key="go").click().run()
    assert not at.exception
    assert [one.value for one in at.toast] == [shown]
    assert [one.value for one in at.caption] == ["The end"]
    logged = [one for one in caplog.records if one.exc_info]
    assert len(logged) == (shown == BUG_MESSAGE)  # a bug always leaves its traceback in the log
