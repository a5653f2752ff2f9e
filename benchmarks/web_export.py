"""How an exported web page compares with the app, in a headless chromium.

    python -m benchmarks.web_export RUN PHOTOS [--formats web web-int8] [--photos 500] [--keep DIR]

``PHOTOS`` is a folder of photos at any depth. Odd ones are made of some of them: turned by EXIF,
transparent, grey and of 12 megapixels. Printed for each format: agreement with the app, size,
seconds from opening to the first answer, camera answers a second and requests to other hosts.
``--keep`` leaves photos and pages in a folder; those that are in it already are not made again, so
that a quiet machine does nothing but measure. ``--prepare`` makes them and measures nothing.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tl_core.export.exporter import export_run
from tl_core.inference.image_files import find_images
from tl_core.inference.predict import Predictor, load_predictor
from tl_core.setup import find_chromium

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
NUM_OPENINGS = 5
CAMERA_SECONDS = 8
_MEGAPIXELS_12 = (4032, 3024)

# Answers every photo with the page's own modules, as dropping it would.
ANSWER = """async ({base, urls}) => {
    const {Client} = await import(base + "player/client.js");
    const [info, player] = await Promise.all(
        ["model.json", "player.json"].map(async name => (await fetch(base + name)).json()));
    const client = new Client(() => {});
    await client.open(base, info, player);
    const answers = [];
    for (const url of urls) {
        const file = await (await fetch(url)).blob();
        const {probabilities, reasons, milliseconds} = await client.answer({file});
        answers.push({probabilities, isNone: reasons.length > 0, milliseconds});
    }
    return answers;
}"""


def main() -> None:
    """Export, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("photos_dir", type=Path)
    parser.add_argument("--formats", nargs="+", default=["web", "web-int8"])
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--prepare", action="store_true")
    options = parser.parse_args()
    predictor = load_predictor(options.run)
    with tempfile.TemporaryDirectory() as name:
        root = options.keep or Path(name)
        root.mkdir(exist_ok=True)
        if not (root / "photos").exists():
            make_photos(find_images([options.photos_dir]), root / "photos", options.photos)
        photos = sorted((root / "photos").iterdir())
        for format_name in options.formats:
            if not (root / format_name).exists():
                export_run(options.run, format_name, root / format_name, with_examples=True)
        if options.prepare:
            return
        with serve(root) as url, open_chromium() as browser:
            for format_name in options.formats:
                row = {"format": format_name, **size(root / format_name)}
                row |= openings(browser, f"{url}{format_name}/")
                row |= camera(browser, f"{url}{format_name}/")
                row |= agreement(browser, f"{url}{format_name}/", predictor, photos, url)
                print(json.dumps(row, indent=2), flush=True)


def make_photos(sources: list[Path], target: Path, count: int) -> None:
    """Lay out photos as they are, and made of them those that are read differently."""
    target.mkdir()
    rng = np.random.default_rng(0)
    odd = {"turned": count // 8, "alpha": count // 12, "grey": count // 12, "large": count // 12}
    plain = min(len(sources), count - sum(odd.values()))
    odd["turned"] += count - plain - sum(odd.values())
    for number in sorted(rng.choice(len(sources), plain, replace=False)):
        source = sources[number]
        (target / f"plain_{number}{source.suffix}").write_bytes(source.read_bytes())
    for kind, amount in odd.items():
        for number in range(amount):
            with Image.open(sources[int(rng.integers(len(sources)))]) as file:
                _save_odd(kind, number, file.convert("RGB"), target)


def _save_odd(kind: str, number: int, image: Image.Image, target: Path) -> None:
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        image.save(target / f"turned_{number}.jpg", exif=exif, quality=90)
    elif kind == "alpha":
        across, down = np.meshgrid(*(np.linspace(-1, 1, side) for side in image.size))
        mask = np.clip((1.2 - np.hypot(across, down)) * 600, 0, 255).astype(np.uint8)
        image.putalpha(Image.fromarray(mask))
        image.save(target / f"alpha_{number}.{'webp' if number % 3 == 0 else 'png'}")
    elif kind == "grey":
        image.convert("L").save(target / f"grey_{number}.{'jpg' if number % 2 else 'png'}")
    else:
        exif = Image.Exif()
        exif[0x0112] = 6 if number % 3 == 0 else 1
        size = _MEGAPIXELS_12 if number % 2 else _MEGAPIXELS_12[::-1]
        large = image.resize(size, Image.Resampling.LANCZOS)
        large.save(target / f"large_{number}.jpg", exif=exif, quality=88)


def size(site: Path) -> dict[str, float]:
    """Return the folder's size."""
    total = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return {"megabytes": round(total / 1e6, 1)}


def openings(browser: Browser, url: str) -> dict[str, Any]:
    """Open the page afresh a few times: seconds to the first answer, and who was asked."""
    seconds, hosts = [], set()
    for _ in range(NUM_OPENINGS):
        page = browser.new_context().new_page()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("body[data-answer]")
        seconds.append(time.perf_counter() - start)
        page.context.close()
    others = sorted(host for host in hosts if host and host not in url)
    return {
        "first_answer_seconds": [round(value, 2) for value in sorted(seconds)],
        "other_hosts": others,
    }


def camera(browser: Browser, url: str) -> dict[str, float]:
    """Let the fake camera run and return the answers a second that the page counts."""
    page = _ready(browser, url)
    page.click("#camera")
    page.wait_for_selector("#rate:visible")
    rates = []
    for _ in range(CAMERA_SECONDS):
        page.wait_for_timeout(1000)
        rates.append(float(page.inner_text("#rate").split()[0]))
    page.context.close()
    return {"camera_answers_per_second": statistics.median(rates[2:])}


def agreement(
    browser: Browser, url: str, predictor: Predictor, photos: list[Path], root_url: str
) -> dict[str, Any]:
    """Compare the page's answers with the app's, photo by photo."""
    page = _ready(browser, url)
    urls = [f"{root_url}photos/{path.name}" for path in photos]
    answers = page.evaluate(ANSWER, {"base": url, "urls": urls})
    page.context.close()
    expected = predictor.predict(photos)
    theirs = np.array([answer["probabilities"] for answer in answers])
    ours = np.array([one.probabilities for one in expected])
    same = theirs.argmax(axis=1) == ours.argmax(axis=1)
    kinds = np.array([path.name.partition("_")[0] for path in photos])
    return {
        "num_photos": len(photos),
        "top1_agreement": float(same.mean()),
        "mean_difference": float(np.abs(theirs - ours).mean()),
        "max_difference": float(np.abs(theirs - ours).max()),
        "none_agreement": statistics.fmean(
            answer["isNone"] == one.is_none_of_these
            for answer, one in zip(answers, expected, strict=True)
        ),
        "by_kind": {
            str(kind): {
                "num_photos": int((kinds == kind).sum()),
                "top1_agreement": float(same[kinds == kind].mean()),
                "mean_difference": float(np.abs(theirs - ours)[kinds == kind].mean()),
                "milliseconds": statistics.median(
                    answers[number]["milliseconds"] for number in np.flatnonzero(kinds == kind)
                ),
            }
            for kind in np.unique(kinds)
        },
    }


def _ready(browser: Browser, url: str) -> Page:
    page = browser.new_context().new_page()
    page.goto(url)
    page.wait_for_selector("body[data-state=ready]")
    return page


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


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start the installed chromium without a window, with a fake camera."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS)
        )
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    main()
