import os
import time
import zipfile
from pathlib import Path

import pytest
from demo_helpers import new_visitor, put, start_demo

from tl_core.config.training import TrainConfig
from tl_core.data.ingest.archive import ArchiveSource, extract_archives
from tl_core.data.ingest.uploads import store_uploads
from tl_core.errors import LimitError
from tl_core.jobs import client
from tl_core.jobs.handlers import FEATURES
from tl_core.jobs.queue import JobQueue
from tl_core.projects.archive import import_project
from tl_core.projects.registry import list_projects, open_folder, project_at
from tl_core.projects.relink import relink_project
from tl_core.visitors import store
from tl_core.visitors.counters import read_counters
from tl_core.visitors.store import (
    end_expired,
    end_visitor,
    exists,
    has_ended,
    list_visitors,
    open_visitor,
)
from tl_core.visitors.tokens import is_token, issue_token, token_of_user, visitor_id
from tl_core.workspace import Workspace, shared_cache_dir, visitor_at


def age(workspace, seconds):
    before = time.time() - seconds
    os.utime(workspace.root / store.VISITOR_FILE, (before, before))


def test_only_tokens_of_this_server_are_accepted(host, monkeypatch, tmp_path):
    token = issue_token(host)
    assert is_token(host, token)
    changed = ("B" if token[0] == "A" else "A") + token[1:]
    for other in (changed, token[:-1], "", None, "x" * len(token), "é" * len(token)):
        assert not is_token(host, other)
    assert not is_token(Workspace(tmp_path / "other"), token)
    assert issue_token(host) != token


def test_the_folder_of_a_workspace_does_not_give_its_token(host):
    token = issue_token(host)
    workspace = open_visitor(host, token)
    assert workspace.root.name == visitor_id(token)
    assert token not in str(workspace.root)
    assert not is_token(host, workspace.root.name)


def test_a_user_has_the_same_workspace_at_each_login(host):
    first = token_of_user(host, "https://issuer|1")
    assert is_token(host, first)
    assert token_of_user(host, "https://issuer|1") == first
    assert token_of_user(host, "https://issuer|2") != first


def test_a_visitor_comes_back_to_the_same_workspace(host):
    token = issue_token(host)
    workspace = open_visitor(host, token)
    put(workspace, "datasets/pets/cat/1.jpg", 10)
    assert open_visitor(host, token) == workspace
    assert new_visitor(host) != workspace
    assert read_counters(host)[time.strftime("%Y-%m-%d", time.gmtime())] == {"visitors": 2}


def test_paths_out_of_a_workspace_lead_nowhere(host):
    mine, other = new_visitor(host), new_visitor(host)
    secret = put(other, "datasets/pets/cat/1.jpg", 10)
    (mine.root / "link").symlink_to(other.root)
    for stored in (str(secret), f"../{other.root.name}/datasets", "link/datasets", "/etc"):
        assert not mine.resolve(stored).exists()
    own = put(mine, "datasets/pets/cat/1.jpg", 10)
    assert mine.resolve("datasets/pets/cat/1.jpg") == own


def test_a_path_belongs_to_the_visitor_whose_workspace_contains_it(host, monkeypatch):
    mine = new_visitor(host)
    assert visitor_at(mine.datasets_dir / "new" / "cat") == mine
    assert visitor_at(host.datasets_dir) is None
    assert shared_cache_dir(mine.cache_dir) == host.cache_dir
    monkeypatch.setenv("TL_MODE", "studio")
    assert visitor_at(mine.datasets_dir) is None
    assert shared_cache_dir(mine.cache_dir) == mine.cache_dir


def leave(workspace):
    """Make it so long ago that a visitor was seen that the place is free."""
    before = time.time() - store.ACTIVE_SECONDS - 1
    os.utime(workspace.root / store.PLACE_FILE, (before, before))
    age(workspace, store.ACTIVE_SECONDS + 1)


def test_places_are_limited_and_free_again_when_a_visitor_left(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=2)
    first, second, third = (new_visitor(host) for _ in range(3))
    for workspace in (first, second, first):
        store.take_place(workspace)
    assert store.num_active(host) == 2
    with pytest.raises(LimitError, match="room for 2 visitors at once"):
        store.take_place(third)
    assert store.num_active(host) == 2
    leave(first)
    store.take_place(third)
    assert store.num_active(host) == 2
    with pytest.raises(LimitError, match="all places are taken"):
        store.take_place(first)


def test_who_only_looks_takes_no_place_and_goes_first_when_there_are_many(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=1)
    worker, tokens = new_visitor(host), [issue_token(host) for _ in range(50)]
    put(worker, "datasets/pets/cat/1.jpg", 10)
    for token in tokens:  # a stranger who drops the cookie each time
        open_visitor(host, token)
    store.take_place(worker)
    assert exists(worker)
    assert len(list_visitors(host)) == store.EMPTY_EACH + 1
    assert not any(has_ended(host, token) for token in tokens)
    assert exists(open_visitor(host, tokens[0]))  # who comes back has a workspace again


