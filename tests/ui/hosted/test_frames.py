"""Frames of a page's WebSocket: a flood of them, however small, ends its connection."""

import asyncio
import queue
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from demo_helpers import run_async
from server_helpers import UPGRADE, serve
from starlette.websockets import WebSocket
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.session_manager import SessionClientDisconnectedError
from streamlit.web.server.starlette.starlette_websocket import StarletteSessionClient
from websockets.exceptions import ConnectionClosed
from websockets.protocol import Protocol
from websockets.sync.client import ClientConnection, connect

from ui.hosted import frames as module
from ui.hosted.connections import Connections, watch_connections
from ui.hosted.frames import Frames, Unsent, watch_frames, watch_unsent
from ui.hosted.traffic import Tab

OWN, MORE = 20, 30
FRAMES = {"ping": 0x89, "pong": 0x8A, "part": 0x00, "message": 0x82}
EMPTY = bytes([0x80, 0, 0, 0, 0])  # what follows, with a mask


@pytest.fixture
def few(monkeypatch) -> None:
    """Allow 20 frames of a connection and 30 more of an address, and hardly any later."""
    monkeypatch.setattr(module, "BURST_FRAMES", OWN)
    monkeypatch.setattr(module, "BURST_FRAMES_MORE", MORE)
    for name in ("FRAMES_A_SECOND", "FRAMES_MORE_A_SECOND"):
        monkeypatch.setattr(module, name, 1e-6)
    watch_connections(Connections(2 * 20))
    watch_frames(Frames())


@pytest.fixture
def port(few) -> Iterator[int]:
    with serve(ws_ping_interval=None) as port:  # an answer to a ping would be a frame
        yield port


def call(port: int, address: str = "192.0.2.66") -> ClientConnection:
    """Connect as a proxy does for a visitor with an address."""
    headers = {"X-Forwarded-For": address}
    return connect(f"ws://127.0.0.1:{port}/echo", ping_interval=None, additional_headers=headers)


def is_open(page: ClientConnection) -> bool:
    """Whether a ping, which counts as a frame too, is answered."""
    return page.ping().wait(timeout=60)


def is_closed(page: ClientConnection) -> bool:
    """Wait until the server closes a connection."""
    with suppress(ConnectionClosed):
        while page.recv(timeout=60) is not None:
            pass
    return True


def flood(page: ClientConnection, kind: str, number: int) -> None:
    with suppress(ConnectionError):
        page.socket.sendall((bytes([FRAMES[kind]]) + EMPTY) * number)


@pytest.mark.parametrize("kind", FRAMES)
def test_who_sends_many_frames_is_cut_off(port, kind) -> None:
    with call(port) as page:
        page.socket.sendall(bytes([0x02 if kind == "part" else FRAMES[kind]]) + EMPTY)
        flood(page, kind, OWN + MORE - 2)
        assert is_open(page)
        flood(page, kind, 1)
        assert is_closed(page)


def test_a_flood_has_no_more_from_a_new_connection_and_others_of_its_address_stay(port) -> None:
    with call(port) as neighbour, call(port, "192.0.2.1") as other:
        for _ in range(3):
            with call(port) as page:
                flood(page, "pong", OWN + MORE + 1)
                assert is_closed(page)
        flood(neighbour, "pong", OWN - 1)
        assert is_open(neighbour)
        flood(neighbour, "pong", 1)
        assert is_closed(neighbour)
        flood(other, "pong", OWN + MORE - 1)
        assert is_open(other)


@pytest.mark.parametrize("is_accepted", [True, False])
def test_the_app_is_told_that_a_flood_has_ended(few, caplog, is_accepted) -> None:
    told: queue.Queue[int] = queue.Queue()

    async def page(websocket):
        if is_accepted:
            await websocket.accept()
        told.put(0)
        while (message := await websocket._receive())["type"] != "websocket.disconnect":
            pass
        told.put(message["code"])
        await websocket.close()

    with serve(page) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(UPGRADE)
        assert told.get(timeout=60) == 0
        client.sendall((bytes([FRAMES["pong"]]) + EMPTY) * (OWN + MORE + 1))
        assert told.get(timeout=60) == 1008
    assert not caplog.records


