"""Turning a page of the gallery in a real browser, from the click until its pictures stand.

    python -m benchmarks.page_turn FOLDER [--turns 15] [--alone]

``FOLDER`` has class folders of many images; 20,000 is what was asked for. The app is served from a
workspace of its own that knows the folder, as on a second visit: it was scanned and looked at.
The training process meanwhile runs the backbone over all images; ``--alone`` ends it first.
Needs the tests' packages and chromium.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tl_core.analysis.overview import look
from tl_core.data.dataset import scan_dataset
from tl_core.jobs.training import end_worker
from tl_core.workspace import Workspace
from ui.data.gallery import SHOWN

sys.path.append(str(Path(__file__).parent.parent / "tests"))

CLICK = """async start => {
    const main = document.querySelector('[data-testid=stMainBlockContainer]');
    const said = () => [...main.querySelectorAll('[data-testid=stCaptionContainer]')]
        .map(one => one.textContent).find(text => text.startsWith(start));
    const before = said();
    if (!before) throw new Error(`Expected a caption that begins with '${start}', found none`);
    const next = main.querySelector('[data-testid=stPaginationNext]');
    const started = performance.now();
    (next.closest('button') || next.querySelector('button')).click();
    const grid = main.querySelector(
        '.st-key-gallery_tiles [data-testid=stBidiComponentIsolated]').shadowRoot;
    const stands = () => said() && said() !== before
        && [...grid.querySelectorAll('img')].every(one => one.complete)
        && !document.querySelector('[data-stale=true]');
    while (!stands()) await new Promise(resolve => setTimeout(resolve, 5));
    return performance.now() - started;
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()

    from browser_helpers import open_chromium, open_page, run_app  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace(Path(place))
        workspace.datasets_dir.mkdir(parents=True)
        data_dir = workspace.datasets_dir / arguments.folder.name
        data_dir.symlink_to(arguments.folder.resolve(), target_is_directory=True)
        index = scan_dataset(data_dir, cache_dir=workspace.cache_dir)
        look(index, workspace.cache_dir)
        with run_app(workspace) as server, open_chromium() as browser:
            page = open_page(browser, f"{server.url}/Data?dataset={data_dir.name}")
            page.wait_for_selector("[data-testid=stPaginationNext]")
            if arguments.alone:
                end_worker(workspace)
            start = SHOWN.partition("{")[0]
            seconds = sorted(page.evaluate(CLICK, start) / 1000 for _ in range(arguments.turns))
            megabytes = server.megabytes
    print(
        f"{index.num_images:,} images: a page turns in {statistics.median(seconds):.2f} s, "
        f"{seconds[0]:.2f} to {seconds[-1]:.2f} of {len(seconds)}; web process {megabytes:.0f} MB"
    )


if __name__ == "__main__":
    main()
