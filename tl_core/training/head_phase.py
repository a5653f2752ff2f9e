"""The head phase: fully connected layers and softmax on cached features of a frozen backbone."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import numpy as np

from tl_core.errors import TLError
from tl_core.metrics import accuracy, log_loss
from tl_core.model.head import build_head, head_forward, head_weights
from tl_core.training.checkpoints import EpochResult, has_stalled
from tl_core.training.events import BatchEnd, EpochEnd
from tl_core.training.head_steps import HeadSteps, StepSettings, borrow_steps
from tl_core.training.phases import PhaseContext

_log = logging.getLogger(__name__)

_GROUP_SECONDS = 0.08  # long enough to cost nothing, short enough for a curve that moves
_MIN_EVENT_SECONDS = 0.05


class HeadPhase:
    """Trains a head with Adam; each epoch is one pass, with a view drawn for each image."""

    name = "head"

    def run(self, context: PhaseContext) -> None:
        """Train until the epochs are done, validation stalls, or a stop is asked for.

        Raises:
            Stopped: a stop was asked for.
            TLError: the loss is no longer a number.
        """
        features = context.features()
        context.check_stop()
        config = context.config
        feature_dim = features.train.shape[-1]
        num_classes = context.index.num_classes
        num_steps = math.ceil(len(context.split.train) / config.batch_size)
        context.recorder.start_phase(self.name, config.epochs, num_steps)
        reason = "stopped"
        try:
            context.tensorflow.wait(context.should_stop)
            with borrow_steps(feature_dim, config.fc_layers, num_classes) as steps:
                head = build_head(
                    feature_dim, config.dropout, config.fc_layers, num_classes, config.seed
                )
                steps.start(head_weights(head))
                resumed = context.take_resumed(self.name)
                if resumed is not None:
                    steps.restore(resumed.state)
                reason = _Training(context, steps).run(resumed.num_epochs if resumed else 0)
        finally:
            seconds = context.recorder.end_phase(reason)
            context.seconds[self.name] = context.seconds.get(self.name, 0.0) + seconds

    def probabilities(self, context: PhaseContext, part: str) -> np.ndarray:
        """Return (n, num_classes) of the best weights: the same path as a reloaded run's."""
        return head_forward(context.checkpoints.best_weights, getattr(context.features(), part))


