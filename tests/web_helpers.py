"""A static file server and the player's own modules, for tests of the exported web page."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tl_core.export.web

PLAYER = Path(tl_core.export.web.__file__).parent / "player"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port as ``python -m http.server`` does; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