def test_fresh_cookies_of_one_address_take_the_place_of_each_other(monkeypatch, tmp_path):
    """A page that is open, and waits for its map, kept its workspace for some ten seconds."""
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=2)
    looking = [open_visitor(host, issue_token(host), f"192.0.2.{number}") for number in range(3)]
    for workspace in looking:
        age(workspace, 60)
    crowd = [
        open_visitor(host, issue_token(host), f"198.51.100.{number % 2}") for number in range(50)
    ]
    assert all(exists(one) for one in looking)
    assert len(list_visitors(host)) == 2 * store.EMPTY_EACH
    assert exists(crowd[-1])
    for number in range(10, 20):  # each of another address: then who was seen longest ago goes
        open_visitor(host, issue_token(host), f"203.0.113.{number}")
    assert len(list_visitors(host)) == 2 * store.EMPTY_EACH


def test_those_with_own_data_leave_no_less_room_for_who_only_looks(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=1)
    for number in range(store.EMPTY_EACH // 2):
        put(new_visitor(host), "datasets/pets/cat/1.jpg", 10 + number)
    looking = [new_visitor(host) for _ in range(store.EMPTY_EACH)]
    assert all(exists(one) for one in looking)
    open_visitor(host, issue_token(host))
    assert sum(exists(one) for one in looking) == store.EMPTY_EACH - 1


def test_adding_photos_and_starting_work_take_a_place_and_keep_it(
    monkeypatch, tmp_path, make_dataset
):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=1, backbones="tiny")
    token = issue_token(host)
    mine, other = open_visitor(host, token), new_visitor(host)
    photo = make_dataset({"cat": 1}, tmp_path / "photos") / "cat" / "0.png"
    data = photo.read_bytes()
    store_uploads([("1.png", data)], mine.datasets_dir / "pets", class_name="cat")
    assert store.has_place(mine)
    refused = pytest.raises(LimitError, match="room for 1 visitors at once")
    with refused:
        store_uploads([("1.png", data)], other.datasets_dir / "pets", class_name="cat")
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(photo, "cat/1.png")
    with refused:
        extract_archives([ArchiveSource(archive, archive.name)], other.datasets_dir / "pets")
    config = TrainConfig(backbone="tiny")
    with refused:
        client.submit(other, "train", {})
    with pytest.raises(OSError, match="no worker in tests"):  # it is queued: made in advance
        client.request(other, FEATURES, config, "datasets/sample")
    assert [job.kind for job in JobQueue(other).jobs()] == [FEATURES]
    for _ in range(3):  # seen now and then: the place is kept
        before = time.time() - 400
        for name in (store.PLACE_FILE, store.VISITOR_FILE):
            os.utime(mine.root / name, (before, before))
        open_visitor(host, token)
        assert store.has_place(mine)
    leave(mine)
    open_visitor(host, token)
    assert not store.has_place(mine)


def test_the_places_of_one_network_address_are_limited_where_the_operator_says_so(
    monkeypatch, tmp_path
):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=10, address_visitors=2)
    here = [open_visitor(host, issue_token(host), "192.0.2.1") for _ in range(3)]
    for workspace in here[:2]:
        store.take_place(workspace)
    with pytest.raises(LimitError, match="allows 2 visitors at once from one network address"):
        store.take_place(here[2])
    for address in ("192.0.2.2", "", "", ""):  # another, and those of which none is known
        store.take_place(open_visitor(host, issue_token(host), address))
    assert "192.0.2" not in (here[0].root / store.VISITOR_FILE).read_text()
    monkeypatch.setenv("TL_DEMO_ADDRESS_VISITORS", "0")
    store.take_place(here[2])


def test_an_address_with_many_places_gives_one_up_when_all_are_taken(monkeypatch, tmp_path):
    """Cookies cost nothing: one stranger had all places of a demo, and everybody else had none."""
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=6)

    def visitors(address, number):
        return [open_visitor(host, issue_token(host), address) for _ in range(number)]

    crowd, refused = visitors("198.51.100.1", 7), pytest.raises(LimitError, match="all places are")
    for workspace in crowd[:6]:
        store.take_place(workspace)
        work_ago(workspace, 40)
    for place in (0, 1, 3, 4, 5):
        store.take_place(crowd[place])  # they add more photos
    others = visitors("192.0.2.1", 4)
    store.take_place(others[0])
    assert [store.has_place(one) for one in crowd] == [True, True, False, True, True, True, False]
    store.take_place(others[1])
    store.take_place(others[2])
    for workspace in (others[3], crowd[2], crowd[6]):  # 3 and 3: each address has its half
        with refused:
            store.take_place(workspace)
    work_ago(others[1], 30)
    alone = visitors("203.0.113.1", 1)[0]
    store.take_place(alone)
    assert [store.has_place(one) for one in others] == [True, False, True, False]
    with refused:  # 3, 2 and 1: nobody may take a place to have as many as who loses it
        store.take_place(others[1])
    assert store.has_place(alone)
    assert store.num_active(host) == 6


