"""Let an exported page answer photos in a browser of this machine, without a window.

The page's own modules run in it, served by this process on the loopback device. The browser gets a
profile that is thrown away, so that nothing of the user's is touched.
"""

from __future__ import annotations

import json
import mimetypes
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tl_core.errors import ExportError
from tl_core.processes import run_watched
from tl_core.progress import Stage

SILENT_SECONDS = 120.0
"""A browser that gives no answer for so long is given up."""

NO_BROWSER = "no Chromium, Chrome or Edge was found on this machine"

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
    "chrome",
    "msedge",
)
_MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
)
_PAGE = """\
<!doctype html>
<meta charset="utf-8" />
<script type="module">
  const base = new URL("page/", location.href).href;
  const send = (value) => fetch("answers", { method: "POST", body: JSON.stringify(value) });
  const read = async (name) => (await fetch(base + name)).json();
  try {
    const { Client } = await import(base + "player/client.js");
    const client = new Client(() => {});
    await client.open(base, await read("model.json"), await read("player.json"));
    for (let number = 0; number < COUNT; number++) {
      try {
        const file = await (await fetch(`photos/${number}`)).blob();
        const { probabilities, milliseconds } = await client.answer({ file });
        await send({ number, probabilities: [...probabilities], milliseconds });
      } catch (error) {
        await send({ number, error: String(error?.message ?? error) });
      }
    }
    await send({ end: navigator.userAgent });
  } catch (error) {
    await send({ failed: String(error?.message ?? error) });
  }
</script>
"""


def find_browser() -> str | None:
    """Return the path of an installed browser of the Chromium family; None if there is none."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    places = [Path(path) for path in _MAC] if sys.platform == "darwin" else []
    if sys.platform == "win32":
        roots = [os.environ.get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)")]
        roots.append(os.environ.get("LOCALAPPDATA"))
        places = [Path(root) / path for root in roots if root for path in _WINDOWS]
    return next((str(path) for path in places if path.is_file()), None)


@dataclass(eq=False)
class Answers:
    """What the browser has said so far.

    Attributes:
        by_number: ``probabilities`` and ``milliseconds`` of each photo, or ``error``.
        user_agent: which browser it was, once it is through.
        failure: why the page does not work; empty while it does.
        heard: when it last said something, by ``time.monotonic``.
    """

    by_number: dict[int, dict[str, Any]] = field(default_factory=dict)
    user_agent: str = ""
    failure: str = ""
    heard: float = field(default_factory=time.monotonic)

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message of the page."""
        self.heard = time.monotonic()
        if "number" in message:
            self.by_number[int(message.pop("number"))] = message
        self.user_agent = str(message.get("end", self.user_agent))
        self.failure = str(message.get("failed", self.failure))


class _Through(Exception):
    """The browser has nothing more to say."""


def answer_in_browser(browser: str, folder: Path, photos: Sequence[Path], stage: Stage) -> Answers:
    """Return a page's answers for photos.

    Args:
        browser: from :func:`find_browser`.
        folder: of the page.
        photos: their files.
        stage: counts the photos answered, and is asked meanwhile whether to stop.

    Raises:
        ExportError: the browser does not start, or the page does not work in it.
        Stopped: a stop was asked for.
    """
    answers = Answers()

    def look() -> None:
        stage.done = len(answers.by_number)
        stage.look()
        if answers.user_agent or answers.failure:
            raise _Through
        if time.monotonic() - answers.heard > SILENT_SECONDS:
            answers.failure = f"the browser gave no answer for {SILENT_SECONDS:.0f} seconds"

    with (
        _serve(folder, photos, answers) as address,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        arguments = [*_ARGUMENTS, f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")  # it does not start as root with one
        try:
            ended = run_watched([browser, *arguments, address], look)
            answers.failure = f"the browser ended: {ended.reason}"
        except _Through:
            pass
        except OSError as error:
            answers.failure = f"the browser does not start: {error.strerror}"
    if answers.failure:
        raise ExportError(answers.failure)
    return answers


@contextmanager
def _serve(folder: Path, photos: Sequence[Path], answers: Answers) -> Iterator[str]:
    """Serve the page, the photos and what lets the page answer them; yields the address."""
    secret = secrets.token_urlsafe(16)  # other programs of this machine cannot guess the address
    root = folder.resolve()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, rest = self._inside()
            if kind == "prove":
                text = _PAGE.replace("COUNT", str(len(photos)))
                self._send(text.encode(), "text/html; charset=utf-8")
                return
            path: Path | None = None
            if kind == "photos" and rest.isdecimal() and int(rest) < len(photos):
                path = photos[int(rest)]
            elif kind == "page" and (root / rest).resolve().is_relative_to(root):
                path = root / rest
            try:
                content = path.read_bytes() if path is not None else None
            except OSError:
                content = None
            if path is None or content is None:
                self.send_error(404)
                return
            self._send(content, _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0])

        def do_POST(self) -> None:
            kind, _, _ = self._inside()
            if kind != "answers":
                self.send_error(404)
                return
            length = int(self.headers.get("Content-Length", 0))
            answers.take(json.loads(self.rfile.read(length)))
            self._send(b"", "text/plain")

        def _inside(self) -> tuple[str, str, str]:
            prefix = f"/{secret}/"
            path = self.path.partition("?")[0]
            return (
                path.removeprefix(prefix).partition("/") if path.startswith(prefix) else ("",) * 3
            )

        def _send(self, content: bytes, kind: str | None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind or "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{secret}/prove"
    finally:
        server.shutdown()
        server.server_close()


_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
