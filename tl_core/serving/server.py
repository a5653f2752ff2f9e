"""Run the service in uvicorn, with a limit on the time and size of headers."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tl_core.connections import (
    HEAD_SECONDS,
    OpenConnections,
    allow_files,
    check_ahead,
    check_header,
    check_piece,
    check_url,
)
from tl_core.errors import ConfigError
from tl_core.serving.settings import (
    KEEP_ALIVE_SECONDS,
    MAX_HEADER_BYTES,
    ServiceSettings,
)


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when a request takes too long or has too much before its body.

    uvicorn limits neither; clients that send a header byte by byte would hold connections for
    ever. The same time is given to the rest of a body that was refused.
    """

    open_connections: OpenConnections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note it among those of its server."""
        super().connection_made(transport)
        self._connection = self.open_connections.add(self, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.open_connections.remove(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a header, or of what follows a body."""
        # the end of a header in it, or a part of a body, sets this to 0
        self._connection.head_bytes += len(data)
        super().data_received(data)
        is_large = self._connection.head_bytes > MAX_HEADER_BYTES
        if is_large and not self.transport.is_closing():
            self.send_400_response("The header is too large.")

    def on_message_begin(self) -> None:
        """Begin a request, unless many wait."""
        check_ahead(self)
        self._connection.num_small_pieces = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the path and its parameters."""
        check_url(self, url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; cookies, which would be taken apart, mean nothing here."""
        check_header(self, name, value)
        if name.lower() != b"cookie":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the header."""
        super().on_headers_complete()
        self._connection.head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        check_piece(self._connection, body)
        super().on_body(body)
        self._connection.head_bytes = 0

    def on_message_complete(self) -> None:
        """Begin the next header."""
        super().on_message_complete()
        self._connection.head_bytes = 0


def make_server(app: ASGIApp, settings: ServiceSettings) -> uvicorn.Server:
    """Return a server for a socket that listens already; see :func:`listen`."""
    connections = OpenConnections(
        min(settings.max_connections, allow_files() // 2),
        min(settings.read_seconds, HEAD_SECONDS),
        writes_at_once=True,
    )
    protocol = type("Protocol", (GuardedProtocol,), {"open_connections": connections})
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.stop_seconds,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ConfigError: the address is taken, or is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise ConfigError(
            f"Expected an address to listen on, but {host}:{port} cannot be used: "
            f"{error.strerror or error}. Choose another with --host and --port."
        ) from error
    return listener


def run_service(app: ASGIApp, listener: socket.socket, settings: ServiceSettings) -> None:
    """Serve until SIGINT or SIGTERM; running requests are answered before the end.

    Args:
        app: from :func:`~tl_core.serving.app.create_app`.
        listener: from :func:`listen`.
        settings: the limits.
    """
    server = make_server(app, settings)
    with listener, _stopped_by_signals(server):
        server.run(sockets=[listener])


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let the process end normally: uvicorn raises the signals again that stopped it."""

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
