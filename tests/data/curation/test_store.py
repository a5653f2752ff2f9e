"""Decisions about single images: obeyed by the scan, taken back, kept for other processes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Thread

import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.data.curation.store import (
    Decision,
    Decisions,
    apply_decisions,
    decisions_path,
    edit_decisions,
    load_dataset,
    load_decisions,
    validate,
)
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.errors import DatasetError, LimitError
from tl_core.workspace import Workspace


@pytest.fixture
def index(make_dataset) -> DatasetIndex:
    return scan_dataset(make_dataset({"cat": 3, "dog": 3}))


def exclude(index: DatasetIndex, path: str) -> Decision:
    return Decision(path, sha_of(index, path), "exclude")


def relabel(index: DatasetIndex, path: str, class_name: str) -> Decision:
    return Decision(path, sha_of(index, path), "relabel", class_name)


def sha_of(index: DatasetIndex, path: str) -> str:
    return next(record.sha256 for record in index.records if record.path == path)


def labelled(index: DatasetIndex) -> list[tuple[str, str]]:
    return [(record.path, index.class_names[record.label]) for record in index.records]


def test_an_excluded_image_is_gone_and_a_relabelled_one_sorted_into_its_new_class(index) -> None:
    paths = [record.path for record in index.records]
    decisions = Decisions().decide(
        "two of them", [exclude(index, paths[0]), relabel(index, paths[1], "dog")]
    )
    applied = apply_decisions(index, decisions)
    assert labelled(applied) == [
        (paths[2], "cat"),
        (paths[1], "dog"),
        *((path, "dog") for path in paths[3:]),
    ]
    assert applied.num_ignored["decision_exclude"] == 1
    assert applied.fingerprint != index.fingerprint
    assert applied.decisions_fingerprint == decisions.fingerprint != ""


def test_a_later_decision_replaces_an_earlier_one_and_keep_takes_it_back(index) -> None:
    path = index.records[0].path
    decisions = Decisions().decide("out", [exclude(index, path)])
    decisions = decisions.decide("no, a dog", [relabel(index, path, "dog")])
    assert labelled(apply_decisions(index, decisions))[2] == (path, "dog")
    decisions = decisions.decide("as it was", [Decision(path, "", "keep")])
    assert apply_decisions(index, decisions) is index
    assert decisions.fingerprint == ""


def test_undo_and_redo_move_one_step_and_a_new_step_forgets_what_was_undone(index) -> None:
    paths = [record.path for record in index.records]
    one = Decisions().decide("first", [exclude(index, paths[0])])
    two = one.decide("second", [exclude(index, paths[1]), exclude(index, paths[4])])
    assert two.undo().current.keys() == {paths[0]}
    assert two.undo().redo() == two
    other = two.undo().decide("other", [exclude(index, paths[2])])
    assert other.redo() is other
    assert Decisions().undo() == Decisions()


def test_the_fingerprint_does_not_depend_on_the_steps_that_led_there(index) -> None:
    paths = [record.path for record in index.records]
    together = Decisions().decide("both", [exclude(index, paths[0]), exclude(index, paths[1])])
    apart = Decisions().decide("b", [exclude(index, paths[1])]).undo().redo()
    apart = apart.decide("a", [exclude(index, paths[0])])
    assert together.fingerprint == apart.fingerprint


def test_a_decision_does_not_hold_for_other_bytes_and_a_finding_says_so(index) -> None:
    path = index.records[0].path
    decisions = Decisions().decide("old", [Decision(path, "0" * 64, "exclude")])
    applied = apply_decisions(index, decisions)
    assert labelled(applied) == labelled(index)
    assert [finding.paths for finding in applied.findings if finding.kind == "stale_decisions"] == [
        (path,)
    ]


def test_a_new_class_comes_into_being_and_an_emptied_one_goes(index) -> None:
    cats = [record.path for record in index.records[:3]]
    decisions = Decisions().decide("rename", [relabel(index, path, "lion") for path in cats])
    assert apply_decisions(index, decisions).class_names == ("dog", "lion")


def test_fewer_than_two_classes_left_is_said_in_words(index) -> None:
    cats = [exclude(index, record.path) for record in index.records[:3]]
    with pytest.raises(DatasetError, match="leave 1"):
        apply_decisions(index, Decisions().decide("all cats", cats))


def test_decisions_are_found_again_by_folder_even_when_the_workspace_moves(
    tmp_path: Path, make_dataset
) -> None:
    workspace = Workspace(tmp_path / "here")
    inside = make_dataset({"cat": 2, "dog": 2}, root=workspace.datasets_dir / "pets")
    index = scan_dataset(inside)
    path = index.records[0].path
    edit_decisions(workspace, inside, lambda old: old.decide("out", [exclude(index, path)]))
    workspace.root.rename(tmp_path / "there")
    moved = Workspace(tmp_path / "there")
    assert load_decisions(moved, moved.datasets_dir / "pets").current.keys() == {path}
    assert load_dataset(moved.datasets_dir / "pets", moved).num_images == 3
    assert load_decisions(moved, tmp_path / "elsewhere") == Decisions()


def test_edits_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    workspace, data_dir = Workspace(tmp_path), tmp_path / "pets"

    def add(number: int) -> None:
        decision = Decision(f"cat/{number}.png", str(number), "exclude")
        edit_decisions(workspace, data_dir, lambda old: old.decide(str(number), [decision]))

    threads = [Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load_decisions(workspace, data_dir).current) == 12


def test_exported_decisions_read_back_equal_and_other_files_are_refused(index) -> None:
    path = index.records[0].path
    decisions = Decisions().decide("out", [exclude(index, path)])
    assert Decisions.from_json(decisions.to_json()) == decisions
    for text in ("[]", "{}", '{"schema": 99, "steps": []}', "not json"):
        with pytest.raises(DatasetError, match="Expected decisions"):
            Decisions.from_json(text)
    with pytest.raises(DatasetError, match="if the action is relabel"):
        Decisions.from_json(decisions.to_json().replace('"exclude"', '"relabel"'))


def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    workspace, data_dir = Workspace(tmp_path), tmp_path / "pets"
    path = decisions_path(workspace, data_dir)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DatasetError, match=path.name):
        edit_decisions(workspace, data_dir, lambda old: old.decide("x", []))
    assert path.read_text() == "{"


@pytest.mark.parametrize(
    ("action", "class_name"),
    [("relabel", ""), ("relabel", None), ("exclude", "dog"), ("forget", None), ("relabel", 7)],
)
def test_a_decision_that_could_not_be_read_again_is_not_made(action, class_name) -> None:
    with pytest.raises(DatasetError, match="Expected"):
        Decision("cat/0.png", "0" * 64, action, class_name)


_PLAIN = '{"path": "cat/0.png", "sha256": "0", "action": "relabel", "class_name": "dog"}'


@pytest.mark.parametrize(
    "text",
    [
        _PLAIN.replace('"cat/0.png"', '["cat/0.png"]'),
        _PLAIN.replace('"dog"', "7"),
        _PLAIN.replace('"dog"', '"\\ud800"'),
        _PLAIN.replace('"0"', "null"),
        _PLAIN.replace('"relabel"', '["relabel"]'),
        "7",
    ],
    ids=["path", "class", "surrogate", "sha256", "action", "number"],
)
def test_a_decision_of_other_types_is_refused_in_words(text) -> None:
    step = '{"label": "a", "time": 1, "decisions": [DECISION]}'
    file = '{"schema": 1, "steps": [' + step + "]}"
    assert Decisions.from_json(file.replace("DECISION", _PLAIN)).current.keys() == {"cat/0.png"}
    with pytest.raises(DatasetError, match="Expected decisions as this studio exports them"):
        Decisions.from_json(file.replace("DECISION", text))


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": 1, "steps": [{"label": "a", "time": Infinity, "decisions": []}]}',
        '{"schema": 1, "steps": [{"label": "a", "time": NaN, "decisions": []}]}',
        '{"schema": 1, "steps": [{"label": "a", "time": 1' + "0" * 400 + ', "decisions": []}]}',
        "[" * 100_000,
    ],
    ids=["infinite", "not a number", "huge", "deep"],
)
def test_a_time_that_is_none_and_deep_nesting_are_refused_in_words(text, tmp_path) -> None:
    with pytest.raises(DatasetError, match="Expected decisions as this studio exports them"):
        Decisions.from_json(text)
    path = decisions_path(Workspace(tmp_path), tmp_path / "pets")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DatasetError, match="Move the file away"):
        load_decisions(Workspace(tmp_path), tmp_path / "pets")


def test_a_folder_of_a_long_name_has_decisions_and_a_shorter_one_its_file_of_old(tmp_path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    for name in ("照" * 85, "a" * 195):
        decision = Decision("cat/0.png", "0", "exclude")
        edit_decisions(workspace, tmp_path / name, lambda old, one=decision: old.decide("", [one]))
        assert load_decisions(workspace, tmp_path / name).current.keys() == {"cat/0.png"}
    assert decisions_path(workspace, tmp_path / ("a" * 195)).name.startswith("a" * 195 + "-")
    apart = (decisions_path(workspace, tmp_path / ("照" * 84 + end)) for end in "ab")
    assert len(set(apart)) == 2


def test_a_folder_has_the_same_decisions_however_it_is_reached(tmp_path, monkeypatch) -> None:
    workspace = Workspace(tmp_path / "workspace")
    food, linked = tmp_path / "food", workspace.datasets_dir / "linked"
    for folder in (food, tmp_path / "here", workspace.datasets_dir):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    linked.symlink_to(food, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "here")
    decision = Decision("cat/0.png", "0", "exclude")
    edit_decisions(workspace, food, lambda old: old.decide("out", [decision]))
    for path in (Path("../food"), tmp_path / "link" / "food", linked):
        assert load_decisions(workspace, path).current.keys() == {"cat/0.png"}


def test_what_was_decided_about_a_linked_dataset_by_an_earlier_version_holds(tmp_path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    linked = workspace.datasets_dir / "linked"
    (tmp_path / "food").mkdir()
    workspace.datasets_dir.mkdir(parents=True)
    linked.symlink_to(tmp_path / "food", target_is_directory=True)
    key = hashlib.sha256(b"datasets/linked").hexdigest()[:16]
    old = workspace.decisions_dir / f"linked-{key}.json"
    old.parent.mkdir()
    old.write_text(Decisions().decide("x", [Decision("cat/0.png", "0", "exclude")]).to_json())
    edit_decisions(
        workspace, linked, lambda old: old.decide("y", [Decision("cat/1.png", "0", "exclude")])
    )
    assert load_decisions(workspace, linked).current.keys() == {"cat/0.png", "cat/1.png"}
    assert len(list(old.parent.glob("*.json"))) == 1


def test_decisions_that_leave_one_class_are_refused_before_they_are_written(index):
    dogs = [exclude(index, f"dog/{number}.png") for number in range(3)]
    two_left = Decisions().decide("2 excluded", dogs[:2])
    assert validate(index, two_left) is two_left
    with pytest.raises(DatasetError, match="would leave 1 class; a dataset needs at least 2"):
        validate(index, Decisions().decide("3 excluded", dogs))
    moved = Decisions().decide("moved", [relabel(index, f"cat/{n}.png", "dog") for n in range(3)])
    with pytest.raises(DatasetError, match="would leave 1 class"):
        validate(index, moved)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "cat/../../secret.png"])
def test_a_decision_names_no_file_outside_of_the_data_folder(path: str) -> None:
    with pytest.raises(DatasetError, match="inside its data folder"):
        Decision(path, "0", "exclude")


def decide(workspace: Workspace, data_dir: Path, decisions: list[Decision]) -> None:
    edit_decisions(workspace, data_dir, lambda before: before.decide("moved", decisions))


def many(count: int, class_name: str = "dog") -> list[Decision]:
    return [Decision(f"cat/{number}.png", "", "relabel", class_name) for number in range(count)]


def test_a_visitor_has_as_many_decisions_as_label_files_may_have_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", label_rows=10))
    data_dir = mine.datasets_dir / "pets"

    decide(mine, data_dir, many(6))
    with pytest.raises(LimitError, match=r"allows 10 rows in .*this would be 11"):
        decide(mine, data_dir, many(5))
    assert load_decisions(mine, data_dir).num_decisions == 6
    with pytest.raises(LimitError, match="this would be 13"):
        # 12,000 bytes, and over a hundred for each of the ten
        decide(mine, data_dir, many(4, "d" * 3000))
    decide(mine, data_dir, many(4))
    edit_decisions(mine, data_dir, Decisions.undo)
    edit_decisions(mine, data_dir, Decisions.redo)
    assert load_decisions(mine, data_dir).num_decisions == 10


def test_decisions_count_for_the_limit_of_a_visitor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", visitor_mb=1))
    data_dir = mine.datasets_dir / "pets"

    decide(mine, data_dir, many(40, "d" * 15_000))  # 0.6 MB
    with pytest.raises(LimitError, match=r"allows 1 MB of a visitor.*this would be 1\.2"):
        decide(mine, data_dir, many(40, "d" * 15_000))
    assert load_decisions(mine, data_dir).num_decisions == 40