def test_a_long_message_in_parts_passes(port) -> None:
    parts = [bytes([number]) * 10_000 for number in range(40)]
    with call(port) as page:
        page.send(parts)
        assert page.recv(timeout=60) == b"".join(parts)


@pytest.mark.parametrize(("owner", "name"), [(module, "_MODULE"), (Protocol, "recv_frame")])
def test_a_version_that_takes_frames_in_another_way_is_refused(monkeypatch, owner, name) -> None:
    if owner is module:
        monkeypatch.setattr(module, name, "uvicorn.protocols.none")
    else:
        monkeypatch.delattr(owner, name)
    with pytest.raises(RuntimeError, match="Expected a version"):
        watch_frames(Frames())


class Reader(WebSocket):
    """A connection of which nothing is read, and what Streamlit sends to it."""

    def __init__(self, unsent: Unsent, address: str, reads: bool = False) -> None:
        self.tab = Tab("", address, 0.0)
        scope = {"type": "websocket", "headers": [], "client": (address, 1), "path": "/"}
        super().__init__(unsent.of_tab(scope, self.tab), None, None)
        self.page = StarletteSessionClient(self)
        self.num_sent, self.reads = 0, reads

    async def send_bytes(self, _: bytes) -> None:
        if not self.reads:
            await asyncio.Event().wait()

    async def write(self, num_bytes: int) -> bool:
        """Write a message of about so many bytes; whether it may wait."""
        message = ForwardMsg(hash="a" * num_bytes)
        with suppress(SessionClientDisconnectedError):
            self.page.write_forward_msg(message)
            self.num_sent += 1
            await asyncio.sleep(0)
            return True
        return False

    @property
    def num_bytes(self) -> int:
        return self.page._send_queue.num_bytes


@pytest.fixture
def unsent(monkeypatch):
    """Allow 12,000 bytes of a page and 30,000 of all, which are counted from 100 of a page on."""
    for name, value in (("MOST_UNSENT", 12_000), ("MOST_UNSENT_OF_ALL", 30_000)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "FEW_UNSENT", 100)
    unsent = Unsent()
    watch_unsent(unsent)
    return unsent


def test_a_page_that_does_not_read_ends_when_too_much_waits_for_it(unsent):
    """Streamlit keeps 500 messages, which may have a megabyte each."""

    async def attack():
        slow, other = Reader(unsent, "192.0.2.66"), Reader(unsent, "192.0.2.1")
        await other.write(990)
        while await slow.write(990):
            pass
        await slow.page.aclose()
        return slow, other

    slow, other = run_async(attack())
    assert slow.num_sent == 13  # one is being sent, and 12 of 990 bytes and a few wait
    assert slow.num_bytes == 0
    assert slow.tab.is_given_up.is_set()
    assert not other.tab.is_given_up.is_set()


def test_pages_that_do_not_read_end_when_too_much_waits_for_all(unsent):
    """That is of the address for which most waits, and others go on."""

    async def attack():
        other = Reader(unsent, "192.0.2.1")
        for _ in range(9):
            await other.write(990)
        pages = [Reader(unsent, "192.0.2.66") for _ in range(5)]
        for page in pages:
            for _ in range(9):
                await page.write(990)
        return other, pages

    other, pages = run_async(attack())
    assert not other.tab.is_given_up.is_set()
    # 8,000 bytes wait for each: with each page from the third on, one of those before gives up
    assert sum(page.tab.is_given_up.is_set() for page in pages) == 3
    assert not pages[-1].tab.is_given_up.is_set()
    assert other.num_bytes + sum(page.num_bytes for page in pages) <= 30_000


def test_a_page_that_reads_goes_on(unsent):
    async def read():
        page = Reader(unsent, "192.0.2.1", reads=True)
        for _ in range(100):
            assert await page.write(990)
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        return page

    page = run_async(read())
    assert page.num_sent == 100
    assert page.num_bytes == 0
    assert not page.tab.is_given_up.is_set()


def test_too_many_messages_end_a_page_as_well(unsent):
    """Streamlit ends its session then, and left the connection with all that waited."""

    async def attack():
        slow = Reader(unsent, "192.0.2.66")
        while await slow.write(1):
            pass
        return slow

    slow = run_async(attack())
    assert slow.num_sent == 501
    assert slow.num_bytes == 0
    assert slow.tab.is_given_up.is_set()
