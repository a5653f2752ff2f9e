import streamlit as st
from demo_helpers import new_visitor

from tl_core.data.dataset import scan_dataset
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
