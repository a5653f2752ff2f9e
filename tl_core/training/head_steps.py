"""The arithmetic of head training: many batches in one compiled call, on features in memory.

It computes what Keras ``fit`` would with the same layers and Adam, without returning to Python for
each batch. Every random draw depends on the seed and the step number alone, so a run resumed after
an epoch continues as if it had never stopped.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.config.training import TrainConfig

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # those of keras.optimizers.Adam


def apply_adam(
    weight: Any, mean: Any, square: Any, gradient: Any, number: Any, learning_rate: Any
) -> None:
    """Update a variable as ``keras.optimizers.Adam`` does, and its moments with it.

    Args:
        weight: the variable.
        mean: the variable of the gradients' running mean, of the same shape.
        square: the variable of their squares' running mean, of the same shape.
        gradient: of the loss, of the same shape.
        number: float32 scalar, the number of the update, from 1.
        learning_rate: float32 scalar.

    References:
        D. Kingma and J. Ba (2015), "Adam: a method for stochastic optimization".
    """
    import tensorflow as tf

    tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=mean.handle,
        v=square.handle,
        beta1_power=tf.pow(_BETA_1, number),
        beta2_power=tf.pow(_BETA_2, number),
        lr=learning_rate,
        beta1=_BETA_1,
        beta2=_BETA_2,
        epsilon=_EPSILON,
        grad=gradient,
    )


if TYPE_CHECKING:
    import tensorflow as tf

_SEEDS_PER_RUN = 64  # more than there are layers, so that no two layers share random numbers

_KEEP_NUM_PARAMS = 24_000_000  # of all cached steps, which bounds their memory to 300 MB
_KEEP_NUM_STEPS = 16


@dataclass(frozen=True)
class StepSettings:
    """Settings that may differ between runs without compiling again."""

    batch_size: int
    learning_rate: float
    dropout: float
    label_smoothing: float
    seed: int
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    mixup: float = 0.0

    @classmethod
    def from_config(cls, config: TrainConfig) -> StepSettings:
        """Return the step settings of a config."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    @property
    def extras(self) -> tuple[bool, bool, bool]:
        """Which of weight decay, clipping and mixup are compiled in, since each costs time."""
        return self.weight_decay > 0, self.clip_norm > 0, self.mixup > 0


