"""What a stranger may send to the server of a demo: uploads, connections and messages."""

import asyncio
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from demo_helpers import run_async
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionManager

from ui.hosted import paces, traffic
from ui.hosted.downloads import Downloads
from ui.hosted.paces import Paces
from ui.hosted.traffic import (
    Sessions,
    Tabs,
    messages_of_pages,
    messages_to_pages,
    watch_kept,
)
from ui.hosted.turns import Page, Turns

MB = 1_000_000


async def nothing(*_):
    """Stand for an app that answers at once, and for a browser that sends nothing."""


async def never(*_):
    await asyncio.Event().wait()


def test_tabs_are_counted_for_each_visitor_and_for_all(host, monkeypatch):
    monkeypatch.setenv("TL_DEMO_TABS", "2")
    monkeypatch.setenv("TL_DEMO_VISITORS", "1")
    tabs = Tabs()
    with tabs.opened("a"), tabs.opened("a"):
        assert tabs.refusal("a") is None  # a page that is loaded again
        with tabs.opened("a"):
            assert "allows 2 open tabs of a visitor" in tabs.refusal("a")
            assert tabs.refusal("b") is None
            with tabs.opened("b"), tabs.opened(""):
                assert "as many open pages as it can serve" in tabs.refusal("b")
    assert tabs.refusal("a") is None


def test_when_all_pages_are_open_who_has_most_or_left_one_idle_gives_way(host, monkeypatch):
    monkeypatch.setenv("TL_DEMO_VISITORS", "1")
    now = [1000.0]
    monkeypatch.setattr(traffic.time, "monotonic", lambda: now[0])

    async def attack():
        tabs = Tabs()
        with ExitStack() as stack:

            def come(name, address):
                now[0] += 1
                return stack.enter_context(tabs.opened(name, address))

            flood = [come(f"fresh{number}", "192.0.2.66") for number in range(traffic.TABS_EACH)]
            visitor = come("visitor", "192.0.2.1")
            assert tabs.refusal("another", "192.0.2.66") is not None  # has most already
            assert tabs.refusal("another", "192.0.2.2") is None
            come("another", "192.0.2.2")
            assert [one.is_given_up.is_set() for one in flood] == [True, False, False, False]
            for number in range(10):  # they come again: only their own give way
                if tabs.refusal("fresh", "192.0.2.66") is None:
                    come(f"again{number}", "192.0.2.66")
            assert not visitor.is_given_up.is_set()
            now[0] += traffic.IDLE_SECONDS + 1
            receive, _ = visitor.messages(nothing, nothing)
            await receive()  # the visitor clicks
            assert tabs.refusal("third", "192.0.2.66") is None
            come("third", "192.0.2.66")
            assert not visitor.is_given_up.is_set()

    run_async(attack())


def test_a_page_that_gave_way_is_closed_and_sends_no_more(host, monkeypatch):
    async def give_way():
        sent, tab = [], traffic.Tab("a", "", 0.0)

        async def send(message):
            sent.append(message)

        closing = asyncio.create_task(tab.close_when_given_up(send))
        _, send_on = tab.messages(never, send)
        await send_on({"type": "websocket.send"})
        tab.is_given_up.set()
        await closing
        await send_on({"type": "websocket.send"})
        return sent

    assert run_async(give_way()) == [
        {"type": "websocket.send"},
        {"type": "websocket.close", "code": 1013},
    ]


def names_of_files():
    return Paces(traffic.BURST_FILES, traffic.FILES_A_SECOND)


def listen(receive):
    """Return what receives the messages of a page that nobody else competes with."""
    page = Page("visitor", "address")
    return messages_of_pages(receive, Turns(), Downloads(), names_of_files(), page)


