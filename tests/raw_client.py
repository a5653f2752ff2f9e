"""A page run over a raw websocket, as Streamlit's frontend does it, without a browser."""

from __future__ import annotations

from contextlib import suppress

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol


def run_page(port: int, name: str = "", query: str = "", cookie: str | None = None) -> bytes:
    """Run a page of the app on a port of this machine and return all that the server sends."""
    received = [b""]
    with open_stream(port, cookie) as connection:
        rerun(connection, name, query)
        with suppress(ConnectionClosed, TimeoutError):
            finish_run(connection, received)
    return b"".join(received)


def open_stream(port: int, cookie: str | None = None) -> ClientConnection:
    """Open the connection of a page; close it, or use it in ``with``."""
    return connect(
        f"ws://127.0.0.1:{port}/_stcore/stream",
        additional_headers=None if cookie is None else {"Cookie": cookie},
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
        ping_interval=None,  # a busy server may take long to answer one
    )


def rerun(connection: ClientConnection, name: str = "", query: str = "") -> None:
    """Ask for a run of a page's script."""
    message = BackMsg()
    message.rerun_script.query_string = query
    message.rerun_script.page_name = name
    connection.send(message.SerializeToString())


def finish_run(connection: ClientConnection, received: list[bytes] | None = None) -> None:
    """Read until a script has ended; what is read is appended to ``received``."""
    while True:
        data = connection.recv(timeout=300)
        data = data if isinstance(data, bytes) else data.encode()
        if received is not None:
            received.append(data)
        answer = ForwardMsg.FromString(data)
        if answer.WhichOneof("type") == "script_finished" and (
            answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        ):
            return
