"""Test accuracy of a frozen backbone on given sets, mean of three seeds.

    python -m benchmarks.accuracy FOLDER [FOLDER ...] [--option=--views=3]

A folder with ``train/ test/`` (and ``val/``) keeps its split; a plain class folder is split by
the seed. ``--option`` passes an option on to ``python -m tl_core train``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.against_recipe import run_json


def main() -> None:
    """Train on every folder with every seed and print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dirs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--option", action="append", default=[], help="e.g. --option=--views=3")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        for data_dir in options.data_dirs:
            accuracies = []
            for seed in range(options.seeds):
                command = [sys.executable, "-m", "tl_core", "train", str(data_dir.resolve())]
                command += ["--json", "--workspace", workspace, "--seed", str(seed)]
                figures, _ = run_json(command + options.option)
                accuracies.append(figures["test_accuracy"])
            row = {
                "data_dir": data_dir.name,
                "test_accuracy": accuracies,
                "mean": statistics.mean(accuracies),
                "options": options.option,
            }
            print(json.dumps(row))


if __name__ == "__main__":
    main()