def back_message(kind, number=0):
    message = BackMsg()
    if kind == "file_urls_request":
        message.file_urls_request.file_names.extend(["a"] * number)
    elif kind == "rerun_script":
        message.rerun_script.query_string = "a=b"
        for widget in range(number):
            message.rerun_script.widget_states.widgets.add(id=str(widget), int_value=1)
    elif kind == "deferred_file":
        message.backend_operation_request.deferred_file.file_id = "f" * number
    elif kind == "deferred_file of another":
        message.backend_operation_request.deferred_file.SetInParent()
        message.backend_operation_request.session_id = "other"
    elif kind in ("install_skills", "dismiss_skills_nudge"):
        getattr(message.backend_operation_request, kind).SetInParent()
    else:
        setattr(message, kind, True)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("kind", "number", "passes"),
    [
        ("rerun_script", 0, True),
        ("rerun_script", 1_000, True),
        ("rerun_script", 300_000, False),  # more than any page has: seconds of a core
        ("stop_script", 0, True),
        ("app_heartbeat", 0, True),
        ("deferred_file", 1_000, True),
        ("deferred_file", 1_001, False),  # the answer would repeat it, and hide that it is one
        ("deferred_file of another", 0, False),  # which would be refused, and made for nobody
        ("file_urls_request", 3_000, True),
        ("file_urls_request", 3_001, False),  # each name costs an id: seconds for all visitors
        ("clear_cache", 0, False),  # of all sessions
        ("load_git_info", 0, False),  # names of files in the operator's repository
        ("set_run_on_save", 0, False),
        ("install_skills", 0, False),  # files beside the app
        ("dismiss_skills_nudge", 0, False),
        ("debug_shutdown_runtime", 0, False),
    ],
)
def test_only_messages_about_the_own_session_reach_the_server(kind, number, passes):
    sent = [
        {"type": "websocket.receive", "bytes": back_message(kind, number)},
        {"type": "websocket.disconnect"},
    ]

    async def receive():
        return sent.pop(0)

    message = run_async(listen(receive)())
    assert (message["type"] == "websocket.receive") == passes


def with_entries(kind, number):
    """Return a message with so many entries in lists, each of two bytes, and one more."""
    message = BackMsg()
    message.rerun_script.query_string = "x" * 20_000
    if kind == "hashes":
        message.rerun_script.cached_message_hashes.extend([""] * (number + 1))
        return message.SerializeToString()
    widget = message.rerun_script.widget_states.widgets.add(id="a")  # this is the one more
    if kind == "texts":
        widget.string_array_value.data.extend([""] * number)
    else:
        for _ in range(number):
            widget.file_uploader_state_value.uploaded_file_info.add()
    return message.SerializeToString()


@pytest.mark.parametrize("kind", ["hashes", "texts", "files"])
def test_a_message_has_no_more_entries_than_any_page_has(monkeypatch, kind):
    """Two bytes each take fifty times that in memory, and time to take apart."""
    monkeypatch.setattr(traffic, "MOST_CHARS", 100_000)
    assert traffic._asked(with_entries(kind, 9_999)) is not None
    assert traffic._asked(with_entries(kind, 10_000)) is None


def test_large_messages_count_as_several(monkeypatch):
    waited = []

    class Noted(traffic.Pace):
        async def wait(self, number=1):
            waited.append(number)

    monkeypatch.setattr(traffic, "Pace", Noted)
    large = BackMsg()
    large.rerun_script.widget_states.widgets.add(id="a", string_value="x" * 120_000)
    messages = [back_message("rerun_script"), large.SerializeToString()]
    sent = [{"type": "websocket.receive", "bytes": one} for one in messages]

    async def listen_to_both():
        async def receive():
            return sent.pop(0)

        receive_next = listen(receive)
        for _ in messages:
            await receive_next()

    run_async(listen_to_both())
    assert waited == [1, 3]


def test_what_is_no_message_is_left_to_streamlit(host):
    async def receive():
        return {"type": "websocket.receive", "bytes": b"\xff\xff"}

    assert run_async(listen(receive)())["bytes"] == b"\xff\xff"


@pytest.mark.parametrize(
    ("cookie", "asked", "passes"),
    [
        ("own", "s1", True),
        ("other", "s1", False),  # it was read in the log of a proxy
        ("", "s1", False),
        ("own", "s2", False),  # nobody's
    ],
)
def test_a_session_goes_on_only_for_the_browser_that_began_it(cookie, asked, passes):
    message = ForwardMsg()
    message.new_session.initialize.session_id = "s1"
    sessions = Sessions()
    sent = {"type": "websocket.send", "bytes": message.SerializeToString()}
    page = Page("own", "address")
    run_async(messages_to_pages(nothing, sessions, Turns(), Downloads(), page, "own")(sent))
    protocols = f"streamlit, xsrf, {asked}".encode()
    scope = {"headers": [(b"sec-websocket-protocol", protocols), (b"host", b"here")]}
    (_, got), host = sessions.without_foreign(scope, cookie)["headers"]
    assert got == (protocols if passes else b"streamlit, xsrf")
    assert host == (b"host", b"here")


