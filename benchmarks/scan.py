"""How long reading a folder takes: the plan of it, the first scan, and a scan that finds it cached.

    python -m benchmarks.scan [--images 20000] [--root FOLDER]

Draws the folder unless it is there: small PNG files in 20 class folders. Prints CPU seconds, which
other programs on the machine change little, and wall-clock seconds. Of an older version of the
package, whose scan has no plan, the plan is left out.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tl_core.data.dataset import scan_dataset

NUM_CLASSES = 20


def draw_folder(root: Path, num_images: int) -> None:
    """Draw small images that all differ, in class folders."""
    rng = np.random.default_rng(0)
    for number in range(num_images):
        folder = root / f"class {number % NUM_CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(out, "PNG")
        (folder / f"IMG_{number:05}.png").write_bytes(out.getvalue())


def measure(what: str, work: Callable[[], object], repeats: int) -> None:
    """Print the lowest CPU and wall-clock seconds of some repeats."""
    cpu, wall = [], []
    for _ in range(repeats):
        started, begun = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - started)
        wall.append(time.perf_counter() - begun)
    print(f"{what:14} CPU {min(cpu):6.2f} s   wall {min(wall):6.2f} s   ({repeats} runs)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        root = options.root or Path(work) / "photos"
        if not root.exists():
            draw_folder(root, options.images)
        try:
            from tl_core.data.layout.plan import plan_layout
        except ModuleNotFoundError:
            pass
        else:
            measure("plan", lambda: plan_layout(root), options.repeats)
        measure("first scan", lambda: scan_dataset(root), options.repeats)
        cache = Path(work) / "cache"
        scan_dataset(root, cache_dir=cache)
        measure("cached scan", lambda: scan_dataset(root, cache_dir=cache), options.repeats)


if __name__ == "__main__":
    main()
