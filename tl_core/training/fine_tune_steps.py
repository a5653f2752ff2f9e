"""The arithmetic of fine-tuning: one compiled step over the top blocks and the head.

Every random draw depends on the seed and the step number alone. With several GPUs the images of
each step are divided among them and the gradients summed, so that all hold the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.training.head_steps import apply_adam, head_logits


def warmup_cosine(step: int, num_steps: int, num_warmup_steps: int, peak: float) -> float:
    """Return the learning rate of one step: linear warm-up to ``peak``, then cosine decay to 0.

    The rates of the first and the last step are above 0, so that no step is without effect.

    References:
        I. Loshchilov and F. Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".
    """
    num_warmup_steps = min(num_warmup_steps, num_steps - 1)
    if step < num_warmup_steps:
        return peak * (step + 1) / (num_warmup_steps + 1)
    share = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return peak * (1 + math.cos(math.pi * share)) / 2


if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class FineTuneSettings:
    """The settings of a step. ``rates`` scale the learning rate by variable name."""

    dropout: float
    label_smoothing: float
    weight_decay: float
    clip_norm: float
    seed: int
    rates: Mapping[str, float]


@dataclass
class _Trained:
    """One trained variable with its Adam state."""

    name: str
    weight: Any
    mean: Any
    square: Any
    rate: float
    decays: bool


class FineTuneSteps:
    """The top of a backbone and a head, with compiled functions for training and prediction.

    Args:
        top: model from activations to features; its variables are trained in place.
        names: names of the top's variables, by ``id``.
        head: the head's initial weights.
        settings: see :class:`FineTuneSettings`.
        strategy: where to compute; the default one when left out.
    """

    def __init__(
        self,
        top: keras.Model,
        names: Mapping[int, str],
        head: Mapping[str, np.ndarray],
        settings: FineTuneSettings,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        import tensorflow as tf

        self._tf, self._top, self._settings = tf, top, settings
        self._strategy = strategy or tf.distribute.get_strategy()
        self._activation_shape = tuple(int(side) for side in top.input.shape[1:])
        with self._strategy.scope():
            self._head = {name: tf.Variable(head[name]) for name in _in_order(head)}
            self._head_list = list(self._head.values())
            self._num_updates = tf.Variable(0, dtype=tf.int64)
            named = {names[id(v)]: v.value for v in top.trainable_variables} | self._head
            self._trained = [
                _Trained(
                    name,
                    weight,
                    tf.Variable(tf.zeros(weight.shape)),
                    tf.Variable(tf.zeros(weight.shape)),
                    settings.rates.get(name, 1.0),
                    len(weight.shape) > 1,  # not offsets and scales
                )
                for name, weight in named.items()
            ]
        dim = int(np.prod(self._activation_shape))
        num_classes = int(self._head["predictions/bias"].shape[0])
        rows = tf.TensorSpec([None, dim], tf.float32)
        self._train = tf.function(
            self._train_batch,
            autograph=False,
            input_signature=[
                rows,
                tf.TensorSpec([None, num_classes], tf.float32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([], tf.int64),
            ],
        )
        self._ask = tf.function(self._forward_only, autograph=False, input_signature=[rows])

    @property
    def num_replicas(self) -> int:
        """How many devices share a batch."""
        return int(self._strategy.num_replicas_in_sync)

    def train(
        self,
        activations: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        learning_rate: float,
        step: int,
    ) -> tuple[float, float]:
        """Update once.

        Args:
            activations: (n, dim) float32.
            targets: (n, num_classes) float32, each row sums to 1.
            weights: (n,) float32, the weight of each image.
            learning_rate: of this step.
            step: counted from 0 over the phase; determines the random draws.

        Returns:
            Sum of the losses in nats, and number of images whose largest target was predicted.
        """
        tf = self._tf
        rate, number = tf.constant(learning_rate, tf.float32), tf.constant(step, tf.int64)
        batch = (tf.constant(activations), tf.constant(targets), tf.constant(weights))
        loss, correct = self._train(*batch, rate, number)
        return float(loss), float(correct)

    def probabilities(self, activations: np.ndarray) -> np.ndarray:
        """Return (n, num_classes) float32 for activations (n, dim)."""
        return np.asarray(self._ask(self._tf.constant(activations)))

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of all trained weights."""
        return {trained.name: _copy(trained.weight) for trained in self._trained}

    def state(self) -> dict[str, np.ndarray]:
        """Return everything needed to continue training exactly."""
        state = {"adam_step": _copy(self._num_updates)}
        for trained in self._trained:
            state[f"weights/{trained.name}"] = _copy(trained.weight)
            state[f"adam_m/{trained.name}"] = _copy(trained.mean)
            state[f"adam_v/{trained.name}"] = _copy(trained.square)
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a :meth:`state`."""
        self._num_updates.assign(state["adam_step"].reshape(()))
        for trained in self._trained:
            trained.weight.assign(state[f"weights/{trained.name}"])
            trained.mean.assign(state[f"adam_m/{trained.name}"])
            trained.square.assign(state[f"adam_v/{trained.name}"])

    def _train_batch(
        self, activations: Any, targets: Any, weights: Any, learning_rate: Any, step: Any
    ) -> Any:
        tf = self._tf
        if self.num_replicas == 1:
            return self._update(activations, targets, weights, learning_rate, step, 1.0)
        num_images = tf.shape(targets)[0]
        count = self.num_replicas

        def shared(tensor: Any) -> Any:
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: tensor[context.replica_id_in_sync_group :: count]
            )

        sums = self._strategy.run(
            self._update,
            args=(
                shared(activations),
                shared(targets),
                shared(weights),
                learning_rate,
                step,
                1 / tf.cast(num_images, tf.float32),
            ),
        )
        return [self._strategy.reduce("SUM", part, axis=None) for part in sums]

    def _update(
        self,
        activations: Any,
        targets: Any,
        weights: Any,
        learning_rate: Any,
        step: Any,
        share: Any,
    ) -> Any:
        """Compute one replica's part of a step and apply the summed gradients to its weights."""
        tf, settings = self._tf, self._settings
        variables = [trained.weight for trained in self._trained]
        with tf.GradientTape() as tape:
            logits = self._logits(activations, settings.dropout, step)
            log_probabilities = tf.nn.log_softmax(logits)
            losses = -tf.reduce_sum(targets * log_probabilities, axis=1)
            uniform = -tf.reduce_mean(log_probabilities, axis=1)
            smoothing = settings.label_smoothing
            smoothed = (1 - smoothing) * losses + smoothing * uniform
            if self.num_replicas == 1:
                objective = tf.reduce_mean(weights * smoothed)
            else:
                objective = tf.reduce_sum(weights * smoothed) * share
        gradients = tape.gradient(objective, variables)
        if self.num_replicas > 1:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if settings.clip_norm > 0:
            gradients, _ = tf.clip_by_global_norm(gradients, settings.clip_norm)
        self._apply_adam(gradients, learning_rate)
        hits = tf.equal(tf.argmax(logits, axis=1), tf.argmax(targets, axis=1))
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.float32))

    def _logits(self, activations: Any, dropout: Any, step: Any) -> Any:
        tf = self._tf
        x = tf.reshape(activations, (-1, *self._activation_shape))
        # training=False keeps BatchNorm at the statistics of pretraining.
        features = tf.cast(self._top(x, training=False), tf.float32)
        features = tf.reshape(features, (-1, features.shape[1:].num_elements()))
        return head_logits(self._head_list, features, dropout, self._settings.seed, step)

    def _forward_only(self, activations: Any) -> Any:
        tf = self._tf
        return tf.nn.softmax(self._logits(activations, 0.0, tf.constant(0, tf.int64)))

    def _apply_adam(self, gradients: Sequence[Any], learning_rate: Any) -> None:
        """Update as ``keras.optimizers.AdamW`` does, in fused operations.

        References:
            I. Loshchilov and F. Hutter (2019), "Decoupled weight decay regularization".
        """
        tf = self._tf
        number = tf.cast(self._num_updates, tf.float32) + 1
        for trained, gradient in zip(self._trained, gradients, strict=True):
            rate = learning_rate * trained.rate
            if self._settings.weight_decay > 0 and trained.decays:
                tf.raw_ops.AssignSubVariableOp(
                    resource=trained.weight.handle,
                    value=rate * self._settings.weight_decay * trained.weight,
                )
            apply_adam(trained.weight, trained.mean, trained.square, gradient, number, rate)
        tf.raw_ops.AssignAddVariableOp(
            resource=self._num_updates.handle, value=tf.constant(1, tf.int64)
        )


def choose_strategy() -> tf.distribute.Strategy | None:
    """Return a mirrored strategy where there are several GPUs, else None."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else None


def _in_order(head: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of a head's weights from the first layer on, kernel before bias."""
    num_fc = len(head) // 2 - 1
    layers = [*(f"fc_{number}" for number in range(num_fc)), "predictions"]
    return [f"{layer}/{part}" for layer in layers for part in ("kernel", "bias")]


def _copy(variable: Any) -> np.ndarray:
    return np.array(variable.numpy())


def use_mixed_precision(setting: str) -> bool:
    """Whether to compute in bfloat16: as set, or if a GPU supports it well."""
    if setting != "auto":
        return setting == "on"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(details) and all(
        detail.get("compute_capability", (0, 0)) >= (8, 0) for detail in details
    )
