import os
from types import SimpleNamespace

import pytest
import streamlit as st
from app_helpers import DATA, TRAIN, open_page
from demo_helpers import new_visitor

from tl_core.config.limits import Limits
from tl_core.data.dataset import scan_dataset
from tl_core.data.layout import table_layout
from tl_core.errors import DatasetError, UnlabelledError
from tl_core.projects.registry import Project
from ui.datasets import scans
from ui.hosted.ending import delete_now
from ui.shared import caches, session_keys

made = []


@caches.cache_data(max_entries=4)
def _read(path: str, _data: bytes, *more: int) -> str:
    made.append(path)
    return f"{path} {len(_data)}"


def in_workspace(monkeypatch, root):
    monkeypatch.setattr(st, "session_state", {session_keys.WORKSPACE_ROOT: root} if root else {})


def test_what_one_visitor_made_is_not_found_by_another(monkeypatch):
    made.clear()
    in_workspace(monkeypatch, "/demo/visitors/a")
    assert _read("x", b"12", 1) == "x 2"
    assert _read("x", b"", 1) == "x 2"
    in_workspace(monkeypatch, "/demo/visitors/b")
    assert _read("x", b"1", 1) == "x 1"
    in_workspace(monkeypatch, "")
    assert _read("x", b"123", 1) == "x 3"
    assert made == ["x"] * 3


def test_the_end_of_a_workspace_empties_its_entries_and_no_others(monkeypatch):
    for root in ("/demo/visitors/c", "/demo/visitors/d"):
        in_workspace(monkeypatch, root)
        _read("y", b"", 1)
    made.clear()
    caches.forget_workspace("/demo/visitors/c")
    _read("y", b"", 1)
    assert made == []
    in_workspace(monkeypatch, "/demo/visitors/c")
    _read("y", b"", 1)
    assert made == ["y"]


def test_scans_of_a_deleted_workspace_are_forgotten(host, make_dataset):
    mine, other = new_visitor(host), new_visitor(host)
    kept = scans._kept_scans()
    for workspace in (mine, other):
        data = make_dataset({"cup": 2, "jar": 2}, workspace.datasets_dir / "kitchen")
        kept.put(data, (1,), scan_dataset(data))
    delete_now(mine)
    assert kept.get(mine.datasets_dir / "kitchen", (1,)) is None
    assert kept.get(other.datasets_dir / "kitchen", (1,)) is not None


def count_tables(monkeypatch):
    """Return the list of the label files that were parsed, in order."""
    read = []
    parse = table_layout.read_table

    def spy(root, path, finder):
        read.append(path)
        return parse(root, path, finder)

    monkeypatch.setattr(table_layout, "read_table", spy)
    return read


def labelled_folder(workspace, make_heap, text):
    data = make_heap(6, workspace.datasets_dir / "mine")
    (data / "labels.csv").write_text("file,label\n" + text)
    return data


@pytest.fixture
def make_heap(make_dataset):
    """Return what makes a folder of photos without class folders."""

    def make(count, data_dir):
        make_dataset({"all": count}, data_dir)
        for path in list((data_dir / "all").iterdir()):
            path.rename(data_dir / path.name)
        (data_dir / "all").rmdir()
        return data_dir

    return make


LABELLED = "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(6))
ONE_CLASS = "".join(f"{number}.png,a\n" for number in range(6))
ELSEWHERE = "".join(f"q{number}.png,{'ab'[number % 2]}\n" for number in range(6))


@pytest.mark.parametrize("text", [LABELLED, ONE_CLASS, ELSEWHERE], ids=["fits", "one", "elsewhere"])
def test_a_label_file_is_not_parsed_again_at_each_view(workspace, make_heap, monkeypatch, text):
    labelled_folder(workspace, make_heap, text)
    read = count_tables(monkeypatch)
    at = open_page(DATA, dataset="mine")
    assert not at.exception
    # Once for the scan and once for the plan, which is drawn beside it or because of its failure.
    assert read == ["labels.csv"] * 2
    for page in (DATA, TRAIN, "pages/4_Evaluate.py"):
        at.switch_page(page).run()
        assert not at.exception
        open_page(page, dataset="mine")  # in another tab
    open_page(dataset="mine")
    open_page(DATA, dataset="mine", data_tabs="Label")
    assert read == ["labels.csv"] * 2


def test_classes_to_add_to_are_read_once_for_all_views(workspace, make_heap, monkeypatch):
    labelled_folder(workspace, make_heap, LABELLED)
    read = count_tables(monkeypatch)
    for _ in range(3):
        assert scans.read_class_names(workspace, workspace.datasets_dir / "mine") == ["a", "b"]
    assert read == ["labels.csv"]


def test_a_label_file_that_was_written_to_is_read_again(workspace, make_heap):
    data = labelled_folder(workspace, make_heap, ONE_CLASS)
    project = Project("mine", "Mine", data, True)
    with pytest.raises(DatasetError, match="at least 2"):
        scans.load_raw(workspace, project)
    before = data.stat().st_mtime_ns
    (data / "labels.csv").write_text("file,label\n" + LABELLED)  # the folder does not change
    assert data.stat().st_mtime_ns == before
    assert scans.load_raw(workspace, project).class_counts() == {"a": 3, "b": 3}
    assert scans.read_plan(workspace, project).chosen.class_counts == {"a": 3, "b": 3}
    os.utime(data / "labels.csv", ns=(1, 1))
    (data / "labels.csv").write_text("file,label\n" + LABELLED.replace(",b", ",c"))
    os.utime(data / "labels.csv", ns=(2, 2))  # of the same size, at another time
    assert scans.load_raw(workspace, project).class_counts() == {"a": 3, "c": 3}
    assert scans.read_plan(workspace, project).chosen.class_counts == {"a": 3, "c": 3}


def kept_by(root, numbers, kept, made):
    for number in numbers:
        kept.get_or_make(root / "datasets" / str(number), (1,), lambda: made.append(1) or "x")


def test_who_has_many_projects_has_those_of_others_made_again_no_more_often(host):
    mine, other = new_visitor(host), new_visitor(host)
    made, kept = [], scans._Kept(2)
    number = Limits().visitors  # as many are kept in a demo
    kept_by(other.root, [0], kept, made)
    kept_by(mine.root, range(2 * number), kept, made)
    made.clear()
    kept_by(other.root, [0], kept, made)
    assert made == []
    kept_by(mine.root, range(number + 1, 2 * number), kept, made)
    assert made == []
    kept_by(mine.root, [number], kept, made)
    assert made == [1]


def test_a_failure_is_kept_for_a_minute_and_holds_nothing_of_who_saw_it(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(scans, "time", SimpleNamespace(monotonic=lambda: clock.now))
    kept, tried = scans._Kept(2), []

    def fail():
        tried.append(clock.now)
        raise UnlabelledError("No classes.", remedy="unlabelled")

    seen = []
    for clock.now in (0.0, 59.0, 59.5, 60.0, 61.0):
        with pytest.raises(UnlabelledError, match="No classes") as told:
            kept.get_or_make(tmp_path, (1,), fail)
        assert told.value.remedy == "unlabelled"
        seen.append(told.value)
    assert tried == [0.0, 60.0]
    assert len({id(one) for one in seen}) == 5
    assert all(entry.error.__traceback__ is None for entry in kept._entries.values())
    with pytest.raises(UnlabelledError):
        kept.get_or_make(tmp_path, (2,), fail)  # the folder has changed
    assert tried == [0.0, 60.0, 61.0]
