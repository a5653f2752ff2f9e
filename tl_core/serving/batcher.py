"""The queue of images and the threads that compute them, shared by all requests.

The backbone takes one image at a time, fastest with one thread a core, so that threads take single
images; requests take turns, so that a large one does not hold up the others. What the threads have
finished, of whichever requests, goes through the head together: as long as images wait, a few are
collected first, for the head and the training photos' features are read from memory once a time.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tl_core.errors import ImageError
from tl_core.inference.predict import Prediction
from tl_core.serving.model import Image, ServedModel
from tl_core.serving.refusal import Refusal

_log = logging.getLogger(__name__)

ANSWERED_TOGETHER = 4
"""As long as images wait; with four, answering one takes half as long as alone."""

_NEWEST_SHARE = 0.05  # of the newest image in the running mean of the time an image takes
_MAX_RETRY_SECONDS = 60
_STOP_SECONDS = 10.0

Outcome = Prediction | ImageError
"""The answer for one image, or why it cannot be read."""


class Work:
    """The images of one request.

    Args:
        images: in the order of the answers.
        on_done: called once, in any thread, when all are answered or the computation failed.
    """

    def __init__(self, images: Sequence[Image], on_done: Callable[[Work], None]) -> None:
        self.images: list[Image | None] = list(images)
        self.outcomes: list[Outcome | None] = [None] * len(images)
        self.error: Exception | None = None
        self.is_cancelled = False
        self.num_started = 0
        self._num_open = len(images)
        self._on_done = on_done
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Leave out the images that were not started yet; nobody waits for them."""
        self.is_cancelled = True

    def finish(self, number: int, outcome: Outcome | Exception) -> None:
        """Take the outcome of one image."""
        with self._lock:
            if isinstance(outcome, Prediction | ImageError):
                self.outcomes[number] = outcome
            else:
                self.error = outcome
            self._num_open -= 1
            is_last = self._num_open == 0
        if is_last:
            self._on_done(self)


@dataclass(frozen=True, eq=False)
class _Computed:
    work: Work
    number: int
    features: np.ndarray


class Batcher:
    """Computes the images of all requests in worker threads.

    Args:
        model: what answers.
        max_queue: how many images may wait.
        max_megapixels: the size of an image.
    """

    def __init__(self, model: ServedModel, max_queue: int, max_megapixels: int) -> None:
        self._model = model
        self._max_queue = max_queue
        self._max_megapixels = max_megapixels
        self._waiting: deque[Work] = deque()
        self._num_waiting = 0
        self._is_stopping = False
        self._changed = threading.Condition()
        self._computed: deque[_Computed] = deque()
        self._answering = threading.Lock()
        self._seconds_an_image = 0.02
        self.is_working = True
        self._threads = [
            threading.Thread(target=self._run, name=f"serve-{number}", daemon=True)
            for number in range(model.num_workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        """How many images wait."""
        return self._num_waiting

    @property
    def retry_seconds(self) -> int:
        """In how many seconds the images that wait now will be done, at least 1."""
        seconds = self._num_waiting * self._seconds_an_image / self._model.num_workers
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(seconds)))

    def check_room(self, num_images: int = 1) -> None:
        """Check that so many more images may wait.

        Raises:
            Refusal: they may not.
        """
        if self._is_stopping:
            raise Refusal(503, "stopping", "The service is stopping.", self.retry_seconds)
        if self._num_waiting + num_images > self._max_queue:
            raise Refusal(
                503,
                "queue_full",
                f"{self._num_waiting} images are waiting, at most {self._max_queue} may. "
                "Try again later.",
                self.retry_seconds,
            )

    def submit(self, work: Work) -> None:
        """Let a request's images wait for their turn.

        Raises:
            Refusal: too many are waiting; none of them was taken.
        """
        with self._changed:
            self.check_room(len(work.images))
            self._num_waiting += len(work.images)
            self._waiting.append(work)
            self._changed.notify(len(work.images))

    def stop(self) -> None:
        """End the threads after the images that wait now."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while True:
            if (taken := self._take()) is None:
                self._answer()
                if not self._wait():
                    return
                continue
            work, number, image = taken
            started = time.monotonic()
            try:
                features = self._model.features(image, self._max_megapixels)
            except ImageError as error:
                # Without its traceback, whose frames would hold the image.
                work.finish(number, ImageError(str(error)))
                continue
            except Exception as error:
                self._fail([work], [number], error)
                continue
            self._count(time.monotonic() - started)
            self._computed.append(_Computed(work, number, features))
            if len(self._computed) >= ANSWERED_TOGETHER:
                self._answer()

    def _wait(self) -> bool:
        """Wait for an image; return False at the end."""
        with self._changed:
            while not self._waiting:
                if self._is_stopping:
                    return False
                self._changed.wait()
        return True

    def _take(self) -> tuple[Work, int, Image] | None:
        """Return the next image, None while there is none; requests take turns."""
        with self._changed:
            while self._waiting:
                work = self._waiting.popleft()
                if work.is_cancelled:
                    self._num_waiting -= len(work.images) - work.num_started
                    continue
                number = work.num_started
                image, work.images[number] = work.images[number], None
                work.num_started += 1
                self._num_waiting -= 1
                if work.num_started < len(work.images):
                    self._waiting.append(work)
                if image is not None:
                    return work, number, image
        return None

    def _answer(self) -> None:
        """Answer what is computed, together; leave it to a thread that does so already."""
        while self._computed and self._answering.acquire(blocking=False):
            try:
                batch = [self._computed.popleft() for _ in range(len(self._computed))]
                if batch:
                    self._answer_batch(batch)
            finally:
                self._answering.release()

    def _answer_batch(self, batch: list[_Computed]) -> None:
        works, numbers = [one.work for one in batch], [one.number for one in batch]
        try:
            predictions = self._model.answer(np.stack([one.features for one in batch]))
        except Exception as error:
            self._fail(works, numbers, error)
            return
        self.is_working = True
        for work, number, prediction in zip(works, numbers, predictions, strict=True):
            work.finish(number, prediction)

    def _fail(self, works: Sequence[Work], numbers: Sequence[int], error: Exception) -> None:
        self.is_working = False
        _log.error("The model failed on an image", exc_info=error)
        for work, number in zip(works, numbers, strict=True):
            work.finish(number, error)

    def _count(self, seconds: float) -> None:
        """Keep a running mean, of several threads without a lock: it is an estimate."""
        self._seconds_an_image += _NEWEST_SHARE * (seconds - self._seconds_an_image)
