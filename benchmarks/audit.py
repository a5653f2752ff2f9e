"""Precision and recall of each kind of finding on planted faults, and what an audit costs.

    python -m benchmarks.audit FOLDER [FOLDER ...] [--workspace DIR] [--no-features] [--speed 2000]

Faults are planted into copies below the workspace; the folders are only read. What the audit finds
in a folder as it is stands apart: look at it before calling it right or wrong. Labels are flipped
in the index, features are those of the bundled backbone. ``--speed`` makes that many photos out of
the first folder's and 20,000 random fingerprints, and times the audit and the search for copies.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.audit_plants import COPIES, Planting, crop, flip_labels
from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import Audit, audit_dataset
from tl_core.data.audit.label_errors import dissimilarity
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.images.images import open_image
from tl_core.data.near_duplicates.search import find_near_duplicates
from tl_core.features.extract import FeatureSpec, extract_features

_FLIPPED = 0.05
_FOREIGN = 0.02
_GROUPED = ("duplicate", "two_classes", "across_parts")


def measure_plants(data_dir: Path, work: Path, num_each: int, seed: int) -> dict[str, Any]:
    """Plant into a copy of the folder, audit it and count."""
    natural = audit_dataset(scan_dataset(data_dir))
    untouched = {path for finding in natural.findings for path in finding.paths}
    planting = Planting(data_dir, work / data_dir.name, untouched, seed)
    planting.plant(num_each)
    found = audit_dataset(scan_dataset(planting.data_dir))
    by_kind = _paths_by_kind(found)
    natural_by_kind = _paths_by_kind(natural)
    rows = {}
    for kind, planted in sorted(planting.paths.items()):
        if kind.removeprefix("near_") in _GROUPED:
            rows[kind] = _count_groups(found, natural, planting, kind)
        else:
            named = by_kind[kind] - natural_by_kind[kind]
            rows[kind] = _ratios(len(named & planted), len(named), len(planted))
    rows |= {f"near copies, {how}": _recall_of(found, planting, how) for how in COPIES}
    return {
        "as it is": {
            finding.kind: list(finding.groups or finding.paths)
            for finding in natural.findings
            if finding.kind != "other"
        },
        "planted": rows,
    }


def measure_labels(
    index: DatasetIndex, features: np.ndarray, foreign: np.ndarray | None, seeds: int
) -> dict[str, object]:
    """Flip labels, audit with features and count; then mix foreign photos in."""
    top, flagged = [], []
    for seed in range(seeds):
        labels, chosen = flip_labels(index, _FLIPPED, seed)
        records = tuple(
            replace(record, label=int(label))
            for record, label in zip(index.records, labels, strict=True)
        )
        flipped = replace(index, records=records)
        found = audit_dataset(flipped, features=features)
        order = np.argsort(-found.scores["wrong_label"], kind="stable")
        top.append(float(np.isin(order[: len(chosen)], chosen).mean()))
        named = _paths_by_kind(found)["wrong_label"]
        planted = {records[place].path for place in chosen}
        flagged.append(_ratios(len(named & planted), len(named), len(planted)))
    figures: dict[str, object] = {
        "top-ranked 5 % of scores hold": top,
        "mean": float(np.mean(top)),
        "wrong_label": flagged,
        "as it is": {
            finding.message: list(finding.paths)
            for finding in audit_dataset(index, features=features).findings
            if finding.kind in ("wrong_label", "outlier")
        },
    }
    if foreign is not None:
        rng = np.random.default_rng(0)
        num = max(3, round(_FOREIGN * len(features)))
        mixed = np.concatenate([features, foreign[rng.choice(len(foreign), num, replace=False)]])
        labels = np.concatenate([index.labels, rng.integers(0, index.num_classes, num)])
        is_odd = dissimilarity(mixed, labels) >= 1.6
        was_odd = dissimilarity(features, index.labels) >= 1.6
        is_odd[: len(was_odd)] &= ~was_odd
        figures["outlier"] = _ratios(int(is_odd[-num:].sum()), int(is_odd.sum()), num)
    return figures


def measure_speed(data_dir: Path, work: Path, num_images: int) -> dict[str, float]:
    """Time the audit of many photos, and the search for copies among 20,000 fingerprints."""
    make_photos(data_dir, work / "many", num_images)
    cache_dir = work / "speed_cache"
    figures = {}
    started = time.perf_counter()
    index = scan_dataset(work / "many", cache_dir=cache_dir)
    figures["scan seconds"] = time.perf_counter() - started
    for name in ("cold", "warm"):
        started, cpu = time.perf_counter(), time.process_time()
        audit_dataset(index, cache_dir=cache_dir)
        figures[f"{name} seconds"] = time.perf_counter() - started
        figures[f"{name} CPU seconds"] = time.process_time() - cpu
    figures["most memory MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for num in (5000, 10_000, 20_000):
        fingerprints = random_fingerprints(num)
        started, cpu = time.perf_counter(), time.process_time()
        find_near_duplicates(fingerprints)
        figures[f"copies among {num:,} seconds"] = time.perf_counter() - started
        figures[f"copies among {num:,} CPU seconds"] = time.process_time() - cpu
    return figures | {"photos": index.num_images}


def make_photos(data_dir: Path, out_dir: Path, num_images: int) -> None:
    """Write photos of 512 x 384 in two classes, other parts of the folder's own photos each."""
    index = scan_dataset(data_dir)
    rng = np.random.default_rng(0)
    for name in ("even", "odd"):
        (out_dir / name).mkdir(parents=True, exist_ok=True)
    for number in range(num_images):
        record = index.records[int(rng.integers(index.num_images))]
        image = open_image(index.path_of(record))
        for _ in range(int(rng.integers(3, 12))):
            image = crop(image, rng)
        target = out_dir / ("even", "odd")[number % 2] / f"{number:05d}.jpg"
        image.resize((512, 384)).save(target, quality=90)


