"""A hosted demo under ten visitors at once, each with a browser: what they feel, what it costs.

    python benchmarks/demo.py --minutes 10 --visitors 10 --idle 60

Each visitor uploads photos of an own class name, trains on them, and classifies until the time is
over; every page is searched for the class names of all others. Before that one visitor alone
classifies, and after it sixty more open the page and wait. Reported are the cross-talk (none is
expected), jobs that did not end, the 95th percentile of a classification against that of one alone,
the memory of the web process, of all processes, and of an idle visitor, and how many cores the
server, the worker and the browsers took, which share one machine. ``--fine-tune`` trains the last
blocks of the backbone as well. ``--one-measured`` reports the classifications of the first visitor
alone, and runs the browsers of the others at the lowest priority: visitors bring machines of their
own, so that their browsers should take no time from the server.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser_helpers import ARTIFACTS, CHROMIUM_ARGUMENTS  # type: ignore[import-not-found] # noqa: E402

from tl_core.jobs.queue import JobQueue  # noqa: E402
from tl_core.jobs.training import end_worker  # noqa: E402
from tl_core.jobs.worker_client import PROCESS_MODULE  # noqa: E402
from tl_core.runs.store import list_runs  # noqa: E402
from tl_core.setup import find_chromium  # noqa: E402
from tl_core.visitors.store import list_visitors  # noqa: E402
from tl_core.workspace import Workspace  # noqa: E402
from ui.classify.answers import FEW  # noqa: E402
from ui.shared.navigation import ADD_TAB  # noqa: E402

PATIENCE_MS = 120_000
NUM_PHOTOS = 24  # of each class
LEAST = 10  # classifications of a visitor, however long the training took


@dataclass
class Findings:
    """What all visitors saw."""

    seconds: dict[int, list[float]] = field(default_factory=dict)  # of a visitor's classifications
    trainings: int = 0
    crosstalk: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Usage(threading.Thread):
    """The highest memory of the server and of all its processes, in 10^6 bytes, and their cores."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._seconds: dict[str, dict[psutil.Process, float]] = {}
        self.web = self.all = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        """Measure twice a second."""
        while not self.ended.wait(0.5):
            web, total = self.now()
            self.web, self.all = max(self.web, web), max(self.all, total)
            self._note_seconds()

    def seconds(self) -> dict[str, float]:
        """Return the seconds of a core that web process, worker and browsers have taken so far."""
        return {name: sum(taken.values()) for name, taken in self._seconds.items()}

    def _note_seconds(self) -> None:
        own = set(psutil.Process().children(recursive=True))
        web = {self._process}
        workers = {one for one in psutil.process_iter(["cmdline"]) if _is_worker(one)}
        served = web | set(self._process.children(recursive=True)) | workers
        for name, found in (("web", web), ("worker", served - web), ("browsers", own - served)):
            taken = self._seconds.setdefault(name, {})
            for one in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    taken[one] = times.user + times.system

    def now(self) -> tuple[float, float]:
        """Return the memory of the web process, and of it with the worker and its children."""
        web = self._process.memory_info().rss
        workers = [one for one in psutil.process_iter(["cmdline"]) if _is_worker(one)]
        total = web
        for worker in workers:
            try:
                family = [worker, *worker.children(recursive=True)]
                total += sum(one.memory_info().rss for one in family)
            except psutil.NoSuchProcess:
                continue
        return web / 1e6, total / 1e6


WORKSPACE_IN_USE = ""


def _is_worker(process: psutil.Process) -> bool:
    line = process.info["cmdline"] or []
    return PROCESS_MODULE in line and WORKSPACE_IN_USE in line


def class_names(number: int) -> tuple[str, str]:
    """Return the names of a visitor's classes, which no other's page may show."""
    return f"secretapple{number:03}", f"secretpear{number:03}"


