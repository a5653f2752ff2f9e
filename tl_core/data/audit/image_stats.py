"""Brightness, sharpness, colour and fingerprint of each image, measured once per content.

Each image is decoded once at a small size; measurements are cached by content, so that copies,
renamed files and the next audit need no work.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.decode_turns import carried
from tl_core.data.images.images import ImageSource, open_image
from tl_core.data.near_duplicates.perceptual_hash import make_fingerprint
from tl_core.errors import TLError
from tl_core.progress import SILENT, Monitor
from tl_core.sqlite_cache import SqliteCache

STAGE = "audit"
_SIDE = 256  # about a network's input size: a photo that is sharp at this size is sharp enough
_BLUR_WIDTH = 9
_TAIL = 0.05
_BATCH = 256  # images between two writes to the cache, lost at most by a kill
_LAYOUT = struct.Struct("<10f")
_COLOUR_SIDE = 64  # colours are measured on a smaller picture, which is faster
_MAX_BYTES = 2**28  # of the cache, about 200,000 images
_MEASURE = "2"  # incremented when an image would be measured differently
_FROM_VERSION_2 = f"""
INSERT INTO spaces (name) VALUES ('{_MEASURE}');
INSERT INTO entries (space_id, key, used, num_bytes)
    SELECT 1, sha256, used * 86400, length(facts) FROM stats;
INSERT INTO vectors SELECT entries.id, facts FROM stats JOIN entries ON key = sha256;
DROP TABLE stats;
"""


@dataclass(frozen=True, slots=True)
class ImageStats:
    """Measurements of one picture. Brightness and colour are in [0, 1].

    Attributes:
        brightness: mean luminance.
        shadows: the luminance that 5 % of the pixels stay below.
        highlights: the luminance that 95 % of the pixels stay below.
        contrast: standard deviation of the luminance.
        sharpness: 0 for a blurred picture, about 0.6 for a sharp one.
        colourfulness: 0 for a grey picture, above 0.3 for a vivid one.
        entropy: bits of the luminance histogram, 0 to 8.
        mean_rgb: mean red, green and blue.
        fingerprint: used by :mod:`~tl_core.data.near_duplicates.search` to find copies.
    """

    brightness: float
    shadows: float
    highlights: float
    contrast: float
    sharpness: float
    colourfulness: float
    entropy: float
    mean_rgb: tuple[float, float, float]
    fingerprint: bytes


def measure_image(source: ImageSource, scale: PixelScale | None = None) -> ImageStats:
    """Measure one image, upright and at most 256 pixels a side.

    Args:
        source: a path, the file's bytes, or a binary file.
        scale: the values of 16-bit grey mapped to black and white.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    return _measure(open_image(source, _SIDE, scale))


def measure_dataset(
    index: DatasetIndex,
    cache_dir: Path | None = None,
    monitor: Monitor = SILENT,
    num_workers: int | None = None,
) -> list[ImageStats]:
    """Return the stats of each image of a dataset, in the order of its records.

    Args:
        index: the scanned dataset.
        cache_dir: the folder of the cache; cached images are not decoded again.
        monitor: counts the images that had to be decoded, in stage ``"audit"``.
        num_workers: number of threads; by default one per processor.

    Raises:
        DatasetError: a file is missing, cannot be read, or has changed since the scan.
        Stopped: ``monitor`` was asked to stop; with ``cache_dir`` the measurements are saved.
    """
    first_with = {_key(index, record): record for record in reversed(index.records)}
    with open_stats_cache(cache_dir) as cache:
        kept = cache.read_many(_MEASURE, list(first_with))
        known = {sha256: _unpack(facts) for sha256, facts in kept.items()}
        waiting = [record for sha256, record in first_with.items() if sha256 not in known]
        for batch in _measure_records(index, waiting, monitor, num_workers):
            known.update(batch)
            cache.write_many(_MEASURE, {sha256: _pack(stats) for sha256, stats in batch.items()})
    return [known[_key(index, record)] for record in index.records]


def count_unmeasured(index: DatasetIndex, cache_dir: Path) -> int:
    """Return how many images :func:`measure_dataset` would decode."""
    keys = {_key(index, record) for record in index.records}
    with open_stats_cache(cache_dir) as cache:
        return len(keys) - len(cache.known_keys(_MEASURE, keys))


def copy_measurements(index: DatasetIndex, from_dir: Path, to_dir: Path) -> None:
    """Copy what one cache holds about the images of a dataset into another one."""
    keys = {_key(index, record) for record in index.records}
    with open_stats_cache(from_dir) as source, open_stats_cache(to_dir) as target:
        target.write_many(_MEASURE, source.read_many(_MEASURE, keys))


def _key(index: DatasetIndex, record: ImageRecord) -> str:
    """Return the cache key: the content, and the scale of 16-bit grey."""
    scale = index.scale_of(record)
    return record.sha256 if scale is None else f"{record.sha256}@{scale.low:g}-{scale.high:g}"