def test_sessions_of_one_address_push_out_none_of_another(monkeypatch):
    """A browser whose connection broke comes back to its own within two minutes."""
    sessions, storage = Sessions(), MemorySessionStorage()
    monkeypatch.setattr(MemorySessionStorage, "save", MemorySessionStorage.save)  # as it was, later
    for _ in range(2):  # as of two guards of one process: the last one's
        watch_kept(sessions)

    def close(name):
        storage.save(SimpleNamespace(session=SimpleNamespace(id=name)))

    for number in range(3):
        sessions.note(f"own{number}", "a", "192.0.2.1")
    for number in range(3):
        close(f"own{number}")
    for number in range(1_000):  # of pages that were all open, and close at once
        name = f"flood{number}"
        if number % 2:  # of the others no script ever began
            sessions.note(name, "b", "192.0.2.66")
        close(name)
        assert len(storage.list()) <= 100
    kept = {session.session.id for session in storage.list()}
    assert {f"own{number}" for number in range(3)} <= kept
    assert "flood999" in kept


def test_a_session_that_is_used_is_known_longer_than_many_that_came_later(monkeypatch):
    monkeypatch.setattr(traffic, "NUM_SESSIONS", 10)
    sessions = Sessions()
    for number in range(30):
        sessions.note("own", "a", "192.0.2.1")
        sessions.note(f"flood{number}", "b", "192.0.2.66")
    assert sessions.is_of_another("own", "b")
    assert len(sessions._begun) == 10


def test_who_asks_for_many_uploads_waits_on_all_pages_of_one_address(monkeypatch):
    now, slept = [0.0], []

    async def sleep(seconds):
        slept.append(seconds)

    async def ask():
        names = names_of_files()
        for _ in range(5):
            await names.of("192.0.2.66").wait(1_000)
        await names.of("192.0.2.1").wait(1_000)
        now[0] += 3600
        await names.of("192.0.2.66").wait(1_000)

    monkeypatch.setattr(paces, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    run_async(ask())
    assert slept == [1_000 / 200, 2_000 / 200]  # after a burst of 3,000


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("page_script_hash", 1_000),
        ("fragment_id", 1_000),
        ("query_string", 10_000),
        ("page_name", 10_000),
    ],
)
@pytest.mark.parametrize("more", [0, 1])
def test_a_message_whose_answer_would_be_long_is_dropped(name, most, more):
    message = BackMsg()
    setattr(message.rerun_script, name, "x" * (most + more))
    data = message.SerializeToString()
    sent = [{"type": "websocket.receive", "bytes": data}, {"type": "websocket.disconnect"}]

    async def receive():
        return sent.pop(0)

    got = run_async(listen(receive)())
    assert got.get("bytes") == (None if more else data)


@pytest.mark.parametrize(
    ("session", "fragment", "passes"),
    [("s1", "there", True), ("s1", "gone", False), ("s1", "", True), ("unknown", "gone", True)],
)
def test_a_message_for_a_part_that_its_page_does_not_have_takes_no_turn(
    monkeypatch, session, fragment, passes
):
    known = SimpleNamespace(session=SimpleNamespace(has_fragment=lambda name: name == "there"))
    server = SimpleNamespace(
        _session_mgr=SimpleNamespace(get_session_info={"s1": known, "unknown": None}.get)
    )
    monkeypatch.setattr(traffic.runtime, "exists", lambda: True)
    monkeypatch.setattr(traffic.runtime, "get_instance", lambda: server)
    begins = ForwardMsg()
    begins.new_session.initialize.session_id = session
    message = BackMsg()
    message.rerun_script.fragment_id = fragment
    page, turns = Page("visitor", "address"), Turns()
    sent = [
        {"type": "websocket.receive", "bytes": message.SerializeToString()},
        {"type": "websocket.disconnect"},
    ]

    async def receive():
        return sent.pop(0)

    async def begin_and_listen():
        told = messages_to_pages(nothing, Sessions(), turns, Downloads(), page, "own")
        await told({"type": "websocket.send", "bytes": begins.SerializeToString()})
        turns.ended(page)
        return await messages_of_pages(receive, turns, Downloads(), names_of_files(), page)()

    got = run_async(begin_and_listen())
    assert (got["type"] == "websocket.receive") == passes
    assert (page in turns._runs) == passes


