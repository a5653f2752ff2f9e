"""Activations at the cut of a backbone, batch by batch, computed ahead of the training steps.

Worker threads decode, augment and run the frozen part while TensorFlow trains on earlier samples.
Data needed more than once is cached: pixels in memory while there is room, activations in memory
or in an anonymous temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from tl_core.config.limits import MEGABYTE, current_limits
from tl_core.errors import Stopped
from tl_core.features.engine import EnginePool
from tl_core.features.hardware import available_bytes
from tl_core.features.pipeline import Job, run_pipeline
from tl_core.progress import Monitor
from tl_core.training.mixup import Mix, mix_images

_AHEAD_BATCHES = 3
_SHARE_FOR_PIXELS = 0.15
_SHARE_FOR_ACTIVATIONS = 0.3
_MAX_FILE_BYTES = 16 * 2**30
_SHARE_OF_DISK = 0.3
_DEMO_PIXEL_BYTES = 50 * MEGABYTE
_DEMO_ACTIVATION_BYTES = 100 * MEGABYTE
DEMO_CACHE_BYTES = 2 * (_DEMO_PIXEL_BYTES + _DEMO_ACTIVATION_BYTES)
"""What the caches of a fine-tuning take at most in a demo, of training and validation images."""

_POLL_SECONDS = 0.1
_LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Sample:
    """One image view to train on: ``image`` is its index in the part, ``mix`` how it is mixed."""

    image: int
    view: int = 0
    mix: Mix | None = None


LoadPixels = Callable[[int], np.ndarray]
"""Returns the pixels (height, width, 3) uint8 of an image by its index; may raise."""

MakeView = Callable[[int, np.ndarray, int], np.ndarray]
"""Returns one view of an image from its index, its pixels and the view's number."""


def _room(share: float, most_in_demo: int) -> int:
    """Return how many bytes a cache may take: a share of the free memory, in a demo a fixed number.

    There the memory of a job is estimated before, and what it writes counts for its visitor.
    """
    most = int(share * available_bytes())
    return most if current_limits() is None else min(most, most_in_demo)