def work_ago(workspace, seconds):
    """Have a visitor's last work be so long ago, who was seen since then."""
    place = workspace.root / store.PLACE_FILE
    os.utime(place, (time.time() - seconds, time.time()))
    age(workspace, 60)


def test_to_be_seen_is_no_work(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitors=2)
    tokens = [issue_token(host) for _ in range(2)]
    first, second = (open_visitor(host, token, "198.51.100.1") for token in tokens)
    for workspace in (first, second):
        store.take_place(workspace)
        work_ago(workspace, 40)
    work_ago(first, 41)
    open_visitor(host, tokens[0], "198.51.100.1")  # its page is open
    store.take_place(open_visitor(host, issue_token(host), "192.0.2.1"))
    assert [store.has_place(one) for one in (first, second)] == [False, True]


def test_the_address_is_that_of_the_last_time(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", address_visitors=1)
    token = issue_token(host)
    mine = open_visitor(host, token, "192.0.2.1")
    age(mine, 60)
    open_visitor(host, token, "192.0.2.9")
    store.take_place(mine)
    store.take_place(open_visitor(host, issue_token(host), "192.0.2.1"))
    with pytest.raises(LimitError, match="one network address"):
        store.take_place(open_visitor(host, issue_token(host), "192.0.2.9"))


def test_deleting_a_workspace_takes_everything_and_its_token(host):
    token = issue_token(host)
    mine, other = open_visitor(host, token), new_visitor(host)
    put(mine, "datasets/pets/cat/1.jpg", 10)
    end_visitor(mine)
    assert not mine.root.exists()
    assert {path.name for path in host.visitors_dir.iterdir()} == {".ended", other.root.name}
    assert has_ended(host, token)
    assert list_visitors(host) == [other]


def test_data_expire_and_empty_workspaces_sooner(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", hours=2)
    tokens = [issue_token(host) for _ in range(4)]
    fresh, used, empty, old = (open_visitor(host, token) for token in tokens)
    for workspace in (used, old):
        put(workspace, "runs/first/status.json", 10)
    for workspace in (used, empty):
        age(workspace, store.EMPTY_SECONDS + 60)
    age(old, 2 * 3600 + 60)
    assert {one.root for one in end_expired(host)} == {empty.root, old.root}
    assert exists(fresh)
    assert exists(used)
    assert [has_ended(host, token) for token in tokens] == [False, False, False, True]


def test_a_workspace_without_own_data_leaves_nothing_when_it_is_deleted(host):
    token = issue_token(host)
    for _ in range(3):  # in a loop, with one cookie or a new one each time
        end_visitor(open_visitor(host, token))
        end_visitor(new_visitor(host))
    assert list(host.visitors_dir.iterdir()) == []
    assert not has_ended(host, token)


@pytest.mark.parametrize(
    ("most", "known"),
    [(3, [False, True, False, True, True]), (9, [True, True, False, True, True])],
    ids=["too many", "too old"],
)
def test_of_workspaces_that_ended_the_oldest_are_forgotten(host, monkeypatch, most, known):
    monkeypatch.setattr(store, "MOST_ENDED", most)
    tokens = [issue_token(host) for _ in range(5)]
    for days, token in zip((4, 2, 15, 1, 3), tokens, strict=True):
        mine = open_visitor(host, token)
        put(mine, "presets/one.json", 10)
        end_visitor(mine)
        marker, then = host.visitors_dir / ".ended" / mine.root.name, time.time() - days * 86400
        os.utime(marker, (then, then))
    end_expired(host)
    assert [has_ended(host, token) for token in tokens] == known


def test_what_an_interrupted_deletion_left_is_removed(host):
    left = put(host, "visitors/.gone-abc-1/datasets/x.jpg", 5).parents[1]
    late = put(host, f"visitors/{'a' * 32}/queue/1.progress.json", 5).parents[1]
    before = time.time() - store._REMAINS_SECONDS - 10
    for folder in (left, late):
        os.utime(folder, (before, before))
    end_expired(host)
    assert not left.exists()
    assert not late.exists()


def test_folders_of_the_server_are_not_opened_whatever_is_sent(host, tmp_path):
    mine, other = new_visitor(host), new_visitor(host)
    theirs = put(other, "datasets/pets/cat/1.jpg", 10).parents[1]
    for folder in (theirs, Path("/etc"), host.root):
        with pytest.raises(LimitError, match="opens no folders"):
            open_folder(mine, folder)
        with pytest.raises(LimitError, match="opens no folders"):
            relink_project(mine, project_at(mine, folder), folder)
    with pytest.raises(LimitError, match="imports no projects"):
        import_project(mine, tmp_path / "bundle.zip")
    assert list_projects(mine) == []
