"""Connections to a demo's server: those that ask for nothing are closed, requests are bounded.

uvicorn waits for a request without end, takes one of any length and any number of them at once, and
has no bound on messages that is not Streamlit's for what the server sends. Strangers could take all
of its open files, its memory, or its time.
"""

from __future__ import annotations

import importlib
import logging
import re
from typing import Any

from tl_core.connections import (
    HEAD_SECONDS,
    OpenConnections,
    check_ahead,
    check_header,
    check_piece,
    check_url,
)
from tl_core.logs import FewRepeats
from ui.hosted.frames import page_protocol
from ui.hosted.internals import Method, put_around

LARGEST_HEAD = 32_768  # bytes of a request without its body, as many as proxies pass on
LARGEST_MESSAGE = 1_000_000  # bytes of a browser's message; files are uploaded by requests
MOST_CONNECTIONS = 1_000  # after which the address with most gives one up
_PROTOCOLS = (("httptools_impl", "HttpToolsProtocol"), ("h11_impl", "H11Protocol"))
_BOUNDED = "H11Protocol"  # takes requests one by one, each with a head of 64 kB
_ABILITY = "whose uvicorn tells of connections"
# Of requests that are none, of each try to accept one, and of messages of pages.
_LOGGERS = re.compile(r"uvicorn\.error|asyncio|streamlit(\..+)?")


class Connections(OpenConnections):
    """The open connections of a demo's server.

    Args:
        num_files: how many files and connections the process may have open.
    """

    def __init__(self, num_files: int) -> None:
        super().__init__(min(MOST_CONNECTIONS, num_files // 2), HEAD_SECONDS)

    def made(self, original: Method, protocol: Any, transport: Any) -> None:
        """Note a new connection."""
        original(protocol, transport)
        protocol.config.ws_max_size = LARGEST_MESSAGE
        protocol.ws_protocol_class = page_protocol()
        self.add(protocol, transport)

    def lost(self, original: Method, protocol: Any, error: Exception | None) -> None:
        """Forget a connection that has ended."""
        self.remove(protocol.transport)
        original(protocol, error)

    def receive(self, original: Method, protocol: Any, data: bytes) -> None:
        """Pass on what a connection sends, and end it if it is no request."""
        original(protocol, data)
        one = self._open.get(protocol.transport)
        if one is not None and one.protocol is protocol:
            one.head_bytes = one.head_bytes + len(data) if _is_in_head(protocol) else 0
            if one.head_bytes > LARGEST_HEAD:
                protocol.transport.abort()

    def begin_request(self, original: Method, protocol: Any) -> None:
        """Begin a request, unless many wait."""
        check_ahead(protocol)
        if (one := self._open.get(protocol.transport)) is not None:
            one.num_small_pieces = 0
        original(protocol)

    def add_piece(self, original: Method, protocol: Any, body: bytes) -> None:
        """Take a piece of the body of a request."""
        check_piece(self._open.get(protocol.transport), body)
        original(protocol, body)

    def receive_page(self, original: Method, protocol: Any, data: bytes) -> None:
        """Pass on what the WebSocket of a page sends, and end it if it began with no request."""
        original(protocol, data)
        one = self._open.get(protocol.transport)
        if one is not None and one.timer is not None:
            one.timer.cancel()
            one.protocol, one.timer = protocol, None
        if not protocol.handshake_initiated:
            protocol.transport.abort()  # uvicorn would neither answer nor end it


def _is_in_head(protocol: Any) -> bool:
    """Whether a request has begun whose head has not ended; h11 bounds that itself."""
    is_begun = protocol.scope is not None
    return is_begun and (protocol.cycle is None or protocol.cycle.scope is not protocol.scope)


def _add_url(original: Method, protocol: Any, more: bytes) -> None:
    check_url(protocol, more)
    original(protocol, more)


def _add_header(original: Method, protocol: Any, name: bytes, value: bytes) -> None:
    check_header(protocol, name, value)
    original(protocol, name, value)


def watch_connections(connections: Connections) -> None:
    """Have uvicorn tell of each connection and of what it sends, and log what repeats seldom.

    Raises:
        RuntimeError: this version of uvicorn makes them in another way.
    """
    notes: dict[str, Method] = {
        "connection_made": connections.made,
        "connection_lost": connections.lost,
        "data_received": connections.receive,
    }
    parsed: dict[str, Method] = {
        "on_message_begin": connections.begin_request,
        "on_url": _add_url,
        "on_header": _add_header,
        "on_body": connections.add_piece,
    }
    for module, name in _PROTOCOLS:
        try:
            protocol = getattr(importlib.import_module(f"uvicorn.protocols.http.{module}"), name)
        except ImportError:
            continue  # it is optional
        bounds = {} if name == _BOUNDED else parsed
        for method, around in {**notes, **bounds}.items():
            put_around(protocol, method, around, _ABILITY)
    put_around(page_protocol(), "connection_lost", connections.lost, _ABILITY)
    put_around(page_protocol(), "data_received", connections.receive_page, _ABILITY)
    for name in ("uvicorn.error", "asyncio", *logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if _LOGGERS.fullmatch(name) and not any(
            isinstance(one, FewRepeats) for one in logger.filters
        ):
            logger.addFilter(FewRepeats())
