"""Extract features of images with a frozen backbone, computed once per view and then cached.

A :class:`FeatureSpec` defines how features are computed; missing ones are computed by the pipeline.
Nothing here loads TensorFlow unless there is a GPU to use.
"""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tl_core.data.augmentation.augment import augment_view
from tl_core.data.images.decode_turns import current_asker
from tl_core.data.images.images import ImageSource, load_image
from tl_core.errors import ImageError
from tl_core.fair_turns import FairTurns
from tl_core.features.cache import open_feature_cache
from tl_core.features.engine import EnginePool, open_engines, prepare_engine
from tl_core.features.engine_files import in_background
from tl_core.features.hardware import choose_device, num_cores
from tl_core.features.pipeline import Job, run_pipeline
from tl_core.features.spec import FeatureSpec
from tl_core.features.table import FeatureTable
from tl_core.progress import SILENT, Monitor, OnProgress, Progress, ShouldStop, Stage

if TYPE_CHECKING:
    from tl_core.data.dataset import DatasetIndex, ImageRecord

__all__ = [
    "FeatureSpec",
    "ImageFeatures",
    "count_missing",
    "extract_features",
    "extract_images",
    "image_batches",
    "open_image_engines",
]

STAGE = "features"
_turns = FairTurns()  # at the features of images that are not kept
_BATCH_BYTES = 16 * 2**20
_LEAST_BATCH = 16
_IMAGES_A_LANE = 8  # opening an engine takes time and about 30 MB, too much for a few images


class ImageFeatures(NamedTuple):
    """Features (n, dim) float32 in the requested order, and why an image has none (zeros)."""

    features: np.ndarray
    errors: tuple[str | None, ...]


def extract_features(
    index: DatasetIndex,
    indices: Sequence[int] | np.ndarray,
    spec: FeatureSpec,
    *,
    views: int = 1,
    cache_dir: Path,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    num_workers: int | None = None,
) -> np.ndarray:
    """Return the features of images of a dataset, computing those that are not cached.

    Results are saved continually, so that a stop or a kill loses at most a second or two of work.

    Args:
        index: the scanned dataset.
        indices: which of its records, in the order of the result.
        spec: how to compute the features.
        views: how many views of each image; see :meth:`FeatureSpec.num_views`.
        cache_dir: the cache folder.
        on_progress: called with the progress of the stages ``"backbone"`` and ``"features"``; the
            latter counts the image views that had to be computed.
        should_stop: polled several times a second.
        num_workers: number of threads; by default one per core.

    Returns:
        (views, n, dim) float32.

    Raises:
        DatasetError: a file is missing, cannot be read, or has changed since the scan.
        ConfigError: the features would not fit into memory.
        WeightsError: the backbone's weights are not available.
        Stopped: ``should_stop`` returned True.

    Examples:
        >>> from pathlib import Path
        >>> from tl_core import TrainConfig, extract_features, scan_dataset
        >>> index = scan_dataset("photos")
        >>> spec = FeatureSpec.from_config(TrainConfig(backbone="tiny"))
        >>> extract_features(index, [0, 1, 2], spec, cache_dir=Path("cache")).shape
        (1, 3, 32)
    """
    views = spec.num_views(views)
    spec = spec.scaled_for(index)
    records = [index.records[int(number)] for number in indices]
    with open_feature_cache(cache_dir) as cache:
        table = FeatureTable(cache, [record.sha256 for record in records], spec, views)
        first_with = {record.sha256: record for record in reversed(records)}
        missing = table.read()
        if missing:
            keys = list(missing)
            jobs = [Job(number, missing[key]) for number, key in enumerate(keys)]
            monitor = Monitor(on_progress, should_stop)
            stage = monitor.stage(STAGE, sum(len(job.views) for job in jobs))

            def load(job: Job) -> np.ndarray:
                return load_record(index, first_with[keys[job.number]], spec)

            def make_view(job: Job, image: np.ndarray, view: int) -> np.ndarray:
                return augment_view(image, spec.augment, keys[job.number], view, spec.seed)

            def on_result(job: Job, features: np.ndarray | None) -> None:
                if features is not None:
                    table.add(keys[job.number], job.views, features)
                stage.advance(len(job.views))

            num_workers = _num_workers(num_workers)
            try:
                with _preparing(spec, cache_dir, num_workers, monitor) as (engines, polled):
                    engines.add_done_callback(lambda _: stage.restart_clock())
                    run_pipeline(jobs, load, make_view, engines, num_workers, on_result, polled)
            finally:
                table.save()
    return table.values


def count_missing(
    index: DatasetIndex,
    indices: Sequence[int] | np.ndarray,
    spec: FeatureSpec,
    *,
    views: int = 1,
    cache_dir: Path,
) -> int:
    """Return how many image views :func:`extract_features` would compute for these arguments.

    Raises:
        WeightsError: the backbone's weights are in a package that is not installed.
    """
    views = spec.num_views(views)
    spec = spec.scaled_for(index)
    keys = {index.records[int(number)].sha256 for number in indices}
    with open_feature_cache(cache_dir) as cache:
        known = (len(cache.known_keys(spec.space(view), keys)) for view in range(views))
        return len(keys) * views - sum(known)


