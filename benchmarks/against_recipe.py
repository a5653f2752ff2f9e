"""From folder to saved model: the studio against the plain Keras recipe, in one run.

    python -m benchmarks.against_recipe --data-dir FOLDER_OF_CLASS_FOLDERS

Each side is a whole process on the same 512x384 photos, split and weights; the studio starts
with an empty workspace, so that it converts the backbone and computes every feature. The
recipe's epochs all cost the same: with ``--flatten-epochs`` below ``--epochs`` its time is the
measured epochs scaled up, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.photos import draw_photos, lay_out

PROJECT_DIR = Path(__file__).resolve().parent.parent


def run_json(command: list[str]) -> tuple[dict[str, Any], float]:
    """Run a command and return the JSON object on its last line of output, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_DIR)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    text = done.stdout.strip()
    return json.loads(text if text.startswith("{") else text.splitlines()[-1]), seconds


def run_recipe(
    photos: Path, variant: str, epochs: int, measured_epochs: int, work: Path, augment: bool
) -> dict[str, Any]:
    """Run the recipe for ``measured_epochs`` and scale its fit to ``epochs``."""
    command = [sys.executable, "-m", "benchmarks.plain_recipe", str(photos)]
    command += ["--variant", variant, "--epochs", str(measured_epochs)]
    command += ["--out", str(work / f"{variant}.keras")] + ([] if augment else ["--no-augment"])
    figures, _ = run_json(command)
    seconds = figures["seconds_before_fit"] + figures["seconds_fit"] * epochs / measured_epochs
    whole = measured_epochs == epochs
    return {
        "name": f"Keras recipe, {variant}{'' if augment else ', no augmentation'}",
        "seconds": seconds,
        "test_accuracy": figures["test_accuracy"] if whole else None,
        "note": "" if whole else f"{measured_epochs} epochs measured, scaled to {epochs}",
    }


def run_studio(photos: Path, epochs: int, views: int, work: Path) -> dict[str, Any]:
    """Train from an empty workspace by the command line."""
    workspace = tempfile.mkdtemp(prefix="workspace_", dir=work)
    augment = "tutorial" if views > 1 else "none"
    command = [sys.executable, "-m", "tl_core", "train", str(photos), "--json"]
    command += ["--workspace", workspace, "--augment", augment, "--views", str(views)]
    command += ["--epochs", str(epochs), "--fc-layers", "256", "--dropout", "0.5"]
    figures, seconds = run_json(command)
    return {
        "name": f"studio, {views - 1} augmented views and the plain one" if views > 1 else "studio",
        "seconds": seconds,
        "test_accuracy": figures["test_accuracy"],
        "note": ", ".join(f"{name} {value:.1f}" for name, value in figures["seconds"].items()),
    }


def main() -> None:
    """Run every side and print the table, the ratios and a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="class folders; drawn when left out")
    parser.add_argument("--images", type=int, default=2000, help="how many to draw")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pooled-epochs", type=int, default=None)
    parser.add_argument("--flatten-epochs", type=int, default=1)
    parser.add_argument("--views", type=int, default=4, help="the plain view and three augmented")
    options = parser.parse_args()
    epochs = options.epochs
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = options.data_dir or draw_photos(work / "drawn", options.images)
        photos = lay_out(source, work / "photos")
        pooled_epochs = options.pooled_epochs or epochs
        rows = [
            run_studio(photos, epochs, options.views, work),
            run_recipe(photos, "pooled", epochs, pooled_epochs, work, True),
            run_recipe(photos, "flatten", epochs, options.flatten_epochs, work, True),
            run_studio(photos, epochs, 1, work),
            run_recipe(photos, "pooled", epochs, min(2, epochs), work, False),
        ]
    for row in rows:
        accuracy = "" if row["test_accuracy"] is None else f"{row['test_accuracy']:.1%}"
        print(f"{row['name']:52} {row['seconds']:8.1f} s  {accuracy:>6}  {row['note']}")
    studio, pooled, flatten, plain, pooled_plain = rows
    ratios = {
        "pooled": pooled["seconds"] / studio["seconds"],
        "flatten": flatten["seconds"] / studio["seconds"],
        "pooled_without_augmentation": pooled_plain["seconds"] / plain["seconds"],
        "augmented_recipe_to_studio_without_augmentation": pooled["seconds"] / plain["seconds"],
    }
    for name, ratio in ratios.items():
        print(f"times faster than {name}: {ratio:.1f}")
    print(json.dumps({"rows": rows, "ratios": ratios}))


if __name__ == "__main__":
    main()
