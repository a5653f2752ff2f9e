"""A server of uvicorn in a thread, to which raw clients connect."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

UPGRADE = b"""GET /echo HTTP/1.1
Host: here
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==

""".replace(b"\n", b"\r\n")


async def echo(websocket: Any) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())


@contextmanager
def serve(page: Any = echo, **options: Any) -> Iterator[int]:
    """Serve "hello", 20 MB and a WebSocket as long as it is needed; yield the port."""
    routes = [
        Route("/", lambda _: PlainTextResponse("hello")),
        Route("/large", lambda _: PlainTextResponse(bytes(20_000_000) + b"end")),
        WebSocketRoute("/echo", page),
    ]
    options = {"ws": "websockets-sansio", "log_level": "error", **options}
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), **options))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()