def extract_images(
    images: Sequence[ImageSource],
    spec: FeatureSpec,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
    num_workers: int | None = None,
) -> ImageFeatures:
    """Return features of images given as paths, bytes or files. They are not cached.

    Always runs on the CPU and without TensorFlow in this process. The engines stay open for the
    next call.

    Args:
        images: the images to read.
        spec: how to compute the features; its augmentation is not used.
        cache_dir: the folder of converted backbones.
        monitor: reports the stages ``"backbone"`` and ``"features"``.
        num_workers: number of threads; by default one per core.

    Raises:
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    num_workers = _num_workers(num_workers)
    pool = open_image_engines(spec, cache_dir, num_workers, monitor)
    stage = monitor.stage(STAGE, len(images))
    return _images_features(images, spec, pool, num_workers, stage, monitor)


def image_batches(
    images: Sequence[ImageSource],
    spec: FeatureSpec,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
    num_workers: int | None = None,
) -> Iterator[ImageFeatures]:
    """Yield what :func:`extract_images` returns in parts, in order, of at most 16 MB of features.

    With pooling ``"flatten"`` one image can have half a megabyte. A part has at least 16 images;
    in the web process of a demo it has 16, and visitors take turns. Arguments and errors are those
    of :func:`extract_images`.
    """
    num_workers = _num_workers(num_workers)
    pool = open_image_engines(spec, cache_dir, num_workers, monitor)
    stage = monitor.stage(STAGE, len(images))
    asker = current_asker()
    size = max(_LEAST_BATCH, _BATCH_BYTES // (4 * pool.feature_dim))
    size = size if asker is None else _LEAST_BATCH
    for start in range(0, len(images), size):
        part = images[start : start + size]
        turn = nullcontext() if asker is None else _turns.turn(asker, monitor.check)
        with turn:
            found = _images_features(part, spec, pool, num_workers, stage, monitor)
        yield found


def _images_features(
    images: Sequence[ImageSource],
    spec: FeatureSpec,
    pool: EnginePool,
    num_workers: int,
    stage: Stage,
    monitor: Monitor,
) -> ImageFeatures:
    errors: list[str | None] = [None] * len(images)
    features = np.zeros((len(images), pool.feature_dim), np.float32)

    def load(job: Job) -> np.ndarray | None:
        try:
            return load_image(images[job.number], spec.image_size, spec.resize, spec.scale)
        except ImageError as error:
            errors[job.number] = str(error)
            return None

    def on_result(job: Job, found: np.ndarray | None) -> None:
        if found is not None:
            features[job.number] = found[0]
        stage.advance(1)

    engines: Future[EnginePool] = Future()
    engines.set_result(pool)
    jobs = [Job(number) for number in range(len(images))]
    num_workers = min(num_workers, max(1, len(images) // _IMAGES_A_LANE))
    run_pipeline(jobs, load, _same_view, engines, num_workers, on_result, monitor)
    return ImageFeatures(features, tuple(errors))


def _same_view(job: Job, image: np.ndarray, view: int) -> np.ndarray:
    return image


def _num_workers(num_workers: int | None) -> int:
    return num_cores() if num_workers is None else max(1, num_workers)


@contextmanager
def _preparing(
    spec: FeatureSpec,
    cache_dir: Path,
    num_workers: int,
    monitor: Monitor,
) -> Iterator[tuple[Future[EnginePool], Monitor]]:
    """Prepare and open engines in a thread, so that workers can decode meanwhile.

    Yields a future of the engines, and the monitor to check meanwhile: it also reports the
    thread's progress, so that callbacks are called in the caller's thread only.
    """
    reports: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    abandoned = threading.Event()

    def open_pool() -> EnginePool:
        if choose_device() == "gpu" and spec.engine_file is None:
            from tl_core.features.gpu import TensorFlowEngine

            return EnginePool.of(TensorFlowEngine(spec.backbone, spec.image_size, spec.pooling))
        path = _prepare_engine(spec, cache_dir, Monitor(reports.put, abandoned.is_set))
        return open_engines(path, num_workers)

    def is_stopped() -> bool:
        while not reports.empty():
            monitor.report(reports.get())
        return monitor.is_stopped()

    try:
        yield in_background(open_pool, f"engines-{spec.backbone}"), Monitor(None, is_stopped)
    finally:
        abandoned.set()


def _prepare_engine(
    spec: FeatureSpec,
    cache_dir: Path,
    monitor: Monitor,
) -> Path:
    """Return the engine file: that of a fine-tuned run, or of the pretrained backbone."""
    if spec.engine_file is not None:
        return spec.engine_file
    return prepare_engine(spec.backbone, spec.image_size, spec.pooling, cache_dir, monitor)


def open_image_engines(
    spec: FeatureSpec,
    cache_dir: Path,
    num_workers: int | None = None,
    monitor: Monitor = SILENT,
) -> EnginePool:
    """Return engines on the CPU, which stay open for the next call.

    Args:
        spec: which backbone; of a file that is not trusted, the engines are guarded processes.
        cache_dir: the folder of converted backbones.
        num_workers: number of threads that will use them; by default one per core.
        monitor: reports the stage ``"backbone"``.

    Raises:
        WeightsError: the backbone's weights are not available.
        ExportError: the file of a bundle does not work.
        Stopped: ``monitor`` was asked to stop.
    """
    path = _prepare_engine(spec, cache_dir, monitor)
    return _open_shared(path, _num_workers(num_workers), spec.is_foreign)


@functools.lru_cache(maxsize=2)
def _open_shared(path: Path, num_workers: int, is_foreign: bool) -> EnginePool:
    return open_engines(path, num_workers, is_foreign=is_foreign)


def load_record(index: DatasetIndex, record: ImageRecord, spec: FeatureSpec) -> np.ndarray:
    """Return a record's pixels at the backbone's input size.

    Raises:
        DatasetError: the file is missing, has changed since the scan, or cannot be decoded.
    """
    size, resize, scale = spec.image_size, spec.resize, spec.scaled_for(index).scale
    return index.decode(record, lambda data: load_image(data, size, resize, scale))
