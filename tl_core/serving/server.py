"""Run the service in uvicorn, with a limit on the time and size of headers."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tl_core.errors import ConfigError
from tl_core.serving.settings import KEEP_ALIVE_SECONDS, MAX_HEADER_BYTES, ServiceSettings


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when a header takes too long or is too large.

    uvicorn limits neither; clients that send a header byte by byte would hold connections for
    ever. The same time is given to the rest of a body that was refused.
    """

    header_seconds = 30.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch: asyncio.TimerHandle | None = None
        self._is_in_header = True
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first header."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        super().connection_lost(exc)
        self._stop_watch()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a header, and time it."""
        if self._is_in_header:
            self._header_bytes += len(data)  # the end of a header in it sets this to 0
        super().data_received(data)
        is_open = self._is_in_header and not self.transport.is_closing()
        if is_open and self._header_bytes > MAX_HEADER_BYTES:
            self.send_400_response("The header is too large.")
        self._look()

    def on_headers_complete(self) -> None:
        """End the header."""
        super().on_headers_complete()
        self._is_in_header, self._header_bytes = False, 0

    def on_message_complete(self) -> None:
        """Begin the next header."""
        super().on_message_complete()
        self._is_in_header = True

    def on_response_complete(self) -> None:
        """Leave an idle connection to uvicorn's own timer."""
        super().on_response_complete()
        self._stop_watch()

    def _look(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._stop_watch()
        elif self._watch is None:
            self._watch = self.loop.call_later(self.header_seconds, self._give_up)

    def _give_up(self) -> None:
        self._watch = None
        self.timeout_keep_alive_handler()

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def make_server(app: ASGIApp, settings: ServiceSettings) -> uvicorn.Server:
    """Return a server for a socket that listens already; see :func:`listen`."""
    protocol = type(
        "Protocol", (GuardedProtocol,), {"header_seconds": float(settings.read_seconds)}
    )
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
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
