"""Training a head: fully connected layers and softmax on cached features of a frozen backbone.

:class:`HeadPhase` trains the head of a run and records it; :func:`fit_head` trains heads of which
only the figures are kept. Both use the same epoch loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.head.model import build_head, head_forward, head_weights
from tl_core.progress import Monitor
from tl_core.training.checkpoints import EpochResult, has_stalled
from tl_core.training.epochs import Curve, EpochSums, class_weights, epoch_rows
from tl_core.training.head_steps import HeadSteps, StepSettings, borrow_steps
from tl_core.training.phases import PhaseContext

if TYPE_CHECKING:
    import tensorflow as tf

_GROUP_STEPS = 64  # in one compiled call; a stop takes effect between them
_GROUP_SECONDS = 0.08  # long enough for low overhead, short enough for a smooth curve


@dataclass(frozen=True, eq=False)
class HeadData:
    """Images as features, shared by all heads that are trained on parts of them.

    Attributes:
        features: (views * n, dim) float32, view after view.
        first_view: (n, dim) float32, the images as they are.
        labels: (n,) integer.
        label_tensor: the same for compiled steps.
        num_views: versions of each image.
        num_classes: number of classes.
    """

    features: tf.Tensor
    first_view: np.ndarray
    labels: np.ndarray
    label_tensor: tf.Tensor
    num_views: int
    num_classes: int

    @classmethod
    def create(cls, features: np.ndarray, labels: np.ndarray, num_classes: int) -> HeadData:
        """Create from features (views, n, dim) and labels (n,)."""
        import tensorflow as tf

        num_views, _, dim = features.shape
        return cls(
            features=tf.constant(features.reshape(-1, dim)),
            first_view=features[0],
            labels=labels,
            label_tensor=tf.constant(labels.astype(np.int32)),
            num_views=num_views,
            num_classes=num_classes,
        )

    @property
    def num_images(self) -> int:
        """How many images there are, each counted once."""
        return len(self.labels)

    @property
    def feature_dim(self) -> int:
        """Width of the features."""
        return int(self.first_view.shape[1])

    def epoch_rows(self, config: TrainConfig, epoch: int, images: np.ndarray) -> np.ndarray:
        """Return the rows of ``features`` for one epoch over some of the images."""
        rows = epoch_rows(
            config.seed,
            epoch,
            len(images),
            self.num_views,
            shuffle=config.shuffle,
            labels=self.labels[images] if config.sampling == "balanced" else None,
        )
        views, places = np.divmod(rows, len(images))
        return (views * self.num_images + images[places]).astype(np.int32)

    def class_weights(self, config: TrainConfig, images: np.ndarray) -> np.ndarray:
        """Return the weight of an image of each class: (num_classes,) float32."""
        return class_weights(config, self.labels[images], self.num_classes)


def first_weights(data: HeadData, config: TrainConfig) -> dict[str, np.ndarray]:
    """Return the initial weights of a run of this config."""
    head = build_head(
        data.feature_dim, config.dropout, config.fc_layers, data.num_classes, config.seed
    )
    return head_weights(head)


def train_epochs(
    steps: HeadSteps,
    data: HeadData,
    config: TrainConfig,
    images: np.ndarray,
    sums: EpochSums,
    end_epoch: Callable[[int], EpochResult],
    monitor: Monitor,
    *,
    history: Sequence[EpochResult] = (),
    first_epoch: int = 0,
    group_seconds: float | None = None,
) -> tuple[str, list[EpochResult]]:
    """Train until all epochs are done or validation stalls.

    Args:
        steps: started with :func:`first_weights`, or restored.
        data: all images.
        config: how to train; ``config.early_stopping`` may end it early.
        images: (m,) integer positions of the images to train on.
        sums: collects the figures of the batches.
        end_epoch: called after each epoch with its number; returns its figures.
        monitor: checked between groups of batches.
        history: results of the epochs done before.
        first_epoch: number of epochs done before.
        group_seconds: how long a group of batches in one compiled call should take; by default
            groups have a fixed size.

    Returns:
        The reason for the end, ``done`` or ``early_stopping``, and the figures of all epochs.

    Raises:
        Stopped: ``monitor`` was asked to stop.
        TLError: the loss is not finite.
    """
    settings = StepSettings.from_config(config)
    weights = data.class_weights(config, images)
    size = config.batch_size
    num_steps = math.ceil(len(images) / size)
    group_steps = _GROUP_STEPS if group_seconds is None else 1
    results = list(history)
    for epoch in range(first_epoch, config.epochs):
        if has_stalled(results, config.early_stopping):
            return "early_stopping", results
        sums.begin_epoch()
        rows = data.epoch_rows(config, epoch, images)
        step = 0
        while step < num_steps:
            monitor.check()
            end = min(num_steps, step + group_steps)
            group = rows[step * size : end * size]
            started = time.monotonic()
            loss, correct = steps.train(
                data.features, data.label_tensor, weights, group, epoch * num_steps + step, settings
            )
            seconds = time.monotonic() - started
            if sums.add(epoch, end, loss, correct, len(group)) and group_seconds is not None:
                wanted = round((end - step) * group_seconds / max(seconds, 1e-4))
                group_steps = max(1, min(wanted, 4 * (end - step)))
            step = end
        results.append(end_epoch(epoch))
    is_stalled = has_stalled(results, config.early_stopping)
    return "early_stopping" if is_stalled else "done", results


def fit_head(
    steps: HeadSteps,
    data: HeadData,
    config: TrainConfig,
    train: np.ndarray,
    val: np.ndarray,
    monitor: Monitor,
) -> tuple[EpochResult, int]:
    """Train a head on some of the images, validate it on others, and keep only its figures.

    Args:
        steps: started with :func:`first_weights`.
        data: the images.
        config: how to train.
        train: (m,) integer positions of the images to train on.
        val: (k,) integer positions of the images to validate on.
        monitor: checked between groups of batches.

    Returns:
        The best epoch, and how many epochs were trained.

    Raises:
        Stopped: ``monitor`` was asked to stop.
        TLError: the loss is not finite.
    """
    sums = EpochSums(HeadPhase.name)

    def end_epoch(epoch: int) -> EpochResult:
        probabilities = head_forward(steps.weights(), data.first_view[val])
        return sums.result(epoch, data.labels[val], probabilities, config.learning_rate)

    _, history = train_epochs(steps, data, config, train, sums, end_epoch, monitor)
    return min(history, key=lambda result: result.val_loss), len(history)


class HeadPhase:
    """Trains a head with Adam; each epoch is one pass, with a view drawn for each image."""

    name = "head"

    def run(self, context: PhaseContext) -> None:
        """Train until all epochs are done, validation stalls, or a stop is requested.

        Raises:
            Stopped: a stop was requested.
            TLError: the loss is not finite.
        """
        features = context.features()
        context.monitor.check()
        config = context.config
        num_steps = math.ceil(len(context.split.train) / config.batch_size)
        context.recorder.start_phase(self.name, config.epochs, num_steps)
        reason = "stopped"
        try:
            context.tensorflow.wait(context.monitor)
            num_classes = context.index.num_classes
            data = HeadData.create(features.train, context.labels("train"), num_classes)
            with borrow_steps(data.feature_dim, config.fc_layers, num_classes) as steps:
                steps.start(first_weights(data, config))
                reason = self._train(context, steps, data)
        finally:
            seconds = context.recorder.end_phase(reason)
            context.seconds[self.name] = context.seconds.get(self.name, 0.0) + seconds

    def _train(self, context: PhaseContext, steps: HeadSteps, data: HeadData) -> str:
        """Train from the initial weights or the checkpoint, and return the reason for the end."""
        config = context.config
        first_epoch = 0
        if (resumed := context.take_resumed(self.name)) is not None:
            steps.restore(resumed.state)
            first_epoch = resumed.num_epochs
        curve = Curve(context, self.name, data.num_images, config.epochs)
        curve.skip_epochs(first_epoch)

        def end_epoch(epoch: int) -> EpochResult:
            weights = steps.weights()
            rate = config.learning_rate
            probabilities = head_forward(weights, context.features().val)
            remedy = f"the learning rate, which is {rate:g}"
            return curve.end_epoch(epoch, probabilities, rate, weights, steps.state, remedy)

        reason, _ = train_epochs(
            steps,
            data,
            config,
            np.arange(data.num_images),
            curve,
            end_epoch,
            context.monitor,
            history=context.checkpoints.history_of(self.name),
            first_epoch=first_epoch,
            group_seconds=_GROUP_SECONDS,
        )
        return reason

    def probabilities(self, context: PhaseContext, part: str) -> np.ndarray:
        """Return the best weights' probabilities (n, num_classes), as a reloaded run gives them."""
        return head_forward(context.checkpoints.best_weights, getattr(context.features(), part))
