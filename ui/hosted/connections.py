"""Connections to a demo's server: those that ask for nothing are closed, and messages are bounded.

uvicorn waits for a request without end, and has no bound on messages that is not Streamlit's for
what the server sends. Strangers could take all of its open files, or its memory.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import time
from contextlib import suppress
from typing import Any

from ui.hosted.internals import streamlit_function

HEAD_SECONDS = 15.0  # within which a request has to be sent, up to its body
LARGEST_MESSAGE = 1_000_000  # bytes of a browser's message; files are uploaded by requests
MOST_CONNECTIONS = 1_000  # after which those that wait for a request are closed at once
QUIET_SECONDS = 60.0  # between two records that no more files may be open
MOST_FILES = 65_536  # that this process asks to be allowed to have open
_PROTOCOLS = (("httptools_impl", "HttpToolsProtocol"), ("h11_impl", "H11Protocol"))
_FUNCTION = "connection_made"


class Connections:
    """The open connections of a server, in the order in which they were made.

    Args:
        num_files: how many files and connections the process may have open.
    """

    def __init__(self, num_files: int) -> None:
        self._most = min(MOST_CONNECTIONS, num_files // 2)
        self._open: dict[Any, None] = {}  # uvicorn's protocols
        self._told_at = -QUIET_SECONDS

    def made(self, protocol: Any) -> None:
        """Note a new connection."""
        protocol.config.ws_max_size = LARGEST_MESSAGE
        if protocol.loop.get_exception_handler() is None:
            protocol.loop.set_exception_handler(self.handle)
        self._open[protocol] = None
        if len(self._open) > self._most:
            longest = next(filter(_is_waiting, self._open))  # this one, if no other
            self._close(longest)
        self._look_again(protocol)

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error of the server's loop, but seldom that no connection can be accepted.

        asyncio tells so of each of 2,048 tries a second, longer than the second takes.
        """
        error, now = context.get("exception"), time.monotonic()
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            if now - self._told_at < QUIET_SECONDS:
                return
            self._told_at = now
        loop.default_exception_handler(context)

    def _look_again(self, protocol: Any) -> None:
        protocol.loop.call_later(HEAD_SECONDS, self._look, protocol, protocol.cycle)

    def _look(self, protocol: Any, last: object) -> None:
        """Close a connection that has waited since its last request was answered."""
        if protocol not in self._open:
            return
        if protocol not in protocol.connections:  # closed, or a page's WebSocket by now
            del self._open[protocol]
        elif protocol.cycle is last and _is_waiting(protocol):
            self._close(protocol)
        else:
            self._look_again(protocol)

    def _close(self, protocol: Any) -> None:
        self._open.pop(protocol, None)
        if protocol in protocol.connections:
            protocol.transport.close()


def _is_waiting(protocol: Any) -> bool:
    return protocol.cycle is None or bool(protocol.cycle.response_complete)


def watch_connections(connections: Connections) -> None:
    """Have uvicorn tell of each connection.

    Raises:
        RuntimeError: this version of uvicorn makes them in another way.
    """
    for module, name in _PROTOCOLS:
        try:
            protocol = getattr(importlib.import_module(f"uvicorn.protocols.http.{module}"), name)
        except ImportError:
            continue  # it is optional
        make = streamlit_function(protocol, _FUNCTION, "whose uvicorn tells of connections")
        original = getattr(make, "original", make)

        def make_and_tell(self: Any, transport: Any, original: Any = original) -> None:
            original(self, transport)
            connections.made(self)

        make_and_tell.original = original  # type: ignore[attr-defined]
        setattr(protocol, _FUNCTION, make_and_tell)


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
