"""Controls that the app sets: what a slow browser still says of the one before does not undo it."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from app_helpers import (
    CLASSIFY,
    DATA,
    ROOT,
    TRAIN,
    assert_sound,
    finished_run,
    open_page,
    sample_folder,
    work_at_once,
)
from streamlit.testing.v1 import AppTest

from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.config.search import SweepConfig
from tl_core.config.training import TrainConfig
from tl_core.projects.registry import open_folder
from tl_core.search.store import create_sweep
from ui.evaluate.source import ELSEWHERE, FOLDER, PART
from ui.shared import session_keys
from ui.shared.controls import MARK

HOME = None
EVALUATE = "pages/4_Evaluate.py"
AUGMENTATION = {session_keys.DATA_TABS: "Augmentation"}
SETTINGS = {
    "backbone": "MobileNetV3Small",
    "fc_layers": "32, 16",
    "dropout": 0.7,
    "learning_rate": 0.02,
    "epochs": 9,
    "early_stopping": 2,
    "fine_tune_blocks": 2,
    "class_weights": "balanced",
    "shuffle": False,
}
# What the app sets, with a value that is not the one at first.
SET_BY_THE_APP = [
    (HOME, "intake_way", "Folder", {}),
    (DATA, session_keys.DATA_TABS, "Split", {}),
    (DATA, "gallery_class", "dog", {}),
    (DATA, "gallery_order", "Largest first", {}),
    (DATA, "augment.rotation", 45.0, AUGMENTATION),
    (DATA, "augment_transform", "zoom", {**AUGMENTATION, "augment_show": "One transform"}),
    (DATA, session_keys.USE_AUGMENT, True, AUGMENTATION),
    (TRAIN, session_keys.TRAIN_VIEW, "Search", {}),
    (TRAIN, session_keys.USE_AUGMENT, True, {}),
    (TRAIN, "train.views", 7, {session_keys.USE_AUGMENT: True}),
    *((TRAIN, f"train.{name}", value, {}) for name, value in SETTINGS.items()),
    (CLASSIFY, "photo_source", "Upload", {}),
]
# Segmented controls and pills that the app sets, with a value that is not the one at first.
CHOSEN = [
    (HOME, "intake_way", "Folder", {}),
    (DATA, "gallery_class", "dog", {}),
    (DATA, "augment_preset", "tutorial", AUGMENTATION),
    (TRAIN, session_keys.TRAIN_VIEW, "Backbones", {}),
    (CLASSIFY, "photo_source", "Upload", {}),
    (EVALUATE, PART, ELSEWHERE, {}),
]


def drawn(at: AppTest, key: str) -> list[object]:
    """Return the values of what is drawn for a control, and of nothing that was drawn before."""
    kinds = (at.selectbox, at.segmented_control, at.button_group, at.multiselect, at.toggle)
    kinds += (at.slider, at.number_input, at.text_input)
    found = {one.key: one.value for kind in kinds for one in kind}
    return [value for name, value in found.items() if name == key]


@pytest.mark.parametrize(
    ("page", "key", "value", "session"),
    SET_BY_THE_APP,
    ids=[f"{key} on {page}" for page, key, *_ in SET_BY_THE_APP],
)
def test_a_late_message_does_not_undo_what_the_app_set(
    workspace, make_dataset, page, key, value, session
):
    finished_run(workspace, make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace)))
    at = open_page(page, **session)
    assert at.session_state[key] != value
    late = at._tree.get_widget_states()
    at.session_state[key] = value
    at.run()
    at._run(late)
    assert_sound(at)
    assert at.session_state[key] == value
    assert drawn(at, key) in ([value], [])  # AppTest does not know tabs


@pytest.mark.parametrize(
    ("page", "key", "value", "session"),
    CHOSEN,
    ids=[f"{key} on {page}" for page, key, *_ in CHOSEN],
)
def test_a_browser_that_says_nothing_is_chosen_does_not_undo_the_choice(
    workspace, make_dataset, page, key, value, session
):
    """A browser that has not received the value of a control says that there is none."""
    finished_run(workspace, make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace)))
    at = open_page(page, **session)
    at.button_group(key=key).set_value(value).run()
    assert at.session_state[key] == value
    at.button_group(key=key).set_value(None).run()
    assert_sound(at)
    assert at.session_state[key] == value
    assert drawn(at, key) == [value]


def test_what_can_be_emptied_is_emptied(workspace, make_dataset, tmp_path):
    finished_run(workspace, make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace)))
    other = open_folder(workspace, make_dataset({"cat": 6, "dog": 6}, tmp_path / "other"))
    at = open_page(EVALUATE, **{PART: ELSEWHERE, FOLDER: other.id})
    assert drawn(at, FOLDER) == [other.id]
    at.selectbox(key=FOLDER).set_value(None).run()
    assert_sound(at)
    assert drawn(at, FOLDER) == [None]


def test_no_choice_of_one_can_be_taken_back():
    calls = [
        (path.name, node)
        for path in sorted([*ROOT.glob("ui/**/*.py"), *ROOT.glob("pages/*.py")])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("segmented_control", "pills")
    ]
    assert len(calls) > 10
    free = [name for name, node in calls if "required" not in {one.arg for one in node.keywords}]
    assert free == []


def test_a_late_message_does_not_lead_back_to_the_run_or_project_before(
    workspace, make_dataset, tmp_path
):
    make_dataset({"cat": 6, "dog": 6}, sample_folder(workspace))
    first = open_folder(workspace, make_dataset({"ash": 6, "elm": 6}, tmp_path / "trees"))
    second = open_folder(workspace, make_dataset({"cup": 6, "jar": 6}, tmp_path / "glass"))
    finished_run(workspace, first.path, class_names=("ash", "elm"), name="older")
    at = open_page(TRAIN, dataset=first.id)
    late = at._tree.get_widget_states()
    at.button(key="start_training").click().run()
    started = at.session_state[session_keys.RUN]
    at._run(late)
    assert at.selectbox(key="run").value == started
    assert started in at.query_params["run"]

    at = open_page(TRAIN, dataset=first.id)
    late = at._tree.get_widget_states()
    at.query_params["dataset"] = second.id
    at.run()
    assert at.selectbox(key="dataset").value == second.id
    at._run(late)
    assert_sound(at)
    assert at.selectbox(key="dataset").value == second.id
    assert second.id in at.query_params["dataset"]


def test_a_late_message_does_not_take_back_the_settings_of_a_run(workspace, dataset):
    settings = {"dropout": 0.3, "epochs": 4, "fc_layers": (8,), "fine_tune_blocks": 0}
    finished_run(workspace, dataset, **settings, learning_rate=0.04)
    at = open_page(TRAIN)
    late = at._tree.get_widget_states()
    at.button(key="take_over").click().run()
    at._run(late)
    held = {name: at.session_state[f"train.{name}"] for name in (*settings, "learning_rate")}
    assert held == {**settings, "fc_layers": "8", "learning_rate": 0.04}
    at.button(key="reset_settings").click().run()
    at._run(late)
    assert at.session_state["train.epochs"] == TrainConfig().epochs


def test_a_late_message_does_not_bring_the_search_before_back(workspace, dataset):
    sweeps = {create_sweep(workspace, SweepConfig(), TrainConfig(), dataset).id for _ in range(3)}
    at = open_page(TRAIN, train_view="Search")
    late = at._tree.get_widget_states()
    (wanted, _) = sweeps - {at.session_state["search_shown"]}
    at.session_state["search_shown"] = wanted
    at.run()
    assert at.session_state["search_shown"] == wanted
    at._run(late)
    assert at.session_state["search_shown"] == wanted


def test_a_late_message_does_not_add_names_of_classes_again(workspace, make_dataset, monkeypatch):
    made = make_dataset({"any": 9}, workspace.datasets_dir)
    (made / "any").rename(sample_folder(workspace))
    work_at_once(monkeypatch, LABEL)
    at = open_page(DATA, data_tabs="Label", **{"train.backbone": "tiny"}).run()
    at.text_input(key="label_new_class").set_value("cat, dog")
    late = at._tree.get_widget_states()
    at.button(key="label_new_class_add").click().run()
    at._run(late)
    assert [one.value for one in at.warning] == []


def test_the_person_can_go_back_to_the_value_before_at_once(workspace, dataset):
    at = open_page(TRAIN, train_view="Backbones")
    at.session_state["train_view"] = "Search"
    at.run()
    at.segmented_control(key="train_view").set_value("Backbones").run()
    assert at.session_state["train_view"] == "Backbones"
    at.run()
    assert at.segmented_control(key="train_view").value == "Backbones"


def test_a_choice_outlives_another_page_and_is_what_is_drawn_there(workspace, dataset):
    at = open_page(TRAIN)
    at.number_input(key="train.epochs").set_value(7).run()
    at.switch_page(DATA).run()
    assert at.session_state["train.epochs"] == 7
    at.switch_page(TRAIN).run()
    assert at.number_input(key="train.epochs").value == 7


def test_each_value_that_the_app_sets_gets_a_control_of_its_own():
    def with_note():
        import streamlit as st

        from ui.shared.controls import control

        def note(word):
            noted = st.session_state.get("noted", "")
            st.session_state["noted"] = f"{noted}{word} {st.session_state['view']}. "

        place = control("view", "a", on_change=note, args=("now",))
        st.segmented_control("View", ["a", "b", "c"], **place)

    at = AppTest.from_function(with_note).run()
    keys = [at.segmented_control[0].proto.id]
    at.segmented_control[0].set_value("b").run()
    keys.append(at.segmented_control[0].proto.id)
    at.session_state["view"] = "c"
    at.run()
    keys.append(at.segmented_control[0].proto.id)
    assert keys[0] == keys[1] != keys[2]
    assert at.session_state["noted"] == "now b. "  # not called for what the app set
    at.session_state["view"] = "c"
    assert at.run().segmented_control[0].proto.id == keys[2]
    assert at.segmented_control[0].value == "c"


def test_a_value_is_sent_again_after_a_run_that_did_not_reach_the_browser():
    def interrupted():
        import streamlit as st

        from ui.shared.controls import control

        st.selectbox("View", ["a", "b", "c"], **control("view", "b"))
        if st.session_state.setdefault("runs", 1) == 1:
            st.session_state["runs"] = 2
            st.rerun()

    at = AppTest.from_function(interrupted).run()
    assert at.session_state["runs"] == 2
    assert at.selectbox[0].proto.set_value
    assert at.selectbox[0].value == "b"


@pytest.mark.parametrize("page", [DATA, TRAIN])
def test_what_somebody_types_meanwhile_is_not_overwritten(workspace, dataset, page):
    at = open_page(page, data_tabs="Augmentation")
    assert [one.proto.set_value for one in fields(at)] == [True] * len(fields(at))
    at.run()
    assert [one.label for one in fields(at) if one.proto.set_value] == []
    at.session_state["train.dropout"] = 0.7
    at.session_state["augment.rotation"] = 45.0
    at.run()
    changed = {TRAIN: ["Dropout"], DATA: ["Rotation"]}
    assert [one.label for one in fields(at) if one.proto.set_value] == changed[page]


def fields(at: AppTest) -> list[Any]:
    """Return the fields of a form with a value that the app may set."""
    kinds = (at.number_input, at.text_input, at.slider, at.selectbox)
    return [one for kind in kinds for one in kind if MARK in (one.proto.id or "")]


def test_no_key_of_a_widget_is_set_by_the_app_as_well():
    """Values that the app sets are given to widgets by ``control`` alone."""
    written: set[str] = set()
    keyed: dict[str, str] = {}
    for path in sorted([*ROOT.glob("ui/**/*.py"), *ROOT.glob("pages/*.py"), ROOT / "app.py"]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            written |= set(_keys_written(node))
            keyed |= {key: str(path.relative_to(ROOT)) for key in _keys_of_widgets(node)}
    constants = {key: path for key, path in keyed.items() if key != "key"}  # a parameter's name
    assert {key: path for key, path in constants.items() if key in written} == {}
    assert "session_keys.DATA_TABS" in written
    assert "'next_step'" in constants


def _keys_written(node: ast.AST) -> list[str]:
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    if isinstance(node, ast.Call):
        changes = ("st.session_state.setdefault", "st.session_state.pop")
        return [ast.unparse(node.args[0])] if ast.unparse(node.func) in changes else []
    return [
        ast.unparse(one.slice)
        for one in targets
        if isinstance(one, ast.Subscript) and ast.unparse(one.value) == "st.session_state"
    ]


def _keys_of_widgets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [
            ast.unparse(v) for k, v in pairs if isinstance(k, ast.Constant) and k.value == "key"
        ]
    if not isinstance(node, ast.Call):
        return []
    return [ast.unparse(one.value) for one in node.keywords if one.arg == "key"]
