"""Frames of a page's WebSocket: a flood of them, however small, ends its connection."""

import queue
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from server_helpers import UPGRADE, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import Protocol
from websockets.sync.client import ClientConnection, connect

from ui.hosted import frames as module
from ui.hosted.connections import Connections, watch_connections
from ui.hosted.frames import Frames, watch_frames

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
