"""The app as people see it: a server on a free port, a real chromium, and waiting for both."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.training import end_worker
from tl_core.progress import Monitor
from tl_core.setup import find_chromium
from tl_core.workspace import ENVIRONMENT_NAME, Workspace

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "artifacts"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--no-first-run",
    "--disable-component-update",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
# Lets settle() see that something was sent to the server that has not been answered yet.
WATCH_SOCKETS = """(() => {
    const send = WebSocket.prototype.send, watched = new WeakSet();
    window.sentAt = null;
    WebSocket.prototype.send = function (...what) {
        if (!watched.has(this)) {
            watched.add(this);
            this.addEventListener('message', () => { window.sentAt = null; });
        }
        window.sentAt = performance.now();
        return send.apply(this, what);
    };
})()"""
# Spinners and placeholders turn once: drawing them for ever, sixty times a second, takes a third of
# a browser's time. A style sheet of this kind is allowed whatever policy a page has.
END_ANIMATIONS = """(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync('*, *::before, *::after { animation-iteration-count: 1 !important; }');
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
})()"""
# True once a page has been at rest for QUIET milliseconds. Not all that is sent is answered, and a
# chart that is not shown is not drawn: neither is waited for longer than PATIENCE.
IS_SETTLED = """() => {
    const QUIET = 120, PATIENCE = 5000, now = performance.now();
    const app = document.querySelector('[data-testid=stApp]');
    const waiting = document.querySelector('[data-testid=stSkeleton], [data-stale=true]');
    const images = [...document.querySelectorAll('[data-testid=stImage] img')];
    const charts = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')];
    const isAtRest = app.dataset.testScriptState === 'notRunning' && !waiting
        && document.querySelector('h1') && images.every(image => image.complete);
    if (!isAtRest) {
        window.atRestSince = null;
        return false;
    }
    window.atRestSince ??= now;
    if (now - window.atRestSince > PATIENCE) {
        return true;
    }
    const isAnswered = window.sentAt == null || now - window.sentAt > PATIENCE;
    if (!isAnswered || !charts.every(chart => chart.querySelector('svg, canvas'))) {
        window.quietSince = null;
        return false;
    }
    window.quietSince ??= now;
    return now - Math.max(window.quietSince, window.atRestSince) > QUIET;
}"""
# What a server is changed in before it starts.
FEW_PHOTOS = """
from tl_core.data.sample.dataset import draw_sample_dataset
draw_sample_dataset.__kwdefaults__["num_per_class"] = 26
"""
NO_WORKER = """
from tl_core.jobs import training, worker_client
training.ensure_worker = worker_client.ensure_worker = lambda *_, **__: None
"""
POLL_MILLISECONDS = 50  # by default, waiting asks at every frame
START_SECONDS = 300
SCRIPT_SECONDS = 300
ANSWER_SECONDS = 120

expect.set_options(timeout=ANSWER_SECONDS * 1000)


@dataclass(frozen=True)
class Server:
    """A running app, its workspace and its process."""

    url: str
    workspace: Workspace
    process: psutil.Process

    @property
    def megabytes(self) -> float:
        """Resident memory of the web process, in 10^6 bytes."""
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def run_app(workspace: Workspace, changed_by: str = "", port: int = 0) -> Iterator[Server]:
    """Serve the app; at the end neither the server nor its worker is left.

    Args:
        workspace: its workspace.
        changed_by: Python that the server runs first, such as :data:`NO_WORKER`.
        port: where it is served; 0 for any that is free.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    start = ["-m", "streamlit"]
    if changed_by:
        start = ["-c", f"{changed_by}\nfrom streamlit.web.cli import main\nmain()"]
    command = [sys.executable, *start, "run", "app.py"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command += ["--server.fileWatcherType=none"]
    workspace.logs_dir.mkdir(parents=True, exist_ok=True)
    with (workspace.logs_dir / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, ENVIRONMENT_NAME: str(workspace.root)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, process)
        yield Server(url, workspace, psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end_worker(workspace)


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start the installed chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium() or shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        try:
            yield browser
        finally:
            browser.close()


def do_jobs(workspace: Workspace, kind: str) -> None:
    """Do the queued jobs of a kind in place of the worker."""
    queue = JobQueue(workspace)
    for job in queue.jobs():
        if job.kind == kind:
            KINDS[kind].run(JobContext(workspace, job, Monitor()))
            queue.finish(job.id)


def open_page(
    browser: Browser | BrowserContext, url: str, width: int = 1280, theme: str = "light"
) -> Page:
    """Open an address in a window of its own and wait until its script has run.

    A context of :func:`new_context` that has shown a page before has the app's files in its cache.
    """
    if isinstance(browser, Browser):
        browser = new_context(browser, width, theme)
    page = browser.new_page()
    page.goto(url)
    settle(page)
    return page


def new_context(browser: Browser, width: int = 1280, theme: str = "light") -> BrowserContext:
    """Return a context whose pages :func:`settle` can wait for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    context.set_default_timeout(ANSWER_SECONDS * 1000)
    context.add_init_script(WATCH_SOCKETS)
    context.add_init_script(END_ANIMATIONS)
    return context


def settle(page: Page) -> None:
    """Wait until the page's script has run and what it drew is in place."""
    page.wait_for_selector("[data-testid=stApp]", timeout=START_SECONDS * 1000)
    page.evaluate("window.atRestSince = window.quietSince = null")
    page.wait_for_function(IS_SETTLED, polling=POLL_MILLISECONDS, timeout=SCRIPT_SECONDS * 1000)


def click(page: Page, key: str) -> None:
    """Click the button of that key, and wait for what follows."""
    page.locator(f".st-key-{key} button").first.click()
    settle(page)


def fill(page: Page, box: Locator, text: str) -> None:
    """Type a text in the place of what a field holds, once the field has come to rest.

    A field that is drawn again between the selecting of its text and the typing keeps the text.
    """
    box.wait_for()
    settle(page)
    box.fill(text)
    expect(box).to_have_value(text)


def go_to(page: Page, title: str) -> None:
    """Follow the link of the sidebar to a page, and wait for it."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
    page.wait_for_selector(f"h1:has-text('{title}')")
    settle(page)


def keep_screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page among the artefacts."""
    ARTIFACTS.mkdir(exist_ok=True)
    viewport = page.viewport_size or {"width": 1280, "height": 900}
    height = page.locator("[data-testid=stMainBlockContainer]").evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": viewport["width"], "height": min(max(height, 900), 4000)})
    settle(page)
    page.screenshot(path=ARTIFACTS / f"{name}.png")
    page.set_viewport_size(viewport)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The app did not come up at {url}; exit code {process.poll()}.")
