"""Adam's update of one variable in one fused operation."""

from __future__ import annotations

from typing import Any

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
        number: float32 scalar, the update's number, from 1.
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
