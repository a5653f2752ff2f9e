"""How many frames the WebSocket of a page may send, and how much may wait to be sent to it.

uvicorn answers pings and joins the parts of a message below the app, and each costs time within the
loop that serves everyone: empty ones take all of it at a few hundred kilobytes a second. Streamlit
keeps 500 messages for a browser that does not read, however large they are.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import Counter
from typing import Any
from weakref import WeakSet

from starlette.types import Scope
from streamlit.web.server.starlette import starlette_websocket
from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame
from websockets.server import ServerProtocol

from tl_core.connections import network_address
from ui.hosted.internals import Method, put_around, streamlit_function
from ui.hosted.paces import Pace, Paces
from ui.hosted.traffic import Tab

FRAMES_A_SECOND = 20.0  # that each connection may send, after a burst
BURST_FRAMES = 100
FRAMES_MORE_A_SECOND = 300.0  # that all connections of a network address may send beyond that
BURST_FRAMES_MORE = 3_000
_MODULE, _CLASS = "uvicorn.protocols.websockets.websockets_sansio_impl", "WebSocketsSansIOProtocol"
_ABILITY = "whose uvicorn and websockets tell of each frame"
_TOO_MANY = "too many frames"
MOST_UNSENT = 12_000_000  # bytes of messages that wait to be sent to a page
MOST_UNSENT_OF_ALL = 60_000_000
FEW_UNSENT = 200_000  # of a page, with which those of all are not counted
_CLIENT, _TAB = "StarletteSessionClient", "tab"
_UNSENT_ABILITY = "whose messages to a page can be counted"


class Frames:
    """The pace of each connection, and of each network address for what its connections send more.

    A new connection does not bring much, and who shares the address of a flood keeps an own pace.
    """

    def __init__(self) -> None:
        self._addresses = Paces(BURST_FRAMES_MORE, FRAMES_MORE_A_SECOND)

    def made(self, original: Method, protocol: Any, transport: Any) -> None:
        """Have a new connection end when it sends too many frames."""
        original(protocol, transport)
        own, receive = Pace(BURST_FRAMES, FRAMES_A_SECOND), protocol.conn.recv_frame

        def receive_or_end(frame: Frame) -> None:
            if not own.take() and not self._addresses.of(network_address(protocol.scope)).take():
                told = Close(CloseCode.POLICY_VIOLATION, _TOO_MANY)
                protocol.conn.fail(told.code, told.reason)
                protocol.conn.close_sent = protocol.conn.close_sent or told  # if not yet accepted
                protocol.transport.abort()  # who does not read would keep a closed one open
                raise ProtocolError(_TOO_MANY)  # what else has come is not looked at
            receive(frame)

        protocol.conn.recv_frame = receive_or_end


def page_protocol() -> Any:
    """Return uvicorn's class for the connections of pages, the one that Streamlit chooses.

    Raises:
        RuntimeError: this version of uvicorn does not have it.
    """
    try:
        module = importlib.import_module(_MODULE)
    except ImportError:
        module = None
    return streamlit_function(module, _CLASS, _ABILITY)


def watch_frames(frames: Frames) -> None:
    """Have uvicorn tell of each connection of a page.

    Raises:
        RuntimeError: this version of uvicorn or of websockets takes frames in another way.
    """
    streamlit_function(ServerProtocol, "recv_frame", _ABILITY)
    put_around(page_protocol(), "connection_made", frames.made, _ABILITY)


class Unsent:
    """The messages that wait to be sent to the pages of all visitors.

    A page for which too much waits ends, as one does for which Streamlit has too many messages. If
    it is too much of all together, it is that of the network address for which most waits.
    """

    def __init__(self) -> None:
        self._queues: WeakSet[_Queue] = WeakSet()

    def of_tab(self, scope: Scope, tab: Tab) -> Scope:
        """Return the request of a page, of which the messages are counted from now on."""
        return {**scope, _TAB: tab}

    def made(self, original: Method, client: Any, websocket: Any) -> None:
        """Give a new connection of a page its queue."""
        original(client, websocket)
        tab = websocket.scope.get(_TAB)
        if tab is not None:
            client._send_queue = _Queue(self, tab, client._send_queue.maxsize)
            self._queues.add(client._send_queue)

    def has_room(self, queue: _Queue, num_bytes: int) -> bool:
        """Whether so many more bytes may wait, after others have given up theirs."""
        if queue.num_bytes + num_bytes > MOST_UNSENT:
            queue.give_up()
            return False
        if queue.num_bytes < FEW_UNSENT:
            return True
        while sum(one.num_bytes for one in self._queues) + num_bytes > MOST_UNSENT_OF_ALL:
            of_addresses: Counter[str] = Counter()
            for one in self._queues:
                of_addresses[one.tab.address] += one.num_bytes
            ((greedy, _),) = of_addresses.most_common(1)
            own = [one for one in self._queues if one.tab.address == greedy]
            most = max(own, key=lambda one: one.num_bytes)
            most.give_up()
            if most is queue:
                return False
        return True


class _Queue(asyncio.Queue[bytes]):
    """The messages that wait to be sent to a page."""

    def __init__(self, unsent: Unsent, tab: Tab, maxsize: int) -> None:
        super().__init__(maxsize)
        self.tab = tab
        self.num_bytes = 0
        self._unsent = unsent

    def put_nowait(self, item: bytes) -> None:
        """Have a message wait.

        Raises:
            asyncio.QueueFull: there is no room for it, and Streamlit ends the session.
        """
        if not self._unsent.has_room(self, len(item)):
            raise asyncio.QueueFull
        if self.full():
            self.give_up()
            raise asyncio.QueueFull
        super().put_nowait(item)

    def give_up(self) -> None:
        """Forget what waits, and end the page's connection, with which its browser begins again."""
        while not self.empty():
            self.get_nowait()
        self.tab.is_given_up.set()

    def _put(self, item: bytes) -> None:
        self.num_bytes += len(item)
        super()._put(item)

    def _get(self) -> bytes:
        item = super()._get()
        self.num_bytes -= len(item)
        return item


def watch_unsent(unsent: Unsent) -> None:
    """Have Streamlit's connections of pages count what waits to be sent, from now on.

    Raises:
        RuntimeError: this version of Streamlit keeps it in another way.
    """
    client = streamlit_function(starlette_websocket, _CLIENT, _UNSENT_ABILITY)
    put_around(client, "__init__", unsent.made, _UNSENT_ABILITY)
