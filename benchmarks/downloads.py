"""The memory that the web process takes to make and send a project's zip, in a hosted demo.

    python -m benchmarks.downloads [--megabytes 290] [--slow 0]

A visitor with photos of so many megabytes asks for the zip of the project as a browser does, and
reads it. ``--slow`` opens so many more connections before, which ask for the same and read nothing.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from raw_client import finish_run, open_stream, rerun  # type: ignore[import-not-found] # noqa: E402

from benchmarks.reliability_alone import wait_for_app  # noqa: E402
from tl_core.visitors.store import open_visitor  # noqa: E402
from tl_core.visitors.tokens import issue_token  # noqa: E402
from tl_core.workspace import Workspace  # noqa: E402

SERVE = """
import sys, uvicorn
from tl_core.jobs import worker_client
def none(*_): raise OSError("no worker here")
worker_client._spawn = none
import hosted
uvicorn.run(hosted.app, port=int(sys.argv[1]), log_level="warning", ws="websockets")
"""


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=290)
    parser.add_argument("--slow", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", chosen.port))
        port = probe.getsockname()[1]
        probe.close()
        host = Workspace(Path(folder) / "demo")
        os.environ |= {"TL_MODE": "demo", "TL_WORKSPACE": str(host.root)}
        token = issue_token(host)
        _fill(host.datasets_dir / "sample", 8)  # else it is drawn
        _fill(open_visitor(host, token).datasets_dir / "large", chosen.megabytes)
        command = [sys.executable, "-c", SERVE, str(port)]
        with (host.root / "server.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for_app(port)
            print(_measure(port, token, psutil.Process(process.pid), chosen.slow))
        finally:
            process.terminate()
            process.wait()


def _fill(folder: Path, megabytes: int) -> None:
    """Write photos of so many megabytes in two classes, a megabyte each."""
    rng = np.random.default_rng(0)
    for number in range(megabytes):
        path = folder / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (576, 576, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=0)


def _measure(port: int, token: str, server: psutil.Process, num_slow: int) -> str:
    cookie = f"tl_visitor={token}"
    peak, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.02):
            peak[0] = max(peak[0], server.memory_info().rss)

    with open_stream(port, cookie) as connection:
        received: list[bytes] = []
        rerun(connection, "Data", "dataset=large")
        finish_run(connection, received)
        session_id, place = _button(received)
        before = server.memory_info().rss
        threading.Thread(target=watch, daemon=True).start()
        stalled = []
        for _ in range(num_slow):
            one = http.client.HTTPConnection("127.0.0.1", port)
            one.request("GET", _made(connection, session_id, place), headers={"Cookie": cookie})
            one.getresponse().read(1)
            stalled.append(one)
        address = f"http://127.0.0.1:{port}{_made(connection, session_id, place)}"
        total = 0
        request = urllib.request.Request(address, headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=600) as answer:
            while data := answer.read(2**20):
                total += len(data)
        is_over.set()
        after = server.memory_info().rss
    return (
        f"a zip of {total / 1e6:.0f} MB: web process {before / 1e6:.0f} MB before, "
        f"{peak[0] / 1e6:.0f} MB at most, {after / 1e6:.0f} MB after"
    )


def _button(received: list[bytes]) -> tuple[str, str]:
    """Return the ids of the session, and under which its page offers the project's zip."""
    session_id = ""
    for data in received:
        message = ForwardMsg.FromString(data)
        if message.WhichOneof("type") == "new_session":
            session_id = message.new_session.initialize.session_id
        elif message.WhichOneof("type") == "delta":
            button = message.delta.new_element.download_button
            if button.label == "Export as a zip":
                return session_id, str(button.deferred_file_id)
    raise AssertionError("the page offers the project as a zip")


def _made(connection: object, session_id: str, file_id: str) -> str:
    """Ask for a file, as a click does, and return its address when it is made."""
    message = BackMsg()
    message.backend_operation_request.request_id = "1"
    message.backend_operation_request.session_id = session_id
    message.backend_operation_request.deferred_file.file_id = file_id
    connection.send(message.SerializeToString())  # type: ignore[attr-defined]
    while True:
        answer = ForwardMsg.FromString(connection.recv(timeout=600))  # type: ignore[attr-defined]
        if answer.WhichOneof("type") == "backend_operation_response":
            response = answer.backend_operation_response
            assert not response.error_msg, response.error_msg
            return str(response.deferred_file.url)


if __name__ == "__main__":
    main()
