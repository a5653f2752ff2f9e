"""Connections to a demo's server: those that ask for nothing are closed, requests are bounded.

uvicorn waits for a request without end, takes one of any length and any number of them at once, and
has no bound on messages that is not Streamlit's for what the server sends. Strangers could take all
of its open files, its memory, or its time.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tl_core.logs import FewRepeats
from ui.hosted.frames import page_protocol
from ui.hosted.internals import Method, put_around

HEAD_SECONDS = 15.0  # within which a request has to be sent, up to its body
LARGEST_HEAD = 65_536  # bytes of a request without its body
MOST_HEADERS = 200
MOST_AHEAD = 8  # requests of one connection that wait for the answer to an earlier one
LARGEST_MESSAGE = 1_000_000  # bytes of a browser's message; files are uploaded by requests
MOST_CONNECTIONS = 1_000  # after which those that wait for a request are closed at once
MOST_FILES = 65_536  # that this process asks to be allowed to have open
_PROTOCOLS = (("httptools_impl", "HttpToolsProtocol"), ("h11_impl", "H11Protocol"))
_BOUNDED = "H11Protocol"  # takes requests one by one, each with a head of 64 kB
_ABILITY = "whose uvicorn tells of connections"
_LOGGERS = ("uvicorn.error", "asyncio")  # of requests that are none, and of each try to accept one


@dataclass(eq=False)
class _Open:
    """An open connection: when it is looked at next, and what has come of an unfinished request."""

    timer: asyncio.TimerHandle
    head_bytes: int = 0


class Connections:
    """The open connections of a server, in the order in which they were made.

    Args:
        num_files: how many files and connections the process may have open.
    """

    def __init__(self, num_files: int) -> None:
        self._most = min(MOST_CONNECTIONS, num_files // 2)
        self._open: dict[Any, _Open] = {}  # by uvicorn's protocol

    def made(self, original: Method, protocol: Any, transport: Any) -> None:
        """Note a new connection."""
        original(protocol, transport)
        protocol.config.ws_max_size = LARGEST_MESSAGE
        protocol.ws_protocol_class = page_protocol()
        self._open[protocol] = _Open(self._look_later(protocol))
        if len(self._open) > self._most:
            longest = next(filter(_is_waiting, self._open))  # this one, if no other
            self._forget(longest)
            longest.transport.close()

    def lost(self, original: Method, protocol: Any, error: Exception | None) -> None:
        """Forget a connection that has ended."""
        self._forget(protocol)
        original(protocol, error)

    def receive(self, original: Method, protocol: Any, data: bytes) -> None:
        """Pass on what a connection sends, and end it if it is no request."""
        original(protocol, data)
        if protocol not in protocol.connections:  # a page's WebSocket by now
            self._forget(protocol)
        elif (one := self._open.get(protocol)) is not None:
            one.head_bytes = one.head_bytes + len(data) if _is_in_head(protocol) else 0
            if one.head_bytes > LARGEST_HEAD:
                protocol.transport.abort()

    def _look_later(self, protocol: Any) -> asyncio.TimerHandle:
        loop: asyncio.AbstractEventLoop = protocol.loop
        return loop.call_later(HEAD_SECONDS, self._look, protocol, protocol.cycle)

    def _look(self, protocol: Any, last: object) -> None:
        """Close a connection that has waited since its last request was answered."""
        if protocol.cycle is last and _is_waiting(protocol):
            self._forget(protocol)
            protocol.transport.close()
        else:
            self._open[protocol].timer = self._look_later(protocol)

    def _forget(self, protocol: Any) -> None:
        """Keep no connection in memory that has ended, nor what it has sent."""
        if (one := self._open.pop(protocol, None)) is not None:
            one.timer.cancel()


def _is_waiting(protocol: Any) -> bool:
    return protocol.cycle is None or bool(protocol.cycle.response_complete)


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
    for logger in map(logging.getLogger, _LOGGERS):
        if not any(isinstance(one, FewRepeats) for one in logger.filters):
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
