"""The public functions for backbones: the registry, pretrained weights, and Keras models.

Importing this module loads no TensorFlow; building a model does.
"""

from __future__ import annotations

from tl_core.backbones.build import build_base_model
from tl_core.backbones.registry import (
    BACKBONES,
    Backbone,
    get_backbone,
    list_backbones,
    resolve_image_size,
)
from tl_core.backbones.weights import fetch_weights, has_weights, weights_fingerprint

__all__ = [
    "BACKBONES",
    "Backbone",
    "build_base_model",
    "fetch_weights",
    "get_backbone",
    "has_weights",
    "list_backbones",
    "resolve_image_size",
    "weights_fingerprint",
]
