"""How many frames the WebSocket of a page may send, above all those that are no message.

uvicorn answers pings and joins the parts of a message below the app, and each costs time within the
loop that serves everyone: empty ones take all of it at a few hundred kilobytes a second.
"""

from __future__ import annotations

import importlib
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame
from websockets.server import ServerProtocol

from tl_core.connections import network_address
from ui.hosted.internals import Method, put_around, streamlit_function
from ui.hosted.paces import Pace, Paces

FRAMES_A_SECOND = 20.0  # that each connection may send, after a burst
BURST_FRAMES = 100
FRAMES_MORE_A_SECOND = 300.0  # that all connections of a network address may send beyond that
BURST_FRAMES_MORE = 3_000
_MODULE, _CLASS = "uvicorn.protocols.websockets.websockets_sansio_impl", "WebSocketsSansIOProtocol"
_ABILITY = "whose uvicorn and websockets tell of each frame"
_TOO_MANY = "too many frames"


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