def test_streamlit_tells_which_parts_a_page_has():
    assert callable(AppSession.has_fragment)
    assert callable(SessionManager.get_session_info)


@pytest.mark.parametrize("kind", ["rerun_script", "deferred_file"])
@pytest.mark.parametrize("num_more", [0, 40])
def test_a_page_that_is_closed_while_it_waits_is_forgotten(kind, num_more):
    page, turns, downloads = Page("visitor", "address"), Turns(), Downloads()
    turns.may_run = downloads._turns.has_come = lambda _: False  # others are there
    sent = [{"type": "websocket.receive", "bytes": back_message(kind)}] * (1 + num_more)
    sent.append({"type": "websocket.disconnect", "code": 1001})

    async def receive():
        return sent.pop(0) if sent else await never()

    listening = messages_of_pages(receive, turns, downloads, names_of_files(), page)
    assert run_async(asyncio.wait_for(listening(), 30))["type"] == "websocket.disconnect"
    assert page not in turns._waiting
    assert downloads._turns._waiting == downloads._turns._held == []


def test_what_comes_while_a_page_waits_is_kept_in_order():
    may_run = [False, False, True]
    turns = Turns()
    turns.may_run = lambda _: may_run.pop(0) if may_run else True
    kinds = ["rerun_script", "app_heartbeat", "stop_script"]
    sent = [{"type": "websocket.receive", "bytes": back_message(kind)} for kind in kinds]

    async def receive():
        return sent.pop(0) if sent else await never()

    async def listen_to_three():
        page = Page("visitor", "address")
        listening = messages_of_pages(receive, turns, Downloads(), names_of_files(), page)
        return [BackMsg.FromString((await listening())["bytes"]) for _ in kinds]

    got = run_async(listen_to_three())
    assert [message.WhichOneof("type") for message in got] == kinds


def test_little_is_read_after_a_message_that_waits():
    turns, read = Turns(), []
    turns.may_run = lambda _: False

    async def receive():
        message = BackMsg()
        message.rerun_script.query_string = "x" * 9_000
        read.append(message)
        return {"type": "websocket.receive", "bytes": message.SerializeToString()}

    async def listen_for_a_while():
        page = Page("visitor", "address")
        listening = messages_of_pages(receive, turns, Downloads(), names_of_files(), page)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listening(), 0.2)

    run_async(listen_for_a_while())
    assert len(read) == 1 + 6  # of 9,500 bytes each: the sixth reaches 50,000


def test_a_page_is_told_no_folder_of_the_server():
    sent, message = [], ForwardMsg()
    message.new_session.main_script_path = "/home/ada/demo/app.py"
    message.new_session.initialize.session_id = "s1"

    async def send(one):
        sent.append(one)

    page = Page("visitor", "address")
    send_on = messages_to_pages(send, Sessions(), Turns(), Downloads(), page, "own")
    run_async(send_on({"type": "websocket.send", "bytes": message.SerializeToString()}))
    told = ForwardMsg.FromString(sent[0]["bytes"]).new_session
    assert (told.main_script_path, told.initialize.session_id) == ("app.py", "s1")
    assert b"ada" not in sent[0]["bytes"]


def test_a_flood_of_messages_is_slowed_down_and_a_pause_forgives_it(monkeypatch):
    now, slept = [0.0], []

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    async def receive():
        return {"type": "websocket.receive", "bytes": back_message("rerun_script")}

    async def flood():
        receive_allowed = listen(receive)
        for _ in range(traffic.BURST + 8):
            await receive_allowed()
        in_flood = sum(slept)
        now[0] += 3600
        for _ in range(traffic.BURST):
            await receive_allowed()
        return in_flood, sum(slept)

    monkeypatch.setattr(paces, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    in_flood, in_all = run_async(flood())
    assert in_flood == pytest.approx(8 / traffic.MESSAGES_A_SECOND)
    assert in_all == in_flood
