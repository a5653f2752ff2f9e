"""The waits of everyday use, each as a user meets it.

    python -m benchmarks.everyday [--data-dir FOLDER_OF_CLASS_FOLDERS]

Sample set on a fresh workspace: seconds from Start to the first and the second trained model.
About 2,000 images: seconds to train again after a change of the layers. Then the seconds of a
cold ``predict`` process on one photo, and the memory of a process that classified.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.photos import draw_photos
from tl_core.config.training import AUGMENT_PRESETS, TrainConfig
from tl_core.data.sample.dataset import draw_example, draw_sample_dataset
from tl_core.jobs.training import end_worker, ensure_worker, start_training, worker_state
from tl_core.runs.store import Run, load_run
from tl_core.workspace import Workspace

PROJECT_DIR = Path(__file__).resolve().parent.parent
BASE = TrainConfig(augment=AUGMENT_PRESETS["photo"], views=3, epochs=20)


def timed_run(workspace: Workspace, config: TrainConfig, data_dir: Path) -> tuple[Run, float]:
    """Press Start, wait until the run can be loaded and is finished; return it and the seconds."""
    started = time.perf_counter()
    run = start_training(workspace, config, data_dir)
    while (run := load_run(run.run_dir)).state in ("queued", "running"):
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    if run.state != "finished":
        sys.exit(f"The run ended as {run.state}: {run.message}\n{run.log_tail(20)}")
    return run, seconds


def wait_until_warm(workspace: Workspace) -> float:
    """Start the worker as opening the app does, and return the seconds until it is warm."""
    started = time.perf_counter()
    ensure_worker(workspace)
    while not worker_state(workspace).warm:
        time.sleep(0.05)
    return time.perf_counter() - started


def measure_sample(folder: Path, wait: bool) -> dict[str, float]:
    """Return the seconds of the first and second model on the sample set, from nothing."""
    workspace = Workspace(folder / f"sample_{'warm' if wait else 'cold'}")
    data_dir = draw_sample_dataset(workspace.datasets_dir / "sample")
    try:
        if wait:
            wait_until_warm(workspace)
        _, first = timed_run(workspace, BASE, data_dir)
        _, second = timed_run(workspace, BASE.updated(fc_layers=(128,), dropout=0.3), data_dir)
    finally:
        end_worker(workspace)
    return {"first": first, "second": second}


def measure_retraining(folder: Path, data_dir: Path) -> tuple[dict[str, float], Run]:
    """Return the seconds of training again on a large set after a change of the layers."""
    workspace = Workspace(folder / "large")
    config = BASE.updated(epochs=10)
    try:
        _, first = timed_run(workspace, config, data_dir)
        changed = [
            config.updated(fc_layers=(512,)),
            config.updated(dropout=0.3),
            config.updated(learning_rate=0.0005),
        ]
        results = [timed_run(workspace, config, data_dir) for config in changed]
    finally:
        end_worker(workspace)
    again = sorted(seconds for _, seconds in results)
    return {"first": first, "again_median": again[1], "again_slowest": again[2]}, results[0][0]


def measure_predict(run: Run, folder: Path) -> dict[str, float]:
    """Return seconds and peak megabytes of ``predict`` on one photo from a cold process."""
    photo = folder / "photo.jpg"
    draw_example("Pizza", seed=7).save(photo, quality=90)
    seconds, memory = [], 0.0
    for _ in range(5):
        started = time.perf_counter()
        process = psutil.Popen(
            [sys.executable, "-m", "tl_core", "predict", str(run.run_dir), str(photo), "--json"],
            stdout=subprocess.PIPE,
            cwd=PROJECT_DIR,
        )
        while process.poll() is None:
            try:
                memory = max(memory, process.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.005)
        seconds.append(time.perf_counter() - started)
    return {"seconds_median": sorted(seconds)[2], "peak_megabytes": memory}


def main() -> None:
    """Measure all of it and print a table and a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="class folders; drawn when left out")
    parser.add_argument("--images", type=int, default=2000, help="how many to draw")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            "sample set, worker warm": measure_sample(folder, True),
            "sample set, worker not started": measure_sample(folder, False),
        }
        data_dir = options.data_dir or draw_photos(folder / "drawn", options.images)
        figures["large set"], run = measure_retraining(folder, data_dir)
        figures["predict, cold"] = measure_predict(run, folder)
    for title, values in figures.items():
        print(title, *(f"{key} {value:.2f}" for key, value in values.items()), sep="   ")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