def photos(number: int) -> bytes:
    """Return a zip of photos in two classes, different for each visitor."""
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind, name in enumerate(class_names(number)):
            for photo in range(NUM_PHOTOS):
                archive.writestr(f"{name}/{photo}.jpg", draw(kind, rng))
    return buffer.getvalue()


def draw(kind: int, rng: np.random.Generator) -> bytes:
    """Return a photo of a disc or a square as JPEG."""
    image = Image.new("RGB", (640, 480), tuple(int(v) for v in rng.integers(120, 256, 3)))
    left, top, side = rng.integers(0, 300), rng.integers(0, 200), rng.integers(120, 280)
    box = (int(left), int(top), int(left + side), int(top + side))
    colour = tuple(int(value) for value in rng.integers(0, 120, 3))
    (ImageDraw.Draw(image).ellipse if kind else ImageDraw.Draw(image).rectangle)(box, fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def settle(page: Page) -> None:
    """Wait until the page's script has run."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid=stApp]');
            return app && app.dataset.testScriptState === 'notRunning'
                && document.querySelector('h1');
        }""",
        timeout=PATIENCE_MS,
    )


class Start:
    """Browsers that open their first page one after the other, and visitors that begin at once.

    Args:
        num_visitors: how many wait for each other.
        minutes: how long they go on then.
    """

    def __init__(self, num_visitors: int, minutes: float) -> None:
        self.opening = threading.Lock()
        self.until = 0.0
        self._seconds = 60 * minutes
        self._all_there = threading.Barrier(num_visitors, self._begin)

    def wait(self) -> None:
        """Wait for the others; raises when one of them could not open its page."""
        self._all_there.wait()

    def give_up(self) -> None:
        """Let nobody wait for a visitor who will not come."""
        self._all_there.abort()

    def _begin(self) -> None:
        self.until = time.monotonic() + self._seconds


def open_first_page(browser: Browser, url: str) -> Page:
    """Open the page on which photos are added."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}/Data")
    settle(page)
    page.locator("[data-testid=stTab]", has_text=ADD_TAB).click()
    settle(page)
    return page


def visit(page: Page, number: int, start: Start, findings: Findings, fine_tune: bool) -> None:
    """Upload, train and classify as one visitor until the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"visitor{number}.zip"
        path.write_bytes(photos(number))
        page.locator("input[type=file]").first.set_input_files(str(path))
        page.locator(".st-key-add_zip button:not([disabled])").wait_for()
        page.locator(".st-key-add_zip button").click()
        page.get_by_text("photos added to").first.wait_for()
        check(page, number, findings)
        train(page, number, findings, fine_tune)
        rng = np.random.default_rng(1000 + number)
        while True:
            seconds = classify(page, draw(int(rng.integers(2)), rng))
            findings.seconds.setdefault(number, []).append(seconds)
            check(page, number, findings)
            # Of more photos the page shows a table and tiles instead of a card for each.
            if len(findings.seconds[number]) % FEW == 0:
                page.get_by_role("button", name="Remove all").click()
                settle(page)
            if time.monotonic() >= start.until and len(findings.seconds[number]) >= LEAST:
                break
            page.wait_for_timeout(int(rng.integers(2000, 6000)))


def train(page: Page, number: int, findings: Findings, fine_tune: bool) -> None:
    """Train with the settings as they are, or with fine-tuning, and wait for the end."""
    open_page(page, "Train")
    if fine_tune:
        choose_fine_tuning(page)
    page.locator(".st-key-start_training button:not([disabled])").click()
    page.get_by_text("Training started").first.wait_for()
    page.locator(".st-key-go_classify button").first.wait_for(timeout=10 * PATIENCE_MS)
    with findings.lock:
        findings.trainings += 1
    check(page, number, findings)
    open_page(page, "Classify")
    page.get_by_text("Upload", exact=True).click()
    page.locator("input[type=file]").first.wait_for(state="attached")
    settle(page)


