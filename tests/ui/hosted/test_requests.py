"""Requests of one network address: more than a browser sends wait, and the others do not."""

import asyncio
from collections import Counter
from types import SimpleNamespace

import pytest
from demo_helpers import run_async

from ui.datasets.downloads import CHUNK_BYTES, READY
from ui.hosted import guard as guards
from ui.hosted import paces
from ui.hosted import requests as module
from ui.hosted.guard import VisitorGuard
from ui.hosted.requests import Requests

TEXT = b"x" * 512_000  # two units


@pytest.fixture
def clock(monkeypatch):
    """Return how long was waited, and a clock that goes on by it."""
    waited = SimpleNamespace(now=1000.0, seconds=[])

    async def sleep(seconds):
        waited.seconds.append(seconds)
        waited.now += seconds

    monkeypatch.setattr(paces, "time", SimpleNamespace(monotonic=lambda: waited.now))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waited


@pytest.fixture
def ask(monkeypatch, host, clock):
    """Return a function that sends requests to a guard, one after the other."""
    monkeypatch.setattr(guards._Installed, "guard", None)

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = TEXT if scope["path"] == "/static/large.js" else b""
        await send({"type": "http.response.body", "body": body})

    guard = VisitorGuard(app)

    def request(path, number=1, client="192.0.2.7", kind="http", headers=(), method="GET"):
        got = []

        async def send(message):
            got.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def all_of_them():
            for _ in range(number):
                scope = {
                    "type": kind,
                    "method": method,
                    "path": path,
                    "query_string": b"",
                    "headers": list(headers),
                    "client": (client, 1),
                }
                await guard(scope, receive, send)

        run_async(all_of_them())
        return [one for one in got if one["type"] != "http.response.body"]

    return request


@pytest.mark.parametrize(
    ("path", "kind", "headers", "units"),
    [
        ("/_stcore/health", "http", [], 1),
        ("/static/small.js", "http", [], 1),
        ("/_stcore/health", "http", [(b"cookie", b"a=" + b"b" * 1_500)], 4),
        ("/static/large.js", "http", [], 3),
        ("/Data", "http", [], 4),
        ("/_stcore/stream", "websocket", [], 4),
        ("/auth/login", "http", [], 30),
        ("/auth/logout", "http", [], 30),
        ("/oauth2callback", "http", [], 30),
    ],
    ids=["small", "file", "long head", "long answer", "page", "stream", "login", "logout", "back"],
)
def test_an_address_waits_after_a_burst_and_the_others_do_not(
    ask, clock, path, kind, headers, units
):
    number = 2_000 // units
    ask(path, number, kind=kind, headers=headers)
    assert clock.seconds == []
    ask(path, 3, kind=kind, headers=headers)
    assert sum(clock.seconds) == pytest.approx(((number + 3) * units - 2_000) / 150, abs=0.021)
    clock.seconds.clear()
    ask(path, 1, "192.0.2.8", kind, headers)
    assert clock.seconds == []
    clock.now += 2_000 / 150 + 1
    ask(path, number, kind=kind, headers=headers)
    assert clock.seconds == []


def test_an_upload_counts_more_than_what_is_looked_up(ask, clock):
    ask("/_stcore/upload_file/session/file", 666, method="PUT")
    assert clock.seconds == []
    ask("/_stcore/upload_file/session/file", 4, method="PUT")
    assert sum(clock.seconds) == pytest.approx(10 / 150, abs=0.021)


def test_addresses_that_send_many_share_what_is_answered_and_others_do_not_wait(
    ask, clock, monkeypatch
):
    async def stand_still(seconds):  # as if all had come at once
        clock.seconds.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", stand_still)
    for number in range(4):
        ask("/static/small.js", 1_001, f"192.0.2.{number}")  # 4,004 units in all
    assert clock.seconds == []
    ask("/static/small.js", 1, "192.0.2.0")
    assert clock.seconds == pytest.approx([5 / 450])
    clock.seconds.clear()
    ask("/static/small.js", 1_000, "192.0.2.9")
    assert clock.seconds == []
    ask("/static/large.js", 1, "192.0.2.9")  # an answer of two units
    ask("/static/small.js", 2, "192.0.2.9")
    assert clock.seconds == pytest.approx([1_009 / 450, 1_010 / 450])
    ask("/static/small.js", 1_000, "192.0.2.8")
    ask("/static/small.js", 1_000, "192.0.2.7")
    ask("/static/small.js", 1_000, "192.0.2.6")
    ask("/static/small.js", 495, "192.0.2.5")
    clock.seconds.clear()
    (refused,) = ask("/static/small.js", 1, "192.0.2.0")  # behind ten seconds and a little more
    assert refused["status"] == 429
    assert ask("/static/small.js", 1, "192.0.2.5")[0]["status"] == 200
    assert clock.seconds == [5.0]
    clock.seconds.clear()
    clock.now += 4_505 / 450 + 1
    ask("/static/small.js", 1, "192.0.2.0")
    assert clock.seconds == []


