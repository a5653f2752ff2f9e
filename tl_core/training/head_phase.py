"""The head phase: fully connected layers and softmax on cached features of a frozen backbone."""

from __future__ import annotations

import math
import time

import numpy as np

from tl_core.head.model import build_head, head_forward, head_weights
from tl_core.training.checkpoints import EpochResult, has_stalled
from tl_core.training.epochs import Curve, class_weights_of, epoch_rows
from tl_core.training.head_steps import HeadSteps, StepSettings, borrow_steps
from tl_core.training.phases import PhaseContext

_GROUP_SECONDS = 0.08  # long enough to cost nothing, short enough for a curve that moves


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
        context.monitor.check()
        config = context.config
        feature_dim = features.train.shape[-1]
        num_classes = context.index.num_classes
        num_steps = math.ceil(len(context.split.train) / config.batch_size)
        context.recorder.start_phase(self.name, config.epochs, num_steps)
        reason = "stopped"
        try:
            context.tensorflow.wait(context.monitor)
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
        self._class_weights = class_weights_of(context)
        self._settings = StepSettings.from_config(config)
        self._balanced = labels if config.sampling == "balanced" else None
        self._curve = Curve(context, HeadPhase.name, self._num_images, config.epochs)
        self._group_steps = 1

    def run(self, first_epoch: int) -> str:
        """Train and return why it ended."""
        history = self._context.checkpoints.history_of(HeadPhase.name)
        self._curve.skip_epochs(first_epoch)
        if has_stalled(history, self._config.early_stopping):
            return "early_stopping"
        for epoch in range(first_epoch, self._config.epochs):
            self._curve.begin_epoch()
            self._train_epoch(epoch)
            history.append(self._end_epoch(epoch))
            if has_stalled(history, self._config.early_stopping):
                return "early_stopping"
        return "done"

    def _train_epoch(self, epoch: int) -> None:
        """Do one pass, in groups of batches."""
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
        step = 0
        while step < num_steps:
            self._context.monitor.check()
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
            seconds = time.monotonic() - started
            if self._curve.add(epoch, end, loss, correct, len(group)):
                self._adapt(end - step, seconds)
            step = end

    def _adapt(self, num_steps: int, seconds: float) -> None:
        """Choose the next group's size after the last one's speed."""
        wanted = round(num_steps * _GROUP_SECONDS / max(seconds, 1e-4))
        self._group_steps = max(1, min(wanted, 4 * num_steps))

    def _end_epoch(self, epoch: int) -> EpochResult:
        weights = self._steps.weights()
        learning_rate = self._config.learning_rate
        return self._curve.end_epoch(
            epoch,
            head_forward(weights, self._context.features().val),
            learning_rate,
            weights,
            self._steps.state,
            f"the learning rate, which is {learning_rate:g}",
        )
