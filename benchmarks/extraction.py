"""Feature extraction against what its parts allow, plain and augmented.

    python -m benchmarks.extraction [--data-dir FOLDER_OF_CLASS_FOLDERS] [--views 3]

The engine, decoding with resizing, and augmentation are each measured alone on all cores; their
seconds added, over the seconds of the pipeline, is the ratio. Every round measures all of them on
its own share of the images, one after the other, so that a machine that is busy or slows down
does so for all; the figures are medians over the rounds. Keras' ``predict`` on the same backbone
is given for comparison. Converting the backbone is not counted, opening the engines is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photos import PHOTO_SIZE
from tl_core.config.training import TrainConfig
from tl_core.data.augmentation.augment import augment_view
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.images.images import load_image
from tl_core.features.cache import open_feature_cache
from tl_core.features.engine import open_engines, prepare_engine
from tl_core.features.extract import FeatureSpec, extract_features
from tl_core.features.hardware import num_cores

_KERAS_BATCH = 32


def draw_noise_photos(out_dir: Path, num_images: int) -> Path:
    """Draw photo-like JPEGs, smooth shapes under grain, in two class folders."""
    width, height = PHOTO_SIZE

    def draw(number: int) -> None:
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-12, 13, (height, width, 1), np.int16)
        photo = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
        photo.save(out_dir / f"class_{number % 2}" / f"{number:05d}.jpg", quality=85)

    for name in ("class_0", "class_1"):
        (out_dir / name).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(num_images)))
    return out_dir


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def on_all_cores(work: Callable[[int], object], num: int) -> float:
    """Return the seconds of ``work(0)`` to ``work(num - 1)`` on a thread a core."""
    with ThreadPoolExecutor(num_cores()) as pool:
        return timed(lambda: list(pool.map(work, range(num))))


def measure_round(
    index: DatasetIndex, numbers: np.ndarray, spec: FeatureSpec, views: int, cache_dir: Path
) -> dict[str, float]:
    """Return the seconds of each part and of the pipeline on some of the images."""
    records = [index.records[int(number)] for number in numbers]
    paths = [index.path_of(record) for record in records]
    images = [load_image(path, spec.image_size) for path in paths]
    config = (spec.backbone, spec.image_size, spec.pooling)
    pool = open_engines(prepare_engine(*config, cache_dir), num_cores())

    def run_engine(number: int) -> None:
        with pool.borrow() as engine:
            engine.run(images[number][None])

    def decode(number: int) -> None:
        load_image(paths[number], spec.image_size)

    def augment(number: int) -> None:
        augment_view(images[number], spec.augment, records[number].sha256, 1, spec.seed)

    def pipeline(num_views: int) -> float:
        with open_feature_cache(cache_dir) as cache:
            cache.clear()
        return timed(
            lambda: extract_features(index, numbers, spec, views=num_views, cache_dir=cache_dir)
        )

    on_all_cores(run_engine, 2 * num_cores())  # open them all, and warm up
    return {
        "engine": on_all_cores(run_engine, len(numbers)),
        "decode": on_all_cores(decode, len(numbers)),
        "plain": pipeline(1),
        "augment": on_all_cores(augment, len(numbers)),
        "augmented": pipeline(views),
    }


def add_ratios(seconds: dict[str, float], views: int) -> dict[str, float]:
    """Return the seconds with the sums of the parts and their ratios to the pipeline."""
    plain_sum = seconds["engine"] + seconds["decode"]
    augmented_sum = views * seconds["engine"] + seconds["decode"] + (views - 1) * seconds["augment"]
    return {
        **seconds,
        "plain parts": plain_sum,
        "augmented parts": augmented_sum,
        "plain ratio": plain_sum / seconds["plain"],
        "augmented ratio": augmented_sum / seconds["augmented"],
    }


def measure_keras(index: DatasetIndex, spec: FeatureSpec, num_images: int) -> float:
    """Return the images a second of Keras' ``predict`` on decoded images."""
    from tl_core.backbones.api import build_base_model

    pooling = None if spec.pooling == "flatten" else spec.pooling
    model = build_base_model(spec.backbone, spec.image_size, pooling)
    records = index.records[:num_images]
    images = np.stack([load_image(index.path_of(record), spec.image_size) for record in records])
    batch = images[:_KERAS_BATCH].astype(np.float32)
    model.predict(batch, batch_size=_KERAS_BATCH, verbose=0)
    pixels = images.astype(np.float32)
    seconds = timed(lambda: model.predict(pixels, batch_size=_KERAS_BATCH, verbose=0))
    return len(images) / seconds


def main() -> None:
    """Measure, print the table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, help="class folders; drawn when left out")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--backbone", default="EfficientNetLite0")
    parser.add_argument("--augment", default="photo", help="preset of the augmented views")
    parser.add_argument("--views", type=int, default=3, help="the plain view and augmented ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-keras", action="store_true")
    options = parser.parse_args()
    spec = FeatureSpec.from_config(
        TrainConfig.create({"backbone": options.backbone, "augment": options.augment})
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        index = scan_dataset(options.data_dir or draw_noise_photos(work / "photos", options.images))
        num_images = min(options.images, index.num_images)
        chosen = np.linspace(0, index.num_images - 1, num_images).astype(int)
        cache_dir = work / "cache"
        converting = timed(
            lambda: prepare_engine(spec.backbone, spec.image_size, spec.pooling, cache_dir)
        )
        rounds = [
            add_ratios(measure_round(index, numbers, spec, options.views, cache_dir), options.views)
            for numbers in np.array_split(chosen, options.rounds)
        ]
        keras_rate = None if options.no_keras else measure_keras(index, spec, 8 * _KERAS_BATCH)
    in_a_round = num_images / options.rounds
    medians = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    pairs = in_a_round * options.views
    print(f"{options.backbone}, {num_images} images, {num_cores()} cores, views {options.views}")
    for name, label, units in (
        ("engine", "engine alone", in_a_round),
        ("decode", "decoding and resizing alone", in_a_round),
        ("augment", "augmentation alone", in_a_round),
        ("plain", "pipeline, plain", in_a_round),
        ("augmented", "pipeline, all views", pairs),
    ):
        milliseconds = 1000 * medians[name] / units
        print(f"{label:30} {milliseconds:8.2f} ms  {units / medians[name]:8.1f} /s")
    for name in ("plain", "augmented"):
        values = [row[f"{name} ratio"] for row in rounds]
        print(
            f"{name + ': parts over pipeline':30} {statistics.median(values):8.3f}     "
            f"({min(values):.3f} to {max(values):.3f})"
        )
    if keras_rate:
        print(f"{'Keras predict alone':30} {1000 / keras_rate:8.2f} ms  {keras_rate:8.1f} /s")
    print(f"{'converting the backbone':30} {converting:8.2f} s")
    figures = {
        "backbone": options.backbone,
        "num_images": num_images,
        "num_cores": num_cores(),
        "views": options.views,
        "median_seconds_of_a_round": medians,
        "rounds": rounds,
        "keras_images_per_second": keras_rate,
        "converting_seconds": converting,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
