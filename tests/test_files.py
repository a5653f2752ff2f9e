import os
import sys
import time
from pathlib import Path

import pytest
from conftest import FakeClock

from tl_core import files
from tl_core.errors import TakenError
from tl_core.files import (
    delete_folder,
    delete_stale_files,
    keep_newest,
    new_folder,
    parse_json,
    read_json,
    replacing,
    retry_on_windows_lock,
    scratch_folder,
    write_bytes,
    write_json,
    write_text,
)


def test_what_was_written_is_read_back_and_nothing_else_stays(tmp_path):
    write_json(tmp_path / "deep" / "value.json", {"Käse": [1, 2.5, None]})
    assert read_json(tmp_path / "deep" / "value.json") == {"Käse": [1, 2.5, None]}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["value.json"]


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_the_temporary_name_is_hidden_and_beside_the_file(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")


def test_a_number_that_json_does_not_know_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "value.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def held_open(monkeypatch, function, times):
    """Make a function of os say so many times that another process has the file open."""
    real, refusals = getattr(os, function), iter(range(times))

    def refuse(*args, **kwargs):
        if next(refusals, None) is not None:
            raise PermissionError(13, "The process cannot access the file")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, function, refuse)


def test_on_windows_a_file_that_is_just_being_read_is_replaced_a_moment_later(
    tmp_path, monkeypatch
):
    write_bytes(tmp_path / "status.json", b"old")
    monkeypatch.setattr(sys, "platform", "win32")
    held_open(monkeypatch, "replace", 3)
    write_bytes(tmp_path / "status.json", b"new")
    assert (tmp_path / "status.json").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_on_windows_a_file_that_stays_open_is_given_up_within_two_seconds(tmp_path, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(files, "time", clock)
    write_bytes(tmp_path / "status.json", b"old")
    monkeypatch.setattr(sys, "platform", "win32")
    held_open(monkeypatch, "replace", 10**6)
    with pytest.raises(PermissionError):
        write_bytes(tmp_path / "status.json", b"new")
    assert 0.9 < clock.now < 2
    assert (tmp_path / "status.json").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_elsewhere_a_refusal_is_final(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    calls = []

    def refuse():
        calls.append(1)
        raise PermissionError

    with pytest.raises(PermissionError):
        retry_on_windows_lock(refuse)
    assert calls == [1]


def test_only_what_was_left_behind_a_day_ago_is_swept_away(tmp_path):
    mark = "0123456789abcdef" * 2
    ours = [f".{mark}.incoming", f".sample.{mark}.tmp", f".{mark}.tmp", f".run.{mark}.deleted"]
    theirs = [".notes.tmp", f"{mark}.tmp", f".{mark}.txt", f".{mark[1:]}.tmp", "run"]
    young = f".young.{mark}.tmp"
    for name in (*ours, *theirs, young):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    (tmp_path / f".weights.h5.{mark}.tmp").write_bytes(b"x")
    yesterday = time.time() - 25 * 3600
    for path in tmp_path.iterdir():
        if path.name != young:
            os.utime(path, (yesterday, yesterday))
    delete_stale_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*theirs, young])
    delete_stale_files(tmp_path / "nowhere")


def test_the_folder_is_hidden_beside_its_aim_and_gone_afterwards(tmp_path: Path) -> None:
    out_dir = tmp_path / "datasets" / "pets"
    with scratch_folder(out_dir) as folder:
        (folder / "1.jpg").write_bytes(b"x")
        assert folder.parent == out_dir.parent
        assert folder.name.startswith(".")
    assert list(out_dir.parent.iterdir()) == []


def test_an_error_inside_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path / "pets") as folder:
            (folder / "cats").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_that_is_filled_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path / "pets") as folder:
        (folder / "1.jpg").write_bytes(b"x")
        assert not (tmp_path / "pets").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["pets", "1.jpg"]


def test_what_a_killed_process_left_is_swept_away_a_day_later(tmp_path: Path) -> None:
    left_behind = tmp_path / f".{'a' * 32}.incoming"
    left_behind.mkdir()
    (left_behind / "1.jpg").write_bytes(b"x")
    with scratch_folder(tmp_path / "pets"):
        assert left_behind.exists()
    long_ago = time.time() - 25 * 3600
    os.utime(left_behind, (long_ago, long_ago))
    with scratch_folder(tmp_path / "pets"):
        assert not left_behind.exists()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    out_dir = tmp_path / "pets"
    out_dir.mkdir()
    with new_folder(out_dir) as folder:
        (folder / "1.jpg").write_bytes(b"x")
    assert [path.name for path in out_dir.iterdir()] == ["1.jpg"]


@pytest.mark.parametrize("kind", ["full folder", "file", "dangling link"])
@pytest.mark.parametrize("is_early", [True, False])
def test_what_is_there_already_is_never_replaced(tmp_path: Path, kind: str, is_early: bool) -> None:
    out_dir = tmp_path / "pets"
    folder = new_folder(out_dir)
    if not is_early:
        (folder.__enter__() / "1.jpg").write_bytes(b"x")
    if kind == "full folder":
        out_dir.mkdir()
        (out_dir / "mine.jpg").write_bytes(b"x")
    elif kind == "file":
        out_dir.write_bytes(b"x")
    else:
        out_dir.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TakenError, match="'pets' is there"):
        folder.__enter__() if is_early else folder.__exit__(None, None, None)
    assert out_dir.is_symlink() or out_dir.exists()
    if kind == "full folder":
        assert [path.name for path in out_dir.iterdir()] == ["mine.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_a_deleted_folder_is_gone_at_once_even_when_a_file_in_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("tl_core.files.shutil.rmtree", lambda *_, **__: None)
    delete_folder(tmp_path / "run")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.")
    assert left.name.endswith(".deleted")
    with pytest.raises(FileNotFoundError):
        delete_folder(tmp_path / "run")


def test_all_but_the_newest_of_a_pattern_are_removed(tmp_path: Path) -> None:
    for age, name in enumerate(("new.json", "notes.txt", "older.json", "oldest.json")):
        path = tmp_path / name
        path.mkdir() if name == "oldest.json" else path.write_bytes(b"x")
        os.utime(path, (1e9 - age, 1e9 - age))
    keep_newest(tmp_path, "*.json", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.json", "notes.txt"]
    keep_newest(tmp_path / "nowhere", "*", 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "too deeply"),
        ("[" * 65 + "]" * 65, "too deeply"),
        ('{"a": ' * 65 + "1" + "}" * 65, "too deeply"),
        ("[NaN]", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "out of range"),
        ("0." + "1" * 4_299, "a number of 4,301 characters"),
        ("1e" + "9" * 4_298, "1e9{38}, which is out of range"),
        (r'["\ud800"]', "character"),
        (r'{"a\u0000b": 1}', "character"),
        ("", "Expecting value"),
    ],
)
def test_json_that_cannot_be_used_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_sound_json_is_read_as_it_is() -> None:
    assert parse_json("[" * 64 + "]" * 64) is not None
    assert parse_json("0." + "1" * 4_298) == pytest.approx(1 / 9)
    assert parse_json(r'["\ud83c\udf55", "\\ud800", 1.5e10, true, null]') == [
        "\N{SLICE OF PIZZA}",
        r"\ud800",
        1.5e10,
        True,
        None,
    ]
