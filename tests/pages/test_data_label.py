"""The Label tab: photos without classes get them in groups or one by one, for training."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from app_helpers import DATA, open_page, sample_folder, texts, unescaped, work_at_once
from conftest import MakeDataset

from tl_core.analysis.labelling_cache import KIND, LabellingFiles
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_dataset, load_decisions
from tl_core.data.ingest.labels import label_photos
from tl_core.errors import MemoryLimitError
from tl_core.features.spec import FeatureSpec
from tl_core.jobs.training import start_training
from tl_core.workspace import Workspace
from ui.data.label import panel, state
from ui.data.label.classes import NOT_ADDED
from ui.data.label.panel import ALL_HAVE_CLASS, DONE, NAME_CLASSES, NO_GROUPS
from ui.data.label.sheet import KEYS, Action, keys_of
from ui.data.tiles import MORE_LIKE_THESE
from ui.shared import session_keys
from ui.shared.errors import LABEL_PHOTOS, LABEL_TAB

TINY = {"train.backbone": "tiny"}


def words(at) -> str:
    """Return what the page says, notes and bars among it."""
    notes = [one.value for one in (*at.info, *at.success, *at.warning, *at.error)]
    return "\n".join([texts(at), *notes, *(bar.proto.text for bar in at.get("progress"))])


@pytest.fixture
def heap(workspace: Workspace, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine photos without classes where the app expects the sample; the worker works at once."""
    folder = sample_folder(workspace)
    made = make_dataset({"any": 9}, folder.parent)
    (made / "any").rename(folder)
    work_at_once(monkeypatch, KIND)
    return folder