def random_fingerprints(num: int) -> list[bytes]:
    """Return fingerprints whose frequencies fall off as those of photos do."""
    rng = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)[None]
    fall = np.maximum(np.hypot(rows, columns), 1 / 32) ** -1.2
    light = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((num, 32, 32))) * fall, (32, 32))
    light = 128 + 40 * light / light.std(axis=(1, 2), keepdims=True)
    tints = rng.integers(100, 156, (num, 128))
    values = np.concatenate([light.reshape(num, -1), tints], axis=1)
    return [row.tobytes() for row in values.clip(0, 255).astype(np.uint8)]


def _paths_by_kind(found: Audit) -> Mapping[str, set[str]]:
    paths: dict[str, set[str]] = defaultdict(set)
    for finding in found.findings:
        paths[finding.kind] |= set(finding.paths)
    return paths


def _ratios(right: int, named: int, planted: int) -> dict[str, float]:
    return {
        "planted": planted,
        "precision": round(right / named, 4) if named else 1.0,
        "recall": round(right / planted, 4),
    }


def _groups_of(found: Audit, kinds: Iterable[str]) -> list[set[str]]:
    return [
        set(group)
        for finding in found.findings
        if finding.kind in kinds
        for group in finding.groups
    ]


def _count_groups(found: Audit, natural: Audit, planting: Planting, kind: str) -> dict[str, float]:
    """Count joins: of a group of three, two; wrong are those between different pictures."""
    known = _groups_of(natural, [kind])
    right = wrong = 0
    for group in _groups_of(found, [kind]):
        origins = {planting.origin.get(path, path) for path in group}
        right += len(group) - len(origins)
        wrong += 0 if any(origins <= one for one in known) else len(origins) - 1
    planted = sum(path in planting.origin for path in planting.paths[kind])
    return _ratios(right, right + wrong, planted)


def _recall_of(found: Audit, planting: Planting, how: str) -> dict[str, float]:
    copies = [path for path, done in planting.how.items() if done == how]
    groups = _groups_of(found, [f"near_{kind}" for kind in _GROUPED])
    joined = sum(any({path, planting.origin[path]} <= group for group in groups) for path in copies)
    return {"planted": len(copies), "recall": round(joined / len(copies), 4)}


def main() -> None:
    """Measure, print a table and a line of JSON for each folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data_dirs", type=Path, nargs="+")
    parser.add_argument("--workspace", type=Path, help="kept; a temporary one when left out")
    parser.add_argument("--num-each", type=int, default=15, help="faults of each kind")
    parser.add_argument("--seeds", type=int, default=3, help="of flipped labels")
    parser.add_argument("--no-features", action="store_true")
    parser.add_argument("--speed", type=int, default=0, metavar="N", help="time N photos")
    options = parser.parse_args()
    spec = FeatureSpec.from_config(TrainConfig())
    with tempfile.TemporaryDirectory() as temporary:
        work = options.workspace or Path(temporary)
        indices = {folder: scan_dataset(folder) for folder in options.data_dirs}
        features = (
            {}
            if options.no_features
            else {
                folder: extract_features(
                    index, range(index.num_images), spec, cache_dir=work / "cache"
                )[0]
                for folder, index in indices.items()
            }
        )
        for folder, index in indices.items():
            result = measure_plants(folder, work, options.num_each, seed=0)
            if folder in features:
                others = [rows for other, rows in features.items() if other != folder]
                foreign = np.concatenate(others) if others else None
                result["labels"] = measure_labels(index, features[folder], foreign, options.seeds)
            print(f"{folder.name}, {index.num_images} photos")
            for kind, row in result["planted"].items():
                shown = "  ".join(f"{name} {value}" for name, value in row.items())
                print(f"  {kind:42} {shown}")
            print(json.dumps({"data_dir": folder.name, **result}))
        if options.speed:
            print(json.dumps(measure_speed(options.data_dirs[0], work, options.speed)))


if __name__ == "__main__":
    main()