def choose_fine_tuning(page: Page) -> None:
    """Choose to fine-tune the recommended blocks."""
    page.locator(".st-key-train\\.fine_tune_blocks, [class*=fine_tune_blocks]").first.locator(
        "[role=combobox], input"
    ).first.click()
    page.get_by_role("option", name="recommended").click()
    settle(page)


def classify(page: Page, data: bytes) -> float:
    """Upload one photo, wait for its answer, and return the seconds until it was there."""
    name = f"{time.time_ns()}.jpg"
    started = time.monotonic()
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "image/jpeg", "buffer": data}
    )
    page.wait_for_function(
        "n => [...document.querySelectorAll('[data-testid=stCaptionContainer]')]"
        ".some(one => one.innerText.replace(/\\u2060/g, '').includes(n))",
        arg=name,
        polling=50,  # milliseconds; with each frame it takes the browser much time
        timeout=PATIENCE_MS,
    )
    return time.monotonic() - started


def open_page(page: Page, title: str) -> None:
    """Follow the sidebar's link to a page."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=title).click()
    page.wait_for_selector(f"h1:has-text('{title}')")
    settle(page)


def check(page: Page, number: int, findings: Findings) -> None:
    """Note whether the page names a class of another visitor, or an error."""
    text = page.inner_text("body")
    own = class_names(number)
    for other in range(200):
        for name in class_names(other):
            if other != number and name in text:
                findings.crosstalk.append(f"visitor {number} saw {name}")
    if own[0] not in text and "Classes" in text:
        return
    for error in page.locator("[data-testid=stAlertContentError]").all_inner_texts():
        findings.errors.append(f"visitor {number}: {error}")


def keep_screenshot(page: Page, number: int) -> None:
    """Keep what a visitor whose wait was too long saw last."""
    with contextlib.suppress(Exception):  # the browser may be what failed
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"demo_visitor{number}.png")


def low_priority(program: str | None, folder: str) -> str:
    """Write a program into a folder that starts another one with what time others leave.

    A browser that runs as root undoes ``nice``, so this is Linux' scheduling class for that. Where
    Linux shares the cores between sessions (autogroups), it counts within one alone; each browser
    is started in a session of its own, which is given the least share.
    """
    path = Path(folder, "low_priority")
    path.write_text(
        "#!/bin/sh\n(echo 19 > /proc/$$/autogroup) 2>/dev/null\n"
        f'exec chrt --idle 0 {program} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def run_visitors(
    url: str,
    numbers: range,
    minutes: float,
    findings: Findings,
    fine_tune: bool,
    others: str | None,
) -> None:
    """Let visitors begin at once, each in a browser; all browsers but the first are ``others``."""
    start = Start(len(numbers), minutes)
    failed: queue.Queue[str] = queue.Queue()

    def run(number: int) -> None:
        try:
            with sync_playwright() as playwright:
                with start.opening:
                    browser = playwright.chromium.launch(
                        executable_path=find_chromium() if number == numbers[0] else others,
                        args=CHROMIUM_ARGUMENTS,
                    )
                    page = open_first_page(browser, url)
                try:
                    start.wait()
                    visit(page, number, start, findings, fine_tune)
                except Exception:
                    keep_screenshot(page, number)
                    raise
                finally:
                    browser.close()
        except Exception as error:
            start.give_up()
            failed.put(f"visitor {number}: {type(error).__name__}: {str(error)[:300]}")

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    findings.errors += list(failed.queue)


def idle_cost(url: str, num_idle: int, usage: Usage) -> float:
    """Return by how many 10^6 bytes one more visitor who only looks makes the web process grow."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS
        )
        before, _ = usage.now()
        for _ in range(num_idle):
            page = browser.new_context().new_page()
            page.goto(url, timeout=PATIENCE_MS)
            settle(page)
            page.evaluate("() => document.querySelectorAll('img').forEach(one => one.remove())")
        time.sleep(5)
        after, _ = usage.now()
        browser.close()
    return (after - before) / max(1, num_idle)


