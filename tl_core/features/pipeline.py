"""Worker threads, one per core, that each process an image from its bytes to its features.

Decoding, augmentation and the engine all release Python's global lock, so one worker per core keeps
every core busy without queues between stages and without a batch that waits for its last image.
Where the engine takes batches, on a GPU, workers fill one while another is computed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from tl_core.data.images.decode_turns import carried
from tl_core.features.engine import EnginePool
from tl_core.progress import SILENT, Monitor

_POLL_SECONDS = 0.1
_JOIN_SECONDS = 1.0  # a large backbone may still compute an image; its result is discarded
_AHEAD_BYTES = 256 * 2**20  # of pixels decoded while the engines are being prepared


@dataclass(frozen=True)
class Job:
    """One image: its index, passed to ``load``, and the views to compute."""

    number: int
    views: tuple[int, ...] = (0,)


Load = Callable[[Job], np.ndarray | None]
"""Returns a job's pixels (height, width, 3) uint8 RGB, or None if there is nothing to compute."""

MakeView = Callable[[Job, np.ndarray, int], np.ndarray]
"""Returns one view of a job's pixels."""

OnResult = Callable[[Job, np.ndarray | None], None]
"""Receives a job's features (views, dim) float32, or None if ``load`` returned None."""


def run_pipeline(
    jobs: Sequence[Job],
    load: Load,
    make_view: MakeView,
    engines: Future[EnginePool],
    num_workers: int,
    on_result: OnResult,
    monitor: Monitor = SILENT,
) -> None:
    """Compute every job; ``on_result`` is called in this thread, in order of completion.

    Args:
        jobs: the images and views to compute.
        load: reads and decodes an image; called in a worker.
        make_view: augments an image; called in a worker.
        engines: a future; workers decode images until it is ready.
        num_workers: number of threads.
        on_result: called with each job's features as they are ready.
        monitor: checked at least ten times a second.

    Raises:
        Stopped: ``monitor`` was asked to stop.
        Exception: the first error of ``load``, ``make_view``, ``engines`` or ``on_result``.
    """
    workers = _Workers(jobs, carried(load), make_view, engines, num_workers)
    workers.start()
    done = 0
    try:
        while done < len(jobs):
            monitor.check()
            try:
                job, outcome = workers.results.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            on_result(job, outcome)
            done += 1
    finally:
        workers.end()


class _Workers:
    """The worker threads and their shared state."""

    def __init__(
        self,
        jobs: Sequence[Job],
        load: Load,
        make_view: MakeView,
        engines: Future[EnginePool],
        num_workers: int,
    ) -> None:
        self.results: queue.SimpleQueue[tuple[Job, np.ndarray | BaseException | None]]
        self.results = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in jobs:
            self._jobs.put(job)
        self._load = load
        self._make_view = make_view
        self._engines = engines
        self._stopping = threading.Event()
        num_workers = max(1, min(num_workers, len(jobs)))
        self._ahead_bytes = _AHEAD_BYTES // num_workers
        self._threads = [
            threading.Thread(target=self._work, name=f"features-{number}", daemon=True)
            for number in range(num_workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Make the workers end after their current image."""
        self._stopping.set()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        job = None
        loaded: deque[tuple[Job, np.ndarray]] = deque()
        num_bytes = num_views = 0
        try:
            while not self._stopping.is_set():
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    self._compute(loaded)
                    return
                pixels = self._load(job)
                if pixels is None:
                    self.results.put((job, None))
                    continue
                loaded.append((job, pixels))
                num_bytes += pixels.nbytes
                num_views += len(job.views)
                if self._engines.done():
                    ready = num_views >= self._engines.result().batch_size
                else:
                    ready = num_bytes >= self._ahead_bytes
                if ready:
                    self._compute(loaded)
                    num_bytes = num_views = 0
        except BaseException as error:
            self.results.put((job or Job(-1), error))

    def _compute(self, loaded: deque[tuple[Job, np.ndarray]]) -> None:
        """Compute and return loaded jobs, in batches or one at a time."""
        pool = self._wait_for_engines() if loaded else None
        while pool is not None and loaded and not self._stopping.is_set():
            jobs: list[Job] = []
            images: list[np.ndarray] = []
            while loaded and len(images) < pool.batch_size:
                job, pixels = loaded.popleft()
                jobs.append(job)
                images += [self._make_view(job, pixels, view) for view in job.views]
            rows: list[np.ndarray] = []
            for start in range(0, len(images), pool.batch_size):
                if self._stopping.is_set():
                    return
                batch = np.stack(images[start : start + pool.batch_size])
                with pool.borrow() as engine:
                    rows.append(engine.run(batch))
            features = np.concatenate(rows)
            for job in jobs:
                self.results.put((job, features[: len(job.views)]))
                features = features[len(job.views) :]

    def _wait_for_engines(self) -> EnginePool | None:
        while not self._stopping.is_set():
            try:
                return self._engines.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                if self._engines.done():
                    raise  # raised by the preparation, not by the wait
        return None
