"""Uploads of a demo: what is held in memory, who makes room for whom, and what it costs."""

import asyncio
from types import SimpleNamespace

import pytest
from demo_helpers import run_async
from starlette.datastructures import Headers

from ui.hosted import uploads as module
from ui.hosted.uploads import Uploads

MB = 1_000_000


@pytest.fixture
def held(monkeypatch):
    """Return what stands for Streamlit's store: by session, files with so many bytes."""
    storage = {}

    def hold(session, *sizes):
        storage[session] = {str(n): SimpleNamespace(data=bytes(s)) for n, s in enumerate(sizes)}

    def remove_file(session, file_id):
        del storage[session][file_id]

    monkeypatch.setattr(module, "held_files", lambda: storage)
    monkeypatch.setattr(module, "_manager", lambda: SimpleNamespace(remove_file=remove_file))
    hold.storage = storage
    return hold


async def nothing(*_):
    """Stand for an app that answers at once, and for a browser that sends nothing."""


async def never(*_):
    await asyncio.Event().wait()


async def all_comes(scope, receive, send):
    """Stand for an app that has read a body, and not stored it yet."""
    await receive()
    await asyncio.Event().wait()


def take(uploads, session, num_bytes, app=nothing, address=""):
    kind = (b"content-type", b"multipart/form-data; boundary=abc")
    scope = {"path": f"/_stcore/upload_file/{session}/0", "headers": [kind]}

    async def receive():
        return {"type": "http.request", "body": bytes(num_bytes)}

    return uploads.take(app, scope, receive, nothing, num_bytes, address)


async def started(*uploads):
    """Return the tasks of uploads that are on their way."""
    tasks = []
    for one in uploads:
        tasks.append(asyncio.create_task(one))
        await asyncio.sleep(0)
    return tasks


