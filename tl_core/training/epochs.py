"""What all phases do with their epochs: report progress and record results.

Also the order of images in an epoch, and the class weights.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.errors import TLError
from tl_core.metrics.classification import accuracy, log_loss
from tl_core.progress import SILENT, Stage
from tl_core.runs.events import BatchEnd, EpochEnd
from tl_core.training.checkpoints import EpochResult
from tl_core.training.phases import PhaseContext

_log = logging.getLogger(__name__)

MIN_EVENT_SECONDS = 0.05  # more events would not make a curve smoother


class EpochSums:
    """Sums of loss and correct answers over an epoch, and the history row made of them."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        self._loss = self._correct = 0.0
        self._images = 0
        self._started = time.monotonic()

    def add(self, epoch: int, step: int, loss: float, correct: float, num_images: int) -> bool:
        """Add the batches trained since the last call.

        Args:
            epoch: counted from 0.
            step: number of batches of the epoch done so far.
            loss: sum of the cross-entropies of the images since the last call.
            correct: how many of them were classified correctly.
            num_images: how many images there were.

        Returns:
            Whether their time is representative; the first batches include compilation.
        """
        self._loss += loss
        self._correct += correct
        self._images += num_images
        return True

    def result(
        self,
        epoch: int,
        labels: np.ndarray,
        probabilities: np.ndarray,
        learning_rate: float,
        remedy: str = "the learning rate",
    ) -> EpochResult:
        """Return the figures of the epoch, with those of the validation images.

        Raises:
            TLError: the loss is not finite; ``remedy`` names the setting to lower.
        """
        result = EpochResult(
            phase=self._phase,
            epoch=epoch,
            loss=self._loss / self._images,
            accuracy=self._correct / self._images,
            val_loss=log_loss(labels, probabilities),
            val_accuracy=accuracy(labels, probabilities),
            learning_rate=learning_rate,
            seconds=time.monotonic() - self._started,
        )
        if not math.isfinite(result.loss + result.val_loss):
            raise TLError(f"The loss is no longer a number in epoch {epoch + 1}. Lower {remedy}.")
        return result


class Curve(EpochSums):
    """The training curve of one phase of a run, recorded as events and checkpoints."""

    def __init__(self, context: PhaseContext, phase: str, num_images: int, num_epochs: int) -> None:
        self._context, self._num_images = context, num_images
        self._stage = Stage(SILENT, phase, num_epochs * num_images)
        self._tells_speed = False
        self._next_event = 0.0
        super().__init__(phase)

    def skip_epochs(self, num_epochs: int) -> None:
        """Skip epochs that were done before the run was resumed."""
        self._stage.update(num_epochs * self._num_images)

    def begin_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        super().begin_epoch()
        self._reported = (0.0, 0.0, 0)

    def add(self, epoch: int, step: int, loss: float, correct: float, num_images: int) -> bool:
        """Add batches, as :meth:`EpochSums.add`, and report them from time to time."""
        tells_speed, self._tells_speed = self._tells_speed, True
        self._stage.advance(num_images)
        if not tells_speed:
            self._stage.restart_clock()
        super().add(epoch, step, loss, correct, num_images)
        if time.monotonic() >= self._next_event:
            self._next_event = time.monotonic() + MIN_EVENT_SECONDS
            sums = (self._loss, self._correct, self._images)
            new_loss, new_correct, new_images = np.subtract(sums, self._reported).tolist()
            self._reported = sums
            self._context.recorder.emit(
                BatchEnd(
                    phase=self._phase,
                    epoch=epoch,
                    step=step,
                    loss=new_loss / new_images,
                    accuracy=new_correct / new_images,
                    images_per_second=self._stage.rate,
                    seconds_left=self._stage.seconds_left,
                )
            )
        return tells_speed

    def end_epoch(
        self,
        epoch: int,
        val_probabilities: np.ndarray,
        learning_rate: float,
        weights: Mapping[str, np.ndarray],
        state: Callable[[], Mapping[str, np.ndarray]],
        rate_in_words: str,
    ) -> EpochResult:
        """Report an epoch to the checkpoints, the log and the listeners.

        Args:
            epoch: counted from 0.
            val_probabilities: (n, num_classes) of the validation images.
            learning_rate: that of the last step.
            weights: the weights to keep if this epoch is the best.
            state: returns everything needed to resume training.
            rate_in_words: the setting to lower if the loss is not finite, and its value.

        Raises:
            TLError: the loss is not finite.
        """
        labels = self._context.labels("val")
        result = self.result(epoch, labels, val_probabilities, learning_rate, rate_in_words)
        _log.info(
            "%s epoch %d: loss %.4f accuracy %.4f val_loss %.4f val_accuracy %.4f",
            result.phase,
            epoch,
            result.loss,
            result.accuracy,
            result.val_loss,
            result.val_accuracy,
        )
        is_best = self._context.checkpoints.add(result, weights, state)
        self._context.recorder.emit(
            EpochEnd(
                **dataclasses.asdict(result),
                is_best=is_best,
                images_per_second=self._num_images / max(result.seconds, 1e-9),
                seconds_left=self._stage.seconds_left,
            )
        )
        return result


def epoch_rows(
    seed: int,
    epoch: int,
    num_images: int,
    num_views: int,
    *,
    shuffle: bool,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Return the rows of one epoch (num_images,): each image once, in a randomly drawn view.

    With ``labels`` every class appears equally often instead, its images as evenly as possible.
    The result depends on seed and epoch alone, so that a repeated epoch is the same.
    """
    rng = np.random.default_rng([seed, epoch])
    if labels is not None:
        order = _balanced_order(labels, rng)
    else:
        order = rng.permutation(num_images) if shuffle else np.arange(num_images)
    views = rng.integers(0, num_views, num_images)
    return (views * num_images + order).astype(np.int32)


def _balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``num_images`` images, equally many from each class, in random order."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    drawn = []
    for images, share in zip(classes, shares, strict=True):
        rounds = [rng.permutation(images) for _ in range(-(-share // len(images)))]
        drawn.append(np.concatenate([images[:0], *rounds])[:share])
    return rng.permutation(np.concatenate(drawn))


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the weight of an image of each class, so that all classes have the same total.

    The mean over the images is 1; a class without images gets 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    num_present = np.count_nonzero(counts)
    weights = np.divide(
        len(labels), num_present * counts, out=np.zeros(num_classes), where=counts > 0
    )
    return weights.astype(np.float32)


def class_weights(config: TrainConfig, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the weight of an image of each class by the config: (num_classes,)."""
    if config.class_weights == "balanced":
        return balanced_weights(labels, num_classes)
    return np.ones(num_classes, np.float32)
