"""What visitors may use of the disk: of their own, of their address, and of all."""

import os
import time

import pytest
from demo_helpers import new_visitor, put, start_demo

from tl_core.errors import LimitError
from tl_core.visitors import usage as module
from tl_core.visitors.store import end_visitor, open_visitor
from tl_core.visitors.tokens import issue_token
from tl_core.visitors.usage import (
    Usage,
    allowance,
    check_photos,
    check_room,
    total_usage,
    usage,
)
from tl_core.workspace import Workspace

MB = 1_000_000


def come(host, address):
    return open_visitor(host, issue_token(host), address)


def add(workspace, num_photos, num_bytes=0):
    """Add photos as an upload does, if that is allowed; return why not, or an empty text."""
    try:
        check_photos(workspace, num_photos, num_photos * num_bytes)
    except LimitError as error:
        return str(error)
    for _ in range(num_photos):
        put(workspace, f"datasets/pets/cat/{time.time_ns()}.jpg", num_bytes)
    return ""


def test_what_is_shared_is_not_counted(host):
    mine = new_visitor(host)
    before = usage(mine).num_bytes
    put(mine, "datasets/pets/cat/1.jpg", 25_000)
    put(mine, "cache/features.sqlite", 500)
    shared = put(host, "datasets/sample/cat/1.jpg", 9000)
    (mine.datasets_dir / "sample").mkdir()
    os.link(shared, mine.datasets_dir / "sample" / "1.jpg")
    folders = 5  # datasets, pets, cat, sample and cache, of 10,000 bytes as the small file
    assert usage(mine) == Usage(1, before + 25_000 + 10_000 + folders * 10_000)


def test_photos_that_are_being_unpacked_take_room_but_are_not_photos_yet(host):
    mine = new_visitor(host)
    before = usage(mine).num_bytes
    put(mine, "datasets/.pets.tmp/cat/1.jpg", 25_000)
    assert usage(mine) == Usage(0, before + 25_000 + 3 * 10_000)  # and three folders


def test_each_limit_on_photos_and_bytes_is_named(monkeypatch, tmp_path):
    host = start_demo(
        monkeypatch, tmp_path / "demo", photos=5, visitor_mb=2, all_photos=8, disk_mb=3
    )
    mine, other = new_visitor(host), new_visitor(host)
    check_photos(mine, 5, 1_000_000)
    with pytest.raises(LimitError, match="allows 5 photos of a visitor; this would be 6"):
        check_photos(mine, 6, 0)
    with pytest.raises(LimitError, match="allows 2 MB of a visitor"):
        check_photos(mine, 1, 2_000_000)
    for number in range(4):
        put(other, f"datasets/a/{number}.jpg", 250_000)
        put(other, f"runs/{number}", 250_000)
    monkeypatch.setattr(module, "_totals", {})
    with pytest.raises(LimitError, match="allows 8 photos of all visitors"):
        check_photos(mine, 5, 0)
    with pytest.raises(LimitError, match="allows 3 MB of all visitors"):
        check_photos(mine, 1, 1_100_000)
    put(mine, "runs/large", 1_100_000)
    monkeypatch.setattr(module, "_totals", {})
    with pytest.raises(LimitError, match="allows 3 MB of all visitors"):
        check_room(mine)
    new_visitor(host)  # who only looks needs no room
    check_photos(Workspace(tmp_path / "studio"), 10**6, 10**12)  # nobody's


def test_empty_folders_fill_what_a_visitor_may_use(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=1)
    mine = new_visitor(host)
    for number in range(100):
        (mine.datasets_dir / str(number) / "empty").mkdir(parents=True)
    with pytest.raises(LimitError, match="allows 1 MB of a visitor"):
        check_room(mine)


def test_who_has_many_files_is_looked_at_less_often_and_costs_others_little(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo")
    now, looked = [1000.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    many, few = new_visitor(host), new_visitor(host)

    def look(workspace):
        looked.append(workspace.root)
        now[0] += 2.0 if workspace == many else 0.01
        return Usage(1, 1)

    monkeypatch.setattr(module, "usage", look)
    for _ in range(800):
        assert total_usage(host) == Usage(2, 2)
        now[0] += 1
    assert looked.count(many.root) == 2  # each 400 seconds
    assert 24 <= looked.count(few.root) <= 27


def test_at_each_look_some_visitors_are_looked_at(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo")
    now, looked = [1000.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for _ in range(10):
        new_visitor(host)

    def look(workspace):
        looked.append(workspace.root)
        now[0] += 0.09
        return Usage(1, 1)

    monkeypatch.setattr(module, "usage", look)
    total_usage(host)
    assert len(looked) == 10  # nothing is known yet
    now[0] += 30
    total_usage(host)
    assert len(looked) == 13  # for a fifth of a second, and the last one to its end


def test_an_address_fills_its_share_with_any_number_of_cookies_and_leaves_some_for_others(
    monkeypatch, tmp_path
):
    host = start_demo(monkeypatch, tmp_path / "demo", photos=50, all_photos=90)
    flood = [add(come(host, "192.0.2.66"), 20) for _ in range(4)]  # within a second
    # Of 90, one address has up to twice what is free: 60.
    assert flood[:3] == ["", "", ""]
    assert (
        "90 photos of all visitors, of which those of your network address may have 60"
        in (flood[3])
    )
    assert total_usage(host).num_photos == 60
    # 30 are free: of another address n with n <= 2 * (30 - n), which is 20.
    other = come(host, "192.0.2.1")
    assert allowance(other).num_photos == 20
    assert "of which those of your network address may have 20" in add(other, 21)
    assert add(other, 20) == ""
    assert add(come(host, "192.0.2.2"), 6) == ""  # 6 <= 2 * (10 - 6)
    assert "may have 60 at the moment" in add(come(host, "192.0.2.66"), 1)


def test_bytes_are_shared_like_photos_by_whatever_they_are_used(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=5, disk_mb=9)
    first, second = come(host, "192.0.2.66"), come(host, "192.0.2.66")
    put(first, "runs/one", 4 * MB)
    check_room(first)
    put(second, "cache/features.sqlite", 2 * MB)
    with pytest.raises(LimitError, match="9 MB of all visitors, of which those of your network"):
        check_room(second)
    check_room(come(host, "192.0.2.1"))
    assert 1.9 * MB < allowance(come(host, "192.0.2.1")).num_bytes <= 2 * MB
    end_visitor(first)
    check_room(second)


def test_where_no_address_is_known_all_may_be_used(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", all_photos=90)
    assert add(new_visitor(host), 85) == ""
    assert allowance(new_visitor(host)).num_photos == 5


def test_what_others_use_is_read_again_after_a_while(monkeypatch, tmp_path):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    host = start_demo(monkeypatch, tmp_path / "demo")
    mine, other = new_visitor(host), new_visitor(host)
    assert total_usage(host).num_photos == 0
    check_photos(mine, 2, 0)  # and then are not stored
    put(other, "datasets/pets/cat/1.jpg", 1)
    assert total_usage(host).num_photos == 2
    now[0] += 30
    assert total_usage(host).num_photos == 1


@pytest.mark.parametrize("total", [14_480, 14_492, 14_522])
def test_what_an_address_is_told_does_not_tell_how_many_photos_others_add(
    monkeypatch, tmp_path, total
):
    """(2 x 5,520 - 9,000) / 3 are 680: who has 9,000 photos knew to one how many others had."""
    start_demo(monkeypatch, tmp_path / "demo")
    assert module._left("all_photos", 1, total, 9_000).least == 650