def unfinished(host: Workspace) -> list[str]:
    """Return the runs and jobs of visitors that did not end."""
    found = []
    for workspace in list_visitors(host):
        found += [
            f"run {run.state}: {run.message}"
            for run in list_runs(workspace.runs_dir)
            if run.state != "finished"
        ]
        found += [job.kind for job in JobQueue(workspace).jobs() if job.priority >= 0]
    return found


def serve(workspace: Workspace, port: int, visitors: int) -> subprocess.Popen[bytes]:
    """Start the demo and wait until it answers."""
    environment = {
        **os.environ,
        "TL_MODE": "demo",
        "TL_WORKSPACE": str(workspace.root),
        "TL_DEMO_VISITORS": str(visitors),
    }
    os.environ["TL_MODE"] = "demo"
    workspace.root.mkdir(parents=True, exist_ok=True)
    with (workspace.root / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run", "hosted.py"),
                f"--server.port={port}",
                "--server.headless=true",
                "--server.fileWatcherType=none",
            ],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).read()
            return process
        except OSError:
            time.sleep(0.5)


def main() -> None:
    """Measure, and print the figures as JSON."""
    global WORKSPACE_IN_USE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--visitors", type=int, default=10)
    parser.add_argument("--idle", type=int, default=60)
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--one-measured", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workspace", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", arguments.port))
        port = probe.getsockname()[1]
        probe.close()
        workspace = Workspace((arguments.workspace or Path(folder) / "demo").absolute())
        WORKSPACE_IN_USE = str(workspace.root)
        process = serve(workspace, port, arguments.visitors + arguments.idle + 10)
        others = find_chromium()
        if arguments.one_measured:
            others = low_priority(others, folder)
        try:
            measure(f"http://127.0.0.1:{port}", workspace, process, arguments, others)
        finally:
            process.terminate()
            process.wait(60)
            end_worker(workspace)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile."""
    if not seconds:
        return {}
    return {
        "measured": len(seconds),
        "median": round(float(np.median(seconds)), 2),
        "p95": round(float(np.quantile(seconds, 0.95)), 2),
    }


def measure(
    url: str,
    workspace: Workspace,
    process: subprocess.Popen[bytes],
    arguments: argparse.Namespace,
    others: str | None,
) -> None:
    """Run the visitors and print what was found."""
    usage = Usage(psutil.Process(process.pid))
    usage.start()
    alone, together = Findings(), Findings()
    visits = functools.partial(
        run_visitors,
        url,
        fine_tune=arguments.fine_tune,
        others=others,
    )
    visits(range(100, 101), min(1.0, arguments.minutes), alone)
    before, started = usage.seconds(), time.monotonic()
    visits(range(arguments.visitors), arguments.minutes, together)
    took = time.monotonic() - started
    cores = {
        name: round((seconds - before.get(name, 0.0)) / took, 2)
        for name, seconds in usage.seconds().items()
    }
    web, total = usage.web, usage.all
    usage.ended.set()
    if arguments.one_measured:
        measured = together.seconds.get(0, [])
    else:
        measured = [one for seconds in together.seconds.values() for one in seconds]
    report = {
        "visitors": arguments.visitors,
        "minutes": arguments.minutes,
        "trainings": together.trainings,
        "classifications": sum(len(seconds) for seconds in together.seconds.values()),
        "crosstalk": alone.crosstalk + together.crosstalk,
        "errors": alone.errors + together.errors,
        "unfinished": unfinished(workspace),
        "classify_alone_s": quantiles(alone.seconds.get(100, [])),
        "classify_s": quantiles(measured),
        "cores": cores,
        "web_mb": round(web),
        "all_mb": round(total),
    }
    print(json.dumps(report, indent=2), flush=True)
    if arguments.idle:
        print(f"MB per idle visitor: {idle_cost(url, arguments.idle, usage):.1f}")


if __name__ == "__main__":
    main()