class Sheets(list):
    """What the sheet was given each time, and what is done on it when it is drawn next."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: tuple[Action, ...] = ()

    def draw(self, *args, **more) -> None:
        self.append((args, more))
        actions, self.actions = self.actions, ()
        if actions:
            args[-1](actions)
            st.rerun()


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> Sheets:
    """Stand in for the sheet, on which a page test cannot press keys."""
    sheets = Sheets()
    monkeypatch.setattr(panel, "label_sheet", sheets.draw)
    return sheets


def open_tab(**state):
    """Open the tab after the photos were grouped, which happens between two runs of the page."""
    at = open_page(DATA, **{session_keys.DATA_TABS: LABEL_TAB}, **TINY, **state)
    return at.run()


def type_classes(at, names: str):
    at.text_input(key="label_new_class").set_value(names)
    return at.button(key="label_new_class_add").click().run()


def act(at, sheets: Sheets, *actions: Action):
    """Do on the sheet what a person would by keys."""
    sheets.actions = actions
    return at.run()


def paths_of(sheets: Sheets) -> tuple[str, ...]:
    return tuple(tile.path for tile in sheets[-1][0][0])


def test_a_heap_is_offered_to_be_labelled_and_classes_are_typed(heap, workspace, sheets) -> None:
    at = open_page(DATA, **TINY)
    assert "9 photos without classes" in texts(at)
    (offer,) = [one for one in at.button if one.label == LABEL_PHOTOS]
    offer.click().run().run()
    assert not at.exception
    assert "0 of 9 photos have a class" in words(at)
    assert NAME_CLASSES in words(at)
    assert not sheets

    type_classes(at, "cat, ../evil, dog, Cat")
    at.run()  # until others are typed
    assert NOT_ADDED in words(at)
    refused = unescaped(words(at))
    assert "../evil: Expected a plain class name such as 'cat'" in refused
    assert "Cat: Expected a new class name, but there is a class 'cat' already." in refused
    assert load_decisions(workspace, heap).classes == ("cat", "dog")
    (tiles, classes, *_), more = sheets[-1]
    assert classes == {"cat": 0, "dog": 0}
    assert more["ticked"] == [tile.path for tile in tiles]


def test_keys_give_classes_undo_shows_the_photos_again_and_training_takes_them(
    heap, workspace, sheets
) -> None:
    at = type_classes(open_tab(), "cat,dog")
    paths = paths_of(sheets)[:5]
    act(at, sheets, Action("label", paths[:2], "cat"), Action("label", paths[2:], "dog"))
    labels = load_decisions(workspace, heap).labels
    assert {path: one.class_name for path, one in labels.items()} == {
        path: "cat" if place < 2 else "dog" for place, path in enumerate(paths)
    }
    at.run()
    assert "5 of 9 photos have a class" in words(at)
    assert at.button(key="label_train").label == "Train on 5 photos"
    assert load_dataset(heap, workspace).class_counts() == {"cat": 2, "dog": 3}
    assert start_training(workspace, TrainConfig(backbone="tiny"), heap).data_dir == heap

    at.segmented_control(key="label_mode").set_value("One by one").run()
    assert set(paths_of(sheets)).isdisjoint(paths)
    act(at, sheets, Action("out", paths_of(sheets)[:1], ""), Action("undo", (), ""))
    act(at, sheets, Action("undo", (), ""))
    assert paths_of(sheets) == paths[2:]
    assert "2 of 9 photos have a class" in words(at)


def test_what_no_person_could_do_on_a_sheet_changes_nothing(heap, workspace, sheets) -> None:
    at = type_classes(open_tab(), "cat")
    before = load_decisions(workspace, heap)
    act(at, sheets, Action("label", ("../secret.png",), "cat"), Action("out", ("gone.png",), ""))
    act(at, sheets, Action("label", paths_of(sheets), "no such class"))
    act(at, sheets, Action("undo", (), ""))
    assert load_decisions(workspace, heap) == before
    assert "nothing left to undo" in words(at)


def test_a_skipped_group_comes_no_more_and_the_tab_says_what_to_do(heap, sheets) -> None:
    at = type_classes(open_tab(), "cat")
    first = paths_of(sheets)
    assert len(first) == 9
    act(at, sheets, Action("next", (), ""))
    assert f"{NO_GROUPS} Label the last 9 photos one by one." in words(at)


def test_a_class_is_renamed_and_one_without_photos_removed(heap, workspace, sheets) -> None:
    label_photos(heap, {"0.png": "cat", "1.png": "dog"}, workspace)
    at = type_classes(open_tab(label_mode="One by one"), "bird")
    at.selectbox(key="label_class_chosen").set_value("cat").run()
    assert at.button(key="label_class_remove").disabled
    at.text_input(key="label_class_name_cat").set_value("kitten").run()
    at.button(key="label_class_rename").click().run()
    assert load_dataset(heap, workspace).class_counts() == {"dog": 1, "kitten": 1}
    at.selectbox(key="label_class_chosen").set_value("bird").run()
    at.button(key="label_class_remove").click().run()
    assert list(sheets[-1][0][1]) == ["dog", "kitten"]


def test_all_labelled_says_so_and_a_dataset_of_folders_has_nothing_to_label(
    heap, workspace, make_dataset, sheets
) -> None:
    label_photos(heap, {f"{n}.png": "ab"[n % 2] for n in range(9)}, workspace)
    at = open_tab()
    assert DONE in words(at)
    assert at.button(key="label_undo").label == "Undo: 9 photos labelled"
    folders = make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / "folders")
    at = open_page(DATA, dataset=folders.name, **{session_keys.DATA_TABS: LABEL_TAB}, **TINY)
    assert ALL_HAVE_CLASS in words(at)


def test_more_like_a_ticked_picture_are_its_nearest_without_a_class(
    heap, workspace, sheets
) -> None:
    label_photos(heap, {"0.png": "cat", "1.png": "dog"}, workspace)
    at = open_page(
        DATA,
        **TINY,
        **{session_keys.PICKED: {"0.png"}, session_keys.PICKED_DATASET: heap.name},
    )
    assert not at.exception
    (like,) = [one for one in at.button if one.label == MORE_LIKE_THESE]
    like.click().run().run()
    assert set(paths_of(sheets)) == {f"{n}.png" for n in range(2, 9)}
    assert sheets[-1][1]["suggestion"] == "cat"


def test_a_failure_to_group_is_told_and_tried_again(heap, workspace, monkeypatch, sheets) -> None:
    spec = FeatureSpec.from_config(TrainConfig())
    LabellingFiles(workspace, heap, spec).write_failure(KIND, "no weights here")
    at = open_page(DATA, **{session_keys.DATA_TABS: LABEL_TAB})
    assert "could not be grouped. no weights here" in words(at)
    at.button(key="retry_label").click().run()
    assert LabellingFiles(workspace, heap, spec).read_failure(KIND) is None


def test_photos_that_need_too_much_memory_to_group_say_so(heap, monkeypatch, sheets) -> None:
    def refuse(*_: object) -> None:
        raise MemoryLimitError("Grouping these photos needs about 2.6 GB.")

    monkeypatch.setattr(state.jobs, "request", refuse)
    at = open_page(DATA, **{session_keys.DATA_TABS: LABEL_TAB})
    assert "could not be grouped. Grouping these photos needs about 2.6 GB." in words(at)
    assert not at.error
    at.button(key="retry_label").click().run()
    assert "could not be grouped. Grouping these photos needs about 2.6 GB." in words(at)


def test_no_two_classes_share_a_key_and_none_takes_a_key_of_an_action() -> None:
    assert len(set(KEYS)) == len(KEYS)
    assert set(KEYS).isdisjoint("rcuxnma")
    many = [f"class {n}" for n in range(len(KEYS) + 1)]
    assert list(keys_of(many).values()) == [*KEYS, ""]
    assert keys_of(["0", "1", "cat"]) == {"0": "0", "1": "1", "cat": "2"}