async def stopped(tasks):
    """Return what uploads were told that were not on their way any more; end the others."""
    for _ in range(20):  # the clock may stand still
        await asyncio.sleep(0)
    reasons = [task.result() if task.done() else None for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return reasons


def test_bodies_that_never_come_hold_no_place_of_others(host, held):
    async def attack():
        uploads = Uploads()
        slow = [asyncio.create_task(take(uploads, "slow", 20 * MB, never)) for _ in range(12)]
        slow += [asyncio.create_task(take(uploads, f"s{n}", 18 * MB, never)) for n in range(5)]
        await asyncio.sleep(0)
        taken = await take(uploads, "visitor", 15 * MB)
        await asyncio.wait(slow, return_when=asyncio.ALL_COMPLETED, timeout=0.1)
        ended = [task.result() for task in slow if task.done()]
        for task in slow:
            task.cancel()
        return taken, ended

    taken, ended = run_async(attack())
    assert taken is None
    assert len(ended) == 9  # over what one visitor may hold; the others count 1 MB each
    assert all("60 MB of uploads of one visitor" in reason for reason in ended)


def test_a_body_that_does_not_come_gives_way_before_what_is_there(host, held, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    before = Uploads()._held().num_bytes.total()  # of earlier tests
    held("there", 20 * MB)

    async def attack(seconds):
        uploads = Uploads()
        names = [f"announced{n}" for n in range(12)]
        tasks = await started(*[take(uploads, one, 12 * MB, never, one) for one in names])
        counted = uploads._held().num_bytes.total()
        for number in range(5):
            held(f"other{number}", 20 * MB)  # 132.09 MB with the announced ones
        now[0] += seconds
        taken = await take(uploads, "visitor", 19 * MB, address="v")  # 1.09 MB too much
        return counted, taken, await stopped(tasks)

    counted, taken, reasons = run_async(attack(1.5))
    assert counted - before == 20_005_000 + 12 * 1_005_000
    assert taken is None
    assert sum("others needed its memory" in (reason or "") for reason in reasons) == 2
    assert all(map(len, held.storage.values()))
    for number in range(5):
        del held.storage[f"other{number}"]
    _, taken, reasons = run_async(attack(0.5))  # each may still come
    assert taken is None
    assert reasons == [None] * 12
    assert sum(map(len, held.storage.values())) == 5


def test_a_body_takes_its_memory_as_it_comes_and_never_more_than_there_is(host, held):
    """What is announced has a place then, and others may have taken it before it has come."""
    for number in range(6):
        held(f"other{number}", 20 * MB)  # 120.03 MB
    uploads, most = Uploads(), []

    async def in_pieces(scope, receive, send):
        for _ in range(200):
            await receive()
            most.append(uploads._held().num_bytes.total())
            await asyncio.sleep(0)

    async def piece():
        return {"type": "http.request", "body": bytes(100_000), "more_body": True}

    def coming(session):
        kind = (b"content-type", b"multipart/form-data; boundary=abc")
        scope = {"path": f"/_stcore/upload_file/{session}/0", "headers": [kind]}
        return uploads.take(in_pieces, scope, piece, nothing, 20 * MB, session)

    async def both():
        return await asyncio.gather(coming("first"), coming("second"))

    assert run_async(both()) == [None, None]
    assert len(most) == 400
    assert 149 * MB < max(most) <= 150 * MB
    assert sum(map(len, held.storage.values())) == 5  # 100.025 and 40.01 MB


def test_a_visitor_who_holds_nothing_can_upload_whatever_twelve_addresses_hold(host, held):
    uploads = Uploads()

    async def attack():
        for number in range(12):
            address = f"192.0.2.{number}"
            assert await take(uploads, f"s{number}", 12_400_000, address=address) is None
            held(f"s{number}", 12_400_000)
        more = await take(uploads, "s5b", 15 * MB, address="192.0.2.5")
        return more, await take(uploads, "visitor", 20 * MB, address="192.0.2.99")

    more, taken = run_async(attack())
    assert "holds 150 MB" in more  # that address would hold more than one largest upload
    assert taken is None
    # 148.86 of 150 MB are held, and 18.86 too much: the two that came first.
    assert [len(held.storage[f"s{number}"]) for number in range(12)] == [0, 0] + [1] * 10


def test_what_pages_that_have_gone_hold_gives_way_first(host, held, monkeypatch):
    active = {f"s{number}" for number in range(7)} | {"visitor"}
    server = SimpleNamespace(is_active_session=lambda session_id: session_id in active)
    monkeypatch.setattr(module.runtime, "exists", lambda: True)
    monkeypatch.setattr(module.runtime, "get_instance", lambda: server)
    now, uploads = [1000.0], Uploads()
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "_ran_at", {})
    for number in (0, 1, 3, 2, 4, 5, 6):
        now[0] += 1
        module.note_run(f"s{number}")
        held(f"s{number}", 20 * MB)
    held("s6", 20 * MB, 9 * MB)  # 149.04 MB, and this address holds most
    active -= {"s2", "s3"}
    assert run_async(take(uploads, "visitor", 20 * MB, address="v")) is None
    assert [len(held.storage[f"s{n}"]) for n in range(7)] == [1, 1, 1, 0, 1, 1, 2]
    held("visitor", 20 * MB)
    assert run_async(take(uploads, "s0", 1 * MB, address="s0")) is None  # 0.04 MB too much
    assert [len(held.storage[f"s{n}"]) for n in range(7)] == [1, 1, 0, 0, 1, 1, 2]


def test_who_holds_most_gives_place_and_who_holds_less_does_not(host, held):
    for number in range(2):
        held(f"greedy{number}", 20 * MB, 20 * MB, 20 * MB)
    held("modest", 20 * MB)
    assert run_async(take(Uploads(), "visitor", 15 * MB)) is None
    assert sum(map(len, held.storage.values())) == 6
    assert len(held.storage["modest"]) == 1
    held("visitor", 15 * MB, 19 * MB)
    assert "holds 150 MB" in run_async(take(Uploads(), "visitor", 19 * MB))


@pytest.mark.parametrize("app", [nothing, never], ids=["that arrived", "only announced"])
def test_many_sessions_of_one_address_keep_no_uploads_of_others_out(host, held, app):
    async def attack():
        uploads = Uploads()
        assert await take(uploads, "early", 12 * MB, address="192.0.2.1") is None
        held("early", 12 * MB)
        flood = []
        for number in range(45):  # more than the memory for uploads
            name = f"flood{number}"
            task = take(uploads, name, 4 * MB, app, "192.0.2.66")
            flood.append(asyncio.create_task(task))
            await asyncio.sleep(0)
            if flood[-1].done() and flood[-1].result() is None:
                held(name, 4 * MB)
        late = [await take(uploads, f"late{n}", 20 * MB, address=f"192.0.2.{n}") for n in (2, 3)]
        for task in flood:
            task.cancel()
        return late

    assert run_async(attack()) == [None, None]
    assert len(held.storage["early"]) == 1
    assert not module.has_lost_upload("early")
    lost = [name for name in held.storage if module.has_lost_upload(name)]
    assert bool(lost) == (app is nothing)
    assert not any(held.storage[name] or module.has_lost_upload(name) for name in lost)


def test_uploads_of_sessions_that_there_are_not_make_nobody_lose_one(host, held, monkeypatch):
    """Else whose address was forgotten would count together as one that holds most."""
    active = {"mine1", "mine2", "mine3", "greedy"}
    server = SimpleNamespace(is_active_session=lambda session_id: session_id in active)
    monkeypatch.setattr(module.runtime, "exists", lambda: True)
    monkeypatch.setattr(module.runtime, "get_instance", lambda: server)
    monkeypatch.setattr(module, "NUM_SESSIONS", 10)
    passed = []

    async def refuse(scope, receive, send):
        passed.append(scope["path"])

    async def attack():
        uploads = Uploads()
        for n in (1, 2, 3):
            assert await take(uploads, f"mine{n}", 1, address=f"192.0.2.{n}") is None
            held(f"mine{n}", 15 * MB, 15 * MB)
        for n in range(100):
            assert await take(uploads, f"random{n}", 1, refuse, "192.0.2.66") is None
        assert await take(uploads, "greedy", 1, address="192.0.2.66") is None
        held("greedy", 20 * MB, 20 * MB, 12 * MB)
        assert set(uploads._addresses) == active
        return await take(uploads, "greedy", 9 * MB, address="192.0.2.66"), uploads

    reason, uploads = run_async(attack())
    assert len(passed) == 100
    assert "holds 150 MB" in reason
    assert [len(held.storage[f"mine{n}"]) for n in (1, 2, 3)] == [2, 2, 2]
    active -= {"mine1", "mine2", "mine3"}
    active |= {f"new{n}" for n in range(10)}
    for n in range(10):
        assert run_async(take(uploads, f"new{n}", 1)) is None
    assert set(uploads._addresses) == active  # what has gone is forgotten when there are many


def test_sessions_of_unknown_addresses_do_not_count_as_one_address(host, held):
    for number in range(6):
        held(f"modest{number}", 16 * MB)
    held("greedy", 20 * MB, 20 * MB)
    assert run_async(take(Uploads(), "visitor", 20 * MB)) is None
    assert [len(held.storage[f"modest{number}"]) for number in range(6)] == [1] * 6
    assert len(held.storage["greedy"]) == 1


def test_an_upload_slower_than_any_network_is_given_up(host, held, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "SLOWEST_BYTES", 10**12)
    assert "took too long" in run_async(take(Uploads(), "slow", MB, never))


def test_empty_uploads_count_too(host, held, monkeypatch):
    monkeypatch.setenv("TL_DEMO_UPLOAD_MB", "1")
    held("s", *[0] * 630)  # of 5,000 bytes each, and 1.05 MB is allowed three times
    assert "3 MB of uploads of one visitor" in run_async(take(Uploads(), "s", 1))
    held("s", *[0] * 500)
    assert run_async(take(Uploads(), "s", 1)) is None


def test_a_session_holds_few_uploads_more_than_the_photos_a_visitor_may_have(
    host, held, monkeypatch
):
    monkeypatch.setenv("TL_DEMO_PHOTOS", "5")
    uploads = Uploads()
    held("s", *[0] * 9)
    held("other", *[0] * 10)
    assert run_async(take(uploads, "s", 1)) is None
    held("s", *[0] * 10)
    assert "holds 10 uploads of one visitor" in run_async(take(uploads, "s", 1))


def test_many_uploads_are_counted_now_and_then_and_what_comes_is_added(host, held, monkeypatch):
    now, counts, count = [1000.0], [], Uploads._count
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Uploads, "_count", lambda self: counts.append(1) or count(self))
    held("a", *[MB // 100] * 1_500)
    held("b", *[MB // 100] * 1_500)  # 45 MB in all
    uploads = Uploads()

    async def attack():
        waiting = []
        for number in range(12):
            task = take(uploads, f"s{number}", 10 * MB, all_comes, f"192.0.2.{number}")
            waiting.append(asyncio.create_task(task))
            await asyncio.sleep(0)
        reasons = [task.result() for task in waiting if task.done()]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        return reasons

    reasons = run_async(attack())
    assert len(counts) == 1
    assert reasons == []  # the others, of one address, hold most
    left = sum(len(one.data) + 5_000 for files in held.storage.values() for one in files.values())
    assert left <= 150 * MB - 12 * 10_005_000 < left + 200_000 + 15_000
    now[0] += 3_000 * 50e-6 + 0.001
    assert run_async(take(uploads, "late", 1)) is None
    assert len(counts) == 2


def test_few_uploads_are_counted_exactly_and_what_gives_way_makes_room_for_more_than_one(
    host, held, monkeypatch
):
    monkeypatch.setattr(module.time, "monotonic", lambda: 1000.0)
    uploads = Uploads()
    held("small", *[45_000] * 800)  # with 5,000 bytes each, 40 MB
    assert run_async(take(uploads, "late", 10 * MB, address="192.0.2.1")) is None
    assert len(held.storage["small"]) == 800
    for name in ("a", "b"):  # they come while the clock stands still
        held(name, 20 * MB, 20 * MB, 15 * MB)
    assert run_async(take(uploads, "late", 5_000, address="192.0.2.1")) is None  # 10 kB too much
    given_up = 800 - len(held.storage["small"])
    large = sum(map(len, (held.storage["a"], held.storage["b"])))
    assert (given_up, large) == (0, 5)
    del held.storage["a"], held.storage["b"]
    held("small", *[45_000] * 999)
    monkeypatch.setenv("TL_DEMO_UPLOAD_MEMORY_MB", "50")  # 49.95 MB are held
    assert run_async(take(uploads, "late", 60_000, address="192.0.2.1")) is None
    assert 999 - len(held.storage["small"]) == 4  # 200,000 bytes, and 10,000 would do


def upload(body, boundary, piece=1_000):
    """Return why an upload with this body was refused, and what of it the app has read."""
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
    read = []

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def app(scope, receive, send):
        while True:
            message = await receive()
            read.append(message["body"])
            if not message["more_body"]:
                return

    kind = b'multipart/form-data; boundary="%s"' % boundary
    scope = {
        "type": "http",
        "path": "/_stcore/upload_file/session/file",
        "headers": [(b"content-type", kind)],
    }
    reason = run_async(Uploads().take(app, scope, receive, nothing, len(body)))
    return reason, b"".join(read)


@pytest.mark.parametrize("boundary", [b"a", b"----WebKitFormBoundary0123456789abcdef"])
@pytest.mark.parametrize("piece", [1, 7, 1_000])
def test_a_body_of_many_boundaries_is_refused_and_not_read_on(host, held, boundary, piece):
    """Each costs the server a little, so that megabytes of them keep its loop from all others."""
    mark = b"--" + boundary
    part = mark + b"\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n"
    data = bytes(range(3, 45)) * 60  # without the letters of a boundary
    body = part + data + b"\r\n" + mark + b"--\r\n"
    assert upload(body, boundary, piece) == (None, body)
    eight = part + (b"\r\n" + mark + b"X") * 6 + data + b"\r\n" + mark + b"!"
    assert upload(eight, boundary, piece) == (None, eight)
    reason, read = upload(eight + b"\r\n" + mark + bytes(5_000), boundary, piece)
    assert reason == "Expected one file, received a body of many parts. Upload one at a time."
    assert len(read) <= len(eight) + 2 + len(mark)


@pytest.mark.parametrize("space", [b" ", b"\t"])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1_000])
def test_a_boundary_with_spaces_behind_it_is_refused(host, held, space, piece):
    """The server reads each of them by itself: 1.3 MB a second kept pages waiting for 9 s."""
    body = b"--abc\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + b"x y" * 9
    reason, read = upload(body + b"\r\n--abc" + space * 5_000, b"abc", piece)
    assert reason == "Expected one file, received a body of many parts. Upload one at a time."
    assert len(read) <= len(body) + 7 + piece
    assert upload(body + b"\r\n--ab" + space * 50, b"abc", piece)[0] is None


@pytest.mark.parametrize(
    ("kind", "passed"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=punycode; boundary="a b"', b"a b"),
        (b"multipart/form-data; boundary=abc; charset=undefined; name*=utf-7''x", b"abc"),
        (b"multipart/form-data; boundary=" + b"a" * 70, b"a" * 70),
        (b"multipart/form-data; boundary=" + b"a" * 71, None),
        (b'multipart/form-data; boundary="a\x00b"', None),
        (b'multipart/form-data; boundary="a\\"b"', None),
        (b"multipart/form-data; charset=utf-8", None),
        (b"multipart/form-data", None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/x-www-form-urlencoded", None),
        (b"", None),
    ],
)
def test_the_type_of_an_upload_says_its_boundary_and_nothing_else(host, held, kind, passed):
    """Any codec of Python could be named, and a field of 500 kB as punycode took 71 s."""
    got = []

    async def app(scope, receive, send):
        got.append(Headers(scope=scope).getlist("content-type"))

    headers = [(b"cookie", b"a=b"), (b"content-type", kind), (b"content-type", b"text/plain")]
    scope = {"path": "/_stcore/upload_file/session/file", "headers": headers}
    reason = run_async(Uploads().take(app, scope, nothing, nothing, 9))
    if passed is None:
        assert reason == "Expected one file as multipart/form-data. Upload it on the page."
        assert got == []
    else:
        assert reason is None
        assert got == [[f'multipart/form-data; boundary="{passed.decode()}"']]
