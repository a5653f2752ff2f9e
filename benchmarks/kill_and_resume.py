"""Kill a training with signal 9 at random moments, resume it, and compare with one left alone.

    python -m benchmarks.kill_and_resume DATA_DIR [--kills 20] [--option=--fine-tune-blocks=2]

Each time the run's folder must hold a run that opens; resumed to its end it must have the weights
of the run left alone, to the last bit in the head phase. Prints one line a kill.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tl_core.cli.terminal import print_table
from tl_core.inference.predict import load_predictor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run, list_runs

DEFAULT_OPTIONS = ("--backbone=tiny", "--epochs=400", "--augment=photo", "--views=3")


def main() -> None:
    """Kill, resume and compare as often as asked; exit with 1 when a run came out worse."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--option", action="append", help="an option of train, repeatable")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        train = ["train", str(options.data_dir.resolve()), *(options.option or DEFAULT_OPTIONS)]
        alone, seconds = _finish(train, Path(folder) / "alone")
        print(f"left alone it takes {seconds:.1f} s, test accuracy {_accuracy(alone):.4f}\n")
        rows = []
        for number in range(options.kills):
            moment = moments.uniform(0, seconds)
            rows.append(_kill_once(train, Path(folder) / f"kill{number}", moment, alone))
            print(number + 1, *rows[-1], file=sys.stderr, flush=True)  # a long run may be ended
    headers = ("killed after s", "state", "epochs", "opens", "weights", "test accuracy")
    print_table(headers, [row[:-1] for row in rows])
    failures = sum(not row[-1] for row in rows)
    print(f"\n{len(rows) - failures} of {len(rows)} came out as if never killed")
    sys.exit(1 if failures else 0)


def _kill_once(
    train: list[str], workspace: Path, moment: float, alone: Run
) -> tuple[str, str, str, str, str, str, bool]:
    """Return a line of the table; the last says whether all is well."""
    process = subprocess.Popen(
        _command(train, workspace), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = list_runs(workspace / "runs")
    if not found:  # nothing was promised yet, so there is nothing to go on with
        return f"{moment:.1f}", "none yet", "-", "-", "-", "-", True
    run = found[0]
    state, num_epochs = run.state, len(run.history())
    opens = "no weights yet"
    if run.is_loadable:
        load_predictor(run.run_dir, workspace / "cache")
        opens = "yes"
    if state == "finished":
        resumed = run
    else:
        resumed, _ = _finish(["train", "--resume", str(run.run_dir)], workspace)
    is_equal = _weights(resumed) == _weights(alone)
    is_close = abs(_accuracy(resumed) - _accuracy(alone)) <= 0.005
    well = is_equal or (is_close and resumed.config.fine_tune_blocks > 0)
    words = "equal" if is_equal else "close" if is_close else "DIFFERENT"
    accuracy = f"{_accuracy(resumed):.4f}"
    return f"{moment:.1f}", state, str(num_epochs), opens, words, accuracy, well


def _finish(arguments: list[str], workspace: Path) -> tuple[Run, float]:
    """Run a training to its end; return it and the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(_command(arguments, workspace), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"training failed:\n{done.stderr}")
    return Run(Path(json.loads(done.stdout)["run_dir"])), time.monotonic() - started


def _command(arguments: list[str], workspace: Path) -> list[str]:
    common = ["--workspace", str(workspace), "--json", "--quiet"]
    return [sys.executable, "-m", "tl_core", *arguments, *common]


def _weights(run: Run) -> bytes:
    return (run.run_dir / WEIGHTS_FILE).read_bytes()


def _accuracy(run: Run) -> float:
    return float(run.metrics["test_accuracy"])


if __name__ == "__main__":
    main()