class ActivationStore:
    """Cached activations of images and views that will be needed again, as float16."""

    def __init__(self, num_images: int, num_views: int, dim: int, scratch_dir: Path) -> None:
        self._num_images = num_images
        shape = (num_images * num_views, dim)
        num_bytes = 2 * shape[0] * dim
        self._rows: np.ndarray | None = None
        if num_bytes <= _room(_SHARE_FOR_ACTIVATIONS, _DEMO_ACTIVATION_BYTES):
            self._rows = np.empty(shape, np.float16)
        elif current_limits() is None and num_bytes <= min(
            _MAX_FILE_BYTES, _SHARE_OF_DISK * shutil.disk_usage(scratch_dir).free
        ):
            with tempfile.TemporaryFile(dir=scratch_dir) as file:
                self._rows = np.memmap(file, np.float16, "w+", shape=shape)
        self._filled = np.zeros(shape[0], bool)

    def has(self, sample: Sample) -> bool:
        """Whether the activations of a sample are cached."""
        return bool(
            self._rows is not None and sample.mix is None and self._filled[self._row(sample)]
        )

    def get(self, sample: Sample) -> np.ndarray:
        """Return the activations (dim,) float32 of a sample for which :meth:`has` is true."""
        if self._rows is None:
            raise KeyError(sample)
        return self._rows[self._row(sample)].astype(np.float32)

    def put(self, sample: Sample, activations: np.ndarray) -> np.ndarray:
        """Cache activations if there is room; return them rounded as :meth:`get` will."""
        if self._rows is None or sample.mix is not None:
            return activations
        half = np.clip(activations, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
        self._rows[self._row(sample)] = half
        self._filled[self._row(sample)] = True
        return half.astype(np.float32)

    def _row(self, sample: Sample) -> int:
        return sample.view * self._num_images + sample.image


class ActivationSource:
    """Yields the activations of samples in order, computing those not cached in advance."""

    def __init__(
        self,
        load_pixels: LoadPixels,
        make_view: MakeView,
        engines: EnginePool,
        num_workers: int,
        store: ActivationStore | None = None,
    ) -> None:
        self._pixels = _PixelCache(load_pixels, _room(_SHARE_FOR_PIXELS, _DEMO_PIXEL_BYTES))
        self._make_view = make_view
        self._engines: Future[EnginePool] = Future()
        self._engines.set_result(engines)
        self._num_workers = num_workers
        self._store = store

    def batches(
        self, samples: Sequence[Sample], batch_size: int, monitor: Monitor
    ) -> Iterator[np.ndarray]:
        """Yield activations (n, dim) float32, batch after batch.

        Raises:
            Exception: an error of loading an image or checking ``monitor``.
        """
        pool = self._engines.result()
        # Each worker fills a GPU batch before it returns anything.
        num_ahead = max(_AHEAD_BATCHES * batch_size, 2 * self._num_workers * pool.batch_size)
        with _Prefetcher(self, samples, num_ahead) as ahead:
            for start in range(0, len(samples), batch_size):
                positions = range(start, min(start + batch_size, len(samples)))
                yield np.stack([ahead.take(position, monitor) for position in positions])

    def kept(self, sample: Sample) -> np.ndarray | None:
        """Return the cached activations (dim,), or None."""
        if self._store is not None and self._store.has(sample):
            return self._store.get(sample)
        return None

    def keep(self, sample: Sample, activations: np.ndarray) -> np.ndarray:
        """Cache activations that will be needed again; return them as used."""
        return activations if self._store is None else self._store.put(sample, activations)

    def compute(
        self,
        samples: Sequence[Sample],
        before_load: Callable[[int], None],
        on_result: Callable[[int, np.ndarray], None],
        monitor: Monitor,
    ) -> None:
        """Run samples through the pipeline; ``before_load`` may block a worker."""

        def load(job: Job) -> np.ndarray:
            before_load(job.number)
            return self._pixels.get(samples[job.number].image)

        def make_view(job: Job, pixels: np.ndarray, view: int) -> np.ndarray:
            sample = samples[job.number]
            image = self._make_view(sample.image, pixels, view)
            if (mix := sample.mix) is None:
                return image
            other = self._make_view(mix.image, self._pixels.get(mix.image), mix.view)
            return mix_images(image, other, mix)

        def take(job: Job, activations: np.ndarray | None) -> None:
            if activations is not None:
                on_result(job.number, activations[0])

        jobs = [Job(number, (sample.view,)) for number, sample in enumerate(samples)]
        run_pipeline(jobs, load, make_view, self._engines, self._num_workers, take, monitor)


class _Prefetcher:
    """Computes the samples of one pass in the background, a limited number in advance."""

    def __init__(self, source: ActivationSource, samples: Sequence[Sample], num_ahead: int) -> None:
        self._source = source
        self._samples = samples
        self._missing = [i for i, sample in enumerate(samples) if source.kept(sample) is None]
        self._num_ahead = num_ahead
        self._taken = 0
        self._found: dict[int, np.ndarray] = {}
        self._error: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="activations", daemon=True)

    def __enter__(self) -> Self:
        if self._missing:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def take(self, position: int, monitor: Monitor) -> np.ndarray:
        """Return the activations of one sample, waiting for them if necessary."""
        with self._changed:
            self._taken = position
            self._changed.notify_all()
        if (kept := self._source.kept(self._samples[position])) is not None:
            self._found.pop(position, None)
            return kept
        with self._changed:
            while position not in self._found:
                if self._error is not None:
                    raise self._error
                self._changed.wait(_POLL_SECONDS)
                monitor.check()
            return self._found.pop(position)

    def _work(self) -> None:
        try:
            samples = [self._samples[position] for position in self._missing]
            self._source.compute(
                samples, self._wait_for_room, self._put, Monitor(None, lambda: self._closed)
            )
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _wait_for_room(self, number: int) -> None:
        position = self._missing[number]
        with self._changed:
            while position >= self._taken + self._num_ahead:
                if self._closed:
                    raise Stopped
                self._changed.wait(_POLL_SECONDS)

    def _put(self, number: int, activations: np.ndarray) -> None:
        position = self._missing[number]
        used = self._source.keep(self._samples[position], activations)
        with self._changed:
            self._found[position] = used
            self._changed.notify_all()


class _PixelCache:
    """Decoded images, cached while there is room, so that later epochs need not decode them."""

    def __init__(self, load: LoadPixels, max_bytes: int) -> None:
        self._load = load
        self._left = max_bytes
        self._kept: dict[int, np.ndarray] = {}

    def get(self, image: int) -> np.ndarray:
        pixels = self._kept.get(image)
        if pixels is None:
            pixels = self._load(image)
            if self._left >= pixels.nbytes:  # workers may exceed it by one image each
                self._left -= pixels.nbytes
                self._kept[image] = pixels
        return pixels
