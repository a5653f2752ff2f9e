"""How the learning rate goes over the steps of a phase."""

from __future__ import annotations

import math


def warmup_cosine(step: int, num_steps: int, num_warmup_steps: int, peak: float) -> float:
    """Return the learning rate of one step: a straight rise to ``peak``, then half a cosine to 0.

    The first step of a warm-up is above 0 and the last step of all is too, so that none is lost.

    References:
        I. Loshchilov and F. Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".
    """
    num_warmup_steps = min(num_warmup_steps, num_steps - 1)
    if step < num_warmup_steps:
        return peak * (step + 1) / (num_warmup_steps + 1)
    share = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return peak * (1 + math.cos(math.pi * share)) / 2