@dataclass
class Pace:
    """How fast it goes, for the size of groups and the time left."""

    num_images_left: int
    started: float = 0.0
    num_images: int = 0

    def start(self) -> None:
        """Begin to measure: after the first group, in which compiling happens."""
        self.started, self.num_images = time.monotonic(), 0

    def add(self, num_images: int) -> None:
        """Count images done."""
        self.num_images += num_images
        self.num_images_left -= num_images

    @property
    def rate(self) -> float:
        """Images a second; 0 when not known yet."""
        seconds = time.monotonic() - self.started
        return self.num_images / seconds if self.started and seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds left for the phase; None when not known yet."""
        return self.num_images_left / self.rate if self.rate > 0 else None


class _Training:
    """One head phase under way."""

    def __init__(self, context: PhaseContext, steps: HeadSteps) -> None:
        import tensorflow as tf

        config = context.config
        self._context, self._config, self._steps = context, config, steps
        features = context.features()
        self._num_views, self._num_images, feature_dim = features.train.shape
        self._features = tf.constant(features.train.reshape(-1, feature_dim))
        labels = context.labels("train")
        self._labels = tf.constant(labels.astype(np.int32))
        self._class_weights = np.ones(context.index.num_classes, np.float32)
        if config.class_weights == "balanced":
            self._class_weights = balanced_weights(labels, context.index.num_classes)
        self._settings = StepSettings(
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            dropout=config.dropout,
            label_smoothing=config.label_smoothing,
            seed=config.seed,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            mixup=config.mixup,
        )
        self._balanced = labels if config.sampling == "balanced" else None
        self._pace = Pace(num_images_left=config.epochs * self._num_images)
        self._group_steps = 1
        self._next_event = 0.0

    def run(self, first_epoch: int) -> str:
        """Train and return why it ended."""
        history = self._context.checkpoints.history_of(HeadPhase.name)
        self._pace.num_images_left -= first_epoch * self._num_images
        if has_stalled(history, self._config.early_stopping):
            return "early_stopping"
        for epoch in range(first_epoch, self._config.epochs):
            started = time.monotonic()
            loss, train_accuracy = self._train_epoch(epoch)
            result = self._validate(epoch, loss, train_accuracy, started)
            history.append(result)
            if has_stalled(history, self._config.early_stopping):
                return "early_stopping"
        return "done"

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """Do one pass; returns mean loss and accuracy over the images."""
        rows = epoch_rows(
            self._config.seed,
            epoch,
            self._num_images,
            self._num_views,
            shuffle=self._config.shuffle,
            labels=self._balanced,
        )
        size = self._config.batch_size
        num_steps = math.ceil(len(rows) / size)
        epoch_loss = epoch_correct = group_loss = group_correct = 0.0
        group_images = step = 0
        while step < num_steps:
            self._context.check_stop()
            end = min(num_steps, step + self._group_steps)
            group = rows[step * size : end * size]
            started = time.monotonic()
            loss, correct = self._steps.train(
                self._features,
                self._labels,
                self._class_weights,
                group,
                epoch * num_steps + step,
                self._settings,
            )
            self._adapt(end - step, time.monotonic() - started, len(group))
            step = end
            epoch_loss, epoch_correct = epoch_loss + loss, epoch_correct + correct
            group_loss, group_correct = group_loss + loss, group_correct + correct
            group_images += len(group)
            if time.monotonic() >= self._next_event:
                self._next_event = time.monotonic() + _MIN_EVENT_SECONDS
                self._context.recorder.emit(
                    BatchEnd(
                        phase=HeadPhase.name,
                        epoch=epoch,
                        step=step,
                        loss=group_loss / group_images,
                        accuracy=group_correct / group_images,
                        images_per_second=self._pace.rate,
                        seconds_left=self._pace.seconds_left,
                    )
                )
                group_loss, group_correct, group_images = 0.0, 0.0, 0
        return epoch_loss / len(rows), epoch_correct / len(rows)

    def _adapt(self, num_steps: int, seconds: float, num_images: int) -> None:
        """Choose the next group's size after the last one's speed."""
        self._pace.add(num_images)
        if not self._pace.started:
            self._pace.start()  # that group was compiled in: its speed says nothing
            return
        wanted = round(num_steps * _GROUP_SECONDS / max(seconds, 1e-4))
        self._group_steps = max(1, min(wanted, 4 * num_steps))

    def _validate(
        self, epoch: int, loss: float, train_accuracy: float, started: float
    ) -> EpochResult:
        context = self._context
        weights = self._steps.weights()
        labels = context.labels("val")
        probabilities = head_forward(weights, context.features().val)
        result = EpochResult(
            phase=HeadPhase.name,
            epoch=epoch,
            loss=loss,
            accuracy=train_accuracy,
            val_loss=log_loss(labels, probabilities),
            val_accuracy=accuracy(labels, probabilities),
            learning_rate=self._config.learning_rate,
            seconds=time.monotonic() - started,
        )
        if not math.isfinite(result.loss + result.val_loss):
            raise TLError(
                f"The loss is no longer a number in epoch {epoch + 1}. "
                f"Lower the learning rate, which is {self._config.learning_rate:g}."
            )
        _log.info(
            "head epoch %d: loss %.4f accuracy %.4f val_loss %.4f val_accuracy %.4f",
            epoch,
            result.loss,
            result.accuracy,
            result.val_loss,
            result.val_accuracy,
        )
        is_best = context.checkpoints.add(result, weights, self._steps.state)
        context.recorder.emit(
            EpochEnd(
                phase=HeadPhase.name,
                epoch=epoch,
                loss=result.loss,
                accuracy=result.accuracy,
                val_loss=result.val_loss,
                val_accuracy=result.val_accuracy,
                learning_rate=result.learning_rate,
                seconds=result.seconds,
                is_best=is_best,
                images_per_second=self._num_images / max(result.seconds, 1e-9),
                seconds_left=self._pace.seconds_left,
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
    """Return the rows of one epoch (num_images,): each image once, in the view drawn for it.

    With ``labels`` every class comes equally often instead, its images as evenly as that allows.
    A function of seed and epoch alone, so that an epoch repeated is the same.
    """
    rng = np.random.default_rng([seed, epoch])
    if labels is not None:
        order = _balanced_order(labels, rng)
    else:
        order = rng.permutation(num_images) if shuffle else np.arange(num_images)
    views = rng.integers(0, num_views, num_images)
    return (views * num_images + order).astype(np.int32)


def _balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return as many images as there are, from all classes alike, in random order."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[rng.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    drawn = []
    for images, share in zip(classes, shares, strict=True):
        rounds = [rng.permutation(images) for _ in range(-(-share // len(images)))]
        drawn.append(np.concatenate([images[:0], *rounds])[:share])
    return rng.permutation(np.concatenate(drawn))


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return what an image of each class counts for, so that all classes count the same.

    The mean over the images is 1; a class without images gets 0.
    """
    counts = np.bincount(labels, minlength=num_classes)
    num_present = np.count_nonzero(counts)
    weights = np.divide(
        len(labels), num_present * counts, out=np.zeros(num_classes), where=counts > 0
    )
    return weights.astype(np.float32)