class HeadSteps:
    """A head's weights and Adam state, and the compiled function that trains them.

    Reusable: :meth:`start` sets the initial weights of another run with the same layers.
    """

    def __init__(self, feature_dim: int, fc_layers: Sequence[int], num_classes: int) -> None:
        import tensorflow as tf

        self._names = [
            f"{layer}/{part}"
            for layer in [*(f"fc_{index}" for index in range(len(fc_layers))), "predictions"]
            for part in ("kernel", "bias")
        ]
        widths = [feature_dim, *fc_layers, num_classes]
        shapes: list[tuple[int, ...]] = []
        for inputs, outputs in itertools.pairwise(widths):
            shapes += [(inputs, outputs), (outputs,)]
        self.num_params = sum(int(np.prod(shape)) for shape in shapes)
        self._weights = [tf.Variable(tf.zeros(shape)) for shape in shapes]
        self._means = [tf.Variable(tf.zeros(shape)) for shape in shapes]
        self._squares = [tf.Variable(tf.zeros(shape)) for shape in shapes]
        self._num_updates = tf.Variable(0, dtype=tf.int64)
        integer, real = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
        self._signature = [
            tf.TensorSpec([None, feature_dim], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([num_classes], tf.float32),
            tf.TensorSpec([None], tf.int32),
            integer,
            *[real] * 6,
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([], tf.int64),
        ]
        self._compiled: dict[tuple[bool, bool, bool], Any] = {}

    def start(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set initial weights and reset the optimizer."""
        for name, variable in zip(self._names, self._weights, strict=True):
            variable.assign(weights[name])
        for variable in (*self._means, *self._squares, self._num_updates):
            variable.assign(np.zeros(variable.shape, variable.dtype.as_numpy_dtype))

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights, named as in :mod:`tl_core.head.model`."""
        return self._copy(self._weights)

    def state(self) -> dict[str, np.ndarray]:
        """Return everything needed to continue training exactly."""
        groups = {"head": self._weights, "adam_m": self._means, "adam_v": self._squares}
        state = {
            f"{group}/{name}": array
            for group, variables in groups.items()
            for name, array in self._copy(variables).items()
        }
        return {**state, "adam_step": np.array(self._num_updates.numpy())}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a :meth:`state`."""
        groups = {"head": self._weights, "adam_m": self._means, "adam_v": self._squares}
        for group, variables in groups.items():
            for name, variable in zip(self._names, variables, strict=True):
                variable.assign(state[f"{group}/{name}"])
        self._num_updates.assign(state["adam_step"].reshape(()))

    def train(
        self,
        features: tf.Tensor,
        labels: tf.Tensor,
        class_weights: np.ndarray,
        rows: np.ndarray,
        first_step: int,
        settings: StepSettings,
    ) -> tuple[float, float]:
        """Update once per ``batch_size`` rows, in order; the last batch may be smaller.

        Args:
            features: (views * n, dim) float32, view after view.
            labels: (n,) int32.
            class_weights: (num_classes,) float32, weight of an image of each class in the gradient.
            rows: (m,) int32, which rows of ``features``.
            first_step: number of batches done before; determines the random draws of dropout.
            settings: the other settings.

        Returns:
            The sums over the rows of the cross-entropy (plain: without weights and smoothing, so
            that it compares with that of validation) and of correct answers.
        """
        loss, correct = self._compile(settings.extras)(
            features,
            labels,
            np.asarray(class_weights, np.float32),
            np.asarray(rows, np.int32),
            np.int32(settings.batch_size),
            np.float32(settings.learning_rate),
            np.float32(settings.dropout),
            np.float32(settings.label_smoothing),
            np.float32(settings.weight_decay),
            np.float32(settings.clip_norm),
            np.float32(settings.mixup),
            np.int64(settings.seed),
            np.int64(first_step),
        )
        return float(loss), float(correct)

    def _copy(self, variables: Sequence[tf.Variable]) -> dict[str, np.ndarray]:
        pairs = zip(self._names, variables, strict=True)
        return {name: np.array(variable.numpy()) for name, variable in pairs}

    def _compile(self, extras: tuple[bool, bool, bool]) -> Any:
        import tensorflow as tf

        if extras not in self._compiled:
            self._compiled[extras] = tf.function(
                functools.partial(self._train_group, extras),
                autograph=False,
                input_signature=self._signature,
            )
        return self._compiled[extras]

    def _train_group(
        self,
        extras: tuple[bool, bool, bool],
        features: Any,
        labels: Any,
        class_weights: Any,
        rows: Any,
        batch_size: Any,
        learning_rate: Any,
        dropout: Any,
        label_smoothing: Any,
        weight_decay: Any,
        clip_norm: Any,
        mixup: Any,
        seed: Any,
        first_step: Any,
    ) -> Any:
        import tensorflow as tf

        decays, clips, mixes = extras
        num_rows, num_images = tf.shape(rows)[0], tf.shape(labels)[0]
        num_steps = (num_rows + batch_size - 1) // batch_size

        def step(number: Any, loss_sum: Any, num_correct: Any) -> Any:
            batch = rows[number * batch_size : tf.minimum((number + 1) * batch_size, num_rows)]
            x, y = tf.gather(features, batch), tf.gather(labels, batch % num_images)
            step_number = first_step + tf.cast(number, tf.int64)
            image_weights = tf.gather(class_weights, y)
            if mixes:
                share = _draw_share(mixup, seed, step_number)
                x = share * x + (1 - share) * tf.roll(x, 1, axis=0)
                others = tf.roll(image_weights, 1, axis=0)
                image_weights = share * image_weights + (1 - share) * others
            with tf.GradientTape() as tape:
                logits = head_logits(self._weights, x, dropout, seed, step_number)
                log_probabilities = tf.nn.log_softmax(logits)
                losses = -tf.gather(log_probabilities, y, batch_dims=1)
                if mixes:
                    other = -tf.gather(log_probabilities, tf.roll(y, 1, axis=0), batch_dims=1)
                    losses = share * losses + (1 - share) * other
                uniform = -tf.reduce_mean(log_probabilities, axis=1)
                smoothed = (1 - label_smoothing) * losses + label_smoothing * uniform
                objective = tf.reduce_mean(image_weights * smoothed)
            gradients = tape.gradient(objective, self._weights)
            if clips:
                gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
            if decays:
                for weight in self._weights[::2]:  # kernels, not biases
                    weight.assign_sub(learning_rate * weight_decay * weight)
            self._apply_adam(gradients, learning_rate)
            hits = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), y)
            return (
                number + 1,
                loss_sum + tf.cast(tf.reduce_sum(losses), tf.float64),
                num_correct + tf.reduce_sum(tf.cast(hits, tf.float32)),
            )

        # In float64 the sums do not depend on how steps are grouped, which depends on speed.
        first = (0, tf.constant(0.0, tf.float64), 0.0)
        return tf.while_loop(lambda number, *_: number < num_steps, step, first)[1:]

    def _apply_adam(self, gradients: Sequence[Any], learning_rate: Any) -> None:
        """Update every variable once."""
        import tensorflow as tf

        number = tf.cast(self._num_updates.assign_add(1), tf.float32)
        parts = zip(self._weights, self._means, self._squares, gradients, strict=True)
        for weight, mean, square, gradient in parts:
            apply_adam(weight, mean, square, gradient, number, learning_rate)


def head_logits(weights: Sequence[Any], x: Any, dropout: Any, seed: Any, step: Any) -> Any:
    """Compute the logits of a head in training, from alternating kernels and biases.

    Dropout depends on the seed and the step number alone.
    """
    import tensorflow as tf

    for layer in range(len(weights) // 2 - 1):
        x = tf.nn.relu(tf.matmul(x, weights[2 * layer]) + weights[2 * layer + 1])
        draw = tf.random.stateless_uniform(
            tf.shape(x), seed=tf.stack([seed * _SEEDS_PER_RUN + layer, step])
        )
        x = tf.where(draw >= dropout, x / (1 - dropout), 0.0)
    return tf.matmul(x, weights[-2]) + weights[-1]


def _draw_share(mixup: Any, seed: Any, step: Any) -> Any:
    """Draw from Beta(mixup, mixup) the share that remains of each image of a step."""
    import tensorflow as tf

    first, second = (
        tf.random.stateless_gamma(
            [], tf.stack([seed * _SEEDS_PER_RUN + _SEEDS_PER_RUN - number, step]), alpha=mixup
        )
        for number in (1, 2)
    )
    return first / tf.maximum(first + second, 1e-20)


_kept: list[tuple[object, HeadSteps]] = []  # most recently returned last
_kept_lock = threading.Lock()


@contextmanager
def borrow_steps(
    feature_dim: int, fc_layers: Sequence[int], num_classes: int
) -> Iterator[HeadSteps]:
    """Provide steps for these layers to one caller, reusing compiled ones where possible.

    Compiling takes as long as several epochs, which the next run with the same layers saves.
    """
    shape = feature_dim, tuple(fc_layers), num_classes
    with _kept_lock:
        found = [place for place, (other, _) in enumerate(_kept) if other == shape]
        steps = _kept.pop(found[-1])[1] if found else HeadSteps(*shape)
    try:
        yield steps
    finally:
        with _kept_lock:
            _kept.append((shape, steps))
            while len(_kept) > _KEEP_NUM_STEPS or (
                sum(one.num_params for _, one in _kept) > _KEEP_NUM_PARAMS
            ):
                del _kept[0]
