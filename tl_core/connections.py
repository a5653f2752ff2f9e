"""The open connections of a uvicorn server: who sends no whole request keeps nobody out.

uvicorn waits for a request without end, and has no bound on its address, its headers and the pieces
of its body, each of which takes time of the loop that answers everyone, nor on how many requests
one connection sends ahead. What it has is one number of connections for all, which one address can
take by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

HEAD_SECONDS = 15.0  # within which a request has to be sent, up to its body
MOST_HEADERS = 200
MOST_URL_BYTES = 8_192  # of the path and its parameters
MOST_HEADER_BYTES = 8_192  # of one; cookies are bounded by the request alone
MOST_WORDS_BYTES = 1_024  # of all headers that are taken apart into words; browsers send 400
SMALL_PIECE_BYTES = 100  # of a body
MOST_SMALL_PIECES = 200  # of one request
MOST_AHEAD = 8  # requests of one connection that wait for the answer to an earlier one
LEAST_BYTES = 75_000  # of an answer that is over, to be taken within that time
MOST_FILES = 65_536  # that this process asks to be allowed to have open

_OF_WORDS = (
    b"connection",
    b"upgrade",
    b"sec-websocket-protocol",
    b"sec-websocket-extensions",
)


@dataclass(eq=False)
class Connection:
    """An open connection."""

    protocol: Any  # uvicorn's; another one since it became a page's WebSocket
    address: str
    timer: asyncio.TimerHandle | None = None  # when it is looked at next; None for a WebSocket
    head_bytes: int = 0  # of a request that has begun
    num_small_pieces: int = 0  # of its body


class OpenConnections:
    """The open connections of a server, in the order in which they were made.

    With more than it may have, the address with most gives one up: first one that waits for a
    request, then one whose request has not come whole, the oldest first; else its newest.

    Args:
        most: how many there may be.
        seconds: how long one may wait for a request.
        writes_at_once: whether each answer is written by one call, so that one that waits to be
            written waits for the client alone.
    """

    def __init__(self, most: int, seconds: float, *, writes_at_once: bool = False) -> None:
        self._most, self._writes_at_once = most, writes_at_once
        self.seconds = seconds
        self._open: dict[Any, Connection] = {}  # by transport

    def add(self, protocol: Any, transport: Any) -> Connection:
        """Note a new connection, and give one up if there are too many."""
        one = Connection(protocol, network_address({"client": protocol.client}))
        self._open[transport] = one
        self._look_later(one)
        if len(self._open) > self._most:
            superfluous = self._superfluous()
            self.remove(superfluous)
            superfluous.abort()
        return one

    def remove(self, transport: Any) -> None:
        """Keep no connection in memory that has ended, nor what it has sent."""
        one = self._open.pop(transport, None)
        if one is not None and one.timer is not None:
            one.timer.cancel()

    def _superfluous(self) -> Any:
        numbers = Counter(one.address for one in self._open.values())
        (greedy, _), *_ = numbers.most_common(1)
        own = {key: one for key, one in self._open.items() if one.address == greedy}
        for goes_first in (_is_waiting, _is_sending):
            for key, one in own.items():
                if goes_first(one):
                    return key
        return [*own][-1]

    def _look_later(self, one: Connection) -> None:
        loop: asyncio.AbstractEventLoop = one.protocol.loop
        unsent = one.protocol.transport.get_write_buffer_size()
        one.timer = loop.call_later(self.seconds, self._look, one, one.protocol.cycle, unsent)

    def _look(self, one: Connection, last: object, unsent_before: int) -> None:
        """End a connection that has waited since its last answer, or whose answer nobody takes."""
        transport = one.protocol.transport
        unsent = transport.get_write_buffer_size()
        is_over = _is_waiting(one) or transport.is_closing()
        if unsent and (is_over or (self._writes_at_once and one.protocol.flow.write_paused)):
            if 0 < unsent_before < unsent + LEAST_BYTES:
                transport.abort()
        elif one.protocol.cycle is last and is_over:
            transport.close()
        self._look_later(one)


def _is_waiting(one: Connection) -> bool:
    """Whether a connection waits for a request; that of a page does not."""
    cycle = getattr(one.protocol, "cycle", None)
    return one.timer is not None and (cycle is None or bool(cycle.response_complete))


def _is_sending(one: Connection) -> bool:
    """Whether a connection has a request whose body has not come whole."""
    cycle = getattr(one.protocol, "cycle", None)
    return one.timer is not None and cycle is not None and bool(cycle.more_body)


def check_ahead(protocol: Any) -> None:
    """Check that a connection may begin one more request.

    Raises:
        ConnectionError: too many wait, and uvicorn refuses all.
    """
    if len(protocol.pipeline) >= MOST_AHEAD:
        raise ConnectionError("too many requests at once")


def check_url(protocol: Any, more: bytes) -> None:
    """Check that the address of a request may go on.

    Raises:
        ConnectionError: it is too long, and uvicorn refuses it.
    """
    if len(protocol.url) + len(more) > MOST_URL_BYTES:
        raise ConnectionError("the address is too long")


def check_header(protocol: Any, name: bytes, value: bytes) -> None:
    """Check that a request may have one more header.

    Raises:
        ConnectionError: it has too many, or this one is too long, and uvicorn refuses it.
    """
    if len(protocol.headers) >= MOST_HEADERS:
        raise ConnectionError("too many headers")
    name = name.lower()
    num_bytes = len(value)
    if name in _OF_WORDS:
        more = sum(len(one) for other, one in protocol.headers if other in _OF_WORDS)
        is_long = num_bytes + more > MOST_WORDS_BYTES
    else:
        is_long = num_bytes > MOST_HEADER_BYTES and name != b"cookie"
    if is_long:
        raise ConnectionError("a header is too long")


def check_piece(connection: Connection | None, body: bytes) -> None:
    """Check that the body of a request may have one more piece, such as a chunk.

    Raises:
        ConnectionError: it has too many small ones, and uvicorn refuses it.
    """
    if connection is not None and len(body) < SMALL_PIECE_BYTES:
        connection.num_small_pieces += 1
        if connection.num_small_pieces > MOST_SMALL_PIECES:
            raise ConnectionError("too many pieces")


def network_address(scope: Mapping[str, Any]) -> str:
    """Return the address that a request comes from; of IPv6, the network that one household has.

    Behind a proxy it is that which the proxy says, if uvicorn trusts it: ``FORWARDED_ALLOW_IPS``.

    Example:
        >>> from tl_core.connections import network_address
        >>> network_address({"client": ("2001:db8:1:2:3:4:5:6", 443)})
        '2001:db8:1:2::'
    """
    text = str((scope.get("client") or ("",))[0])
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_address(int(address) >> 64 << 64))


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