def test_who_sends_steadily_below_the_pace_waits_for_others_too(clock):
    """Twelve addresses may send 1,800 units a second, and the server answers some 1,400."""
    requests, waits = Requests(), []

    async def wait(number):
        waits.append(number)

    requests._all = SimpleNamespace(seconds_behind=0.0, spend=lambda units: None, wait=wait)
    scope = {"type": "http", "path": "/", "headers": [], "client": ("192.0.2.7", 1)}

    def waiting_in(seconds, a_second):
        before = len(waits)
        for _ in range(seconds):
            for _ in range(a_second):
                assert run_async(requests.wait(scope, is_page=False))
            clock.now += 1
        return len(waits) - before

    assert waiting_in(8, 140) == 0  # 1,120 units, of which 25 a second are allowed again
    assert waiting_in(10, 140) == pytest.approx(10 * (140 - 25), abs=140)
    assert clock.seconds == []  # it is below its own pace
    clock.now += 45
    assert waiting_in(8, 140) == 0
    assert waiting_in(60, 24) == 0


def test_who_would_wait_long_is_refused_later_and_the_connection_ends(ask, clock, monkeypatch):
    now = clock.now
    ask("/static/small.js", 2_000)

    async def stand_still(seconds):  # as if all had come at once
        clock.seconds.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", stand_still)
    assert {one["status"] for one in ask("/static/small.js", 1_500)} == {200}
    clock.seconds.clear()
    passed, refused = ask("/static/small.js", 2)  # behind 10 seconds, and a little more
    assert (passed["status"], refused["status"]) == (200, 429)
    assert (b"connection", b"close") in refused["headers"]
    assert clock.seconds == pytest.approx([1_501 / 150, 5.0])
    assert ask("/_stcore/stream", kind="websocket") == [{"type": "websocket.close", "code": 1013}]
    assert ask("/static/small.js", client="192.0.2.8")[0]["status"] == 200
    assert clock.now == now


async def answer(requests, scope, send, *messages):
    """Send messages as the answer to a request."""
    async with requests.answering(scope, send) as (_, sending):
        for message in messages:
            await sending(message)


