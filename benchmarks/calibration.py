"""How far probabilities can be trusted, and whether photos of something else are rejected.

    python -m benchmarks.calibration FOLDER [FOLDER ...] [--unknown FOLDER_OR_IMAGE ...]

Trains on every folder with every seed and prints, for the test part, accuracy, expected
calibration error (15 bins of equal width) before and after temperature scaling, the error that
perfect probabilities would show on so few photos, and the share of photos rejected as none of
these: of the test part (should be few) and of each unknown folder (should be all). The other
folders given, and a drawn wall, are unknown as well. A folder with ``train/ test/`` keeps its
split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.inference.image_files import find_images
from tl_core.inference.predict import load_predictor
from tl_core.training.trainer import train

_MAX_UNKNOWN = 200


def main() -> None:
    """Measure every folder with every seed and print a line each, then the means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dirs", type=Path, nargs="+")
    parser.add_argument("--unknown", type=Path, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--fine-tune-blocks", type=int, default=0)
    parser.add_argument("--augment", default="none")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--cache-dir", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        unknown = {path.name: find_images([path]) for path in options.unknown}
        unknown["drawn walls"] = draw_walls(root / "walls")
        for data_dir in options.data_dirs:
            others = {
                path.name: find_images([path]) for path in options.data_dirs if path != data_dir
            }
            rows = []
            for seed in range(options.seeds):
                config = TrainConfig.create(
                    {
                        "seed": seed,
                        "epochs": options.epochs,
                        "fine_tune_blocks": options.fine_tune_blocks,
                        "augment": options.augment,
                        "label_smoothing": options.label_smoothing,
                    }
                )
                run_dir = root / "runs" / f"{data_dir.name}-{seed}"
                cache_dir = options.cache_dir or root / "cache"
                row = measure(config, data_dir, run_dir, cache_dir, {**unknown, **others})
                print(json.dumps(row), flush=True)
                rows.append(row)
            print(json.dumps({"data_dir": data_dir.name, "mean": _means(rows)}), flush=True)


def measure(
    config: TrainConfig,
    data_dir: Path,
    run_dir: Path,
    cache_dir: Path,
    unknown: Mapping[str, Sequence[Path]],
) -> dict[str, Any]:
    """Train once and return the figures of its test part and of photos of something else."""
    train(config, scan_dataset(data_dir, cache_dir=cache_dir), run_dir, cache_dir=cache_dir)
    evaluation = evaluate_run(run_dir, cache_dir=cache_dir)
    predictor = load_predictor(run_dir, cache_dir)
    rejected = {}
    for name, paths in unknown.items():
        step = max(1, len(paths) // _MAX_UNKNOWN)
        predictions = [one for one in predictor.predict(paths[::step]) if one.error is None]
        rejected[name] = float(np.mean([one.is_none_of_these for one in predictions]))
    started = time.perf_counter()
    load_predictor(run_dir, cache_dir)
    return {
        "data_dir": data_dir.name,
        "seed": config.seed,
        "num_images": evaluation.num_images,
        "accuracy": evaluation.accuracy,
        "ece_before": evaluation.ece_before,
        "ece": evaluation.ece,
        "ece_by_chance": evaluation.ece_by_chance,
        "temperature": evaluation.calibration.temperature,
        "known_rejected": float(evaluation.is_none_of_these.mean()),
        "unknown_rejected": rejected,
        "open_seconds": time.perf_counter() - started,
    }


def draw_walls(out_dir: Path, num: int = 40) -> list[Path]:
    """Draw pictures of plain, shaded and rough walls, and return their paths."""
    out_dir.mkdir(parents=True)
    paths = []
    for seed in range(num):
        rng = np.random.default_rng(seed)
        colour = rng.uniform(60, 240, 3)
        top, bottom = rng.uniform(0.6, 1.1, 2)
        shade = np.linspace(top, bottom, 288)[:, None, None]
        grain = rng.normal(0, rng.uniform(1, 14), (288, 384, 1))
        pixels = np.clip(colour * shade + grain, 0, 255).astype(np.uint8)
        picture = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0, 2)))
        paths.append(out_dir / f"wall_{seed:03d}.png")
        picture.save(paths[-1])
    return paths


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = ("accuracy", "ece_before", "ece", "ece_by_chance", "known_rejected")
    means = {name: statistics.mean(row[name] for row in rows) for name in names}
    unknown = [share for row in rows for share in row["unknown_rejected"].values()]
    return {**means, "unknown_rejected": statistics.mean(unknown)}


if __name__ == "__main__":
    main()