def open_stats_cache(cache_dir: Path | None) -> SqliteCache:
    """Return the cache of measurements by sha256; without a folder nothing is stored."""
    path = None if cache_dir is None else cache_dir / "stats.sqlite"
    return SqliteCache(path, _MAX_BYTES, version=3, adopt={2: _FROM_VERSION_2})


def _measure_records(
    index: DatasetIndex,
    records: Sequence[ImageRecord],
    monitor: Monitor,
    num_workers: int | None,
) -> Iterator[dict[str, ImageStats]]:
    """Measure records in threads and yield results by sha256, in batches."""
    stage, measure = monitor.stage(STAGE, len(records)), carried(_measure_record)
    with ThreadPoolExecutor(num_workers or os.cpu_count() or 1, "stats") as pool:
        for first in range(0, len(records), _BATCH):
            batch: dict[str, ImageStats] = {}
            chunk = records[first : first + _BATCH]
            futures = [pool.submit(measure, index, record) for record in chunk]
            try:
                for record, future in zip(chunk, futures, strict=True):
                    monitor.check()
                    batch[_key(index, record)] = future.result()
                    stage.advance()
            except TLError:  # after a stop or an error, keep the measurements
                pool.shutdown(wait=False, cancel_futures=True)
                yield batch
                raise
            yield batch


def _measure_record(index: DatasetIndex, record: ImageRecord) -> ImageStats:
    scale = index.scale_of(record)
    return index.decode(record, lambda data: measure_image(data, scale))


def _measure(picture: Image.Image) -> ImageStats:
    grey = picture.convert("L")
    histogram = np.array(grey.histogram(), np.float64) / (grey.width * grey.height)
    levels = np.arange(256) / 255
    brightness = float(histogram @ levels)
    below = np.cumsum(histogram)
    used = histogram[histogram > 0]
    reduced = picture.reduce(max(1, max(picture.size) // _COLOUR_SIDE))
    rgb = np.asarray(reduced, np.float32) / 255
    red, green, blue = (float(value) for value in rgb.mean(axis=(0, 1)))
    return ImageStats(
        brightness=brightness,
        shadows=float(levels[np.argmax(below >= _TAIL)]),
        highlights=float(levels[np.argmax(below >= 1 - _TAIL)]),
        contrast=float(np.sqrt(histogram @ (levels - brightness) ** 2)),
        sharpness=_sharpness(np.asarray(grey, np.float32)),
        colourfulness=_colourfulness(rgb),
        entropy=float(np.sum(-used * np.log2(used))),
        mean_rgb=(red, green, blue),
        fingerprint=make_fingerprint(picture),
    )


def _sharpness(grey: np.ndarray) -> float:
    """Return how much of the variation between neighbours a strong blur removes, 0 to 1.

    A blurred picture loses little by more blur. The less sharp direction counts, so that camera
    shake is detected.

    References:
        Crete et al. 2007, "The Blur Effect: Perception and Estimation with a New No-Reference
        Perceptual Blur Metric".
    """
    return min(_lost_variation(grey), _lost_variation(np.ascontiguousarray(grey.T)))


def _lost_variation(grey: np.ndarray) -> float:
    """Return the share of the variation between rows that a blur across them removes."""
    half = _BLUR_WIDTH // 2
    sums = np.cumsum(np.pad(grey, [(half + 1, half), (0, 0)], mode="edge"), axis=0)
    blurred = (sums[_BLUR_WIDTH:] - sums[:-_BLUR_WIDTH]) / _BLUR_WIDTH
    variation = np.abs(grey[1:] - grey[:-1])
    total = float(variation.sum())
    variation -= np.abs(blurred[1:] - blurred[:-1])
    lost = float(np.maximum(variation, 0, out=variation).sum())
    return lost / total if total > 0 else 0.0


def _colourfulness(rgb: np.ndarray) -> float:
    """Return how colourful a picture is.

    References:
        Hasler and Süsstrunk 2003, "Measuring Colourfulness in Natural Images".
    """
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _pack(stats: ImageStats) -> bytes:
    light = (
        *(stats.brightness, stats.shadows, stats.highlights, stats.contrast),
        *(stats.sharpness, stats.colourfulness, stats.entropy),
    )
    return _LAYOUT.pack(*light, *stats.mean_rgb) + stats.fingerprint


def _unpack(facts: bytes) -> ImageStats:
    values = _LAYOUT.unpack_from(facts)
    brightness, shadows, highlights, contrast, sharpness, colourfulness, entropy = values[:7]
    return ImageStats(
        brightness,
        shadows,
        highlights,
        contrast,
        sharpness,
        colourfulness,
        entropy,
        mean_rgb=values[7:],
        fingerprint=facts[_LAYOUT.size :],
    )
