"""Trains one head on features in memory, with no run's files: for many heads one after another.

The same epochs, draws and choice of the best epoch as the head phase of a run.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.errors import TLError
from tl_core.head.model import build_head, head_forward, head_weights
from tl_core.metrics.classification import accuracy, log_loss
from tl_core.progress import Monitor
from tl_core.training.checkpoints import EpochResult, has_stalled
from tl_core.training.epochs import balanced_weights, epoch_rows
from tl_core.training.head_steps import HeadSteps, StepSettings

if TYPE_CHECKING:
    import tensorflow as tf

_GROUP_STEPS = 64  # in one compiled call; a stop is heard between them


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
        """Take features (views, n, dim) and labels (n,)."""
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
        """Return the rows of ``features`` that an epoch over some of the images sees."""
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
        """Return what an image of each class counts for: (num_classes,) float32."""
        if config.class_weights == "balanced":
            return balanced_weights(self.labels[images], self.num_classes)
        return np.ones(self.num_classes, np.float32)


def first_weights(data: HeadData, config: TrainConfig) -> dict[str, np.ndarray]:
    """Return the weights that a run of this config begins with."""
    head = build_head(
        data.feature_dim, config.dropout, config.fc_layers, data.num_classes, config.seed
    )
    return head_weights(head)


def fit_head(
    steps: HeadSteps,
    data: HeadData,
    config: TrainConfig,
    train: np.ndarray,
    val: np.ndarray,
    monitor: Monitor,
) -> tuple[EpochResult, int]:
    """Train a head on some of the images, validated on others.

    Args:
        steps: begun with :func:`first_weights`.
        data: the images.
        config: how to train; ``config.early_stopping`` may end it early.
        train: (m,) integer positions of the images to train on.
        val: (k,) integer positions of the images to validate on.
        monitor: checked between groups of batches.

    Returns:
        The best epoch, and how many epochs were trained.

    Raises:
        Stopped: ``monitor`` was asked to stop.
        TLError: the loss is no longer a number.
    """
    settings = StepSettings.from_config(config)
    class_weights = data.class_weights(config, train)
    num_steps = math.ceil(len(train) / config.batch_size)
    history: list[EpochResult] = []
    best: EpochResult | None = None
    for epoch in range(config.epochs):
        started = time.monotonic()
        rows = data.epoch_rows(config, epoch, train)
        loss = correct = 0.0
        for step in range(0, num_steps, _GROUP_STEPS):
            monitor.check()
            group = rows[step * config.batch_size : (step + _GROUP_STEPS) * config.batch_size]
            sums = steps.train(
                data.features,
                data.label_tensor,
                class_weights,
                group,
                epoch * num_steps + step,
                settings,
            )
            loss, correct = loss + sums[0], correct + sums[1]
        probabilities = head_forward(steps.weights(), data.first_view[val])
        result = EpochResult(
            phase="head",
            epoch=epoch,
            loss=loss / len(rows),
            accuracy=correct / len(rows),
            val_loss=log_loss(data.labels[val], probabilities),
            val_accuracy=accuracy(data.labels[val], probabilities),
            learning_rate=config.learning_rate,
            seconds=time.monotonic() - started,
        )
        if not math.isfinite(result.loss + result.val_loss):
            raise TLError(f"The loss is no longer a number in epoch {epoch + 1}.")
        history.append(result)
        if result.is_better_than(best):
            best = result
        if has_stalled(history, config.early_stopping):
            break
    if best is None:
        raise TLError("Expected at least one epoch.")
    return best, len(history)
