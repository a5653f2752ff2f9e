"""Which regions of an image support a class: Grad-CAM and Grad-CAM++ in NumPy.

Between the backbone's last feature map and the class score there are only a pooling and a few fully
connected layers, whose gradient is computed explicitly here.

References:
    R. R. Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV.
    A. Chattopadhay et al. (2018), "Grad-CAM++: generalized gradient-based visual explanations for
    deep convolutional networks", WACV.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tl_core.config.training import Pooling

METHODS = ("grad_cam", "grad_cam++")

_POOLING_TOLERANCE = 1e-3  # of the greatest feature; two interpreters round differently


def pool_map(feature_map: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Return the pooled features (dim,) of a feature map (rows, columns, dim)."""
    if pooling == "flatten":
        return feature_map.reshape(-1)
    return feature_map.mean(axis=(0, 1)) if pooling == "avg" else feature_map.max(axis=(0, 1))


def find_pooling(feature_map: np.ndarray, features: np.ndarray) -> Pooling | None:
    """Return which pooling makes features (dim,) of a feature map (rows, columns, dim).

    None if none does.

    Examples:
        >>> import numpy as np
        >>> from tl_core.head.gradcam import find_pooling
        >>> feature_map = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
        >>> find_pooling(feature_map, np.array([2.0, 3.0], np.float32))
        'avg'
    """
    spread = float(np.abs(features).max(initial=0.0))
    poolings: tuple[Pooling, ...] = ("avg", "max", "flatten")
    for pooling in poolings:
        pooled = pool_map(feature_map, pooling)
        if pooled.shape == features.shape and np.allclose(
            pooled, features, rtol=0, atol=_POOLING_TOLERANCE * spread
        ):
            return pooling
    return None


def score_gradient(
    weights: Mapping[str, np.ndarray], features: np.ndarray, label: int
) -> np.ndarray:
    """Return the gradient of a class's logit with respect to the features: (dim,) float64.

    Args:
        weights: a head's weights, as :func:`~tl_core.head.model.head_weights` returns them.
        features: (dim,) float32.
        label: the class.
    """
    num_fc = sum(name.startswith("fc_") and name.endswith("/kernel") for name in weights)
    x = np.asarray(features, np.float64)
    is_active = []
    for number in range(num_fc):
        x = x @ weights[f"fc_{number}/kernel"] + weights[f"fc_{number}/bias"]
        is_active.append(x > 0)
        x = np.maximum(x, 0)
    gradient = np.asarray(weights["predictions/kernel"][:, label], np.float64)
    for number in reversed(range(num_fc)):
        gradient = weights[f"fc_{number}/kernel"] @ (gradient * is_active[number])
    return gradient


def map_gradient(feature_map: np.ndarray, gradient: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Return the gradient (rows, columns, dim) at a feature map from that at the pooled features.

    With ``"max"``, positions that share a channel's maximum share its gradient.
    """
    if pooling == "flatten":
        return gradient.reshape(feature_map.shape)
    if pooling == "avg":
        return np.broadcast_to(
            gradient / (feature_map.shape[0] * feature_map.shape[1]), feature_map.shape
        )
    is_highest = feature_map == feature_map.max(axis=(0, 1))
    return gradient * is_highest / is_highest.sum(axis=(0, 1))


def class_activation(
    feature_map: np.ndarray, gradient: np.ndarray, method: str = "grad_cam"
) -> np.ndarray:
    """Return how much each position supports the class: (rows, columns) float32, at least 0.

    Args:
        feature_map: (rows, columns, dim).
        gradient: of the class's score at the map, of the same shape.
        method: Grad-CAM++ weights positions so that several small objects count like a large one.
    """
    activation = np.asarray(feature_map, np.float64)
    if method == "grad_cam":
        weights = gradient.mean(axis=(0, 1))
    else:
        squared, cubed = gradient**2, gradient**3
        divisor = 2 * squared + activation.sum(axis=(0, 1)) * cubed
        shares = np.divide(squared, divisor, out=np.zeros_like(divisor), where=divisor != 0)
        weights = np.sum(shares * np.maximum(gradient, 0), axis=(0, 1))
    return np.maximum(activation @ weights, 0).astype(np.float32)
