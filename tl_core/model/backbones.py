"""Backbones: which there are, their weights, and the Keras model of one.

The face of its neighbours: the table, the weights, the models, and measuring them. Importing it
loads no TensorFlow; building a model does.
"""

from __future__ import annotations

from tl_core.model.backbone_table import (
    BACKBONES,
    Backbone,
    get_backbone,
    list_backbones,
    resolve_image_size,
)
from tl_core.model.base_model import build_base_model
from tl_core.model.measure import measure
from tl_core.model.weights import fetch_weights, has_weights, weights_fingerprint

__all__ = [
    "BACKBONES",
    "Backbone",
    "build_base_model",
    "fetch_weights",
    "get_backbone",
    "has_weights",
    "list_backbones",
    "measure",
    "resolve_image_size",
    "weights_fingerprint",
]