def test_a_long_answer_is_sent_in_pieces_and_given_up_when_nobody_takes_one(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    scope = asked_by("192.0.2.7")
    taken = []

    async def take(message):
        taken.append(message)

    async def take_none(_):
        await asyncio.sleep(3600)

    text = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    for message in ({"body": text}, {"body": text, "more_body": True}, {}, {"body": b""}):
        taken.clear()
        run_async(answer(Requests(), scope, take, {"type": "http.response.body", **message}))
        assert b"".join(one["body"] for one in taken) == message.get("body", b"")
        is_last = [not one["more_body"] for one in taken]
        assert is_last == [False] * (len(taken) - 1) + [not message.get("more_body", False)]
        assert all(len(one["body"]) <= 2**18 for one in taken)
    with pytest.raises(TimeoutError):
        run_async(
            answer(Requests(), scope, take_none, {"type": "http.response.body", "body": b"a"})
        )


def body(num_bytes):
    return {"type": "http.response.body", "body": b"x" * num_bytes}


def asked_by(client, path="/media/1.zip"):
    return {"type": "http", "client": (client, 1), "path": path}


async def take(_):
    """Take a message at once."""


async def turns_of_the_loop(number):
    for _ in range(number):
        await asyncio.sleep(0)


def test_what_does_not_fit_into_one_piece_waits_for_the_pace_of_its_address(clock, monkeypatch):
    monkeypatch.setattr(module, "BURST_UNITS", 10)
    monkeypatch.setattr(module, "BODY_BYTES", CHUNK_BYTES)
    requests, mine = Requests(), asked_by("192.0.2.7")
    run_async(answer(requests, mine, take, body(10 * CHUNK_BYTES)))
    assert clock.seconds == []
    run_async(answer(requests, mine, take, body(CHUNK_BYTES)))  # at the pace of its request
    assert clock.seconds == []
    messages = [{**body(CHUNK_BYTES), "more_body": True}] * 3
    run_async(answer(requests, mine, take, *messages))
    assert clock.seconds == pytest.approx([3 / 150, 1 / 150])
    run_async(answer(requests, asked_by("192.0.2.8"), take, *messages))
    assert len(clock.seconds) == 2


@pytest.mark.parametrize("how", ["cancelled", "broken", "taken"])
def test_few_long_answers_of_one_address_are_under_way_at_once(monkeypatch, how):
    monkeypatch.setattr(module, "LONG_ANSWERS", 2)

    async def ask():
        requests, sent, is_taken, is_broken = Requests(), Counter(), asyncio.Event(), False

        def taking(name):
            async def slowly(_):
                sent[name] += 1
                if sent[name] == 2:
                    await is_taken.wait()
                    if is_broken:
                        raise TimeoutError

            return slowly

        def begin(name, num_bytes, client="192.0.2.7", **of):
            answering = answer(requests, asked_by(client, **of), taking(name), body(num_bytes))
            return asyncio.create_task(answering)

        tasks = [begin(name, CHUNK_BYTES + 1) for name in ("first", "second", "third")]
        tasks.append(begin("whole", CHUNK_BYTES))
        tasks.append(begin("other", CHUNK_BYTES + 1, "192.0.2.8"))
        tasks.append(begin("app", CHUNK_BYTES + 1, path="/static/js/index.js"))
        await turns_of_the_loop(100)
        before = dict(sent)
        is_broken = how == "broken"
        if how == "cancelled":
            tasks[0].cancel()
        else:
            is_taken.set()
        await turns_of_the_loop(100)
        is_taken.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return before, sent["third"]

    before, later = run_async(asyncio.wait_for(ask(), 60))
    assert before == {"first": 2, "second": 2, "third": 1, "whole": 1, "other": 2, "app": 2}
    assert later == 2


def test_few_pieces_are_written_in_one_turn_of_the_loop_and_addresses_take_turns():
    async def ask():
        requests, order, turns = Requests(), [], 0

        def noting(name):
            async def note(_):
                order.append((name, turns))

            return note

        clients = ["192.0.2.7"] * 20 + ["192.0.2.8"]
        tasks = [
            asyncio.create_task(answer(requests, asked_by(one), noting(one), body(100_000)))
            for one in clients
        ]
        small = asked_by("192.0.2.7")
        tasks.append(asyncio.create_task(answer(requests, small, noting("small"), body(50_000))))
        while not all(one.done() for one in tasks):
            await asyncio.sleep(0)
            turns += 1
        return order

    order = run_async(asyncio.wait_for(ask(), 60))
    large = [(name, turn) for name, turn in order if name != "small"]
    assert max(Counter(turn for _, turn in large).values()) == 4
    assert [name for name, _ in large].index("192.0.2.8") == 5  # who asked before, four and one
    assert [name for name, _ in order].index("small") <= 4


def test_a_piece_that_is_never_sent_keeps_no_other_waiting():
    async def ask():
        requests = Requests()
        for _ in range(5):
            async with requests.answering(asked_by("192.0.2.7"), take) as (scope, _):
                await scope[READY](CHUNK_BYTES)
        for _ in range(5):
            holding = [requests.answering(asked_by("192.0.2.7"), take) for _ in range(4)]
            scopes = [(await one.__aenter__())[0] for one in holding]
            await asyncio.gather(*(scope[READY](CHUNK_BYTES) for scope in scopes))
            waiting = asyncio.create_task(answer(requests, scopes[0], take, body(CHUNK_BYTES)))
            await turns_of_the_loop(10)
            waiting.cancel()
            for one in holding:
                await one.__aexit__(None, None, None)
        await asyncio.wait_for(answer(requests, scopes[0], take, body(CHUNK_BYTES)), 60)

    run_async(asyncio.wait_for(ask(), 60))


def test_the_app_can_wait_before_it_reads_a_piece(monkeypatch, host):
    monkeypatch.setattr(guards._Installed, "guard", None)
    got = []

    async def app(scope, receive, send):
        await scope[READY](CHUNK_BYTES)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(body(CHUNK_BYTES))

    async def note(message):
        got.append(len(message.get("body", b"")))

    scope = asked_by("192.0.2.7") | {"method": "GET", "path": "/static/a.js", "headers": []}
    run_async(VisitorGuard(app)(scope | {"query_string": b""}, None, note))
    assert got == [0, CHUNK_BYTES]
