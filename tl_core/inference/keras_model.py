"""A run as one Keras model, from pixels to probabilities. Loads TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tl_core.backbones.api import resolve_image_size
from tl_core.backbones.finetuned_weights import build_fine_tuned_base, split_weights
from tl_core.head.model import build_finetune_model, load_weights, set_head_weights
from tl_core.inference.predict import load_head
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import load_run

if TYPE_CHECKING:
    import keras


def load_keras_model(run_dir: str | os.PathLike[str]) -> keras.Model:
    """Build a run's best model, including its fine-tuned backbone if it has one.

    Input: (batch, height, width, 3) RGB in 0..255 at the run's image size; output: (batch,
    num_classes) probabilities, as from :class:`~tl_core.inference.predict.Predictor`.

    Raises:
        RunError: there is no such run, or its weights are missing or do not fit.
        WeightsError: the backbone's pretrained weights are not available.
    """
    import tensorflow  # noqa: F401  before Keras, which otherwise imports it halfway

    run = load_run(Path(run_dir))
    head = load_head(run)
    config = run.config
    _, backbone = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
    base_model = build_fine_tuned_base(
        config.backbone, resolve_image_size(config), config.pooling, backbone
    )
    model = build_finetune_model(base_model, config.dropout, config.fc_layers, len(run.class_names))
    set_head_weights(model, head)
    return model
