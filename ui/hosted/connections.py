"""Connections to a demo's server: those that ask for nothing are closed, requests are bounded.

uvicorn waits for a request without end, takes one of any length and any number of them at once, and
has no bound on messages that is not Streamlit's for what the server sends. Strangers could take all
of its open files, its memory, or its time.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tl_core.logs import FewRepeats
from ui.hosted.frames import page_protocol
from ui.hosted.internals import Method, put_around
from ui.hosted.paces import network_address

HEAD_SECONDS = 15.0  # within which a request has to be sent, up to its body
LARGEST_HEAD = 65_536  # bytes of a request without its body
MOST_HEADERS = 200
MOST_AHEAD = 8  # requests of one connection that wait for the answer to an earlier one
LEAST_BYTES = 75_000  # of an answer that is over, to be taken within that time
LARGEST_MESSAGE = 1_000_000  # bytes of a browser's message; files are uploaded by requests
MOST_CONNECTIONS = 1_000  # after which the address with most gives one up
MOST_FILES = 65_536  # that this process asks to be allowed to have open
_PROTOCOLS = (("httptools_impl", "HttpToolsProtocol"), ("h11_impl", "H11Protocol"))
_BOUNDED = "H11Protocol"  # takes requests one by one, each with a head of 64 kB
_ABILITY = "whose uvicorn tells of connections"
# Of requests that are none, of each try to accept one, and of messages of pages.
_LOGGERS = re.compile(r"uvicorn\.error|asyncio|streamlit(\..+)?")


@dataclass(eq=False)
class _Open:
    """An open connection."""

    protocol: Any  # uvicorn's; another one since it became a page's WebSocket
    address: str
    timer: asyncio.TimerHandle | None = None  # when it is looked at next; None for a WebSocket
    head_bytes: int = 0  # of a request that has begun


class Connections:
    """The open connections of a server, in the order in which they were made.

    Args:
        num_files: how many files and connections the process may have open.
    """

    def __init__(self, num_files: int) -> None:
        self._most = min(MOST_CONNECTIONS, num_files // 2)
        self._open: dict[Any, _Open] = {}  # by transport

    def made(self, original: Method, protocol: Any, transport: Any) -> None:
        """Note a new connection."""
        original(protocol, transport)
        protocol.config.ws_max_size = LARGEST_MESSAGE
        protocol.ws_protocol_class = page_protocol()
        one = _Open(protocol, network_address({"client": protocol.client}))
        self._open[transport] = one
        self._look_later(one)
        if len(self._open) > self._most:
            superfluous = self._superfluous()
            self._forget(superfluous)
            superfluous.abort()

    def lost(self, original: Method, protocol: Any, error: Exception | None) -> None:
        """Forget a connection that has ended."""
        self._forget(protocol.transport)
        original(protocol, error)

    def receive(self, original: Method, protocol: Any, data: bytes) -> None:
        """Pass on what a connection sends, and end it if it is no request."""
        original(protocol, data)
        one = self._open.get(protocol.transport)
        if one is not None and one.protocol is protocol:
            one.head_bytes = one.head_bytes + len(data) if _is_in_head(protocol) else 0
            if one.head_bytes > LARGEST_HEAD:
                protocol.transport.abort()

    def receive_page(self, original: Method, protocol: Any, data: bytes) -> None:
        """Pass on what the WebSocket of a page sends, and end it if it began with no request."""
        original(protocol, data)
        one = self._open.get(protocol.transport)
        if one is not None and one.timer is not None:
            one.timer.cancel()
            one.protocol, one.timer = protocol, None
        if not protocol.handshake_initiated:
            protocol.transport.abort()  # uvicorn would neither answer nor end it

    def _superfluous(self) -> Any:
        """Return the connection of the address with most that waits longest, or its last one."""
        numbers = Counter(one.address for one in self._open.values())
        (greedy, _), *_ = numbers.most_common(1)
        own = {key: one for key, one in self._open.items() if one.address == greedy}
        return next((key for key, one in own.items() if _is_waiting(one)), [*own][-1])

    def _look_later(self, one: _Open) -> None:
        loop: asyncio.AbstractEventLoop = one.protocol.loop
        unsent = one.protocol.transport.get_write_buffer_size()
        one.timer = loop.call_later(HEAD_SECONDS, self._look, one, one.protocol.cycle, unsent)

    def _look(self, one: _Open, last: object, unsent_before: int) -> None:
        """End a connection that has waited since its last answer, or whose answer nobody takes."""
        transport = one.protocol.transport
        unsent = transport.get_write_buffer_size()
        is_over = _is_waiting(one) or transport.is_closing()
        if is_over and unsent:
            if 0 < unsent_before < unsent + LEAST_BYTES:
                transport.abort()
        elif one.protocol.cycle is last and is_over:
            transport.close()
        self._look_later(one)

    def _forget(self, transport: Any) -> None:
        """Keep no connection in memory that has ended, nor what it has sent."""
        one = self._open.pop(transport, None)
        if one is not None and one.timer is not None:
            one.timer.cancel()


def _is_waiting(one: _Open) -> bool:
    """Whether a connection waits for a request; that of a page does not."""
    cycle = getattr(one.protocol, "cycle", None)
    return one.timer is not None and (cycle is None or bool(cycle.response_complete))


def _is_in_head(protocol: Any) -> bool:
    """Whether a request has begun whose head has not ended; h11 bounds that itself."""
    is_begun = protocol.scope is not None
    return is_begun and (protocol.cycle is None or protocol.cycle.scope is not protocol.scope)


def _begin_request(original: Method, protocol: Any) -> None:
    if len(protocol.pipeline) >= MOST_AHEAD:
        raise ConnectionError("too many requests at once")  # uvicorn refuses all
    original(protocol)


def _add_header(original: Method, protocol: Any, name: bytes, value: bytes) -> None:
    if len(protocol.headers) >= MOST_HEADERS:
        raise ConnectionError("too many headers")
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
    parsed: dict[str, Method] = {"on_message_begin": _begin_request, "on_header": _add_header}
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


def allow_files() -> int:
    """Let this process have as many open files as the system permits; return how many."""
    try:
        import resource
    except ImportError:  # on Windows
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY:
        return MOST_FILES
    if soft >= wanted:
        return soft
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
