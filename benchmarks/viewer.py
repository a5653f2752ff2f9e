"""The exported Streamlit app: seconds from a cold start to the first answers, and its memory.

    python -m benchmarks.viewer APP_DIR PYTHON PHOTOS [--starts 3]

``APP_DIR`` is what ``tl export RUN --format streamlit --with-examples`` wrote, ``PYTHON`` the
interpreter of an environment that holds only its ``requirements.txt``, ``PHOTOS`` a folder of
photos. Printed are the size of that environment, the seconds until the app answers its examples in
a headless chromium, and the resident memory after 40 photos and three heat maps.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page

from benchmarks.web_export import open_chromium
from tl_core.inference.image_files import find_images
from ui.viewer.page import DETAILS, EXAMPLES_DIR, UPLOAD

NUM_PHOTOS = 40
NUM_HEAT_MAPS = 3
WAIT_SECONDS = 120


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("app_dir", type=Path)
    parser.add_argument("python", type=Path)
    parser.add_argument("photos_dir", type=Path)
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(installed(options.python)), flush=True)
    photos = [str(path) for path in find_images([options.photos_dir])[:NUM_PHOTOS]]
    for _ in range(options.starts):
        print(json.dumps(start(options.app_dir, options.python, photos)), flush=True)


def installed(python: Path) -> dict[str, Any]:
    """Return the size of an environment's packages, the largest by name, in MB."""
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    sizes = {
        path.name: sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) / 1e6
        for path in site.iterdir()
        if path.is_dir()
    }
    largest = sorted(sizes, key=lambda name: -sizes[name])[:12]
    return {
        "megabytes": round(sum(sizes.values())),
        "largest": {name: round(sizes[name]) for name in largest},
    }


def start(app_dir: Path, python: Path, photos: list[str]) -> dict[str, Any]:
    """Start the app, use it in a browser, and stop it."""
    num_examples = len(list((app_dir / EXAMPLES_DIR).iterdir()))
    with open_chromium() as browser:
        began = time.perf_counter()
        with running(app_dir, python) as (process, url):
            page = browser.new_page()
            page.goto(url)
            page.wait_for_selector("h1", timeout=1000 * WAIT_SECONDS)
            titled = time.perf_counter() - began
            _wait_for_answers(page, num_examples)
            row: dict[str, Any] = {
                "title_seconds": round(titled, 2),
                "answers_seconds": round(time.perf_counter() - began, 2),
                "megabytes": {"examples": _megabytes(process)},
            }
            page.get_by_text(UPLOAD, exact=True).first.click()
            page.set_input_files("input[type=file]", photos)
            page.get_by_text(Path(photos[0]).name).last.wait_for()
            _wait_for_answers(page, 1)
            row["megabytes"]["photos"] = _megabytes(process)
            for number in range(NUM_HEAT_MAPS):
                page.get_by_text(DETAILS, exact=True).nth(number).click()
                page.get_by_role("dialog").locator("img").wait_for(timeout=1000 * WAIT_SECONDS)
                page.keyboard.press("Escape")
                page.get_by_role("dialog").wait_for(state="hidden")
            row["megabytes"]["heat_maps"] = _megabytes(process)
    return row


@contextmanager
def running(app_dir: Path, python: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Start the app from its folder alone; yields its process and address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOME": str(app_dir)}
    command = [str(python), "-m", "streamlit", "run", "app.py", f"--server.port={port}"]
    command += ["--server.headless=true", "--server.address=127.0.0.1"]
    child = subprocess.Popen(command, cwd=app_dir, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            except OSError as error:
                if child.poll() is not None or time.monotonic() > give_up:
                    raise SystemExit("The app did not start.") from error
                time.sleep(0.02)
        yield psutil.Process(child.pid), url
    finally:
        child.terminate()
        child.wait()


def _wait_for_answers(page: Page, count: int) -> None:
    buttons = page.get_by_text(DETAILS, exact=True)
    buttons.nth(count - 1).wait_for(timeout=1000 * WAIT_SECONDS)


def _megabytes(process: psutil.Process) -> int:
    family = [process, *process.children(recursive=True)]
    return round(sum(one.memory_info().rss for one in family) / 1e6)


if __name__ == "__main__":
    main()
