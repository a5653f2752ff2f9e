"""Files that are made when they are asked for: one at a time, and nobody waits for a flood."""

import asyncio
import threading
import time
import uuid
from types import SimpleNamespace

import pytest
from demo_helpers import run_async
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from tl_core import fair_turns
from ui.hosted import downloads as module
from ui.hosted.downloads import Downloads, watch
from ui.hosted.turns import Page


@pytest.fixture
def manager(monkeypatch):
    monkeypatch.setattr(MediaFileManager, "execute_deferred", MediaFileManager.execute_deferred)
    return MediaFileManager(MemoryMediaFileStorage("/media"))


def deferred(manager, make):
    """Return the id of a file that is made by ``make`` when it is asked for."""
    return manager.add_deferred(make, "application/zip", str(uuid.uuid4()), "a.zip")


@pytest.mark.parametrize(
    "flood",
    [
        [("flood", "192.0.2.1")] * 20,
        [(f"fresh{number}", "192.0.2.66") for number in range(20)],  # a new cookie each time
    ],
    ids=["of one visitor", "of one address"],
)
def test_files_are_made_one_at_a_time_and_who_asked_once_does_not_wait_for_who_asks_often(
    manager, flood
):
    downloads = Downloads()
    watch(downloads)
    lock, all_ask, order, at_once = threading.Lock(), threading.Event(), [], []

    def maker(name):
        def make():
            at_once.append(lock.acquire(blocking=False))
            all_ask.wait(60)
            time.sleep(0.05)  # what takes no time is not counted
            order.append(name)
            lock.release()
            return b"a zip"

        return make

    async def ask(visitor, address):
        file_id = deferred(manager, maker(visitor))
        await downloads.wait(Page(visitor, address), file_id)
        address = await asyncio.to_thread(manager.execute_deferred, file_id)
        assert address.startswith("/media/")

    async def ask_all():
        asked = [asyncio.create_task(ask(*names)) for names in [*flood, ("visitor", "192.0.2.1")]]
        await asyncio.sleep(0)
        all_ask.set()
        await asyncio.gather(*asked)

    run_async(ask_all())
    assert all(at_once)
    assert len(order) == 21
    assert order.index("visitor") <= 1


def test_what_was_made_long_ago_does_not_count(manager, monkeypatch):
    """Who had made much, such as a school behind one address, would wait for all strangers."""
    now = [0.0]
    monkeypatch.setattr(fair_turns, "time", SimpleNamespace(monotonic=lambda: now[0]))
    downloads = Downloads()

    async def make(name, seconds):
        await downloads.wait(Page(name, name), name)
        downloads.began(name)
        now[0] += seconds
        downloads.ended(name)

    async def ask():
        for _ in range(60):
            await make("school", 1.0)
        await make("stranger", 0.1)
        now[0] += 300  # fifteen times that of which half is forgotten
        await make("stranger", 0.1)
        order = []
        held = Page("other", "other")
        await downloads.wait(held, "other")
        asked = []
        for name in ("stranger", "school"):
            asked.append(asyncio.create_task(make(name, 0.0)))
            asked[-1].add_done_callback(lambda _, name=name: order.append(name))
            await asyncio.sleep(0)
        downloads.answered(held)
        await asyncio.gather(*asked)
        return order

    assert run_async(ask()) == ["school", "stranger"]


@pytest.mark.parametrize("kind", ["late", "answered"])
def test_a_file_that_is_never_made_holds_up_nobody_for_long(manager, monkeypatch, kind):
    monkeypatch.setattr(module, "START_SECONDS", 0.0 if kind == "late" else 1e9)
    downloads, gone = Downloads(), Page("gone", "x")

    async def ask():
        await downloads.wait(gone, "no file")
        if kind == "answered":  # with an error
            downloads.answered(gone)
        await asyncio.wait_for(downloads.wait(Page("visitor", "x"), "a file"), 60)

    run_async(ask())


def test_a_file_that_is_made_for_a_closed_page_is_waited_for(manager):
    downloads, gone, made = Downloads(), Page("gone", "x"), threading.Event()
    watch(downloads)
    begun = threading.Event()

    def make():
        begun.set()
        made.wait(60)
        return b"a zip"

    async def ask():
        file_id = deferred(manager, make)
        await downloads.wait(gone, file_id)
        making = asyncio.create_task(asyncio.to_thread(manager.execute_deferred, file_id))
        await asyncio.to_thread(begun.wait, 60)
        downloads.answered(gone)
        other = asyncio.create_task(downloads.wait(Page("visitor", "x"), "other"))
        await asyncio.sleep(0)
        was_done = other.done()
        made.set()
        await asyncio.gather(making, other)
        return was_done

    assert run_async(ask()) is False


def test_a_file_that_cannot_be_made_gives_way_too(manager):
    downloads = Downloads()
    watch(downloads)

    async def ask():
        await downloads.wait(Page("visitor", "x"), "nobody's")
        with pytest.raises(Exception, match="not found"):
            manager.execute_deferred("nobody's")
        await asyncio.wait_for(downloads.wait(Page("visitor", "x"), "other"), 60)

    run_async(ask())


def test_files_that_were_made_before_do_not_pile_up(manager):
    watch(Downloads())
    for number in range(10):
        content = bytes([number]) * 1000
        manager.execute_deferred(deferred(manager, lambda content=content: content))
    assert len(manager._storage._files_by_id) <= 3
